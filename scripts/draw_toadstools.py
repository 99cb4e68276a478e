"""Draw a folder of toadstools to try everything on: two classes, and one thing that tells them apart.

    python scripts/draw_toadstools.py PICTURES

Poisonous ones have pale spots on their cap, edible ones have none. Colour, shape, tilt and light are drawn alike for
both, so whoever explains a classifier of them should find the spots, and nothing else.
"""

from __future__ import annotations

import colorsys
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.drawing import SIDE, fill_folder

FINE = 4  # drawn so many times larger, for smooth edges
SPOTS = [(-0.55, 0.40), (-0.18, 0.72), (0.30, 0.66), (0.08, 0.34), (0.62, 0.30), (-0.30, 0.16), (0.38, 0.08)]


def colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, min(1.0, value))
    return round(255 * red), round(255 * green), round(255 * blue)


def toadstool(draw: random.Random, spotted: bool) -> Image.Image:
    """One picture of SIDE x SIDE pixels. The same draws without spots give the same toadstool without them."""
    size = SIDE * FINE
    light = draw.uniform(0.8, 1.1)
    picture = Image.new("RGB", (size, size), colour(draw.uniform(0.22, 0.36), 0.35, 0.45 * light))
    pen = ImageDraw.Draw(picture)
    middle, cap_y = size * draw.uniform(0.46, 0.54), size * draw.uniform(0.46, 0.56)
    wide, high = size * draw.uniform(0.30, 0.40), size * draw.uniform(0.24, 0.34)
    stem, foot = size * draw.uniform(0.06, 0.10), size * draw.uniform(0.84, 0.94)
    cream = colour(0.12, 0.15, 0.88 * light)
    pen.polygon(
        [(middle - stem, cap_y), (middle + stem, cap_y), (middle + 1.4 * stem, foot), (middle - 1.4 * stem, foot)],
        cream,
    )
    cap = colour(draw.uniform(-0.02, 0.09), draw.uniform(0.65, 0.9), draw.uniform(0.55, 0.9) * light)
    pen.pieslice([middle - wide, cap_y - high, middle + wide, cap_y + high], 180, 360, cap)
    pen.ellipse([middle - wide, cap_y - 0.12 * high, middle + wide, cap_y + 0.16 * high], cap)
    angle, blur = draw.uniform(-12, 12), draw.uniform(0, 0.6)
    for x, y in SPOTS if spotted else []:
        x, y = x + draw.uniform(-0.05, 0.05), y + draw.uniform(-0.05, 0.05)
        radius = wide * draw.uniform(0.09, 0.14)
        at_x, at_y = middle + x * wide, cap_y - y * high
        pen.ellipse([at_x - radius, at_y - 0.8 * radius, at_x + radius, at_y + 0.8 * radius], cream)
    background = picture.getpixel((0, 0))
    picture = picture.rotate(angle, Image.Resampling.BICUBIC, fillcolor=background)
    picture = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return picture.filter(ImageFilter.GaussianBlur(blur))


def main(args: list[str] | None = None) -> None:
    fill_folder(__doc__, "toadstools", ("edible", "poisonous"), toadstool, args)


if __name__ == "__main__":
    main()
