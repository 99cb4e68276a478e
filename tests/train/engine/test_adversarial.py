"""The discriminator's losses, on one that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylex import losses
from train.engine.adversarial import OwnNetwork, r1


def discriminator(x: Tensor, probs: Tensor, batches: int = 1) -> Tensor:
    """Likes bright pictures of the first class."""
    assert len(x) % batches == 0
    return 3 * x.sum(dim=(1, 2, 3)) + probs[:, 0]


PROBS, WANTED = torch.tensor([[1.0, 0.0]]).repeat(2, 1), torch.tensor([[0.0, 1.0]]).repeat(2, 1)
BRIGHT, DARK = torch.full((2, 3, 4, 4), 0.1), torch.full((2, 3, 4, 4), -0.1)


def test_real_and_drawn_pictures_are_scored_with_their_own_probabilities():
    adversary = OwnNetwork(discriminator)
    adversary.look(BRIGHT, DARK, 0.0, blur=0.0)
    loss, real, fake = adversary.judge(PROBS, WANTED)
    assert loss.item() == pytest.approx(losses.discriminator_logistic(real, fake).item())
    torch.testing.assert_close(real, torch.full((2,), 3 * 4.8 + 1))
    torch.testing.assert_close(fake, torch.full((2,), -3 * 4.8))


def test_r1_is_the_squared_gradient_of_the_scores():
    assert r1(discriminator, BRIGHT, PROBS, 0.0).item() == pytest.approx(9 * 48)


def test_persuasion_pulls_the_picture_towards_what_passes_for_real():
    fake = DARK.clone().requires_grad_()
    adversary = OwnNetwork(discriminator)
    adversary.look(BRIGHT, fake, 0.0, blur=0.0)
    loss = adversary.persuade(WANTED)
    loss.backward()
    assert loss.item() == pytest.approx(losses.generator_nonsaturating(torch.full((2,), -3 * 4.8)).item())
    assert (fake.grad < 0).all()
