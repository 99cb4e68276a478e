"""What the class-level attributes do to pictures they were not searched on, and to whom."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from stylex import metrics
from stylex.attfind.effects import towards
from stylex.model import StylEx
from stylex.stylespace import Direction, move, move_together
from train.measure.judges import Judge
from train.measure.redrawn import Redrawn
from train.measure.tally import Tally, middle

SUFFICIENCY_STEPS = 20
VISIBILITY_ATTRIBUTES = 5


@dataclass
class Flips:
    """By how many moves the decisions of one judge flip.

    Attributes:
        hits: for each number of moves, which pairs of a picture and a class then are of that class: [n] bool a batch.
        pictures: the number of the picture of each pair: [n] a batch.
    """

    hits: dict[int, list[Tensor]] = field(default_factory=lambda: {k: [] for k in range(1, SUFFICIENCY_STEPS + 1)})
    pictures: list[Tensor] = field(default_factory=list)

    @property
    def pairs(self) -> int:
        return sum(map(len, self.hits[1]))

    def tell(self, tally: Tally, name: str) -> None:
        tally.add_rates(name, {str(k): torch.cat(v) for k, v in self.hits.items()}, torch.cat(self.pictures))

    def needed(self) -> Tensor:
        """How many moves it took to flip each pair: [P], infinite where all of them did not."""
        table = torch.stack([torch.cat(v) for v in self.hits.values()])  # [20, P]
        first = table.float().argmax(dim=0) + 1.0
        return torch.where(table.any(dim=0), first, torch.inf)


def interventions(tally: Tally, of: Redrawn, judges: Sequence[Judge]) -> None:
    """Sufficiency, visibility and diversity of the class-level attributes, into a tally.

    sufficiency[k]: share of pairs (picture, target it is not) in which the first k attributes towards the target, moved
    together, make it the decision; at 10 also for each target, and the median of those. second_sufficiency[k]: the same
    by the judge, over the pairs in which it does not already see the target in the reconstruction; and the stranger's,
    who is asked about some of the pictures where there are many. needed_median: how many attributes it takes, the
    median pair; not there if more than half never flip. visibility: share of (pair, one of the top 5 attributes) in
    which a person sees the change. diversity: how differently the top 5 change a picture, 1 minus the mean cosine
    between two of their change maps. Nothing if there is no pair.
    """
    model, labels, own = of.model, of.labels, Flips()
    seen: list[tuple[Tensor, Tensor]] = []
    differ: list[tuple[Tensor, Tensor]] = []
    asked = {judge.name: some(len(of), judge.pairs, len(model.class_names), of.seed) for judge in judges}
    others = {judge.name: Flips() for judge in judges}
    by_target: dict[str, tuple[Tensor, Tensor]] = {}
    for target, name in enumerate(tqdm(model.class_names, desc="sufficiency")):
        pairs = 0
        for moves, part in searched_alike(model, labels, target, of.batch_size):
            pairs += len(part)
            here, before = of.at(part)
            open_to = {j.name: unconvinced(j, before, target, asked[j.name][part]) for j in judges}
            alone = [model.synthesize(move(here, i, d, of.stats, of.shift)) for i, d in moves[:VISIBILITY_ATTRIBUTES]]
            seen += [(metrics.visible(before, x).cpu(), part) for x in alone]
            if len(alone) > 1:
                differ.append((metrics.diversity(before, torch.stack(alone)).cpu(), part))
            own.pictures.append(part)
            for judge in judges:
                others[judge.name].pictures.append(part[open_to[judge.name].cpu()])
            for k in own.hits:
                if k > max(1, len(moves)):  # the list has ended, and the picture stays as it is
                    for flips in (own, *others.values()):
                        flips.hits[k] += flips.hits[k - 1][-1:]
                    continue
                edited = model.synthesize(move_together(here, moves[:k], of.stats, of.shift))
                own.hits[k].append((model.logits(edited).argmax(1) == target).cpu())
                for judge in judges:
                    others[judge.name].hits[k].append(says(judge, edited[open_to[judge.name]], target))
        if pairs:
            by_target[name] = torch.cat(own.hits[10])[-pairs:], torch.cat(own.pictures)[-pairs:]

    if not by_target:
        return
    own.tell(tally, "sufficiency")
    at_10 = {name: middle(hits) for name, (hits, _) in by_target.items()}
    tally.numbers["sufficiency_at_10_by_target"] = {name: round(value, 4) for name, value in at_10.items()}
    tally.intervals["sufficiency_at_10_by_target"] = {name: tally.interval(*found) for name, found in by_target.items()}
    tally.numbers["sufficiency_at_10_median"] = round(statistics.median(at_10.values()), 4)
    needed = own.needed()
    if middle(needed, "median") < torch.inf:
        tally.add("needed_median", needed, torch.cat(own.pictures), "median")
    if seen:
        tally.add("visibility", torch.cat([hits for hits, _ in seen]), torch.cat([part for _, part in seen]))
    if differ:
        tally.add("diversity", torch.cat([values for values, _ in differ]), torch.cat([part for _, part in differ]))
    for name, flips in others.items():
        if flips.pairs:  # not where the judge sees every target already
            flips.tell(tally, f"{name}_sufficiency")
            tally.numbers[f"{name}_sufficiency_among"] = flips.pairs


def some(count: int, pairs: int | None, classes: int, seed: int) -> Tensor:
    """Which of `count` pictures to ask about, so that there are about `pairs` pairs with a class they are not of."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[order if pairs is None else order[: max(1, pairs // (classes - 1))]] = True
    return chosen


def says(judge: Judge, x: Tensor, target: int) -> Tensor:
    """Whether the judge sees the target: [N] bool."""
    return (judge.logits(x).argmax(1) == target).cpu() if len(x) else torch.zeros(0, dtype=torch.bool)


def unconvinced(judge: Judge, before: Tensor, target: int, asked: Tensor) -> Tensor:
    """Which of the pictures that the judge is asked about it does not see as the target yet: [N] bool."""
    rows = asked.nonzero().flatten()
    found = torch.zeros(len(before), dtype=torch.bool)
    found[rows] = ~says(judge, before[rows.to(before.device)], target)
    return found.to(before.device)


def searched_alike(
    model: StylEx, labels: Tensor, target: int, batch_size: int
) -> Iterator[tuple[list[tuple[int, Direction]], Tensor]]:
    """The moves towards a target and the pictures [n] that they are for: one list for all other classes, or, where some
    were searched by themselves, several.

    Args:
        labels: [N] the class of each reconstruction.
    """
    groups: dict[tuple[tuple[int, Direction], ...], list[int]] = {}
    for source, name in enumerate(model.class_names):
        if source != target:
            found = towards(model.attributes, name, model.class_names[target])
            groups.setdefault(tuple((a.index, a.direction) for a in found), []).append(source)
    for moves, sources in groups.items():
        rows = torch.isin(labels, torch.tensor(sources)).nonzero().flatten()
        for part in rows.split(batch_size):
            if len(part):
                yield list(moves), part
