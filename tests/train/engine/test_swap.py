"""Class swap: what is asked for, and which coordinates follow."""

from __future__ import annotations

import math

import pytest
import torch

from stylex.stylespace import StyleSpace
from train.engine.swap import followers, owned, swap_top


def test_swap_top_of_two_classes_exchanges_them():
    probs = torch.tensor([[0.9, 0.1], [0.3, 0.7]])
    assert torch.equal(swap_top(probs), probs.flip(1))


def test_swap_top_of_many_classes_gives_the_first_place_to_another():
    torch.manual_seed(0)
    probs = torch.rand(500, 4).softmax(dim=1)
    before = probs.clone()
    swapped = swap_top(probs)
    assert torch.equal(probs, before)
    torch.testing.assert_close(swapped.sort(dim=1).values, probs.sort(dim=1).values)
    top, new = probs.argmax(dim=1), swapped.argmax(dim=1)
    assert (top != new).all()
    # Two places change hands, the others stay; every other class has its turn.
    assert ((swapped != probs).sum(dim=1) == 2).all()
    counts = ((new - top) % 4).bincount(minlength=4)
    assert counts[0] == 0
    assert counts[1:].min() > 500 / 3 - 5 * math.sqrt(500 / 3)


SPACE = StyleSpace((20, 20), places=1)  # 60 of the convolutions, 40 of toRGB, 64 of places


def test_the_swap_never_touches_torgb_nor_places_and_drops_a_share_of_each_picture():
    torch.manual_seed(0)
    weight, target = torch.randn(100, 2), torch.zeros(400, dtype=torch.long)
    mask = followers(weight, SPACE, target, dropout=0.8, few=0)
    assert mask.shape == (400, 164)
    assert not mask[:, 60:].any()
    share = mask[:, :60].float().mean(dim=1)
    # kept: uniform between 0.2 and 1
    assert share.min() > 0.05
    assert share.mean().item() == pytest.approx(0.6, abs=0.05)
    assert share.std() > 0.15
    assert followers(weight, SPACE, target[:3], dropout=0.0, few=0)[:, :60].all()


def test_a_coordinate_belongs_to_the_class_that_lies_beyond_all_others():
    weight = torch.tensor(
        [
            [0.0, 0.0, 3.0],  # the third class, by 3
            [9.0, 8.0, 0.0],  # the third from below, by 8; the first from above, by 1
            [0.0, -2.0, 0.0],  # the second, by 2
            [5.0, 5.0, 5.0],  # nobody's
        ]
    )
    mask = owned(weight, torch.tensor([2, 1, 2]), count=1, size=6)
    assert mask.int().tolist() == [[0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]]
    assert owned(weight, torch.tensor([2]), count=2, size=4).int().tolist() == [[1, 1, 0, 0]]
    assert owned(weight, torch.tensor([0]), count=9, size=4).all()


def test_in_half_of_the_pictures_only_the_few_that_the_class_owns_follow():
    torch.manual_seed(0)
    weight, target = torch.randn(100, 3), torch.randint(3, (600,))
    mask = followers(weight, SPACE, target, dropout=0.2, few=7)
    few = mask.sum(dim=1) == 7
    assert few.float().mean().item() == pytest.approx(0.5, abs=0.07)
    assert torch.equal(mask[few], owned(weight[:60], target[few], 7, 164))
    assert mask[~few].sum(dim=1).min() > 30
    assert not mask[:, 60:].any()
