"""How much a decision depends on single style coordinates, whoever decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylex.methods.records import LogitsOf
from stylex.stylespace import Direction, StyleStats, move


@dataclass(frozen=True)
class Dependence:
    """Of one coordinate, over pictures and both ends of its range: the mean distance between the probabilities before
    and after (total variation, from 0 to 1), and the share of the moves that flip the decision; `each` [N] is the
    distance on each picture, at the end where it is larger."""

    distance: float
    flips: float
    each: Tensor


@torch.no_grad()
def dependence(
    logits_of: LogitsOf,
    s: Tensor,
    coordinates: Sequence[int],
    stats: StyleStats,
    batch_size: int = 64,
) -> list[Dependence]:
    """How far each coordinate moves the decision on pictures s [N, S].

    distance = mean over n and both ends of  1/2 sum_k |p_k(s_n with the coordinate at that end) - p_k(s_n)|
    """

    def probs(styles: Tensor) -> Tensor:
        return torch.cat([logits_of(part).softmax(dim=1) for part in styles.split(batch_size)])

    before, found = probs(s), []
    for index in coordinates:
        after = torch.stack([probs(move(s, index, direction, stats)) for direction in Direction])  # [2, N, K]
        distance = (after - before).abs().sum(dim=2) / 2
        flips = (after.argmax(dim=2) != before.argmax(dim=1)).float()
        found.append(Dependence(float(distance.mean()), float(flips.mean()), distance.amax(dim=0)))
    return found


def fall(before: Sequence[Dependence], after: Sequence[Dependence]) -> float:
    """By what share the mean distance has fallen; negative if it has risen, 0 if there was none."""
    first, last = (sum(d.distance for d in found) for found in (before, after))
    return 0.0 if first == 0 else 1 - last / first
