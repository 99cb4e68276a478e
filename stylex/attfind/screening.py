"""Which moves are worth making: a first-order guess, and how far to trust it.

The gradient of a logit times the way to the end of the range promises what a move would do. Only the most promising
moves are then really made. What that misses is measured, not assumed: on a sample of pictures every move is made, and
a `Certificate` says how much of the true list the guess kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ..gradients import differentiable
from ..stylespace import StyleStats
from .effects import LogitsOf
from .selection import select_one_vs_rest


def promise(
    logits_of: LogitsOf, s: Tensor, stats: StyleStats, searched: int, shift: float = 1.0
) -> tuple[Tensor, Tensor]:
    """What each move promises for the logit of every class that a picture is not of: gradient times distance.

    All classes share one forward pass, and no gradient is taken towards the class that a picture has already.

    Args:
        logits_of: [N, S] -> [N, K], and gradients flow through it.
        s: [N, S].
        searched: M, how many coordinates from the front.

    Returns:
        The targets [K - 1, N], each picture's other classes in turn, and what is promised for them [K - 1, N, 2, M].
    """
    with differentiable():
        start = s.clone().detach().requires_grad_()
        logits = logits_of(start)
        classes = logits.shape[1]
        targets = (logits.argmax(dim=1) + torch.arange(1, classes, device=s.device)[:, None]) % classes
        gradients: list[Tensor] = []
        for target in targets:
            aim = logits.gather(1, target[:, None]).sum()
            gradients += torch.autograd.grad(aim, start, retain_graph=len(gradients) < classes - 2)
    ways = shift * (torch.stack([stats.s_min, stats.s_max]).to(s) - s[:, None])  # [N, 2, S]
    return targets, (torch.stack(gradients)[:, :, None] * ways)[..., :searched]


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
        targets, promised = promise(logits_of, s, stats, searched, shift)
        total.index_add_(0, targets.flatten().cpu(), promised.flatten(0, 1).clamp(min=0).double().cpu())
    return total


def shortlist(total: Tensor, count: int) -> Tensor:
    """The `count` moves that promise most for each class, from [K, 2, M]: [2, M] bool.

    A move towards one class is seldom one towards another when it is turned around, so the other way of a coordinate
    costs time for nothing. Two classes are the exception: their list is walked both ways, and has both.
    """
    promised = total.flatten(1)  # [K, 2M]
    kept = torch.zeros(promised.shape[1], dtype=torch.bool)
    kept[promised.topk(min(count, len(kept)), dim=1).indices.flatten()] = True
    kept = kept.view(total.shape[1:])
    return kept | kept.flip(0) if len(total) == 2 else kept


@dataclass(frozen=True)
class Certificate:
    """What a shortlist kept of the true lists, on pictures on which every move was made.

    Attributes:
        pictures: how many those were.
        moves: how many are on the shortlist.
        recall_at_20: share of the 20 moves with the largest mean positive effect towards a class that it kept, over
            all classes; one move is 1/20 of one class.
        recall_per_picture: the same for the 20 best moves of each single picture.
        same_top_10: share of the classes whose first ten chosen moves are the same, in the same order.
    """

    pictures: int
    moves: int
    recall_at_20: float
    recall_per_picture: float
    same_top_10: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Certificate:
        """Build from parsed JSON.

        Raises:
            ValueError: if it is not one.
        """
        names = {f.name for f in fields(cls)}
        if not isinstance(values, dict) or values.keys() != names:
            raise ValueError(f"it must be an object of {', '.join(sorted(names))}")
        for key, value in values.items():
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
                raise ValueError(f"{key} is {value!r}; it must be a number from 0 up")
        return cls(**values)


def certify(effect: Tensor, labels: Tensor, kept: Tensor) -> Certificate:
    """Compare a shortlist with the whole table.

    Args:
        effect: [N, 2, M, K] of every move.
        labels: [N] the class of each reconstruction.
        kept: [2, M] bool, the shortlist.
    """
    listed = effect * kept[..., None]  # as a search of the shortlist sees it
    recall, single, same = [], [], []
    for target in range(effect.shape[3]):
        others = effect[labels != target][..., target].clamp(min=0)
        if not len(others):
            continue
        recall.append(_kept_share(others.mean(dim=0, keepdim=True), kept))
        single.append(_kept_share(others, kept))
        # Never explained, so that ten moves are chosen wherever ten help.
        whole = select_one_vs_rest(effect, labels, target, 10, torch.inf)
        same.append(float(whole == select_one_vs_rest(listed, labels, target, 10, torch.inf)))
    return Certificate(
        pictures=len(effect),
        moves=int(kept.sum()),
        recall_at_20=float(torch.cat(recall).mean()),
        recall_per_picture=float(torch.cat(single).mean()),
        same_top_10=sum(same) / len(same),
    )


def _kept_share(values: Tensor, kept: Tensor, count: int = 20) -> Tensor:
    """Of the `count` largest of values [N, 2, M] (those above zero), the share that was kept [2, M]: [N]."""
    top = values.flatten(1).topk(min(count, kept.numel()), dim=1)
    counts = top.values > 0
    hits = kept.flatten()[top.indices] & counts
    return torch.where(counts.any(dim=1), hits.sum(dim=1) / counts.sum(dim=1).clamp(min=1), 1.0)
