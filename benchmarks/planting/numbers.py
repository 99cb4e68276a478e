"""Every number of the proof as a pure function; docs/proof.md says in words what each means.

Nothing here knows a picture or a network: factors and what was read of them, logits, and maps come as tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# An edit claims something if on average it raises the target's probability by so much, and a factor is a cause only if
# re-drawing it does. Probabilities are calibrated: of a classifier that knows nothing, none does.
CLAIM = 0.1
# Beside the factor with the most effect, those with at least this share of it are causes, too.
CAUSE = 0.25
TOP = 5  # edits of a method that are looked at


def r_squared(true: Tensor, read: Tensor) -> Tensor:
    """Share of each column's variance that is read off: 1 - Σ (read - true)² / Σ (true - mean)², [N, J] twice -> [J].

    A column that does not vary has none to be read: NaN.
    """
    rest = (read - true).square().sum(dim=0)
    whole = (true - true.mean(dim=0)).square().sum(dim=0)
    return torch.where(whole > 0, 1 - rest / whole, torch.nan)


def causes(effect: Tensor, rise: Tensor) -> Tensor:
    """Which factors are causes: [J] bool.

    Args:
        effect: [J] what re-drawing each alone can do to the target's lead, in logits, on average.
        rise: [J] the same of its probability.
    """
    return (effect >= CAUSE * effect.amax()) & (rise >= CLAIM)


def amounts(change: Tensor) -> Tensor:
    """How much an edit changes each factor: mean absolute change, [N, J] in standard deviations -> [J]."""
    return change.abs().mean(dim=0)


def main_factor(change: Tensor) -> int:
    """The factor that an edit changes most, from [N, J] in standard deviations."""
    return int(amounts(change).argmax())


def purity(change: Tensor) -> float:
    """Share of all that an edit changes which is its main factor: [N, J] -> 1 / J to 1; 0 where nothing changes."""
    amount = amounts(change)
    return float(amount.amax() / amount.sum()) if amount.sum() > 0 else 0.0


def recall(found: Sequence[int], true: Tensor) -> float:
    """Share of the causes [J] bool that are the main factor of some edit; NaN where there is no cause."""
    wanted = set(true.nonzero().flatten().tolist())
    return len(wanted & set(found)) / len(wanted) if wanted else float("nan")


def false_causes(found: Sequence[int], true: Tensor) -> int:
    """How many of the edits change something most that is no cause [J] bool."""
    return sum(not bool(true[j]) for j in found)


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's: the correlation of the ranks of two [N], ties sharing theirs; NaN where one of them is constant."""
    first, second = _ranks(a), _ranks(b)
    first, second = first - first.mean(), second - second.mean()
    scale = (first.square().sum() * second.square().sum()).sqrt()
    return float((first * second).sum() / scale) if scale > 0 else float("nan")


def _ranks(values: Tensor) -> Tensor:
    """[N], each the mean of the places that its value takes in order."""
    below = (values[:, None] > values).sum(dim=1)
    same = (values[:, None] == values).sum(dim=1)
    return below.double() + (same.double() - 1) / 2


def place(maps: Tensor, masks: Tensor) -> float:
    """Share of the mass of maps [N, H, W] that lies inside of masks [N, H, W] bool, on average; what is below 0 counts
    for nothing, and so does a map without mass."""
    mass = maps.clamp(min=0).double()
    whole = mass.sum(dim=(1, 2))
    inside = (mass * masks).sum(dim=(1, 2))
    kept = whole > 0
    return float((inside[kept] / whole[kept]).mean()) if kept.any() else float("nan")
