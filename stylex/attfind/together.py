"""A list grown with its moves made together: each step tries moves on top of those already chosen.

The rules of `selection` add up what single moves did, and single moves do not add up: two that do the same saturate,
and where the end of a range belongs to a third class, a later move takes back what an earlier one gave. Here nothing is
added up. A picture counts by its lead, how far the target is ahead of the strongest other class with all moves of the
list made, and a move is chosen by how far it raises that lead, up to `explained` logits: more is of no use to anybody,
and less after the move than before is a loss.

A step costs passes through the generator, so it asks little at a time (`Effort`): the gradient, and what the single
moves did, say which moves are worth trying; those are tried on some of the pictures that have not flipped, and on those
that have flipped by the least; and the best of them on all pictures, so that none is chosen that undoes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..stylespace import Direction, StyleStats
from .effects import EditsOf, LogitsOf, lead
from .selection import EXPLAINED, Move

# A smaller gain is how two batches of different size round, and no gain.
ROUNDING = 1e-4
# Pictures that go through the generator, and back for the gradient, at once.
BATCH = 16
# Draws of the pictures by which a choice is doubted.
DRAWS = 200


@dataclass(frozen=True)
class Effort:
    """What a step may cost.

    Attributes:
        pictures: on which a list is grown, at most; the caller chooses them.
        sample: of those, on how many moves are tried.
        tried: moves tried at a time, the most promising.
        confirmed: of those, how many are made on all pictures.
    """

    pictures: int = 48
    sample: int = 16
    tried: int = 16
    confirmed: int = 3


@dataclass(frozen=True)
class Pictures:
    """Pictures on their way to another class.

    Attributes:
        s: [n, S].
        target: [n] the class that each should become.
        mirrored: [n] bool, those on which every move goes the other way: a list of two classes is walked both ways.
        single: [n, C] what each of the candidates alone does to the lead, as far as that was measured before.
    """

    s: Tensor
    target: Tensor
    mirrored: Tensor
    single: Tensor


@dataclass
class Cost:
    """Passes: copies with one coordinate changed (`edits`), whole pictures, and pictures with a gradient."""

    edits: int = 0
    pictures: int = 0
    gradients: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.edits + other.edits, self.pictures + other.pictures, self.gradients + other.gradients)


@dataclass
class Grown:
    """A list, and how it came about.

    Attributes:
        chosen: numbers of candidates, in order.
        flipped: share of the pictures whose decision is the target, after each.
        certain: share of draws of the pictures that it was tried on in which each would have been chosen, of all that
            were tried with it: on top of those before it, which stay.
        cost: what the search took.
    """

    chosen: list[int] = field(default_factory=list)
    flipped: list[float] = field(default_factory=list)
    certain: list[float] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)


def grow(
    logits_of: LogitsOf,
    edits_of: EditsOf,
    pictures: Pictures,
    candidates: Sequence[Move],
    stats: StyleStats,
    count: int,
    *,
    explained: float = EXPLAINED,
    weight: Tensor | None = None,
    accept: Callable[[int], bool] = lambda candidate: True,
    shift: float = 1.0,
    effort: Effort = Effort(),
) -> Grown:
    """Grow one list.

    Where none of the most promising moves helps, the next are tried. A list ends when `count` are chosen, when the
    target leads by `explained` on every picture, or when nothing helps: of moves beyond the first of a step it may try,
    in all its steps, as many as there are.

    Args:
        logits_of: [n, S] -> [n, K], and gradients flow through it.
        edits_of: see `effects.effect_table`.
        candidates: C moves (coordinate, direction) to choose from; a coordinate moves at most once.
        stats: the ranges.
        explained: logits of lead that a picture needs, 0 for the bare decision.
        weight: [C] what a gain by each counts, for instance less where fewer people see it.
        accept: a veto, asked only of candidates that would be chosen.
        shift: see `stylespace.move`.
    """
    grown = Grown()
    growth = _Growth(logits_of, edits_of, pictures, candidates, stats, explained, shift, effort, grown.cost)
    left = torch.ones(len(candidates), dtype=torch.bool)
    weight = torch.ones(len(candidates)) if weight is None else weight
    allowance = len(candidates)  # so that the cost is bounded, and the last step may still try everything
    while len(grown.chosen) < count and growth.open.any() and left.any():
        rows, each = growth.sample()
        promise = torch.where(left, each @ growth.promise(rows) * weight, -torch.inf)
        order = promise.argsort(descending=True, stable=True)[: int(left.sum())]
        best = None
        for part in order.split(effort.tried):
            if part[0] != order[0]:
                if allowance <= 0:
                    break
                allowance -= len(part)
            gains = each[:, None] * growth.gains(rows, part) * weight[part]  # [r, T]
            best, undone = growth.make_best(gains.sum(dim=0), part, weight, accept, left)
            if best is not None:
                break
        if best is None:
            break
        left &= growth.index != growth.index[best]
        grown.chosen.append(best)
        grown.flipped.append(float((growth.lead > 0).float().mean()))
        grown.certain.append(_share_of_draws(gains, undone, int((part == best).nonzero())))
    return grown


class _Growth:
    """The pictures with the moves chosen so far made, and what more moves would do to them."""

    def __init__(
        self,
        logits_of: LogitsOf,
        edits_of: EditsOf,
        pictures: Pictures,
        candidates: Sequence[Move],
        stats: StyleStats,
        explained: float,
        shift: float,
        effort: Effort,
        cost: Cost,
    ) -> None:
        self.logits_of, self.edits_of, self.explained = logits_of, edits_of, explained
        self.effort, self.cost = effort, cost
        self.s, self.target, self.single = pictures.s, pictures.target, pictures.single
        self.index = torch.tensor([i for i, _ in candidates], dtype=torch.long)
        direction = torch.tensor([int(d) for _, d in candidates], dtype=torch.long)
        ends = torch.stack([stats.s_min, stats.s_max]).to(self.s)[:, self.index.to(self.s.device)]  # [2, C]
        way = direction ^ pictures.mirrored[:, None].long()  # [n, C]
        end = torch.where(way.to(self.s.device) == Direction.UP, ends[1], ends[0])
        here = self.s[:, self.index.to(self.s.device)]
        # A coordinate moves once, so its way does not depend on what else has moved.
        self.values = here + shift * (end - here)  # [n, C]
        self.lead = self._leads(self.s)

    @property
    def open(self) -> Tensor:
        """[n] bool, pictures that have not flipped by as much as was asked."""
        return self.lead < self.explained

    def _worth(self, leads: Tensor) -> Tensor:
        return leads.clamp(max=self.explained)

    @torch.no_grad()
    def _leads(self, s: Tensor) -> Tensor:
        self.cost.pictures += len(s)
        logits = torch.cat([self.logits_of(part) for part in s.split(BATCH)]).float().cpu()
        return lead(logits, self.target)

    def sample(self) -> tuple[Tensor, Tensor]:
        """Pictures to try moves on, and for how much of a mean over all pictures each of them stands: [r], [r].

        Open ones, evenly through their order, in which the classes take turns; if those are few, also the flipped ones
        that are nearest to being undone.
        """
        size, count = self.effort.sample, len(self.lead)
        rows = self.open.nonzero().flatten()
        some = rows[torch.linspace(0, len(rows) - 1, min(size, len(rows))).round().long()]
        flipped = torch.where(self.open, torch.inf, self.lead).argsort(stable=True)[: count - len(rows)]
        near = flipped[: size - len(some)]
        each = torch.cat([torch.full((len(some),), len(rows) / len(some)), torch.ones(len(near))])
        return torch.cat([some, near]), each / count

    def promise(self, rows: Tensor) -> Tensor:
        """What each candidate promises to do to some of the pictures: [r, C].

        Half from the gradient where the pictures are now, half from what it did alone where they began: the one is of
        the right place, the other of the right length.
        """
        ways = []
        for part in rows.split(BATCH):
            with torch.enable_grad():
                start = self.s[part].detach().clone().requires_grad_()
                leads = lead(self.logits_of(start).float(), self.target[part].to(start.device))
                (slope,) = torch.autograd.grad(leads.sum(), start)
            index = self.index.to(start.device)
            ways.append((slope[:, index] * (self.values[part] - start[:, index])).detach().float().cpu())
        self.cost.gradients += len(rows)
        here = self.lead[rows, None]
        guesses = [self._worth(here + gain) - self._worth(here) for gain in (torch.cat(ways), self.single[rows])]
        return (guesses[0] + guesses[1]) / 2

    @torch.no_grad()
    def gains(self, rows: Tensor, candidates: Tensor) -> Tensor:
        """What each of the candidates really does to some of the pictures: [r, T]."""
        found, index = [], self.index[candidates].to(self.s.device)
        for row in rows.tolist():
            logits = self.edits_of(self.s[row : row + 1])(index, self.values[row, candidates]).float().cpu()
            found.append(self._worth(lead(logits, self.target[row])) - self._worth(self.lead[row]))
        self.cost.edits += len(rows) * len(candidates)
        return torch.stack(found)

    def make_best(
        self, means: Tensor, candidates: Tensor, weight: Tensor, accept: Callable[[int], bool], left: Tensor
    ) -> tuple[int | None, Tensor]:
        """Make the move that gains most over all pictures, of those that seem to.

        Args:
            means: [T] what each of the candidates [T] gains over all pictures, as far as those it was tried on tell.
            left: [C] bool; a coordinate that is refused is taken out.

        Returns:
            The move, None if none gains; and how far each is off those means on all pictures, where it was made there.
        """
        best: int | None = None
        most, leads, asked, undone = ROUNDING, self.lead, 0, torch.zeros_like(means)
        for place in means.argsort(descending=True, stable=True).tolist():
            if asked == self.effort.confirmed or means[place] <= most:
                break
            candidate = int(candidates[place])
            if not left[candidate]:
                continue
            if not accept(candidate):
                left &= self.index != self.index[candidate]
                undone[place] = -torch.inf
                continue
            asked += 1
            after = self._leads(self._with(candidate))
            total = (self._worth(after) - self._worth(self.lead)).mean() * weight[candidate]
            undone[place] = total - means[place]
            if total > most:
                most, best, leads = float(total), candidate, after
        if best is not None:
            self.s, self.lead = self._with(best), leads
        return best, undone

    def _with(self, candidate: int) -> Tensor:
        moved = self.s.clone()
        moved[:, int(self.index[candidate])] = self.values[:, candidate]
        return moved


def _share_of_draws(gains: Tensor, undone: Tensor, chosen: int) -> float:
    """In which share of draws of the pictures, with replacement, `chosen` gains most.

    Args:
        gains: [r, T] what each picture adds to the mean gain.
        undone: [T] what else is known of it.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(gains), (DRAWS, len(gains)), generator=generator)
    return float(((gains[drawn].sum(dim=1) + undone).argmax(dim=1) == chosen).float().mean())
