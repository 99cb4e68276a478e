"""A classifier that decides by a planted colour is trained on until it no longer does."""

from __future__ import annotations

import math

import pytest
import torch
from small import tiny_classifier
from torch import Tensor

from train.classifying.certainty import logits_of
from train.classifying.descent import Descent
from train.classifying.unlearn import apart, retrain
from train.classifying.views import Views


def planted(count: int, biased: bool, seed: int) -> tuple[Tensor, Tensor]:
    """Squares with a small spot or without, which is the class, whose colour tells the class, too, if `biased`."""
    rule = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    colours = labels if biased else torch.randint(2, (count,), generator=rule)
    x = torch.full((count, 3, 16, 16), 90.0)
    x[:, 0] += 80 * colours[:, None, None]
    x[:, 2] += 80 * (1 - colours[:, None, None])
    for n in (labels == 1).nonzero().flatten().tolist():
        row, column = torch.randint(2, 10, (2,), generator=rule).tolist()
        x[n, :, row : row + 4, column : column + 4] = 15
    noise = torch.randn(x.shape, generator=rule)
    return (x + 4 * noise).clamp(0, 255).byte(), labels


def recoloured(x: Tensor) -> Tensor:
    """The same squares in the other colour."""
    return x.flip(1)


def test_a_planted_shortcut_is_unlearned():
    """Dependence on the colour falls by more than 80 %, and the accuracy on pictures without the bias rises."""
    x, y = planted(256, biased=True, seed=0)
    fair, fair_y = planted(128, biased=False, seed=1)
    views = Views(flips="dihedral", brightness=0, contrast=0, saturation=0, hue=0, noise=0)
    how = Descent(epochs=8, batch_size=32, learning_rate=5e-3, adversarial=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = tiny_classifier()
    untouched = [p.clone() for p in start.network.parameters()]
    biased = retrain(start, x, y, x[None], (x, y), views, how, share=0.5)
    assert all(torch.equal(p, q) for p, q in zip(start.network.parameters(), untouched, strict=True))
    copies = torch.stack([x, recoloured(x)])
    fixed = retrain(biased, x, y, copies, (fair, fair_y), views, how, share=0.9)

    def right(classifier) -> float:
        return float((logits_of(classifier, fair).argmax(1) == fair_y).float().mean())

    def reads_colour(classifier) -> float:
        p, q = (logits_of(classifier, pictures).softmax(1) for pictures in (fair, recoloured(fair)))
        return float((p - q).abs().mean())

    assert right(biased) < 0.9
    assert right(fixed) > 0.95
    assert reads_colour(fixed) < 0.2 * reads_colour(biased)


def test_answers_are_apart_as_worked_by_hand():
    first, second = torch.tensor([[3.0, 1.0]]).log(), torch.tensor([[1.0, 3.0]]).log()
    assert float(apart(first, first)) == 0
    assert float(apart(first, second)) == pytest.approx(2 * 0.5 * math.log(3))  # (3/4 - 1/4) ln 3, twice
    assert float(apart(first, second)) == float(apart(second, first))


def test_agreement_unlearns_more_than_labels_alone():
    """With few copies in a batch labels leave some of the colour, and agreement little."""
    x, y = planted(128, biased=True, seed=0)
    views = Views(flips="dihedral", brightness=0, contrast=0, saturation=0, hue=0, noise=0)
    how = Descent(epochs=4, batch_size=32, learning_rate=5e-3, adversarial=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        biased = retrain(tiny_classifier(), x, y, x[None], (x, y), views, how, share=0.5)
    copies = torch.stack([x, recoloured(x)])

    def reads_colour(classifier) -> float:
        p, q = (logits_of(classifier, pictures).softmax(1) for pictures in (x, recoloured(x)))
        return float((p - q).abs().mean())

    labels, agreed = (
        retrain(biased, x, y, copies, (x, y), views, how, share=0.2, agreement=weight) for weight in (0.0, 3.0)
    )
    assert reads_colour(agreed) < 0.5 * reads_colour(labels)
