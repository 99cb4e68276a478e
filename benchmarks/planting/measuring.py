"""What a method's edits are worth, beside the truth, from whoever can be asked for pictures.

Takes callables, not models: a generator that is code is measured like a trained one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.planting import numbers
from benchmarks.planting.scenes import FACTORS, NAMES, redrawn
from benchmarks.planting.truth import LogitsOf, Truth, drawn_logits, masks
from stylex.attfind.effects import lead
from stylex.metrics import CONFIDENCE

SPREAD = torch.tensor([factor.spread for factor in FACTORS])
# Where more of a picture than this shows the causes, there is no place to hit.
EVERYWHERE = 0.5
# What is drawn one pixel beside the mask, as far as a blurred edge reaches, still hits it.
REACH = 1
DRAWS = 500  # of the pictures, for an interval


@dataclass(frozen=True)
class Asked:
    """Who is asked: styles [N, S] -> pictures [N, 3, H, W] in [-1, 1] -> logits [N, K], or factors [N, J]."""

    synthesize: Callable[[Tensor], Tensor]
    logits: LogitsOf
    read: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Held:
    """Held-out pictures: the factors [N, J] and seeds they are drawn from, and the styles [N, S] that the encoder gives
    them."""

    factors: Tensor
    seeds: Sequence[int]
    s: Tensor
    side: int

    def of(self, rows: Tensor) -> Held:
        return Held(self.factors[rows], [self.seeds[i] for i in rows.tolist()], self.s[rows], self.side)


@dataclass(frozen=True)
class Edited:
    """What one edit did to N pictures.

    Attributes:
        change: [N, J] of each factor as the reader sees it, in standard deviations.
        gain: [N] of the target's lead, in logits.
        exact: [N] of the same lead, on the exact picture, when its main factor is re-drawn with that change.
        rise: [N] of the target's probability.
        moved: [N, H, W] how far the channel that changes most does.
    """

    change: Tensor
    gain: Tensor
    exact: Tensor
    rise: Tensor
    moved: Tensor

    def of(self, rows: Tensor) -> Edited:
        return Edited(*(values[rows] for values in (self.change, self.gain, self.exact, self.rise, self.moved)))

    @property
    def main(self) -> int:
        return numbers.main_factor(self.change)

    @property
    def claimed(self) -> bool:
        return float(self.rise.mean()) >= numbers.CLAIM


def edited(ask: Asked, held: Held, after: Tensor, target: int) -> Edited:
    """Measure one edit: styles after it [N, S]."""
    before_x, after_x = all_of(ask.synthesize, held.s), all_of(ask.synthesize, after)
    before, now = all_of(ask.logits, before_x), all_of(ask.logits, after_x)
    change = (ask.read(after_x) - ask.read(before_x)) / SPREAD
    main = numbers.main_factor(change)
    there = redrawn(held.factors, main, held.factors[:, main] + change[:, main] * SPREAD[main])
    first = drawn_logits(ask.logits, held.factors, held.seeds, held.side)
    exact = lead(drawn_logits(ask.logits, there, held.seeds, held.side), target) - lead(first, target)
    rise = (now.softmax(dim=1) - before.softmax(dim=1))[:, target]
    moved = (after_x - before_x).abs().amax(dim=1)
    return Edited(change, lead(now, target) - lead(before, target), exact, rise, moved)


def all_of(function: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([function(part) for part in given.split(32)])


class Towards(NamedTuple):
    """A method's edits of N pictures towards one class.

    Attributes:
        truth: about that class.
        mask: [N, H, W] where the causes are drawn; None if they are everywhere, or if there are none.
    """

    edits: Sequence[Edited]
    truth: Truth
    mask: Tensor | None

    def drawn_anew(self, generator: torch.Generator) -> Towards:
        """The same on as many of the pictures, drawn with replacement."""
        if not self.edits:
            return self
        count = len(self.edits[0].gain)
        rows = torch.randint(count, (count,), generator=generator)
        mask = self.mask if self.mask is None else self.mask[rows]
        return Towards([edit.of(rows) for edit in self.edits[: numbers.TOP]], self.truth, mask)


def towards(asked: Towards) -> dict[str, Any]:
    """The numbers of a method's edits towards one class."""
    edits, truth, mask = asked
    claims = [edit for edit in edits[: numbers.TOP] if edit.claimed]
    found, true = [edit.main for edit in claims], truth.causes
    return {
        "listed": len(edits),
        "found": [NAMES[j] for j in found],
        "rise": [mean(edit.rise.tolist()) for edit in edits],
        "most_changed": [NAMES[edit.main] for edit in edits],
        "purities": [round(numbers.purity(edit.change), 4) for edit in claims],
        "recall_at_5": mean([numbers.recall(found, true)]),
        "false_causes": numbers.false_causes(found, true),
        "rank_correlation": (
            mean([numbers.rank_correlation(torch.cat([e.gain for e in claims]), torch.cat([e.exact for e in claims]))])
            if claims
            else None
        ),
        "place": mean([numbers.place(claims[0].moved, mask)]) if claims and mask is not None else None,
    }


def summed_up(by_target: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of a method over all classes: shares are means, false causes are counted together."""
    purities = [value for row in by_target for value in row["purities"]]
    return {
        "claims": sum(len(row["found"]) for row in by_target),
        "false_causes": sum(row["false_causes"] for row in by_target),
        "purity": mean(purities),
        **{key: mean([row[key] for row in by_target]) for key in ("recall_at_5", "rank_correlation", "place")},
    }


def intervals(by_target: Sequence[Towards]) -> dict[str, list[float] | None]:
    """Of each of these numbers, by draws of the pictures: which claims there are, and of what, may change with them."""
    generator = torch.Generator().manual_seed(0)
    draws = [summed_up([towards(one.drawn_anew(generator)) for one in by_target]) for _ in range(DRAWS)]
    return {key: ends([draw[key] for draw in draws]) for key in draws[0]}


def drawn_intervals(true: Tensor, read: Tensor) -> list[list[float] | None]:
    """Of the R² of each factor, from what was drawn and what was read of the drawings [N, J] twice, in the same way."""
    draws = torch.randint(len(true), (DRAWS, len(true)), generator=torch.Generator().manual_seed(0))
    found = torch.stack([numbers.r_squared(true[rows], read[rows]) for rows in draws])
    return [ends(column.tolist()) for column in found.T]


def ends(found: Sequence[float | None]) -> list[float] | None:
    """Percentile interval of what was found in each draw (Efron 1979, "Bootstrap Methods"); None where most draws have
    no such number."""
    known = sorted(value for value in found if value is not None and value == value)
    if len(known) <= len(found) / 2:
        return None
    cut = (1 - CONFIDENCE) / 2 * len(known)
    return [round(known[int(cut)], 4), round(known[-1 - int(cut)], 4)]


def mean(values: Sequence[float | None]) -> float | None:
    """Of those that are numbers; None if none is."""
    known = [value for value in values if value is not None and value == value]
    return round(sum(known) / len(known), 4) if known else None


def cause_masks(held: Held, truth: Truth) -> Tensor | None:
    """Where the causes are drawn, see `towards`."""
    which = truth.causes.nonzero().flatten().tolist()
    if not which:
        return None
    mask = masks(held.factors, held.seeds, held.side, which).float()[:, None]
    mask = torch.nn.functional.max_pool2d(mask, 2 * REACH + 1, stride=1, padding=REACH)[:, 0].bool()
    return None if mask.float().mean() > EVERYWHERE else mask
