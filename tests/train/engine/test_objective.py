"""What generator and encoder are trained for."""

from __future__ import annotations

import pytest
import torch

from train.engine.kind import Kind
from train.engine.objective import Term, closeness, kl_weight, reconstruction, total
from train.options.training import Options


def test_terms_are_added_by_their_weights():
    a, b = (torch.tensor(value, requires_grad=True) for value in (3.0, 4.0))
    loss = total([Term(2.0, a), Term(0.5, b)])
    loss.backward()
    assert loss.item() == 8
    assert (a.grad.item(), b.grad.item()) == (2.0, 0.5)


def test_a_picture_is_compared_as_it_was_drawn_and_as_it_is_shown():
    """What is brighter than white has lost something, and yet a network is never shown it."""
    x, fake = torch.ones(1, 3, 2, 2), torch.full((1, 3, 2, 2), 1.5)
    pixel, look = reconstruction(x, fake, fake.clamp(-1, 1), lambda picture: [picture])
    assert pixel.item() == 0.5
    assert look.item() == 0


@pytest.mark.parametrize(("swap", "mixed", "expected"), [(False, False, 1.0), (True, False, 0.3), (False, True, 0.0)])
def test_a_picture_that_was_asked_to_differ_has_to_be_less_alike(swap, mixed, expected):
    o = Options("d", "o", "c", swap_closeness=0.3)
    assert closeness(o, Kind(joint=True, random=False, swap=swap, mixed=mixed)) == expected


def test_the_classification_loss_grows_to_its_weight():
    o = Options("d", "o", "c", kl_weight=2.0, kl_ramp_kimg=1.0)
    assert [kl_weight(o, nimg) for nimg in (0, 250, 1000, 5000)] == [0.0, 0.5, 2.0, 2.0]
    assert kl_weight(Options("d", "o", "c", kl_weight=2.0), 0) == 2.0
