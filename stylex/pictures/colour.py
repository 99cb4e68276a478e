"""Colours by the profile of a picture, in sRGB, which is what every network here has seen."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from .metadata import MAX_METADATA

# A profile that moves no colour by more than this many levels says sRGB in other words: the pixels stay as they are.
SAME = 2
# The colour space that a profile speaks of, and the mode of a picture that it can be of.
SPACES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
SRGB = ImageCms.createProfile("sRGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture of mode L, RGB or CMYK in mode RGB, its colours converted by an ICC profile.

    A profile that is damaged, or speaks of other colours than the picture has, is ignored; a grey picture may have one
    of RGB, as cameras write it.
    """
    if not profile or len(profile) > MAX_METADATA:
        return image.convert("RGB")
    space, transform = _transform(profile)
    if image.mode == "L" and space == "RGB":
        image = image.convert("RGB")
    if transform is None or image.mode != space:
        return image.convert("RGB")
    return transform.apply(image)


@lru_cache(maxsize=4)
def _transform(profile: bytes) -> tuple[str | None, ImageCms.ImageCmsTransform | None]:
    """The mode that a profile is for, and what converts it; None if nothing does, or nothing would change."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = SPACES.get(source.profile.xcolor_space.strip())
        if mode is None:
            return None, None
        # As the profile was made for; of the profiles of screens and cameras, all four intents are one.
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(source))
        # The engine's table of a grey curve is too coarse for its dark end; there are few greys, so it goes without.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        transform = ImageCms.buildTransform(source, SRGB, mode, "RGB", intent, flags)
        colours = _colours(mode)
        before, after = (np.asarray(x, dtype=np.int16) for x in (colours.convert("RGB"), transform.apply(colours)))
        return mode, transform if mode == "CMYK" or np.abs(after - before).max() > SAME else None
    except Exception:  # whatever a damaged profile does to its readers
        return None, None


def _colours(mode: str) -> Image.Image:
    """Colours from everywhere, to try a profile on."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    levels = np.linspace(0, 255, 256 if bands == 1 else 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(*[levels] * bands), axis=-1).reshape(1, -1, bands)
    return Image.fromarray(grid[..., 0] if bands == 1 else grid, mode)
