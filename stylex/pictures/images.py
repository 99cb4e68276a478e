"""Pictures to tensors and back: files of every common kind in, [N, 3, H, W] in [-1, 1] out.

This module knows nothing of models.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image

from ..storage.pointers import HEAD, stub, stub_at
from .colour import to_srgb
from .formats import FORMATS, SUFFIXES, unread_by_content, way_out
from .metadata import split

MAX_PIXELS = 50_000_000
MAX_BYTES = 50_000_000
MIN_SIDE = 8
MAX_ASPECT = 20

# What EXIF's orientations ask for.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

ImageSource = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray


class ImageError(ValueError):
    """A picture that cannot be used; the message is one sentence that can be shown as it is."""


def load_image(
    source: ImageSource, *, background: tuple[int, int, int] = (255, 255, 255), name: str | None = None
) -> Image.Image:
    """Open one picture as a person would expect to see it, in mode RGB.

    EXIF orientation is applied, colours are converted to sRGB by the picture's profile, transparency is laid on
    `background`, 16-bit and float greys are rescaled to 8 bits, an animation gives its first frame. Metadata are a
    courtesy: where they are damaged or far too long they are ignored. A PIL image is taken at its current frame and is
    not changed.

    Args:
        source: a path, the bytes of a file, an open binary file, a PIL image, or a uint8 array [H, W], [H, W, 3]
            (RGB) or [H, W, 4] (RGBA).
        background: the colour behind transparent pixels.
        name: what an error calls the picture; by default its path, or "the picture".

    Raises:
        ImageError: if there is no such file, it is a folder, empty, damaged, cut short or not a picture in one of
            `FORMATS`, has more than `MAX_BYTES` bytes or `MAX_PIXELS` pixels, has a side below `MIN_SIDE` or is
            more than `MAX_ASPECT` times as long as wide. Sizes are checked before anything is decoded.
    """
    if name is None:
        name = repr(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else "the picture"
    if isinstance(source, Image.Image):
        image = source
    elif isinstance(source, np.ndarray):
        image = _from_array(source, name)
    else:
        image = _open(_read(source, name), name)
    _check_size(*image.size, name)
    try:
        image.load()
        return _to_rgb(_upright(image), background)
    except Exception as error:  # decoders fail on bad files with almost any exception
        raise ImageError(f"{name} cannot be read to its end ({error}); export or download it again") from None


def to_uint8(images: ImageSource | Iterable[ImageSource], resolution: int, name: str | None = None) -> torch.Tensor:
    """Cut the central square out of each picture and resize it.

    Pictures shrink with Lanczos (antialiased) and grow with bicubic interpolation; a square of the right size is kept
    pixel for pixel.

    Args:
        images: sources as for `load_image`, or a single one.
        resolution: side of the result.
        name: what an error calls a picture; see `load_image`.

    Returns:
        [N, 3, resolution, resolution] uint8.

    Raises:
        ImageError: see `load_image`.
        ValueError: if `resolution` is below 1.
    """
    if resolution < 1:
        raise ValueError(f"resolution must be at least 1, got {resolution}")
    single = isinstance(images, (str, os.PathLike, bytes, Image.Image, np.ndarray)) or hasattr(images, "read")
    sources: list[Any] = [images] if single else list(images)  # type: ignore[arg-type]
    pixels = torch.empty(len(sources), 3, resolution, resolution, dtype=torch.uint8)
    for row, source in zip(pixels, sources, strict=True):
        row.copy_(torch.from_numpy(np.array(_square(load_image(source, name=name), resolution))).permute(2, 0, 1))
    return pixels


def to_tensor(images: ImageSource | Iterable[ImageSource], resolution: int) -> torch.Tensor:
    """The pictures of `to_uint8` as float32 in [-1, 1], [N, 3, resolution, resolution]."""
    return to_uint8(images, resolution) / 127.5 - 1


def to_pil(x: torch.Tensor) -> Image.Image:
    """One picture in [-1, 1], [3, H, W] or [1, 3, H, W], as a PIL image.

    Values outside the range are clamped, the others go to the nearest of 256 levels, so `to_tensor` is undone exactly.

    Raises:
        ValueError: if the shape is another one.
    """
    if x.ndim == 4 and len(x) == 1:
        x = x[0]
    if x.ndim != 3 or len(x) != 3:
        raise ValueError(f"expected one picture [3, H, W] or [1, 3, H, W], got {list(x.shape)}; see to_pil_list")
    levels = ((x.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().cpu().numpy())


def to_pil_list(x: torch.Tensor) -> list[Image.Image]:
    """Every picture of a batch [N, 3, H, W] in [-1, 1] as `to_pil` gives it."""
    return [to_pil(picture) for picture in x]


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """All pictures in a folder and its subfolders, sorted, known by their suffix; what is hidden is skipped.

    Raises:
        ImageError: if `folder` is not a folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ImageError(f"{str(root)!r} is not a folder; pass the folder that holds the pictures")
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    )


def _read(source: str | os.PathLike[str] | bytes | BinaryIO, name: str) -> bytes:
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.is_dir():
            raise ImageError(f"{name} is a folder; pass a single picture")
        try:
            if path.exists() and not path.is_file():
                raise ImageError(f"{name} is not a regular file; pass a picture file")
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            if pointer := stub_at(path):
                raise ImageError(f"{name} {pointer}") from None
            raise ImageError(f"{name} does not exist; check the path") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ImageError(f"{name} cannot be opened ({reason}); check the path and its permissions") from None
    elif hasattr(source, "read"):
        data = source.read(MAX_BYTES + 1)
        if not isinstance(data, bytes):
            raise ImageError(f"{name} was opened as text; open it in binary mode ('rb')")
    else:
        kind = type(source).__name__
        raise ImageError(f"{name} came as {kind}; pass a path, bytes, a binary file, a PIL image or a uint8 array")
    if pointer := stub(data[:HEAD]):
        raise ImageError(f"{name} {pointer}")
    if not data:
        raise ImageError(f"{name} is empty (0 bytes); export or download it again")
    if len(data) > MAX_BYTES:
        raise ImageError(f"{name} is larger than {MAX_BYTES // 10**6} MB; save it smaller")
    return data


def _open(data: bytes, name: str) -> Image.Image:
    """Read the header only; the pixels come later, in `load`."""
    Image.init()
    pixels, metadata = split(data)
    try:
        image = Image.open(BytesIO(pixels), formats=[form for form in FORMATS if form in Image.OPEN])
        image.info.update(metadata)
        return image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(_too_many_pixels(name)) from None
    except Exception:  # header parsers fail on bad files with almost any exception
        if kind := unread_by_content(data[:HEAD]):
            raise ImageError(f"{name} is not a picture that is read here: it is {kind}; {way_out(kind)}") from None
        known = ", ".join(FORMATS)
        raise ImageError(f"{name} is not a picture, or its beginning is damaged; use one of {known}") from None


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    fits = array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4)))
    if not fits:
        came = f"{array.dtype} array of shape {list(array.shape)}"
        raise ImageError(f"{name} came as {came}; pass uint8 [H, W], [H, W, 3] or [H, W, 4]")
    if not array.size:
        _check_size(array.shape[1], array.shape[0], name)
    return Image.fromarray(array)


def _check_size(width: int, height: int, name: str) -> None:
    short, long = sorted((width, height))
    if short < MIN_SIDE:
        raise ImageError(f"{name} is too small, {width} x {height} pixels; each side needs at least {MIN_SIDE}")
    if width * height > MAX_PIXELS:
        raise ImageError(_too_many_pixels(name))
    if long > MAX_ASPECT * short:
        raise ImageError(
            f"{name} is too narrow, {width} x {height} pixels; only its central square is looked at, so crop it first"
        )


def _too_many_pixels(name: str) -> str:
    return f"{name} has more than {MAX_PIXELS // 10**6} million pixels; scale it down first"


def _upright(image: Image.Image) -> Image.Image:
    """As EXIF, or else XMP, says that the camera was held. Only that is read of them: what is wrong elsewhere in them
    turns no picture, and a block that cannot be read at all hides none."""
    with contextlib.suppress(Exception):
        if (turn := TURNS.get(int(image.getexif().get(ExifTags.Base.Orientation, 1)))) is not None:
            turned = image.transpose(turn)
            turned.info = {k: v for k, v in image.info.items() if k in ("icc_profile", "transparency")}
            return turned
    return image


def _to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_eight_bit(np.asarray(image, dtype=np.float64), image.mode))
    if image.has_transparency_data:
        grey, image = image.mode in ("L", "LA", "La"), image.convert("RGBA")
        if profile:
            colours = to_srgb(image.getchannel("R") if grey else image.convert("RGB"), profile)
            colours.putalpha(image.getchannel("A"))
            image = colours
        return Image.alpha_composite(Image.new("RGBA", image.size, background), image).convert("RGB")
    image = to_srgb(image if image.mode in ("L", "CMYK") else image.convert("RGB"), profile)
    image.info.clear()
    return image


def _eight_bit(values: np.ndarray, mode: str) -> np.ndarray:
    """Grey values of a deep mode as uint8.

    16 bits say where white is. 32-bit integers and floats do not: white is the first of 1 (floats only), 255 and 65535
    that no value exceeds, and beyond these (or below 0) the values are stretched from their least to their greatest.
    """
    values = np.nan_to_num(values, posinf=0, neginf=0)
    low, high = values.min(), values.max()
    whites = {"I": (255, 65535), "F": (1, 255, 65535)}.get(mode, (65535,))
    white = next((white for white in whites if low >= 0 and high <= white), None)
    if white is None:
        values, white = values - low, high - low
    return np.rint(values * (255 / white)).astype(np.uint8)


def _square(image: Image.Image, resolution: int) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if side == resolution:
        return image.crop(box)
    how = Image.Resampling.LANCZOS if side > resolution else Image.Resampling.BICUBIC
    return image.resize((resolution, resolution), how, box=box)
