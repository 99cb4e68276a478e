"""A trainer small enough for a test, and the same options for the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylex.classifier import load_classifier
from train.loop import Trainer
from train.train import Options

# 32 px is the smallest preset; eight channels everywhere. Every part of a step has its turn within a few steps.
SMALL: dict[str, Any] = {
    "resolution": 32,
    "channels": [8, 8, 8, 8],
    "trunk_channels": [8, 8, 8, 8],
    "w_dim": 8,
    "batch_size": 4,
    "mixed_precision": "no",
    "perceptual": "classifier",
    "flips": "dihedral",
    "warmup_kimg": 0.0,
    "class_swap": 0.5,
    "swap_dropout": 0.5,
    "group_weight": 0.01,
    "augment": 0.5,
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


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


@pytest.fixture
def make_trainer(classifier_folder, tmp_path) -> Callable[..., Trainer]:
    def make(init=None, judge=None, **changes: Any) -> Trainer:
        values = {"data": "", "output": str(tmp_path / "run"), "classifier": str(classifier_folder)}
        o = Options(**{**values, **SMALL, **changes})
        return Trainer(o, load_classifier(classifier_folder), judge, init)

    return make


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder
