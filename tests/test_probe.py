"""A linear layer on features that stand still."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from stylex.probe import DECAY, fit_linear, probe_accuracy


def clouds(count: int, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    return 3 * F.one_hot(labels, 6).float() + torch.randn(count, 6, generator=generator) + 100, labels


def test_no_step_from_the_fitted_layer_lowers_the_loss():
    x, y = clouds(60)
    weight, bias = fit_linear(x, y, 3)
    std = x.std(dim=0, unbiased=False)

    def loss(w: torch.Tensor, b: torch.Tensor) -> float:
        return float(F.cross_entropy(F.linear(x, w, b), y) + DECAY * (w * std).square().sum())

    best = loss(weight, bias)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        step = 0.05 * torch.randn(weight.shape, generator=generator)
        assert loss(weight + step, bias - step @ x.mean(dim=0)) > best - 1e-4


def test_the_layer_takes_features_as_they_are_whatever_their_scale():
    x, y = clouds(60)
    scale = torch.tensor([1.0, 1e3, 1e-3, 1.0, 1.0, 1.0])
    a, b = (F.linear(f, *fit_linear(f, y, 3)) for f in (x, x * scale))
    torch.testing.assert_close(a, b, rtol=0.05, atol=0.05)


def test_a_feature_that_never_changes_says_nothing():
    x, y = clouds(30)
    weight, bias = fit_linear(torch.cat([x, torch.full((30, 1), 7.0)], dim=1), y, 3)
    assert torch.isfinite(weight).all()
    assert torch.isfinite(bias).all()
    assert weight[:, -1].abs().max() < 1e-3


def test_a_probe_finds_what_is_there_and_nothing_where_nothing_is():
    x, y = clouds(90)
    assert probe_accuracy(x, y) > 0.9
    noise = torch.randn(90, 6, generator=torch.Generator().manual_seed(2))
    assert probe_accuracy(noise, y) < 0.6
    assert probe_accuracy(x, y) == probe_accuracy(x, y)


def test_a_probe_never_sees_the_row_it_is_asked_about():
    """With a feature of its own for each row a layer that had seen it would be right everywhere."""
    y = torch.arange(40) % 2
    assert probe_accuracy(torch.eye(40), y) <= 0.6


def test_fewer_rows_than_folds_are_refused():
    with pytest.raises(ValueError, match="4 rows cannot be cut into 5 folds"):
        probe_accuracy(torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]))
