"""The two discriminators as a step uses them: what they look at, their own loss, and the generator's before them.

Both see the same changes on real and drawn pictures (`augment.for_discriminator`), and are told the probabilities: real
pictures' own, and those that a drawn one was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from stylex import losses
from stylex.networks.eye import EfficientNetLite0, unit
from stylex.steady import blur
from train.engine.augment import for_discriminator

Strength = float | Tensor
Discriminator = Callable[..., Tensor]  # of pictures [N, 3, R, R] and probabilities [N, K]: [N]
ByMaps = Callable[..., list[Tensor]]  # of maps and probabilities [N, K]: [N, L] from each head
# What lies outside of the range of a picture is seen so much fainter: a clamp would leave no way back from there.
OUTSIDE = 0.1
# How blurred the eye's first pictures are, in pixels of 64 (Sauer et al. 2022, "StyleGAN-XL", section 3.1).
FIRST_BLUR = 1.0


class Verdict(NamedTuple):
    """The discriminator's loss, and its scores of real and of drawn pictures."""

    loss: Tensor
    real: Tensor
    fake: Tensor


class Adversary(Protocol):
    """A discriminator for one step: `look` at its pictures, then `judge`, then, once it has moved, `persuade`."""

    def look(self, x: Tensor, fake: Tensor, strength: Strength, blur: float) -> None: ...

    def judge(self, probs: Tensor, wanted: Tensor) -> Verdict:
        """What moves the discriminator; the drawn pictures are cut from their graph."""

    def persuade(self, wanted: Tensor) -> Tensor:
        """The generator's loss: how far its pictures are from passing for real ones."""

    def distance(self) -> Tensor | None:
        """The perceptual distance of each drawn picture from the real one, if it comes with the look."""


class OwnNetwork:
    """A discriminator with eyes of its own (`networks.discriminator.Discriminator`), logistic loss."""

    def __init__(self, discriminator: Discriminator) -> None:
        self.discriminator = discriminator

    def look(self, x: Tensor, fake: Tensor, strength: Strength, blur: float) -> None:
        self.x, self.fake, self.strength = x, fake, strength

    def judge(self, probs: Tensor, wanted: Tensor) -> Verdict:
        # In one pass: the weights, of which the last layers have most, are read and scaled once.
        both = [for_discriminator(x, self.strength) for x in (self.x, self.fake.detach())]
        real, fake = self.discriminator(torch.cat(both), torch.cat([probs, wanted]), batches=2).chunk(2)
        return Verdict(losses.discriminator_logistic(real, fake), real, fake)

    def persuade(self, wanted: Tensor) -> Tensor:
        score = self.discriminator(for_discriminator(self.fake, self.strength), wanted)
        return losses.generator_nonsaturating(score)

    def distance(self) -> None:
        return None


class SharedEye:
    """A discriminator of what a trained eye sees (`networks.discriminator.ProjectedDiscriminator`), hinge loss.

    The eye reads every picture once: its maps serve both updates, and the perceptual distance if that eye measures it.
    So real and drawn pictures are changed in the same way, each pair by the same draws.
    """

    def __init__(self, discriminator: ByMaps, eye: EfficientNetLite0, *, measures: bool) -> None:
        self.discriminator, self.eye, self.measures = discriminator, eye, measures

    def look(self, x: Tensor, fake: Tensor, strength: Strength, blur: float) -> None:
        draws = int(torch.randint(2**62, ()))

        def seen(x: Tensor) -> list[Tensor]:
            torch.manual_seed(draws)
            inside = x.clamp(-1, 1)
            return self.eye.maps(blurred(for_discriminator(inside + OUTSIDE * (x - inside), strength), blur))

        with torch.no_grad():
            self.real = seen(x)
        self.fake = seen(fake)

    def judge(self, probs: Tensor, wanted: Tensor) -> Verdict:
        both = [torch.cat([real, fake.detach()]) for real, fake in zip(self.real[1:], self.fake[1:], strict=True)]
        heads = [scores.chunk(2) for scores in self.discriminator(both, torch.cat([probs, wanted]))]
        real, fake = [r for r, _ in heads], [f for _, f in heads]
        return Verdict(losses.discriminator_hinge(real, fake), torch.cat(real, dim=1), torch.cat(fake, dim=1))

    def persuade(self, wanted: Tensor) -> Tensor:
        return losses.generator_hinge(self.discriminator(self.fake[1:], wanted))

    def distance(self) -> Tensor | None:
        return losses.perceptual(unit(self.real), unit(self.fake)) if self.measures else None


def blurred(x: Tensor, share: float) -> Tensor:
    """`share` 1 blurs as far as the first pictures are, 0 not at all."""
    sigma = share * FIRST_BLUR * x.shape[-1] / 64
    if sigma <= 0:
        return x
    side = 2 * int(2 * FIRST_BLUR * x.shape[-1] / 64 + 0.5) + 1
    return blur(x, side, sigma)


def r1(discriminator: Discriminator, x: Tensor, probs: Tensor, strength: Strength) -> Tensor:
    """Squared gradient of the scores at real pictures, as they are before the changes."""
    real = x.detach().clone().requires_grad_()
    return losses.r1(discriminator(for_discriminator(real, strength), probs), real)


def fade(nimg: int, warmup: float, length: float) -> float:
    """How far the discriminator has joined in, from 0 to 1, in the `length` kimg after the warm-up of `warmup` kimg."""
    return min(1.0, max(0.0, nimg / 1000 - warmup) / length) if length else float(nimg >= warmup * 1000)


def gradient_norm(loss: Tensor, fake: Tensor) -> Tensor:
    """|d loss / d fake|, how strongly a loss pulls at the drawn pictures."""
    (gradient,) = torch.autograd.grad(loss, fake, retain_graph=True)
    return gradient.norm()


def balance(reconstruction: Tensor, adversarial: Tensor, fake: Tensor) -> Tensor:
    """The factor that makes the adversarial loss pull at the pictures as strongly as the reconstruction does.

    Esser et al. 2021, "Taming Transformers for High-Resolution Image Synthesis", equation 7; there at the last layer,
    here at the picture, which all losses share.
    """
    ours, theirs = (gradient_norm(loss, fake) for loss in (reconstruction, adversarial))
    return (ours / (theirs + 1e-8)).clamp(1e-3, 1e3)
