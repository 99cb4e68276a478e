"""What is drawn: exact counterfactuals, and labels that follow from what is planted and from nothing else."""

from __future__ import annotations

import pytest
import torch

from benchmarks.planting import code
from benchmarks.planting.scenarios import AGREES, FIVE, SCENARIOS, position
from benchmarks.planting.scenes import FACTORS, NAMES, draw, pixels, random_factors, redrawn
from train.data.pictures import to_float

SIDE = 32


@pytest.fixture(scope="module")
def factors():
    return random_factors(12, torch.Generator().manual_seed(0))


def test_a_picture_follows_from_its_factors_and_its_seed_alone(factors):
    x = pixels(factors, range(12), SIDE)
    assert x.shape == (12, 3, SIDE, SIDE)
    assert torch.equal(x[5:7], pixels(factors[5:7], [5, 6], SIDE, batch_size=1))
    assert (x[5] != pixels(factors[5:6], [6], SIDE)[0]).any()


@pytest.mark.parametrize("name", NAMES)
def test_to_draw_one_factor_anew_changes_the_picture_where_that_factor_is_and_nowhere_else(factors, name):
    j = position(name)
    low, high = (pixels(redrawn(factors, j, v), range(12), SIDE).int() for v in (0.0, 1.0))
    changed = (high - low).abs().amax(dim=1) > 8
    assert changed.flatten(1).any(dim=1).all()
    lower, upper = changed[:, round(0.86 * SIDE) :], changed[:, : round(0.86 * SIDE)]
    if name in ("size", "hue", "across", "spots", "core", "rim", "mark"):
        assert not lower.any()
    if name == "bar":
        assert not upper.any()
    if name == "mark":
        assert changed.sum(dim=(1, 2)).tolist() == [2] * 12
    if name in ("hue", "core", "spots"):
        assert not changed[:, :, 0].any()


def test_the_picture_has_a_gradient_in_what_is_drawn(factors):
    wanted = factors[:2].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(draw(wanted, [0, 1], SIDE)[:, 0].mean(), wanted)
    assert (gradient.abs().sum(dim=0) > 0).sum() >= 10


def test_values_are_those_that_a_factor_may_have(factors):
    for j, factor in enumerate(FACTORS):
        assert torch.allclose(factors[:, j], factor.nearest(factors[:, j]), atol=1e-6)
        values = factor.grid(1000) if not factor.levels else factor.grid()
        assert factor.spread == pytest.approx(float(values.std(unbiased=False)), rel=0.01)
    assert redrawn(factors, position("spots"), 0.55)[:, position("spots")].unique().tolist() == [pytest.approx(0.6)]


def test_the_classifier_that_is_code_goes_by_the_hue_and_by_nothing_else(factors):
    classifier = code.hue()

    def odds(drawn):
        return classifier(to_float(pixels(drawn, range(12), code.SIDE))).diff(dim=1)[:, 0]

    for j, name in enumerate(NAMES):
        effect = odds(redrawn(factors, j, 1.0)) - odds(redrawn(factors, j, 0.0))
        if name == "hue":
            assert (effect > 12).all()
        else:
            assert effect.abs().max() < 1, name


def planted(name: str, count: int = 4000):
    return SCENARIOS[name].sample(count, torch.Generator().manual_seed(0))


def correlation(a, b) -> float:
    return float(torch.corrcoef(torch.stack([a.float(), b.float()]))[0, 1])


@pytest.mark.parametrize(
    ("name", "causes"),
    [
        ("code", ["hue"]),
        ("single", ["core"]),
        ("shortcut", ["core", "bar"]),
        ("or", ["hue", "bar"]),
        ("xor", []),
        ("pixels", ["mark"]),
        ("suppressor", ["size"]),
        ("sham", []),
    ],
)
def test_labels_go_along_with_what_is_planted_and_with_nothing_else(name, causes):
    factors, labels = planted(name)
    found = [n for j, n in enumerate(NAMES) if abs(correlation(factors[:, j], labels)) > 0.1]
    assert sorted(found) == sorted(causes)
    assert 0.4 < labels.float().mean() < 0.6
    assert factors.min() >= 0
    assert factors.max() <= 1


def test_a_shortcut_agrees_with_the_label_as_often_as_is_said():
    factors, labels = planted("shortcut")
    assert ((factors[:, position("bar")] > 0.5) == labels.bool()).float().mean() == pytest.approx(AGREES, abs=0.015)
    assert ((factors[:, position("core")] > 0.5) == labels.bool()).all()


def test_two_causes_make_the_label_by_their_rule():
    for name, rule in (("or", torch.logical_or), ("xor", torch.logical_xor)):
        factors, labels = planted(name)
        assert torch.equal(rule(factors[:, position("hue")] > 0.5, factors[:, position("bar")] > 0.5), labels.bool())


def test_a_suppressor_says_nothing_by_itself_and_all_together_with_what_it_suppresses():
    factors, labels = planted("suppressor")
    size, bar = factors[:, position("size")], factors[:, position("bar")]
    assert torch.equal(2 * size - bar > 0.5, labels.bool())
    assert ((size > 0.5) == labels.bool()).float().mean() < 0.85


def test_each_of_five_classes_has_a_factor_of_its_own():
    factors, labels = planted("five")
    assert torch.equal(factors[:, [position(n) for n in FIVE]].argmax(dim=1), labels)
