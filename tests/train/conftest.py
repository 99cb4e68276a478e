"""A trainer small enough for a test, and the same options for the command line."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small import SMALL
from torch import Tensor

from stylex.classifiers.classifier import load_classifier
from train.data.pictures import Pictures, load_pictures
from train.engine.trainer import Trainer
from train.options.training import Options


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


@pytest.fixture
def _ctrl_c_ends() -> Iterator[None]:
    """What Ctrl-C does: nothing, if these tests were started in the background of a script, and its processes take
    after it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


@pytest.fixture
def x() -> Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def parts(pictures) -> tuple[Pictures, Pictures]:
    return load_pictures(pictures, 32, "train"), load_pictures(pictures, 32, "val")
