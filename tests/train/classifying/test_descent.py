"""The attack of the training, on a classifier whose gradient is known."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stylex.classifiers.classifier import wrap
from train.classifying.descent import attack


def test_the_attack_stays_in_its_ball_and_goes_the_way_that_hurts():
    weight = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    linear = wrap(lambda x: (x[:, None] * weight).sum(dim=(2, 3, 4)), ["a", "b"], 8, mean=(0.5,) * 3, std=(0.5,) * 3)
    x, y = torch.rand(6, 3, 8, 8) * 0.5, torch.tensor([0, 1, 0, 1, 0, 1])
    moved = attack(linear, x, y, levels=4.0)
    change = (moved - x) * 127.5
    assert change.abs().max() <= 4 + 1e-3
    hurts = (weight[1 - y] - weight[y]).sign()
    assert (change.sign() == hurts).all()
    assert F.cross_entropy(linear(moved), y) > F.cross_entropy(linear(x), y)
    white = attack(linear, torch.ones(2, 3, 8, 8), y[:2], levels=8.0)
    assert white.max() <= 1
