"""Who judges beside the explained classifier, and the stranger's way to learn the classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylex.classifiers.stranger import SIDE, Stranger
from stylex.model import StylEx
from stylex.networks.eye import EfficientNetLite2
from stylex.probe import fit_linear
from stylex.storage.files import read_json, write_json
from train.data.pictures import Pictures, to_float
from train.engine.augment import jitter, zoom

VIEWS = 3  # of each picture that the stranger learns from: as it is, and changed a little
# Of edited pictures, because its eye takes longer than all the rest: one more in a hundred is a standard error already.
STRANGER_PAIRS = 400


@dataclass(frozen=True)
class Judge:
    """Somebody who says a class of a picture.

    Attributes:
        name: before the names of their numbers, as in "second_agreement".
        accuracy: the name of their accuracy.
        logits: x [N, 3, H, W] in [-1, 1] -> [N, K].
        pairs: at most so many pairs of a picture and a class they are asked about; None: all.
    """

    name: str
    accuracy: str
    logits: Callable[[Tensor], Tensor]
    pairs: int | None = None


def judges_of(model: StylEx, stranger: Stranger | None) -> Iterator[Judge]:
    """The second judge and the stranger, as far as there are such."""
    if model.judge is not None:
        yield Judge("second", "second_classifier_accuracy", model.judge)
    if stranger is not None:
        eye, layer = EfficientNetLite2(SIDE).to(model.device), stranger.to(model.device)
        yield Judge("stranger", "stranger_accuracy", lambda x: layer(eye.embed(x)), STRANGER_PAIRS)


@torch.no_grad()
def fit_stranger(pictures: Pictures, device: torch.device, batch_size: int = 64, seed: int = 0) -> Stranger:
    """A linear layer on what EfficientNet-Lite2 sees in pictures with labels; a minute for a few thousand.

    They are seen as they are and twice changed a little in place and colour, never mirrored, for that may be another
    class. The same pictures and seed give the same stranger.
    """
    assert pictures.labels is not None
    eye = EfficientNetLite2(SIDE).to(device)
    seen = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for view in range(VIEWS):
            for part in pictures.x.split(batch_size):
                x = to_float(part)
                if view:
                    x = jitter(zoom(x, 0.1, 10.0, 0.05), 0.2, 0.2, 0.2, 0.02)
                seen.append(eye.embed(x.to(device)).cpu())
    names = pictures.class_names
    return Stranger(names, *fit_linear(torch.cat(seen), pictures.labels.repeat(VIEWS), len(names)))


def keep_stranger(stranger: Stranger, folder: Path) -> None:
    """Put a stranger into the folder of a model, for all later measurements of it."""
    stranger.save_pretrained(folder / "stranger")
    path = folder / "config.json"
    values = read_json(path)
    if "components" in values:  # the oldest folders list none
        write_json(path, values | {"components": [*values["components"], "stranger"]})
