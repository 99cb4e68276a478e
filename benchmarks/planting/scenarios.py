"""What is planted: which factors the label follows from, and who learns it.

A scenario draws factors and labels; its classifier then learns the labels from the pictures, or is code. What is true
of the classifier is not taken from here: `truth` asks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.planting.scenes import FACTORS, NAMES, random_factors

AGREES = 0.95  # of the pictures of a shortcut
# What is drawn small and large of a cause stays so far from the middle on either side: nobody can tell a border case.
MARGIN = 0.1

# (count, random numbers) -> factors [N, J] and labels [N].
Sample = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Scenario:
    """One planting.

    Attributes:
        says: how labels come about.
        sample: draws factors and labels.
        class_names: in the order of the labels.
        code: the classifier, if it is code (`package.module:function`); None if one is trained.
        count: pictures.
        learning: options of train/train_classifier.py that differ from LEARNING.
        search: options of train/find_attributes.py that differ from the benchmark's.
    """

    name: str
    says: str
    sample: Sample
    class_names: tuple[str, ...] = ("low", "high")
    code: str | None = None
    count: int = 2000
    learning: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)


# No colour, place or size of these pictures may be changed: it may be the cause. The judge is nobody's business here.
LEARNING: dict[str, Any] = {
    "judge": False,
    "flips": "none",
    "brightness": 0,
    "contrast": 0,
    "saturation": 0,
    "hue": 0,
    "zoom": 0,
    "turn": 0,
    "translate": 0,
    "noise": 4,
    "adversarial": 2,
    "epochs": 16,
}


def position(name: str) -> int:
    return NAMES.index(name)


def halves(count: int, generator: torch.Generator, share: float = 0.5) -> Tensor:
    """[N] bool, true for a share of them."""
    return torch.rand(count, generator=generator) < share


def on_side(high: Tensor, name: str, generator: torch.Generator) -> Tensor:
    """Values [N] of a factor: large where `high`, small elsewhere, and never near the middle."""
    factor = FACTORS[position(name)]
    reach = 0.5 - MARGIN
    value = reach * torch.rand(len(high), generator=generator)
    return factor.nearest(torch.where(high, 1 - value, value))


def one_cause(name: str) -> Sample:
    def sample(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        factors, label = random_factors(count, generator), halves(count, generator)
        factors[:, position(name)] = on_side(label, name, generator)
        return factors, label.long()

    return sample


def shortcut(cause: str, other: str) -> Sample:
    """The label follows from `cause`, and in AGREES of the pictures `other` is on its side."""

    def sample(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        factors, label = one_cause(cause)(count, generator)
        agrees = halves(count, generator, AGREES)
        factors[:, position(other)] = on_side(label.bool() == agrees, other, generator)
        return factors, label

    return sample


def two_causes(first: str, second: str, rule: Callable[[Tensor, Tensor], Tensor], share: float) -> Sample:
    """Either is large in `share` of the pictures; the label is a rule of the two."""

    def sample(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        factors = random_factors(count, generator)
        a, b = halves(count, generator, share), halves(count, generator, share)
        factors[:, position(first)] = on_side(a, first, generator)
        factors[:, position(second)] = on_side(b, second, generator)
        return factors, rule(a, b).long()

    return sample


def suppressor(measured: str, suppressing: str) -> Sample:
    """`measured` is half a hidden cause, which is drawn in no other way, and half `suppressing`. That says nothing
    about the label by itself, but without it nobody can tell the label from `measured`."""

    def sample(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        factors, label = random_factors(count, generator), halves(count, generator)
        hidden = on_side(label, measured, generator)
        factors[:, position(measured)] = (hidden + factors[:, position(suppressing)]) / 2
        return factors, label.long()

    return sample


def one_each(names: tuple[str, ...]) -> Sample:
    """As many classes: of class k the k-th factor is large, and the others of these are small."""

    def sample(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        factors, label = random_factors(count, generator), torch.randint(len(names), (count,), generator=generator)
        for k, name in enumerate(names):
            factors[:, position(name)] = on_side(label == k, name, generator)
        return factors, label

    return sample


def by_chance(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return random_factors(count, generator), halves(count, generator).long()


FIVE = ("hue", "core", "rim", "bar", "spots")
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "code",
            "red or blue, by a classifier that is code",
            one_cause("hue"),
            ("red", "blue"),
            code="benchmarks.planting.code:hue",
        ),
        Scenario("single", "a small or a large core", one_cause("core")),
        Scenario(
            "shortcut",
            f"a small or a large core; in {AGREES:.0%} the scale bar is as short or long",
            shortcut("core", "bar"),
        ),
        Scenario("or", "a blue cell, or a long scale bar, or both", two_causes("hue", "bar", torch.logical_or, 0.3)),
        Scenario(
            "xor",
            "a blue cell or a long scale bar, and not both",
            two_causes("hue", "bar", torch.logical_xor, 0.5),
            learning={"epochs": 30},
        ),
        Scenario(
            "pixels", "a mark of two pixels", one_cause("mark"), learning={"adversarial": 0}, search={"min_visible": 0}
        ),
        Scenario(
            "suppressor",
            "how large the cell is beyond what the scale bar explains",
            suppressor("size", "bar"),
            learning={"epochs": 30},
        ),
        Scenario("five", "the one of five that is large: " + ", ".join(FIVE), one_each(FIVE), FIVE),
        Scenario(
            "sham",
            "labels by chance, learnt by heart: nothing is to be found",
            by_chance,
            ("heads", "tails"),
            count=600,
            learning={"adversarial": 0, "noise": 0, "epochs": 60},
        ),
    )
}
