"""What the measures of edits share: pictures as the model redraws them, and how these are moved and read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylex.model import StylEx
from stylex.stylespace import StyleStats


@dataclass(frozen=True)
class Redrawn:
    """Reconstructions of N pictures, on which the edits of a model are measured.

    Attributes:
        model: with attributes and the ranges of its coordinates.
        s: [N, S] of the pictures.
        x_rec: [N, 3, R, R] drawn from it.
        logits_rec: [N, K], the classifier's, of those.
        shift: how far attributes move; 1 is the end of their range.
        batch_size: pictures per pass.
        seed: of the choice of pictures, where not all are asked about.
    """

    model: StylEx
    s: Tensor
    x_rec: Tensor
    logits_rec: Tensor
    shift: float
    batch_size: int
    seed: int

    def __len__(self) -> int:
        return len(self.s)

    @property
    def stats(self) -> StyleStats:
        assert self.model.stats is not None
        return self.model.stats

    @property
    def labels(self) -> Tensor:
        """[N] the class of each reconstruction."""
        return self.logits_rec.argmax(1)

    def shuffled(self) -> Tensor:
        """[N] the numbers of the pictures, in the order that the seed gives them."""
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(self.seed))

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Styles and reconstructions of the pictures `rows` [n], on the model's device."""
        return self.s[rows].to(self.model.device), self.x_rec[rows].to(self.model.device)
