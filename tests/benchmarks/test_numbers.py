"""The numbers of the proof, worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.planting import numbers


def test_r_squared_is_one_for_what_is_read_exactly_and_zero_for_the_mean():
    true = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    read = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    assert numbers.r_squared(true, read).tolist() == [1.0, 0.0]
    assert numbers.r_squared(true[:, :1], torch.tensor([[0.0], [1.0], [1.0]])).item() == pytest.approx(0.5)
    assert math.isnan(numbers.r_squared(torch.ones(3, 1), torch.ones(3, 1)).item())


def test_a_cause_has_a_quarter_of_the_strongest_effect_and_raises_the_probability_by_a_tenth():
    effect = torch.tensor([8.0, 2.0, 1.9, 4.0])
    rise = torch.tensor([0.9, 0.3, 0.3, 0.09])
    assert numbers.causes(effect, rise).tolist() == [True, True, False, False]
    assert not numbers.causes(torch.rand(4), torch.full((4,), 0.05)).any()  # a classifier that knows nothing


def test_purity_is_the_share_of_the_factor_that_changes_most():
    change = torch.tensor([[1.0, 0.0, -0.5], [-2.0, 0.0, 0.5]])  # up or down: amounts 1.5, 0 and 0.5
    assert numbers.main_factor(change) == 0
    assert numbers.purity(change) == pytest.approx(0.75)
    assert numbers.purity(torch.zeros(2, 3)) == 0.0


def test_recall_counts_each_cause_once_and_false_causes_every_edit():
    true = torch.tensor([True, True, False, False])
    assert numbers.recall([0, 0, 2], true) == 0.5
    assert numbers.recall([1, 0], true) == 1.0
    assert numbers.false_causes([0, 0, 2, 3, 2], true) == 3
    nothing = torch.zeros(4, dtype=torch.bool)
    assert math.isnan(numbers.recall([0], nothing))
    assert numbers.false_causes([0], nothing) == 1
    assert numbers.false_causes([], nothing) == 0


def test_ranks_alone_decide_on_the_rank_correlation():
    a = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert numbers.rank_correlation(a, a.exp()) == pytest.approx(1.0)
    assert numbers.rank_correlation(a, -a) == pytest.approx(-1.0)
    # 1 - 6 Σ d² / (n (n² - 1)) with the places 2 1 4 3: d² = 1 each
    assert numbers.rank_correlation(a, torch.tensor([2.0, 1.0, 4.0, 3.0])) == pytest.approx(1 - 6 * 4 / 60)
    # two that are alike share the place 0.5
    assert numbers.rank_correlation(torch.tensor([5.0, 5.0, 9.0]), torch.tensor([0.0, 0.0, 1.0])) == pytest.approx(1.0)
    assert math.isnan(numbers.rank_correlation(a, torch.ones(4)))


def test_place_is_the_share_of_the_map_inside_of_the_mask():
    maps = torch.tensor([[[3.0, 1.0], [-5.0, 0.0]], [[0.0, 2.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    masks = torch.tensor([[[True, False], [True, True]], [[True, True], [False, False]], [[True, True], [True, True]]])
    assert numbers.place(maps, masks) == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert math.isnan(numbers.place(maps[2:], masks[2:]))
