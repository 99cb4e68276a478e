"""Every odd picture becomes the tensor a person expects, or one clear sentence."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylex.pictures import images
from stylex.pictures.images import ImageError, list_images, load_image, to_pil, to_pil_list, to_tensor, to_uint8


@pytest.fixture
def scene() -> Image.Image:
    """40 x 30; left half red, right half blue, with a white top left corner that tells which way is up."""
    image = Image.new("RGB", (40, 30), (200, 0, 0))
    image.paste((0, 0, 200), (20, 0, 40, 30))
    image.paste((255, 255, 255), (0, 0, 8, 8))
    return image


def near(pixel: object, colour: tuple[int, int, int], tolerance: int = 12) -> bool:
    return bool(np.abs(np.subtract(pixel, colour)).max() <= tolerance)


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises width x height pixels and holds none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def refusal(source: object, **options: str) -> str:
    """The sentence, after a look at its manners."""
    with pytest.raises(ImageError) as caught:
        load_image(source, **options)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    return str(caught.value)


def test_every_kind_of_source_gives_the_same_picture(scene, tmp_path):
    path = tmp_path / "scene.png"
    scene.save(path)
    with path.open("rb") as file:
        loaded = [load_image(s) for s in (path, str(path), path.read_bytes(), file, scene, np.asarray(scene))]
    for image in loaded:
        assert image.mode == "RGB"
        assert image.tobytes() == scene.tobytes()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_common_formats_open_whatever_their_suffix(scene, tmp_path, form):
    path = tmp_path / "picture.dat"
    scene.save(path, form)
    assert near(load_image(path).getpixel((30, 20)), (0, 0, 200), 25)


def test_transparency_is_laid_on_the_background(tmp_path):
    colour = Image.new("RGBA", (16, 16), (200, 0, 0, 255))
    colour.paste((0, 200, 0, 0), (0, 0, 8, 16))
    colour.save(tmp_path / "rgba.png")
    Image.new("LA", (16, 16), (0, 0)).save(tmp_path / "la.png")
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.paste(1, (8, 0, 16, 16))
    palette.save(tmp_path / "palette.png", transparency=0)
    palette.save(tmp_path / "palette.gif", transparency=0)
    for name, right in ("rgba.png", (200, 0, 0)), ("palette.png", (40, 50, 60)), ("palette.gif", (40, 50, 60)):
        assert load_image(tmp_path / name).getpixel((2, 2)) == (255, 255, 255)
        assert load_image(tmp_path / name, background=(1, 2, 3)).getpixel((2, 2)) == (1, 2, 3)
        assert load_image(tmp_path / name).getpixel((12, 2)) == right
    assert load_image(tmp_path / "la.png").getpixel((2, 2)) == (255, 255, 255)


def test_half_transparency_mixes():
    assert near(load_image(Image.new("RGBA", (8, 8), (255, 0, 0, 128))).getpixel((0, 0)), (255, 127, 127), 1)


def test_exif_orientation_is_applied(scene, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me 90 degrees clockwise"
    scene.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright = load_image(tmp_path / "turned.jpg")
    assert upright.size == (30, 40)
    assert near(upright.getpixel((26, 3)), (255, 255, 255), 25)
    assert near(upright.getpixel((15, 36)), (0, 0, 200), 25)
    with Image.open(tmp_path / "turned.jpg") as lazy:
        assert load_image(lazy).tobytes() == upright.tobytes()
        assert lazy.size == (40, 30)


def test_a_broken_exif_block_does_not_hide_the_picture(scene, tmp_path):
    scene.save(tmp_path / "odd.jpg", exif=b"Exif\x00\x00MM\x00\x2a\x00\x00\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert load_image(tmp_path / "odd.jpg").size == (40, 30)


def test_cmyk_and_grey_and_bilevel_and_palette_keep_their_colours(scene, tmp_path):
    scene.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert near(load_image(tmp_path / "cmyk.jpg").getpixel((10, 20)), (200, 0, 0), 25)
    scene.quantize(16).save(tmp_path / "palette.png")
    assert near(load_image(tmp_path / "palette.png").getpixel((30, 20)), (0, 0, 200), 4)
    Image.new("L", (9, 9), 77).save(tmp_path / "grey.png")
    assert load_image(tmp_path / "grey.png").getpixel((4, 4)) == (77, 77, 77)
    Image.new("1", (9, 9), 1).save(tmp_path / "bilevel.png")
    assert load_image(tmp_path / "bilevel.png").getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_rescaled_not_clipped(tmp_path, suffix):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)
    Image.fromarray(np.tile(ramp, (16, 1))).save(tmp_path / f"deep.{suffix}")
    assert [load_image(tmp_path / f"deep.{suffix}").getpixel((x, 0))[0] for x in range(256)] == list(range(256))


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (np.array([0.0, 0.5, 1.0], np.float32), [0, 128, 255]),
        (np.array([0.0, 127.0, 255.0], np.float32), [0, 127, 255]),
        (np.array([-2.0, 0.0, 2.0], np.float32), [0, 128, 255]),
        (np.array([0, 100, 255], np.int32), [0, 100, 255]),
        (np.array([0, 257, 65535], np.int32), [0, 1, 255]),
        (np.array([0, 50_000, 100_000], np.int32), [0, 128, 255]),
        (np.array([np.nan, 0.0, 1.0], np.float32), [0, 0, 255]),
    ],
)
def test_32_bit_greys_find_their_white(tmp_path, values, levels):
    Image.fromarray(np.repeat(np.tile(values, (8, 1)), 4, axis=1)).save(tmp_path / "deep.tif")
    assert [load_image(tmp_path / "deep.tif").getpixel((4 * i, 0))[0] for i in range(3)] == levels


def test_an_animation_gives_its_first_frame(tmp_path):
    first, second = Image.new("RGB", (16, 16), (250, 0, 0)), Image.new("RGB", (16, 16), (0, 250, 0))
    for suffix, options in ("gif", {}), ("webp", {"lossless": True}), ("png", {}):
        first.save(tmp_path / f"moving.{suffix}", save_all=True, append_images=[second], **options)
        assert near(load_image(tmp_path / f"moving.{suffix}").getpixel((8, 8)), (250, 0, 0), 3)


def test_the_source_image_is_left_alone():
    image = Image.new("RGB", (20, 20), (1, 2, 3))
    image.info["comment"] = "mine"
    loaded = load_image(image)
    loaded.paste((9, 9, 9), (0, 0, 20, 20))
    assert image.getpixel((0, 0)) == (1, 2, 3)
    assert image.info == {"comment": "mine"}
    assert loaded.info == {}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_truncated_files_say_so(tmp_path, form):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole", form)
    (tmp_path / "cut").write_bytes((tmp_path / "whole").read_bytes()[: -(tmp_path / "whole").stat().st_size // 2])
    sentence = refusal(tmp_path / "cut")
    assert "cannot be read to its end" in sentence or "its beginning is damaged" in sentence


def test_what_is_no_picture_says_so(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("a shopping list")
    (tmp_path / "drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n")
    assert "'" + str(tmp_path / "empty.png") + "' is empty" in refusal(tmp_path / "empty.png")
    assert "is not a picture" in refusal(tmp_path / "text.png")
    assert "is not a picture" in refusal(tmp_path / "drawing.eps")
    assert "does not exist" in refusal(tmp_path / "nowhere.png")
    assert "is a folder" in refusal(tmp_path)
    assert "cannot be opened" in refusal("null\0byte.png")
    assert "the picture is empty" in refusal(b"")
    assert "is not a picture" in refusal(b"\x00" * 1000)
    assert "binary mode" in refusal(io.StringIO("text"))
    assert "came as int" in refusal(3)
    assert "came as float64 array of shape [8, 8]" in refusal(np.zeros((8, 8)))
    assert "came as uint8 array of shape [8, 8, 2]" in refusal(np.zeros((8, 8, 2), np.uint8))


def test_a_closed_image_says_so(scene, tmp_path):
    scene.save(tmp_path / "scene.png")
    with Image.open(tmp_path / "scene.png") as closed:
        pass
    assert "the picture cannot be read" in refusal(closed)


def test_a_name_replaces_the_path_in_the_sentence(tmp_path):
    (tmp_path / "upload").touch()
    assert refusal(tmp_path / "upload", name="Your picture").startswith("Your picture is empty")


def test_sizes_that_make_no_sense_are_refused(tmp_path):
    for size, why in [
        ((1, 1), "too small, 1 x 1"),
        ((20_000, 1), "too small, 20000 x 1"),
        ((7, 100), "too small"),
        ((20_000, 400), "too narrow, 20000 x 400"),
    ]:
        Image.new("L", size).save(tmp_path / "odd.png")
        assert why in refusal(tmp_path / "odd.png")
        assert why in refusal(Image.new("L", size))
    assert "too small" in refusal(np.zeros((0, 5, 3), np.uint8))
    Image.new("L", (20_000, 1_000)).save(tmp_path / "wide.png")
    assert to_uint8([tmp_path / "wide.png"], 64).shape == (1, 3, 64, 64)


@pytest.mark.parametrize("size", [(8_000, 8_000), (10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_huge_header_is_refused_before_decoding(size):
    limit = Image.MAX_IMAGE_PIXELS
    assert "has more than 50 million pixels" in refusal(png_header(*size))
    assert limit == Image.MAX_IMAGE_PIXELS


def test_pillow_warning_turned_error_gives_the_same_sentence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "has more than 50 million pixels" in refusal(png_header(10_000, 10_000))


def test_files_over_the_size_limit_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    (tmp_path / "big.png").write_bytes(bytes(1001))
    for source in tmp_path / "big.png", bytes(1001), io.BytesIO(bytes(1001)):
        assert "is larger than" in refusal(source)


def test_the_centre_square_is_kept_pixel_for_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    batch = to_uint8([pixels], 16)
    assert batch.dtype == torch.uint8
    assert np.array_equal(batch[0].permute(1, 2, 0).numpy(), pixels[:, 4:20])


def test_shrinking_averages_instead_of_skipping():
    checks = np.indices((128, 128)).sum(0) % 2 * 255
    assert (to_uint8([checks.astype(np.uint8)], 16).float() - 127.5).abs().max() < 3


def test_small_pictures_grow(scene):
    assert to_tensor([scene], 64).shape == (1, 3, 64, 64)


def test_tensors_span_minus_one_to_one():
    x = to_tensor([Image.new("L", (8, 8), 0), Image.new("L", (8, 8), 255)], 8)
    assert x.dtype == torch.float32
    assert (x[0] == -1).all()
    assert (x[1] == 1).all()


def test_one_source_is_a_batch_of_one(scene, tmp_path):
    scene.save(tmp_path / "scene.png")
    for source in scene, np.asarray(scene), str(tmp_path / "scene.png"), tmp_path / "scene.png":
        assert to_uint8(source, 16).shape == (1, 3, 16, 16)
    assert to_uint8([], 16).shape == (0, 3, 16, 16)
    assert to_uint8((image for image in [scene, scene]), 16).shape == (2, 3, 16, 16)


def test_resolution_must_be_positive(scene):
    with pytest.raises(ValueError, match="at least 1"):
        to_uint8([scene], 0)


def test_round_trip_is_exact():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(np.asarray(to_pil(to_tensor([pixels], 16))), pixels)


def test_to_pil_clamps_and_rounds_to_nearest():
    x = torch.tensor([-7.0, 7.0, 0.9 / 127.5 - 1]).reshape(3, 1, 1)
    assert to_pil(x).getpixel((0, 0)) == (0, 255, 1)
    assert to_pil(x[None].bfloat16()).getpixel((0, 0))[:2] == (0, 255)


def test_to_pil_refuses_a_batch():
    with pytest.raises(ValueError, match=r"got \[2, 3, 4, 4\]"):
        to_pil(torch.zeros(2, 3, 4, 4))
    assert [image.size for image in to_pil_list(torch.zeros(2, 3, 4, 5))] == [(5, 4), (5, 4)]


def test_list_images_is_sorted_recursive_and_skips_hidden(tmp_path):
    for name in "b.PNG", "a.jpg", "deep/er/c.Jpeg", "notes.txt", ".hidden.png", ".cache/d.png", "deep/._c.jpg":
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert list_images(tmp_path) == [tmp_path / Path(name) for name in ("a.jpg", "b.PNG", "deep/er/c.Jpeg")]
    with pytest.raises(ImageError, match="is not a folder"):
        list_images(tmp_path / "nowhere")
