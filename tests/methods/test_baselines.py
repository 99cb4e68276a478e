"""Signal to noise by hand, a direction that has to be found, and chance that can be repeated."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylex.methods.baselines import ganalyze, random_moves, rank_by_signal, signal_to_noise
from stylex.methods.records import MethodError
from stylex.stylespace import Direction, StyleStats

STATS = StyleStats(-torch.ones(3) * 2, torch.ones(3) * 2, torch.zeros(3), torch.tensor([1.0, 2.0, 0.0]), 10)


def test_signal_to_noise_by_hand():
    """Coordinate 0: z = 1 and 3, mean 2, std sqrt(2). Coordinate 1: z = 1 and -1, mean 0. Coordinate 2 never varies."""
    ratio = signal_to_noise(torch.zeros(3), torch.tensor([[1.0, 2.0, 5.0], [3.0, -2.0, 5.0]]), STATS)
    torch.testing.assert_close(ratio, torch.tensor([2**0.5, 0.0, 0.0]))


def test_the_ranking_takes_the_surest_pictures_and_goes_where_they_lie():
    s = torch.tensor([[-1.0, 0.1, 0.0], [-1.1, -0.1, 0.0], [9.0, 9.0, 0.0]])
    probs = torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1]])
    moves = rank_by_signal(s, probs, 1, STATS, searched=2, count=2, exemplars=2)
    assert moves[0] == (0, Direction.DOWN)


def test_signal_to_noise_needs_two_pictures():
    with pytest.raises(MethodError, match="at least two pictures of a class, got 1"):
        signal_to_noise(torch.zeros(3), torch.zeros(1, 3), STATS)


def judge(s: Tensor) -> Tensor:
    return torch.stack([torch.zeros(len(s)), 2 * s[:, 0]], dim=1)


def test_ganalyze_learns_the_step_that_changes_the_class_by_what_is_asked():
    """L = 2 s_0 and s = w, so a step a θ changes L by 2 a θ_0: θ_0 = 2 for a rise of 4."""

    def draw(count: int, seed: int) -> Tensor:
        return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))

    edit = ganalyze(judge, draw, torch.eye(3), 1, rise=4.0, steps=200)
    assert float(edit.delta[0]) == pytest.approx(2.0, abs=0.05)
    assert edit.delta[1:].abs().max() < 1e-4
    assert edit.found["loss"] < edit.found["first_loss"] / 100
    with pytest.raises(MethodError, match="passes no gradient"):
        ganalyze(lambda s: judge(s).detach(), draw, torch.eye(3), 1)


def test_chance_can_be_repeated_and_leaves_out_what_does_not_vary():
    flat = StyleStats(torch.tensor([0.0, -1.0, -1.0]), torch.tensor([0.0, 1.0, 1.0]), torch.zeros(3), torch.ones(3), 2)
    moves = random_moves(3, 5, flat, seed=1)
    assert sorted(i for i, _ in moves) == [1, 2]
    assert moves == random_moves(3, 5, flat, seed=1)
