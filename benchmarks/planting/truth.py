"""What a classifier really goes by: pictures drawn again with one factor changed and nothing else.

The truth is the classifier's, not the label's: a factor that decides the label and that the classifier has not learnt
is no cause, and a shortcut that it has learnt is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.planting.numbers import causes
from benchmarks.planting.scenes import FACTORS, pixels, redrawn
from stylex.attfind.effects import lead
from train.data.pictures import to_float

VALUES = 5  # of a factor that may have any
# A pixel is part of what a factor draws if re-drawing it changes a channel by more levels of 255 than this.
DRAWN_LEVELS = 8

# Pictures [N, 3, side, side] in [-1, 1] -> logits [N, K].
LogitsOf = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Truth:
    """What re-drawing one factor does to the decision for a target class, over the pictures that are of another.

    Attributes:
        effect: [J] mean of the most that it can raise the target's lead over the strongest other class, in logits.
        rise: [J] the same of the target's probability.
    """

    effect: Tensor
    rise: Tensor

    @property
    def causes(self) -> Tensor:
        """[J] bool."""
        return causes(self.effect, self.rise)


def drawn_logits(logits_of: LogitsOf, factors: Tensor, seeds: Sequence[int], side: int) -> Tensor:
    """What the classifier says of the exact pictures of factors [N, J]: [N, K]."""
    parts = []
    for start in range(0, len(factors), 256):
        part = slice(start, start + 256)
        parts.append(logits_of(to_float(pixels(factors[part], seeds[part], side))))
    return torch.cat(parts)


def truths(logits_of: LogitsOf, factors: Tensor, seeds: Sequence[int], side: int) -> dict[int, Truth]:
    """The truth about every class, from pictures of factors [N, J] and a seed each.

    Every factor is set to each of its values, or `VALUES` of them, on every picture. The best value may be another one
    for each picture: whether a cause speaks for a class may hang on the other factors (XOR).
    """
    before = drawn_logits(logits_of, factors, seeds, side)
    after = []  # J times [V, N, K]
    for j, factor in enumerate(FACTORS):
        each = [redrawn(factors, j, value) for value in factor.grid(VALUES).tolist()]
        after.append(torch.stack([drawn_logits(logits_of, there, seeds, side) for there in each]))
    found = {}
    for target in range(before.shape[1]):
        rest = before.argmax(dim=1) != target
        if not rest.any():
            continue
        start, sure = lead(before[rest], target), before[rest].softmax(dim=1)[:, target]
        effect = [(lead(a[:, rest], target) - start).amax(dim=0).mean() for a in after]
        rise = [(a[:, rest].softmax(dim=2)[..., target] - sure).amax(dim=0).mean() for a in after]
        found[target] = Truth(torch.stack(effect), torch.stack(rise))
    return found


def masks(factors: Tensor, seeds: Sequence[int], side: int, which: Sequence[int]) -> Tensor:
    """Where pictures show some factors: what re-drawing one of them, to any of its values, changes. [N, H, W]."""
    here = pixels(factors, seeds, side).int()
    found = torch.zeros(len(factors), side, side, dtype=torch.bool)
    for j in which:
        for value in FACTORS[j].grid(VALUES).tolist():
            there = pixels(redrawn(factors, j, value), seeds, side).int()
            found |= (there - here).abs().amax(dim=1) > DRAWN_LEVELS
    return found
