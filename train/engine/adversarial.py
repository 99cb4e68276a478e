"""The discriminator's losses, and the generator's before it.

It sees the same changes on real and drawn pictures (`augment.for_discriminator`), and is told the probabilities: real
pictures' own, and those that a drawn one was asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stylex import losses
from train.engine.augment import for_discriminator

Scores = Callable[..., Tensor]  # of pictures [N, 3, R, R] and probabilities [N, K]: [N]


def score_both(
    discriminator: Scores, x: Tensor, probs: Tensor, fake: Tensor, wanted: Tensor, strength: float | Tensor
) -> tuple[Tensor, Tensor]:
    """What it makes of real and of drawn pictures, [N] each.

    In one pass: the weights, of which the last layers have most, are read and scaled once.
    """
    both = torch.cat([for_discriminator(x, strength), for_discriminator(fake, strength)])
    real_score, fake_score = discriminator(both, torch.cat([probs, wanted]), batches=2).chunk(2)
    return real_score, fake_score


def r1(discriminator: Scores, x: Tensor, probs: Tensor, strength: float | Tensor) -> Tensor:
    """Squared gradient of the scores at real pictures, as they are before the changes."""
    real = x.detach().clone().requires_grad_()
    return losses.r1(discriminator(for_discriminator(real, strength), probs), real)


def persuasion(discriminator: Scores, fake: Tensor, wanted: Tensor, strength: float | Tensor) -> Tensor:
    """The generator's loss: how far its pictures are from passing for real ones."""
    return losses.generator_nonsaturating(discriminator(for_discriminator(fake, strength), wanted))
