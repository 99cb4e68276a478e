"""The slow copy of a network, by pencil."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from train.engine.ema import EMA


def one_weight(value: float) -> nn.Module:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def test_after_one_half_life_it_is_half_way():
    ema, fast = EMA(one_weight(0.0), half_life_kimg=0.1, ramp_up=1e9), one_weight(8.0)
    ema.update(fast, batch_size=100, nimg=100)
    assert ema.module.weight.item() == pytest.approx(4.0)
    ema.update(fast, batch_size=100, nimg=200)
    assert ema.module.weight.item() == pytest.approx(6.0)


def test_the_batch_size_does_not_change_the_half_life():
    ends = []
    for batch in (1, 10, 50):
        ema = EMA(one_weight(0.0), half_life_kimg=0.1, ramp_up=1e9)
        for seen in range(batch, 101, batch):
            ema.update(one_weight(8.0), batch, seen)
        ends.append(ema.module.weight.item())
    assert ends == pytest.approx([4.0] * 3, rel=1e-4)


def test_early_on_it_forgets_the_random_start():
    """The half-life is at most 5 % of what was seen: after the first batch of 16 that is 0.8 pictures."""
    ema = EMA(one_weight(1000.0), half_life_kimg=10.0)
    ema.update(one_weight(1.0), batch_size=16, nimg=16)
    assert ema.module.weight.item() == pytest.approx(1.0 + 999 * 0.5**20, abs=1e-4)
    # From 200,000 pictures on the half-life is the 10,000 that were asked for.
    late = EMA(one_weight(0.0), half_life_kimg=10.0)
    late.update(one_weight(1.0), batch_size=10_000, nimg=400_000)
    assert late.module.weight.item() == pytest.approx(0.5)


def test_buffers_are_copied_and_the_original_is_left_alone():
    fast = nn.BatchNorm1d(2)
    ema = EMA(fast, half_life_kimg=10.0)
    fast.running_mean.fill_(7.0)
    before = [p.clone() for p in fast.parameters()]
    ema.update(fast, 1, 10**6)
    assert ema.module.running_mean.tolist() == [7.0, 7.0]
    assert all(torch.equal(a, b) for a, b in zip(before, fast.parameters(), strict=True))
    fast.running_mean.fill_(9.0)
    assert ema.module.running_mean.tolist() == [7.0, 7.0]


def test_it_is_frozen_and_ready_to_be_explained():
    ema = EMA(nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train(), half_life_kimg=1.0)
    assert not any(p.requires_grad for p in ema.module.parameters())
    assert not any(m.training for m in ema.module.modules())
