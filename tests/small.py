"""Small things that several tests build or compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stylex.classifiers.classifier import Classifier, ClassifierConfig, build
from train.options.searching import Options as SearchOptions

NAMES = ("plain", "spotted")

# 32 px is the smallest preset; eight channels everywhere. Every part of a step has its turn within a few steps.
SMALL: dict[str, Any] = {
    "resolution": 32,
    "channels": [8, 8, 8, 8],
    "trunk_channels": [8, 8, 8, 8],
    "w_dim": 8,
    "places": 1,
    "discriminator": "stylegan2",
    "batch_size": 4,
    "mixed_precision": "no",
    "perceptual": "classifier",
    "flips": "dihedral",
    "warmup_kimg": 0.0,
    "fade_in_kimg": 0.0,
    "temperature": 1.0,
    "class_swap": 0.5,
    "swap_after_kimg": 0.0,
    "swap_dropout": 0.5,
    "sparsity_weight": 0.01,
    "augment": "ada",
    "ada_kimg": 0.1,
    "r1_every": 3,
    "path_weight": 1.0,
    "path_every": 2,
    "ema_kimg": 0.02,
    "report_pictures": 4,
}


def command_line(**options: Any) -> list[str]:
    """SMALL, changed by `options`, as `--name value`."""
    args = []
    for name, value in {**SMALL, **options}.items():
        args += [f"--{name}", str(value)]
    return args


def search_options(**changes: Any) -> SearchOptions:
    """Of a search of every move on a dozen pictures."""
    values = {"model": "", "data": "", "images": 12, "count": 3, "candidates": 0, "batch_size": 8}
    return SearchOptions(**{**values, **changes})


def tiny_classifier(class_names: tuple[str, ...] = NAMES, resolution: int = 16) -> Classifier:
    return build(ClassifierConfig(class_names, resolution, arguments={"width": 8, "blocks": 1}))


def draw_pictures(folder: Path, count: int = 30, side: int = 16, seed: int = 0) -> Path:
    """A class folder each for plain squares of random colours and for the same with a dark spot."""
    generator = torch.Generator().manual_seed(seed)
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            red, green, blue = torch.randint(90, 220, (3,), generator=generator).tolist()
            image = Image.new("RGB", (side, side), (red, green, blue))
            if name == "spotted":
                x, y = torch.randint(2, side - 7, (2,), generator=generator).tolist()
                ImageDraw.Draw(image).ellipse((x, y, x + 5, y + 5), fill=(30, 20, 10))
            image.save(folder / name / f"{name}-{i}.png")
    return folder


def assert_same(a, b, where: str = "") -> None:
    """Equal to the last bit, however deep."""
    if isinstance(a, Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (p, q) in enumerate(zip(a, b, strict=True)):
            assert_same(p, q, f"{where}/{i}")
    else:
        assert a == b, where
