"""How sure a classifier may be, against temperatures that are known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from train.classifying.certainty import fit_temperature


def test_a_known_temperature_is_recovered():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 3, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).flatten()
    for temperature in (0.5, 1.0, 3.0):
        assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_a_classifier_that_makes_no_mistake_is_as_sure_as_so_many_pictures_allow():
    labels = torch.arange(98) % 2
    sure = 40.0 * F.one_hot(labels, 2).float()
    probs = (sure / fit_temperature(sure, labels)).softmax(dim=1)
    torch.testing.assert_close(probs.amax(dim=1), torch.full((98,), 0.99), atol=1e-3, rtol=0)


def test_a_classifier_that_knows_nothing_says_so_however_loud_it_is():
    generator = torch.Generator().manual_seed(0)
    logits, labels = 20 * torch.randn(400, 2, generator=generator), torch.randint(2, (400,), generator=generator)
    probs = (logits / fit_temperature(logits, labels)).softmax(dim=1)
    assert probs.amax(dim=1).median() < 0.6


def test_a_perfect_classifier_still_gets_a_finite_temperature():
    logits = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
    assert 0 < fit_temperature(logits, torch.tensor([0, 1])) < 100
