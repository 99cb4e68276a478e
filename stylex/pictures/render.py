"""Pictures a person can read: flickers, captions, sheets, and where a picture changed.

This module knows nothing of models; it sees PIL images and numbers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .fonts import FONTS, OWN, Type, face_of

PAPER, INK = (255, 255, 255), (32, 32, 32)
SMALLEST_TEXT = 9

# A page must not flash more than three times a second (WCAG 2.3.1); we count every change of frame.
FASTEST_MS = 334

# Inferno without its black end: hue runs from purple to yellow while brightness only rises, so it reads in grey and
# with any colour vision.
RAMP = np.array([(88, 20, 110), (147, 38, 103), (203, 65, 73), (237, 105, 37), (251, 180, 26), (252, 255, 164)])


@lru_cache(maxsize=64)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans at `size` pixels, laid out the same way on every machine."""
    return face_of(FONTS / "DejaVuSans-Bold.ttf" if bold else OWN, 0, size, shaped=False)


def probability(p: float) -> str:
    """A probability in [0, 1] as a percentage; 0 and 1 are written only for exactly 0 and 1.

    Raises:
        ValueError: if `p` is not a probability (1e-6 of rounding is forgiven).
    """
    if not -1e-6 <= p <= 1 + 1e-6:
        raise ValueError(f"a probability lies between 0 and 1, got {p}")
    text = f"{100 * min(max(p, 0.0), 1.0):.1f} %"
    if text == "0.0 %" and p > 0:
        return "< 0.1 %"
    if text == "100.0 %" and p < 1:
        return "> 99.9 %"
    return text


def captioned(image: Image.Image, caption: str, scale: int | None = None) -> Image.Image:
    """The picture, enlarged `scale` times (by default to about 256 pixels), with `caption` in a bar below it.

    A long caption shrinks, then wraps; the bar grows with it. Without a caption there is no bar.
    """
    picture = _enlarge(image, scale, about=256)
    if not caption:
        return picture
    size = max(12, picture.width // 18)
    return _stack([picture, _text_block(caption, picture.width, size, margin=size // 2)])


def flicker(
    before: Image.Image,
    after: Image.Image,
    path: str | os.PathLike[str],
    caption: str = "",
    duration_ms: int = 600,
    scale: int | None = None,
) -> Path:
    """Write an endless animation that alternates between two pictures; only what differs between them moves.

    The suffix picks the format: .webp and .png (APNG) are lossless; .gif is portable and has 256 colours. The caption
    is the same in both frames, so it should carry both numbers ("healthy  12.3 % → 87.0 %"). Two equal pictures give
    a file with a single frame.

    Args:
        before, after: pictures of one size.
        path: the file to write.
        caption: see `captioned`.
        duration_ms: how long each picture stays, at least 334.
        scale: see `captioned`.

    Raises:
        ValueError: if the sizes differ, `duration_ms` is too short, or the suffix is another one.
    """
    path = Path(path)
    _check_pair(before, after)
    if duration_ms < FASTEST_MS:
        raise ValueError(f"duration_ms must be at least {FASTEST_MS} so that nothing flashes, got {duration_ms}")
    frames = [captioned(before, caption, scale), captioned(after, caption, scale)]
    options: dict[str, Any] = {}
    match path.suffix.lower():
        case ".gif":
            frames = _shared_palette(frames)
            duration_ms = -(-duration_ms // 10) * 10  # GIF counts in hundredths of a second, and drops the rest
            options = {"optimize": False, "disposal": 1}
        case ".webp":
            options = {"lossless": True}
        case ".png":
            pass
        case suffix:
            raise ValueError(f"unknown animation suffix {suffix!r} in {str(path)!r}; choose .gif, .webp or .png")
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=duration_ms, loop=0, **options)
    return path


def change_map(before: Image.Image, after: Image.Image) -> Image.Image:
    """Where a picture changed: `after` in dim grey, with every changed pixel coloured by how much it changed.

    The colour depends on the largest change among the channels alone, purple for little, pale yellow for all 255
    levels, so two maps can be compared. It hides the grey from 24 levels on and fades out below; no change, no colour.

    Raises:
        ValueError: if the sizes differ.
    """
    change = _change(before, after).astype(np.float64)
    grey = np.asarray(after.convert("L"), dtype=np.float64)[..., None] * 0.4
    # the square root spends half of the ramp on the first quarter of the levels, where edits live
    position = np.sqrt(change / 255) * (len(RAMP) - 1)
    stops = np.arange(len(RAMP))
    colour = np.stack([np.interp(position, stops, channel) for channel in RAMP.T], axis=-1)
    opacity = np.minimum(change / 24, 1)[..., None]
    return Image.fromarray(np.rint(grey + opacity * (colour - grey)).astype(np.uint8))


def grid(
    rows: Sequence[Sequence[Image.Image | None]],
    column_titles: Sequence[str] | None = None,
    row_titles: Sequence[str] | None = None,
    scale: int | None = None,
) -> Image.Image:
    """A sheet of pictures with titles above the columns and before the rows.

    Args:
        rows: the pictures, row by row; None or a short row leaves a cell empty.
        column_titles, row_titles: one for each column, one for each row.
        scale: how many times each picture is enlarged, by default to about 128 pixels.

    Raises:
        ValueError: if there is no picture, or not one title for each column or row.
    """
    cells = [[cell and _enlarge(cell, scale, about=128) for cell in row] for row in rows]
    pictures = [cell for row in cells for cell in row if cell]
    if not pictures:
        raise ValueError("a grid needs at least one picture")
    columns = max(len(row) for row in cells)
    for what, titles, count in ("column", column_titles, columns), ("row", row_titles, len(rows)):
        if titles is not None and len(titles) != count:
            raise ValueError(f"{count} {what}s need {count} {what}_titles, got {len(titles)}")

    width, height = max(cell.width for cell in pictures), max(cell.height for cell in pictures)
    gap, size = max(4, width // 24), max(12, width // 10)
    above = [_text_block(title, width, size) for title in column_titles or ()]
    widest = max((int(Type(size).getlength(title)) + 1 for title in row_titles or ()), default=0)
    before = [_text_block(title, min(widest, width), size) for title in row_titles or ()]
    left = gap + (before[0].width + gap if before else 0)
    top = gap + (max(title.height for title in above) + gap if above else 0)

    sheet = Image.new("RGB", (left + columns * (width + gap), top + len(cells) * (height + gap)), PAPER)
    for column, title in enumerate(above):
        sheet.paste(title, (left + column * (width + gap), top - gap - title.height))
    for row, title in enumerate(before):
        sheet.paste(title, (gap, top + row * (height + gap) + (height - title.height) // 2))
    for row, line in enumerate(cells):
        for column, cell in enumerate(line):
            if cell:
                sheet.paste(cell, (left + column * (width + gap), top + row * (height + gap)))
    return sheet


def _check_pair(before: Image.Image, after: Image.Image) -> None:
    if before.size != after.size:
        raise ValueError(f"the two pictures must have one size, got {before.size} and {after.size}")


def _change(before: Image.Image, after: Image.Image) -> np.ndarray:
    """[H, W], the largest change of a channel, in levels."""
    _check_pair(before, after)
    old, new = (np.asarray(image.convert("RGB"), dtype=np.int16) for image in (before, after))
    return np.abs(new - old).max(axis=-1)


def _enlarge(image: Image.Image, scale: int | None, about: int) -> Image.Image:
    if scale is None:
        scale = max(1, round(about / max(image.size)))
    if scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")
    image = image.convert("RGB")
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)


def _shared_palette(frames: list[Image.Image]) -> list[Image.Image]:
    """The two frames in one palette made for both, without dithering: what is equal stays equal.

    Pixels that change are what the reader looks at, so they count five times when the colours are chosen.
    """
    width, height = frames[0].size
    colours = [np.asarray(frame).reshape(-1, 3) for frame in frames]
    changed = _change(*frames).reshape(-1) > 0
    pixels = np.concatenate(colours + [frame[changed] for frame in colours] * 4)
    reduced = Image.fromarray(pixels[None]).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = reduced.getpalette() or []
    both = np.asarray(reduced)[0, : 2 * width * height].reshape(2, height, width)
    indexed = [Image.fromarray(indices) for indices in both]
    for frame in indexed:
        frame.putpalette(palette)
    return indexed


def _stack(images: list[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (images[0].width, sum(image.height for image in images)))
    y = 0
    for image in images:
        sheet.paste(image, (0, y))
        y += image.height
    return sheet


def _text_block(text: str, width: int, size: int, margin: int = 0) -> Image.Image:
    """`text`, centred, on paper of this width (margin included) and of the height that it needs."""
    face, lines = _fit(text, width - 2 * margin, size)
    ascent, descent = face.getmetrics(lines)
    block = Image.new("RGB", (width, len(lines) * (ascent + descent) + 2 * margin), PAPER)
    draw = ImageDraw.Draw(block)
    for number, line in enumerate(lines):
        x = (width - int(face.getlength(line))) // 2
        face.draw(draw, (x, margin + number * (ascent + descent) + ascent), line, INK)
    return block


def _fit(text: str, width: int, size: int) -> tuple[Type, list[str]]:
    """One line, a little smaller if need be; else two, smaller still; else as many as the smallest text takes."""
    paragraphs = text.count("\n")
    one_line = [(candidate, 1 + paragraphs) for candidate in range(size, round(size * 0.9) - 1, -1)]
    two_lines = [(candidate, 2 + paragraphs) for candidate in range(size, SMALLEST_TEXT - 1, -1)]
    for candidate, most in one_line + two_lines:
        face = Type(candidate)
        lines = _wrap(text, width, face)
        if len(lines) <= most and max(face.getlength(line) for line in lines) <= width:
            return face, lines
    face = Type(SMALLEST_TEXT)
    return face, _wrap(text, width, face, break_words=True)


def _wrap(text: str, width: int, face: Type, break_words: bool = False) -> list[str]:
    lines = []
    for paragraph in text.replace(" %", "\u00a0%").replace("→ ", "→\u00a0").split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if face.getlength(longer) <= width:
                line = longer
                continue
            if line:
                lines.append(line.rstrip())
            line = word
            while break_words and len(line) > 1 and face.getlength(line) > width:
                cut = max(1, sum(face.getlength(line[:end]) <= width for end in range(1, len(line))))
                lines.append(line[:cut])
                line = line[cut:]
        lines.append(line)
    return lines
