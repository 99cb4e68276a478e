"""Which coordinates are worth moving: a first-order guess, and how far to trust it.

The gradient of a logit times the way to the end of the range promises what a move would do. Only the most promising
coordinates are then really moved. What that misses is measured, not assumed: on a sample of pictures every coordinate
is moved, and a `Certificate` says how much of the true list the guess kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from .attfind import LogitsOf
from .selection import select_one_vs_rest
from .stylespace import StyleStats


def promise(
    logits_of: LogitsOf, s: Tensor, stats: StyleStats, target: int, searched: int, shift: float = 1.0
) -> Tensor:
    """What each move promises for the logit of `target`: gradient times distance.

    Args:
        logits_of: [N, S] -> [N, K], and gradients flow through it.
        s: [N, S].
        searched: M, how many coordinates from the front.

    Returns:
        [N, 2, M].
    """
    with torch.enable_grad():
        start = s.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(logits_of(start)[:, target].sum(), start)
    ends = torch.stack([stats.s_min, stats.s_max]).to(s)
    return shift * (gradient[:, None] * (ends - s[:, None]))[..., :searched]


def total_promise(
    logits_of: LogitsOf, parts: Iterable[Tensor], stats: StyleStats, classes: int, searched: int, shift: float = 1.0
) -> Tensor:
    """Sum over pictures of what each move promises for each class, where they are not of it and it is no harm.

    Args:
        parts: styles [n, S], a few pictures at a time.

    Returns:
        [K, 2, M].
    """
    total = torch.zeros(classes, 2, searched, dtype=torch.float64)
    for s in parts:
        with torch.no_grad():
            labels = logits_of(s).argmax(dim=1)
        for target in range(classes):
            others = s[labels != target]
            if len(others):
                found = promise(logits_of, others, stats, target, searched, shift)
                total[target] += found.clamp(min=0).sum(dim=0).double().cpu()
    return total


def shortlist(total: Tensor, count: int) -> Tensor:
    """The `count` coordinates that promise most for each class, from [K, 2, M]: sorted, without doubles."""
    best = total.amax(dim=1)  # [K, M]
    return best.topk(min(count, best.shape[1]), dim=1).indices.flatten().unique()


@dataclass(frozen=True)
class Certificate:
    """What a shortlist kept of the true lists, on pictures on which every coordinate was moved.

    Attributes:
        pictures: how many those were.
        candidates: coordinates on the shortlist.
        recall_at_20: share of the 20 moves with the largest mean positive effect towards a class that it kept, over
            all classes; one move is 1/20 of one class.
        recall_per_picture: the same for the 20 best moves of each single picture.
        same_top_10: share of the classes whose first ten chosen moves are the same, in the same order.
    """

    pictures: int
    candidates: int
    recall_at_20: float
    recall_per_picture: float
    same_top_10: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def certify(effect: Tensor, labels: Tensor, candidates: Tensor) -> Certificate:
    """Compare a shortlist with the whole table.

    Args:
        effect: [N, 2, M, K] with every coordinate moved.
        labels: [N] the class of each reconstruction.
        candidates: [C] the shortlist, sorted.
    """
    kept = torch.zeros(effect.shape[2], dtype=torch.bool)
    kept[candidates] = True
    classes = effect.shape[3]
    recall, single, same = [], [], []
    for target in range(classes):
        others = effect[labels != target][..., target].clamp(min=0)
        if not len(others):
            continue
        recall.append(_kept_share(others.mean(dim=0, keepdim=True), kept))
        single.append(_kept_share(others, kept))
        # Never explained, so that ten moves are chosen wherever ten help.
        whole = select_one_vs_rest(effect, labels, target, 10, torch.inf)
        short = select_one_vs_rest(effect[:, :, candidates], labels, target, 10, torch.inf)
        same.append(float(whole == [(int(candidates[m]), d) for m, d in short]))
    return Certificate(
        pictures=len(effect),
        candidates=len(candidates),
        recall_at_20=float(torch.cat(recall).mean()),
        recall_per_picture=float(torch.cat(single).mean()),
        same_top_10=sum(same) / len(same),
    )


def _kept_share(values: Tensor, kept: Tensor, count: int = 20) -> Tensor:
    """Of the `count` largest of values [N, 2, M] (those above zero), the share on coordinates that were kept: [N]."""
    top = values.flatten(1).topk(min(count, 2 * len(kept)), dim=1)
    counts = top.values > 0
    hits = kept[top.indices % len(kept)] & counts
    return torch.where(counts.any(dim=1), hits.sum(dim=1) / counts.sum(dim=1).clamp(min=1), 1.0)
