"""The classifier as a whole: what moves pictures of one class to another, and back.

What was counted over many pictures comes from the model's folder; on the sample pictures everything is really moved.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from stylex import Direction, MethodError, StylEx
from stylex.attfind.effects import Attribute, towards
from stylex.pictures.images import to_pil
from stylex.stylespace import move, move_together

MOST_ATTRIBUTES = 10
# Sample pictures of each class that every attribute is shown on; fewer where one takes long.
PICTURES, LARGE_PICTURES, LARGE = 4, 2, 128

# Samples that are shown of those it sees worst.
WORST = 4

Curve = list[tuple[int, float]]


@dataclass(frozen=True)
class Shot:
    """One sample picture without and with a move, the probability of the target, and whether the decision flips."""

    before: Image.Image
    after: Image.Image
    prob_before: float
    prob_after: float
    flipped: bool


@dataclass(frozen=True)
class Way:
    """A coordinate moved on pictures of `source` towards `target`.

    `found` is what AttFind measured of just that move, None where it did not keep it.
    """

    source: str
    target: str
    direction: Direction
    found: Attribute | None
    shots: list[Shot]


@dataclass(frozen=True)
class Row:
    """A class-level attribute, there and back."""

    attribute: Attribute
    there: Way
    back: Way


@dataclass(frozen=True)
class Miss:
    """A sample that the classifier sees worst: the class it was made for, the one it is called, and the probability of
    the first. Where the two differ, and something makes it right, the reconstruction before and after that change."""

    picture: Image.Image
    label: str
    called: str
    prob: float
    before: Image.Image | None = None
    after: Image.Image | None = None
    prob_after: float = 0.0


@dataclass(frozen=True)
class Survey:
    """All of it for one pair of classes.

    Attributes:
        rows: best first.
        curves: what is counted -> (k, share of the decisions that the first k attributes together change).
        counted_on: the pictures behind the curves, in words.
        worst: the labelled samples with the largest loss, the worst first.
    """

    source: str
    target: str
    rows: list[Row]
    curves: dict[str, Curve]
    counted_on: str
    worst: list[Miss]


@torch.no_grad()
def survey(
    model: StylEx,
    pictures: Sequence[Path],
    source: str,
    target: str,
    metrics: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Survey:
    """What moves pictures of `source` to `target`, and back.

    Args:
        pictures: samples; those whose reconstruction the classifier calls `source` or `target` are moved.
        metrics: what train/evaluate.py measured; without it the curve is counted on the samples.
        progress: called with the number of pictures drawn so far and of all of them.
    """
    names = model.class_names
    s = sampled(model, pictures)
    labels = model.logits_of(s).argmax(dim=1) if len(s) else torch.zeros(0)
    count = PICTURES if model.resolution <= LARGE else LARGE_PICTURES
    sides = {name: s[labels == names.index(name)] for name in (source, target)}
    found = towards(model.attributes, source, target)[:MOST_ATTRIBUTES]
    total = len(found) * sum(len(side[:count]) for side in sides.values())
    done, rows = 0, []
    for a in found:
        back = Direction(1 - a.direction)
        ways = []
        for start, end, direction in ((source, target, a.direction), (target, source, back)):
            shots = shots_of(model, sides[start][:count], a.index, direction, names.index(end))
            ways.append(Way(start, end, direction, _measured(model, a.index, direction, start, end), shots))
            done += len(shots)
            if done:
                progress(done, total)
        rows.append(Row(a, *ways))
    curves = measured_curves(metrics, len(found))
    counted_on = f"{(metrics or {}).get('n')} held-out pictures, all classes together"
    if not curves and found and len(sides[source]):
        curves = {"this classifier": counted_curve(model, sides[source], found, names.index(target))}
        counted_on = f"the {len(sides[source])} sample pictures that it calls {source}: too few for more than a hint"
    return Survey(source, target, rows, curves, counted_on, worst(model, pictures))


def label_of(path: Path, class_names: Sequence[str]) -> str | None:
    """The class that a sample was made for, from its name, such as diseased-3.png; None where that says none."""
    name = path.stem.rpartition("-")[0]
    return next((c for c in class_names if c == name), None)


def worst(model: StylEx, pictures: Sequence[Path]) -> list[Miss]:
    """The samples whose class the classifier gives the least probability."""
    labelled = [(path, label) for path in pictures if (label := label_of(path, model.class_names))]
    found = []
    for path, label in labelled:
        x = model.load_images([path])
        probs = model.classify(x)[0]
        called, p = model.class_names[int(probs.argmax())], float(probs[model.class_names.index(label)])
        found.append((path, Miss(to_pil(x), label, called, p)))
    found.sort(key=lambda each: each[1].prob)
    return [righted(model, path, miss) for path, miss in found[:WORST]]


def righted(model: StylEx, path: Path, miss: Miss) -> Miss:
    """The same with the smallest change that makes the classifier see the class, if it errs and there is one."""
    if miss.called == miss.label:
        return miss
    try:
        (edit,) = model.counterfactual(path, miss.label).attributes
    except MethodError:
        return miss
    return replace(miss, before=edit.before, after=edit.image, prob=edit.prob_before, prob_after=edit.prob_after)


def sampled(model: StylEx, pictures: Sequence[Path]) -> Tensor:
    """Styles [N, S] of sample pictures."""
    return torch.cat(
        [model.styles(model.encode(model.load_images([path]))) for path in pictures] or [torch.zeros(0, 0)]
    )


def _measured(model: StylEx, index: int, direction: Direction, source: str, target: str) -> Attribute | None:
    known = towards(model.attributes, source, target)
    return next((a for a in known if (a.index, a.direction) == (index, direction)), None)


def shots_of(model: StylEx, s: Tensor, index: int, direction: Direction, target: int) -> list[Shot]:
    """Each picture of s [N, S] with one coordinate moved to the end of its range."""
    if not len(s):
        return []
    assert model.stats is not None
    x, x_moved = model.synthesize(s), model.synthesize(move(s, index, direction, model.stats))
    before, after = model.classify(x), model.classify(x_moved)
    flipped = (before.argmax(dim=1) != target) & (after.argmax(dim=1) == target)
    return [
        Shot(to_pil(x[n]), to_pil(x_moved[n]), float(before[n, target]), float(after[n, target]), bool(flipped[n]))
        for n in range(len(s))
    ]


def counted_curve(model: StylEx, s: Tensor, attributes: Sequence[Attribute], target: int) -> Curve:
    """(k, share of the pictures s [N, S] that the first k attributes, moved together, bring to the target)."""
    assert model.stats is not None
    curve = []
    for k in range(1, len(attributes) + 1):
        moved = move_together(s, [(a.index, a.direction) for a in attributes[:k]], model.stats)
        curve.append((k, float((model.logits_of(moved).argmax(dim=1) == target).float().mean())))
    return curve


def measured_curves(metrics: Mapping[str, Any] | None, most: int) -> dict[str, Curve]:
    """The sufficiency that train/evaluate.py measured, up to `most` attributes; nothing of what is no such number."""
    curves = {}
    for name, key in (("this classifier", "sufficiency"), ("a second, independent judge", "second_sufficiency")):
        try:
            points = sorted((int(k), float(share)) for k, share in (metrics or {})[key].items())
        except (KeyError, AttributeError, TypeError, ValueError):
            continue
        if points := [(k, share) for k, share in points if 1 <= k <= max(most, 2) and 0 <= share <= 1]:
            curves[name] = points
    return curves


def limits_of(card: str | None) -> list[str]:
    """The sentences under "Limits" on a model card, without their Markdown."""
    found = re.search(r"^## +Limits[^\n]*\n(.*?)(?=^## |^<!--|\Z)", card or "", re.MULTILINE | re.DOTALL)
    items = re.split(r"\n\s*\n|^\s*[-*] +", found[1] if found else "", flags=re.MULTILINE)
    plain = [re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", item) for item in items]
    return [text for item in plain if (text := re.sub(r"[`*]", "", " ".join(item.split())))]
