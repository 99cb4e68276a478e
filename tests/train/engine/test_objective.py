"""What generator and encoder are trained for."""

from __future__ import annotations

import pytest
import torch

from train.engine.kind import Kind
from train.engine.objective import Term, closeness, kl_weight, perceptual, total
from train.options.training import Options


def test_terms_are_added_by_their_weights():
    a, b = (torch.tensor(value, requires_grad=True) for value in (3.0, 4.0))
    loss = total([Term(2.0, a), Term(0.5, b)])
    loss.backward()
    assert loss.item() == 8
    assert (a.grad.item(), b.grad.item()) == (2.0, 0.5)


def test_what_is_lost_is_told_for_each_picture_and_pulls_at_the_drawn_one_alone():
    x, fake = (torch.tensor(value).view(2, 1, 1, 1).requires_grad_() for value in ([1.0, 1.0], [1.0, 0.5]))
    lost = perceptual(x, fake, lambda picture: [1 * picture])
    assert lost.tolist() == [0.0, 0.25]
    lost.sum().backward()
    assert fake.grad.flatten().tolist() == [0.0, -1.0]
    assert x.grad is None


@pytest.mark.parametrize(
    ("asked", "expected"), [({}, 1.0), ({"swap"}, 0.3), ({"moved"}, 0.0), ({"swap", "moved"}, 0.0)]
)
def test_a_picture_that_was_asked_to_differ_has_to_be_less_alike(asked, expected):
    o = Options("d", "o", "c", swap_closeness=0.3)
    kind = Kind(True, True, False, **{name: name in asked for name in ("swap", "moved")})
    assert closeness(o, kind) == expected
    assert kind.own == (not asked)


def test_the_classification_loss_grows_to_its_weight():
    o = Options("d", "o", "c", kl_weight=2.0, kl_ramp_kimg=1.0)
    assert [kl_weight(o, nimg) for nimg in (0, 250, 1000, 5000)] == [0.0, 0.5, 2.0, 2.0]
    assert kl_weight(Options("d", "o", "c", kl_weight=2.0), 0) == 2.0
