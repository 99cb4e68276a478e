"""Draw a folder of eyes to try everything on: two classes, and one thing that tells them apart.

    python scripts/draw_eyes.py PICTURES

Some have a round pupil, some a slit. Iris, lids, gaze, skin and light are drawn alike for both, so whoever explains a
classifier of them should find the pupil, and nothing else. Unlike the toadstools, which are flat shapes with spots or
without, these are shaded pixel by pixel, and what tells them apart is a shape.
"""

from __future__ import annotations

import colorsys
import random
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.drawing import SIDE, fill_folder

Field = NDArray[np.float64]
EDGE = 2.0 / SIDE  # how wide an edge is, in units of half a side


def colour(hue: float, saturation: float, value: float) -> Field:
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))


def inside(distance: Field) -> Field:
    """1 where a signed distance is below 0, 0 above, and smooth between: [H, W, 1]."""
    return np.clip(0.5 - distance / EDGE, 0, 1)[..., None]


def waves(draw: random.Random, at: Field, count: int, longest: int) -> Field:
    """A sum of random waves along `at`, about -1 to 1."""
    total = np.zeros_like(at)
    for _ in range(count):
        total += np.cos(draw.randint(3, longest) * at + draw.uniform(0, 2 * np.pi))
    return total / count**0.5


def eye(draw: random.Random, slit: bool) -> Image.Image:
    """One picture of SIDE x SIDE pixels. The same draws with a slit give the same eye with another pupil."""
    line = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    x, y = np.meshgrid(line, line)
    turn = draw.uniform(-0.2, 0.2)
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    light = draw.uniform(0.8, 1.05)

    skin = colour(draw.uniform(0.02, 0.11), draw.uniform(0.25, 0.55), draw.uniform(0.45, 0.85))
    folds = 0.05 * waves(draw, 2 * y + 0.6 * x, 3, 7) + 0.12 * y
    picture = skin * (1 - folds)[..., None]

    wide, high = draw.uniform(0.86, 0.98), draw.uniform(0.5, 0.68)
    lid = high * np.clip(1 - (x / wide) ** 2, 0, 1) ** 0.8
    opening = np.abs(y) - lid
    white = np.ones(3) * draw.uniform(0.8, 0.92) - 0.35 * np.abs(x[..., None]) ** 2 * np.array([0.2, 0.5, 0.5])

    at_x, at_y, radius = draw.uniform(-0.18, 0.18), draw.uniform(-0.08, 0.08), draw.uniform(0.42, 0.5)
    r, angle = np.hypot(x - at_x, y - at_y), np.arctan2(y - at_y, x - at_x)
    iris = colour(draw.uniform(0.05, 0.62), draw.uniform(0.45, 0.85), draw.uniform(0.5, 0.8))
    fibres = 0.12 * waves(draw, angle, 6, 24) - 0.45 * np.clip((r / radius - 0.75) / 0.25, 0, 1) ** 2
    ball = white + inside(r - radius) * (iris * (1 + fibres)[..., None] - white)

    across, along = (0.42, 1.9) if slit else (1.0, 1.0)
    pupil = radius * draw.uniform(0.36, 0.46)
    distance = (np.hypot((x - at_x) / across, (y - at_y) / along) - pupil) * across
    ball = ball * (1 - 0.95 * inside(distance))

    spark_x, spark_y, spark = at_x - draw.uniform(0.1, 0.2), at_y - draw.uniform(0.14, 0.24), draw.uniform(0.05, 0.08)
    ball = ball + 0.9 * inside(np.hypot(x - spark_x, y - spark_y) - spark)
    ball = ball * (0.55 + 0.45 * np.clip((y + lid) / 0.35, 0, 1))[..., None]  # the upper lid's shadow

    picture = picture + inside(opening) * (ball - picture)
    picture = picture * (1 - 0.75 * np.exp(-((opening / 0.05) ** 2)))[..., None]  # the rims of the lids
    grain = np.random.default_rng(draw.randrange(2**32)).normal(0, 0.01, picture.shape)
    return Image.fromarray((np.clip(picture * light + grain, 0, 1) * 255).round().astype(np.uint8))


def main(args: list[str] | None = None) -> None:
    fill_folder(__doc__, "eyes", ("round", "slit"), eye, args)


if __name__ == "__main__":
    main()
