"""Pictures a person can read: flickers, captions, sheets, and where a picture changed.

This module knows nothing of models; it sees PIL images and numbers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .fonts import FONTS, OWN, Type, face_of

PAPER, INK = (255, 255, 255), (32, 32, 32)
UP, DOWN = (31, 119, 140), (196, 90, 40)  # of bars: teal and rust, which any colour vision tells apart
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
    _check_pair(before, after)
    return animate([before, after], path, [caption, caption], duration_ms, scale)


def animate(
    frames: Sequence[Image.Image],
    path: str | os.PathLike[str],
    captions: Sequence[str] | None = None,
    duration_ms: int = 600,
    scale: int | None = None,
) -> Path:
    """Write an endless animation of pictures of one size; between two frames only what differs moves.

    Args:
        frames: in the order in which they are shown.
        path, duration_ms, scale: see `flicker`.
        captions: one for each frame.

    Raises:
        ValueError: as `flicker`; if there is no frame, or not one caption for each.
    """
    path = Path(path)
    captions = captions or [""] * len(frames)
    if not frames or len(frames) != len(captions):
        raise ValueError(f"an animation needs frames and a caption for each, got {len(frames)} and {len(captions)}")
    for frame in frames:
        _check_pair(frames[0], frame)
    if duration_ms < FASTEST_MS:
        raise ValueError(f"duration_ms must be at least {FASTEST_MS} so that nothing flashes, got {duration_ms}")
    drawn = _one_height([captioned(frame, text, scale) for frame, text in zip(frames, captions, strict=True)])
    options: dict[str, Any] = {}
    match path.suffix.lower():
        case ".gif":
            drawn = _shared_palette(drawn)
            duration_ms = -(-duration_ms // 10) * 10  # GIF counts in hundredths of a second, and drops the rest
            options = {"optimize": False, "disposal": 1}
        case ".webp":
            options = {"lossless": True}
        case ".png":
            pass
        case suffix:
            raise ValueError(f"unknown animation suffix {suffix!r} in {str(path)!r}; choose .gif, .webp or .png")
    drawn[0].save(path, save_all=True, append_images=drawn[1:], duration=duration_ms, loop=0, **options)
    return path


def change_map(before: Image.Image, after: Image.Image) -> Image.Image:
    """Where a picture changed: `after` in dim grey, with every changed pixel coloured by how much it changed.

    The colour depends on the largest change among the channels alone, purple for little, pale yellow for all 255
    levels, so two maps can be compared. It hides the grey from 24 levels on and fades out below; no change, no colour.

    Raises:
        ValueError: if the sizes differ.
    """
    change = _change(before, after).astype(np.float64)
    # the square root spends half of the ramp on the first quarter of the levels, where edits live
    return _glow(after, np.sqrt(change / 255), np.minimum(change / 24, 1))


def heat_map(image: Image.Image, values: np.ndarray) -> Image.Image:
    """Where in a picture something is: `image` in dim grey, with what is above 0 coloured, its largest value brightest.

    A map has a scale of its own, so the colours of two maps do not compare. Nothing above 0, no colour.

    Args:
        values: [H, W] of the picture's size or smaller; spread over it.

    Raises:
        ValueError: if `values` has another number of axes.
    """
    if values.ndim != 2:
        raise ValueError(f"a map is [H, W], got {list(values.shape)}")
    heat = np.clip(values, 0, None).astype(np.float32)
    heat = heat / heat.max() if heat.max() > 0 else heat
    spread = np.asarray(Image.fromarray(heat).resize(image.size, Image.Resampling.BILINEAR), dtype=np.float64)
    return _glow(image, spread, np.minimum(spread / 0.25, 1))


def _glow(image: Image.Image, position: np.ndarray, opacity: np.ndarray) -> Image.Image:
    """The picture in dim grey under the colours of `RAMP` at `position` [H, W] in [0, 1]."""
    grey = np.asarray(image.convert("L"), dtype=np.float64)[..., None] * 0.4
    stops = np.arange(len(RAMP))
    colour = np.stack([np.interp(position * (len(RAMP) - 1), stops, channel) for channel in RAMP.T], axis=-1)
    return Image.fromarray(np.rint(grey + opacity[..., None] * (colour - grey)).astype(np.uint8))


def signed_bars(values: Mapping[str, float], title: str = "", width: int = 560) -> Image.Image:
    """A bar for each number, to the right of the middle line where it is above 0, to the left where it is below; in the
    order given, with its name and the number.

    Raises:
        ValueError: if there is nothing to draw.
    """
    if not values:
        raise ValueError("there are no bars to draw")
    face, heading = font(15), font(17, bold=True)
    ascent, descent = face.getmetrics()
    row, gap = ascent + descent + 8, 10
    number = max(face.getlength(f"{value:+.2f}") for value in values.values())
    name = min(max(face.getlength(text) for text in values), width * 0.45)
    left, right = gap + name + gap + number + 4, width - gap - number - 4
    middle, longest = (left + right) / 2, max(abs(value) for value in values.values()) or 1
    above = sum(heading.getmetrics()) + gap if title else 0
    sheet = Image.new("RGB", (width, int(above + gap + row * len(values) + gap)), PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((gap, gap), title, INK, heading)
    for n, (text, value) in enumerate(values.items()):
        y = above + gap + n * row
        while face.getlength(text) > name + 1 and len(text) > 1:
            text = text[:-2] + "…"
        draw.text((gap, y + 3), text, INK, face)
        end = middle + value / longest * (right - left) / 2
        draw.rectangle((min(middle, end), y + 2, max(middle, end), y + row - 3), UP if value > 0 else DOWN)
        label = f"{value:+.2f}"
        x = end + 4 if value > 0 else end - 4 - face.getlength(label)
        draw.text((x, y + 3), label, INK, face)
    draw.line((middle, above + gap, middle, above + gap + row * len(values)), INK)
    return sheet


def curve(values: Sequence[float], title: str = "", width: int = 360, height: int = 180) -> Image.Image:
    """A line through numbers, one after the other, between their least and their greatest.

    Raises:
        ValueError: if there are fewer than two.
    """
    if len(values) < 2:
        raise ValueError(f"a curve needs two numbers or more, got {len(values)}")
    face = font(13)
    low, high = min(values), max(values)
    labels = [f"{high:.3g}", f"{low:.3g}"]
    left, top = 14 + int(max(face.getlength(label) for label in labels)), 34 if title else 12
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((left, 8), title, INK, font(14, bold=True))
    right, bottom = width - 12, height - 26
    draw.rectangle((left, top, right, bottom), outline=(210, 210, 210))
    for label, y in zip(labels, (top, bottom), strict=True):
        draw.text((left - 5 - face.getlength(label), y - 8), label, INK, face)
    draw.text((left, bottom + 4), "1", INK, face)
    last = str(len(values))
    draw.text((right - face.getlength(last), bottom + 4), last, INK, face)
    spread = (high - low) or 1
    points = [
        (left + (right - left) * n / (len(values) - 1), bottom - (bottom - top) * (value - low) / spread)
        for n, value in enumerate(values)
    ]
    draw.line(points, UP, 2)
    return sheet


def cross(image: Image.Image, x: float, y: float, of: tuple[int, int]) -> Image.Image:
    """The picture with a small cross at the point (x, y), x from the left and y from the top, of a picture of size
    `of` (width, height) that it shows."""
    marked = image.convert("RGB")
    px, py = (x + 0.5) * image.width / of[0], (y + 0.5) * image.height / of[1]
    arm = max(3, image.width // 24)
    draw = ImageDraw.Draw(marked)
    for colour, thick in ((INK, 5), (PAPER, 2)):
        draw.line((px - arm, py - arm, px + arm, py + arm), colour, thick)
        draw.line((px - arm, py + arm, px + arm, py - arm), colour, thick)
    return marked


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


def _one_height(frames: list[Image.Image]) -> list[Image.Image]:
    """Captions of several frames may wrap differently: paper below the shorter ones."""
    height = max(frame.height for frame in frames)
    if all(frame.height == height for frame in frames):
        return frames
    sheets = [Image.new("RGB", (frame.width, height), PAPER) for frame in frames]
    for sheet, frame in zip(sheets, frames, strict=True):
        sheet.paste(frame, (0, 0))
    return sheets


def _shared_palette(frames: list[Image.Image]) -> list[Image.Image]:
    """All frames in one palette made for them, without dithering: what is equal stays equal.

    Pixels that change are what the reader looks at, so they count five times when the colours are chosen.
    """
    width, height = frames[0].size
    colours = [np.asarray(frame).reshape(-1, 3) for frame in frames]
    changed = np.zeros(width * height, dtype=bool)
    for frame in frames[1:]:
        changed |= _change(frames[0], frame).reshape(-1) > 0
    pixels = np.concatenate(colours + [frame[changed] for frame in colours] * 4)
    reduced = Image.fromarray(pixels[None]).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = reduced.getpalette() or []
    count = len(frames)
    together = np.asarray(reduced)[0, : count * width * height].reshape(count, height, width)
    indexed = [Image.fromarray(indices) for indices in together]
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
