"""How far an edit has to go, on a model whose decision is one number: known to the pencil."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from stylex.stylespace import Direction, StyleStats
from train.measure.edited import fewest, flip_shift

UP = Direction.UP
MOVES = [(0, UP), (1, UP)]


def adder(threshold: float) -> SimpleNamespace:
    """Class 1 if the coordinates add up to more than a threshold; each may go up to 1."""
    stats = StyleStats.of(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))

    def logits_of(s: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.full((len(s),), threshold), s.sum(dim=1)], dim=1)

    return SimpleNamespace(stats=stats, logits_of=logits_of)


def test_the_shift_at_which_it_flips_is_found_to_a_thousandth():
    """From 0 both go to 1, so their sum is twice the shift; from (1, 0) it is 1 plus the shift."""
    s = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert flip_shift(adder(1.3), s, MOVES, 1, 1.0).tolist() == pytest.approx([0.65, 0.3], abs=1e-3)
    assert flip_shift(adder(1.3), s, MOVES, 1, 2.0).tolist() == pytest.approx([0.65, 0.3], abs=2e-3)
    assert flip_shift(adder(2.5), s, MOVES, 1, 1.0).tolist() == [torch.inf, torch.inf]


def test_as_few_as_flip_it_are_moved_and_all_where_none_do():
    s = torch.tensor([[0.0, 0.0], [0.0, 0.4]])
    assert fewest(adder(1.3), s, MOVES, 1, 1.0).tolist() == [[1.0, 1.0], [1.0, pytest.approx(0.4)]]
    assert fewest(adder(9.0), s, MOVES, 1, 1.0).tolist() == [[1.0, 1.0], [1.0, 1.0]]
