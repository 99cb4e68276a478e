"""What generator, mapping and encoder are trained for: terms with weights, and their sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from stylex import losses
from train.engine.augment import for_classifier
from train.engine.kind import Kind
from train.options.training import Options


class Term(NamedTuple):
    weight: float | Tensor
    loss: Tensor


def total(terms: Iterable[Term]) -> Tensor:
    first, *rest = (weight * loss for weight, loss in terms)
    return sum(rest, first)


def perceptual(x: Tensor, shown: Tensor, features: Callable[[Tensor], list[Tensor]]) -> Tensor:
    """What each picture has lost of what a perceptual network sees, [N]."""
    with torch.no_grad():
        seen = features(x)
    return losses.perceptual(seen, features(shown))


def classification(
    classifier: Callable[[Tensor], Tensor], shown: Tensor, wanted: Tensor, temperature: float, views: float
) -> Tensor:
    """How far the classifier is from saying the wanted probabilities [N, K] of the drawn pictures."""
    seen = classifier(for_classifier(shown, views))
    return losses.classifier_kl(wanted, seen / temperature).mean()


def closeness(o: Options, kind: Kind) -> float:
    """How much the reconstruction counts: a swapped picture has to differ where the class shows, and one with the
    places of another is a picture that nobody has seen."""
    return 0.0 if kind.moved else o.swap_closeness if kind.swap else 1.0


def kl_weight(o: Options, nimg: int) -> float:
    """From the first step on at full strength, many classes satisfy the classifier with one blob each, and the encoder
    dies before it has said anything."""
    ramp = min(1.0, nimg / (o.kl_ramp_kimg * 1000)) if o.kl_ramp_kimg else 1.0
    return ramp * o.kl_weight
