"""Flickers, captions, sheets and change maps, read back from the files they were written to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from stylex.pictures.render import (
    FONTS,
    PAPER,
    RAMP,
    captioned,
    change_map,
    flicker,
    font,
    grid,
    probability,
)

CAPTION = "healthy  12.3 % → 87.0 %"
SCALE = 4


def solid(colour: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.new("RGB", size, colour)


def photo(seed: int = 0) -> Image.Image:
    """64 x 64 of smooth colour and fine texture, thousands of colours once enlarged."""
    noise = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    fine = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1)), dtype=np.int16)
    down, right = np.mgrid[0:64, 0:64]
    smooth = np.stack([60 + down, 90 + right, 120 - down // 2], axis=-1)
    return Image.fromarray(np.clip(smooth + (fine - 128), 0, 255).astype(np.uint8))


@pytest.fixture
def pair() -> tuple[Image.Image, Image.Image]:
    """A picture, and the same with a reddened patch at rows 24-39, columns 20-43."""
    before = photo()
    pixels = np.array(before)
    pixels[24:40, 20:44, 0] = np.minimum(255, pixels[24:40, 20:44, 0].astype(int) + 90)
    return before, Image.fromarray(pixels)


def frames_of(path: Path) -> list[np.ndarray]:
    with Image.open(path) as file:
        frames = []
        for number in range(getattr(file, "n_frames", 1)):
            file.seek(number)
            frames.append(np.array(file.convert("RGB"), dtype=np.int16))
    return frames


def outside_edit(height: int, width: int) -> np.ndarray:
    """True outside the patch of `pair`, which bicubic enlarging widens by 2 pixels."""
    outside = np.ones((height, width), dtype=bool)
    outside[22 * SCALE : 42 * SCALE, 18 * SCALE : 46 * SCALE] = False
    return outside


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".GIF"])
def test_no_pixel_outside_the_edit_flickers(pair, tmp_path, suffix):
    first, second = frames_of(flicker(*pair, tmp_path / f"edit{suffix}", CAPTION, scale=SCALE))
    change = np.abs(second - first).max(axis=-1)
    outside = outside_edit(*change.shape)
    assert (change[outside] > 8).sum() == 0
    assert change[outside].max() == 0
    assert (change[~outside] > 8).mean() > 0.5


def test_default_pillow_gif_does_flicker(pair, tmp_path):
    before, after = (captioned(image, CAPTION) for image in pair)
    before.save(tmp_path / "default.gif", save_all=True, append_images=[after], duration=600)
    first, second = frames_of(tmp_path / "default.gif")
    change = np.abs(second - first).max(axis=-1)
    assert (change[outside_edit(*change.shape)] > 8).sum() > 0


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_webp_and_png_are_exact(pair, tmp_path, suffix):
    frames = frames_of(flicker(*pair, tmp_path / f"edit{suffix}", CAPTION))
    for frame, image in zip(frames, pair, strict=True):
        assert np.array_equal(frame, np.asarray(captioned(image, CAPTION)))


def test_gif_frames_share_one_palette_and_stay_close(pair, tmp_path):
    path = flicker(*pair, tmp_path / "edit.gif", CAPTION)
    palettes, colours = [], set()
    with Image.open(path) as file:
        for number in range(2):
            file.seek(number)
            palettes.append(bytes((file._frame_palette or file.global_palette).palette))
    assert palettes[0] == palettes[1]
    for frame, image in zip(frames_of(path), pair, strict=True):
        colours |= {tuple(colour) for colour in frame.reshape(-1, 3)}
        assert np.abs(frame - np.asarray(captioned(image, CAPTION), dtype=np.int16)).mean() < 6
    assert len(colours) <= 256


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_flicker_loops_forever_at_the_asked_speed(pair, tmp_path, suffix):
    with Image.open(flicker(*pair, tmp_path / f"edit{suffix}", duration_ms=500)) as file:
        assert file.n_frames == 2
        assert file.info["loop"] == 0
        for number in range(2):
            file.seek(number)
            file.load()
            assert file.info["duration"] == 500


def test_flicker_never_flashes_faster_than_three_times_a_second(pair, tmp_path):
    with pytest.raises(ValueError, match="at least 334"):
        flicker(*pair, tmp_path / "edit.gif", duration_ms=333)
    with Image.open(flicker(*pair, tmp_path / "edit.gif", duration_ms=334)) as file:
        assert file.info["duration"] == 340


def test_caption_is_below_the_picture_and_equal_in_both_frames(pair, tmp_path):
    first, second = frames_of(flicker(*pair, tmp_path / "edit.gif", CAPTION))
    assert first.shape[1] == 256
    assert first.shape[0] > 256
    assert np.array_equal(first[256:], second[256:])
    assert (first[256:] < 100).any()


def test_flicker_of_equal_pictures_is_one_frame(tmp_path):
    for suffix in ".gif", ".webp", ".png":
        assert len(frames_of(flicker(photo(), photo(), tmp_path / f"same{suffix}"))) == 1


def test_flicker_refuses_other_suffixes_and_unequal_sizes(pair, tmp_path):
    with pytest.raises(ValueError, match=r"choose \.gif, \.webp or \.png"):
        flicker(*pair, tmp_path / "edit.mp4")
    with pytest.raises(ValueError, match="one size"):
        flicker(pair[0], solid((0, 0, 0), (32, 32)), tmp_path / "edit.gif")


@pytest.mark.parametrize(("side", "shown"), [(16, 256), (64, 256), (100, 300), (256, 256), (400, 400)])
def test_small_pictures_are_enlarged_by_a_whole_factor(side, shown):
    assert captioned(solid((9, 9, 9), (side, side)), "").size == (shown, shown)


@pytest.mark.parametrize(
    "caption",
    [
        CAPTION,
        "a name that somebody gave this attribute in a long evening  < 0.1 % → > 99.9 %",
        "word " * 60,
        "w" * 200,
        "two\nlines",
    ],
)
@pytest.mark.parametrize("size", [(64, 64), (64, 16), (300, 300)])
def test_captions_never_run_out_of_the_bar(caption, size):
    image = solid((0, 0, 0), size)
    bare, whole = captioned(image, ""), np.asarray(captioned(image, caption))
    bar = whole[bare.height :]
    margin = 3
    for edge in bar[:margin], bar[-margin:], bar[:, :margin], bar[:, -margin:]:
        assert (edge == PAPER).all()
    assert (bar < 100).any()


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0, "0.0 %"),
        (1e-9, "< 0.1 %"),
        (0.0004, "< 0.1 %"),
        (0.001, "0.1 %"),
        (0.1234, "12.3 %"),
        (0.87, "87.0 %"),
        (0.999, "99.9 %"),
        (0.9996, "> 99.9 %"),
        (1 - 1e-9, "> 99.9 %"),
        (1, "100.0 %"),
        (1 + 1e-7, "100.0 %"),
    ],
)
def test_probability_rounds_to_certainty_only_when_it_is(p, text):
    assert probability(p) == text


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_probability_refuses_what_is_none(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        probability(p)


def test_change_map_without_change_is_grey():
    pixels = np.asarray(change_map(photo(), photo()))
    assert (pixels == pixels[..., :1]).all()


def test_change_map_scale_is_absolute():
    """A level has one colour, whatever else changes in the picture."""
    before = solid((10, 10, 10), (4, 1))
    after = before.copy()
    after.putpixel((1, 0), (10, 60, 10))
    alone = np.asarray(change_map(before, after))[0]
    after.putpixel((2, 0), (255, 10, 10))
    after.putpixel((3, 0), (10, 10, 60))
    among = np.asarray(change_map(before, after))[0]
    assert (alone[1] == among[1]).all()
    assert (among[1] == among[3]).all()
    assert among[0].sum() < among[1].sum() < among[2].sum()
    full = np.asarray(change_map(solid((0, 0, 0)), solid((255, 255, 255))))
    assert (full == RAMP[-1]).all()


def test_change_map_ramp_only_brightens():
    luminance = RAMP @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(luminance) > 0).all()


def test_grid_holds_every_picture_and_its_titles():
    red, blue = solid((255, 0, 0)), solid((0, 0, 255))
    plain = grid([[red, blue], [blue, None]], scale=1)
    titled = grid([[red, blue], [blue]], ["real", "reconstruction"], ["first row", "second row"], scale=1)
    for sheet in plain, titled:
        pixels = np.asarray(sheet).reshape(-1, 3)
        assert (pixels == (255, 0, 0)).all(axis=1).sum() == 64 * 64
        assert (pixels == (0, 0, 255)).all(axis=1).sum() == 2 * 64 * 64
    assert titled.width > plain.width
    assert titled.height > plain.height


def test_grid_refuses_missing_titles_and_missing_pictures():
    with pytest.raises(ValueError, match="2 columns need 2 column_titles, got 1"):
        grid([[photo(), photo()]], column_titles=["one"])
    with pytest.raises(ValueError, match="at least one picture"):
        grid([[None]])


def test_fonts_ship_with_their_licence():
    assert "Bitstream Vera" in (FONTS / "LICENSE-DejaVu.txt").read_text()
    assert font(14) is font(14)
    assert font(14).getlength("→") > 0
    assert font(14, bold=True).getname() == ("DejaVu Sans", "Bold")
