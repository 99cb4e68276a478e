"""Colours are what the profile of a picture says, as in every viewer; the numbers are computed without one."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from profiles import ADOBE_RGB, DISPLAY_P3, SRGB, encoded, grey, inks, meant_lab, meant_rgb, rgb

from stylex.pictures.images import load_image, to_uint8

LEVELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def saved(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def far(image: Image.Image, expected: np.ndarray) -> float:
    return float(np.abs(np.asarray(image, dtype=float) - expected).max())


@pytest.mark.parametrize("primaries", [DISPLAY_P3, ADOBE_RGB], ids=["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_a_picture_of_other_primaries_is_converted(primaries, form):
    options = {"lossless": True} if form == "WEBP" else {}
    data = saved(Image.fromarray(LEVELS), form, icc_profile=rgb(primaries), **options)
    expected = meant_rgb(LEVELS, primaries)
    assert np.abs(expected - LEVELS).max() > 40
    assert far(load_image(data), expected) <= 2


def test_a_jpeg_is_converted_after_it_is_decoded():
    image = Image.new("RGB", (16, 16), (200, 60, 60))
    data = saved(image, "JPEG", icc_profile=rgb(DISPLAY_P3), quality=95, subsampling=0)
    assert far(load_image(data), meant_rgb([200, 60, 60], DISPLAY_P3)) <= 4


def test_a_profile_larger_than_a_segment_of_jpeg_is_put_together():
    image = Image.new("RGB", (16, 16), (200, 60, 60))
    data = saved(image, "JPEG", icc_profile=rgb(DISPLAY_P3) + bytes(150_000), quality=95, subsampling=0)
    assert far(load_image(data), meant_rgb([200, 60, 60], DISPLAY_P3)) <= 4


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_of_a_profile_of_grey(mode):
    levels = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    image = Image.fromarray(levels)
    if mode == "LA":
        image.putalpha(255)
    elif mode == "I;16":
        image = Image.fromarray(levels.astype(np.uint16) * 257)
    data = saved(image, "PNG", icc_profile=grey(1.0))
    expected = encoded(levels / 255)
    assert far(load_image(data), np.repeat(expected[..., None], 3, axis=-1)) <= 2


def test_grey_of_a_profile_of_rgb_as_cameras_write_it():
    image = Image.new("L", (16, 16), 100)
    data = saved(image, "PNG", icc_profile=rgb(SRGB, 1.0))
    assert far(load_image(data), encoded(np.full(3, 100 / 255))) <= 2


def test_transparency_and_a_palette_keep_their_profile():
    image = Image.new("RGBA", (16, 16), (200, 60, 60, 255))
    image.paste((0, 0, 0, 0), (0, 0, 8, 16))
    for picture in (image, image.convert("P", palette=Image.Palette.ADAPTIVE)):
        loaded = load_image(saved(picture, "PNG", icc_profile=rgb(DISPLAY_P3)))
        assert loaded.mode == "RGB"
        right = np.asarray(loaded)[8, 12]
        given = np.asarray(picture.convert("RGB"))[8, 12]
        assert np.abs(right - meant_rgb(given, DISPLAY_P3)).max() <= 2
    assert load_image(saved(image, "PNG", icc_profile=rgb(DISPLAY_P3))).getpixel((2, 2)) == (255, 255, 255)


def test_inks_are_what_the_press_makes_of_them():
    lab = np.random.default_rng(1).uniform((20, -30, -30), (90, 30, 30), (2, 2, 2, 2, 3)).round()
    lab[..., 0] = (lab[..., 0] * 255 / 100).round() * 100 / 255
    lab[0, 0, 0, 0], lab[1, 1, 1, 1] = (100, 0, 0), (0, 0, 0)  # white and black are white and black anywhere
    for mixture in np.ndindex(2, 2, 2, 2):
        image = Image.new("CMYK", (8, 8), tuple(255 * n for n in mixture))
        data = saved(image, "TIFF", icc_profile=inks(lab))
        assert far(load_image(data), meant_lab(lab[mixture])) <= 3, mixture


def test_a_picture_turned_by_exif_keeps_its_profile():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (24, 16), (200, 60, 60))
    data = saved(image, "JPEG", icc_profile=rgb(DISPLAY_P3), exif=exif, quality=95, subsampling=0)
    loaded = load_image(data)
    assert loaded.size == (16, 24)
    assert far(loaded, meant_rgb([200, 60, 60], DISPLAY_P3)) <= 4


def test_an_open_picture_is_converted_and_left_alone():
    image = Image.fromarray(LEVELS)
    image.info["icc_profile"] = rgb(DISPLAY_P3)
    assert far(load_image(image), meant_rgb(LEVELS, DISPLAY_P3)) <= 2
    assert image.tobytes() == LEVELS.tobytes()


@pytest.mark.parametrize("profile", [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()])
def test_srgb_in_other_words_changes_no_bit(profile):
    data = saved(Image.fromarray(LEVELS), "PNG", icc_profile=profile)
    assert load_image(data).tobytes() == LEVELS.tobytes()
    assert torch.equal(to_uint8([data], 16), to_uint8([saved(Image.fromarray(LEVELS), "PNG")], 16))


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"a",
        b"a" * 9000,
        rgb(DISPLAY_P3)[:200],
        rgb(DISPLAY_P3)[:128] + b"\xff" * 400,
        grey(1.0),
        inks(np.ones((2,) * 4 + (3,))),
    ],
    ids=["empty", "a letter", "rubbish", "cut short", "no tags", "of grey", "of inks"],
)
def test_a_profile_that_makes_no_sense_is_ignored(profile):
    data = saved(Image.fromarray(LEVELS), "TIFF", icc_profile=profile)
    assert load_image(data).tobytes() == LEVELS.tobytes()
