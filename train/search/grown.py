"""Lists whose moves are made together, from what a search measured and a generator to try more: `attfind.together`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylex.attfind.effects import EditsOf, LogitsOf, lead
from stylex.attfind.selection import Accept, Move
from stylex.attfind.shards import Measured, Plan
from stylex.attfind.together import Cost, Effort, Grown, Pictures, grow
from stylex.stylespace import Direction


@dataclass(frozen=True)
class Generator:
    """What is asked beside the table.

    Attributes:
        logits_of: s [n, S] -> [n, K], with gradients.
        edits_of: see `effects.effect_table`.
        styles: numbers of pictures -> s [n, S].
    """

    logits_of: LogitsOf
    edits_of: EditsOf
    styles: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Job:
    """One list to grow.

    Attributes:
        say: [N] bool, the pictures that have one.
        rows: [n] numbers of those it is grown on, the first in the order of the plan, in which the classes take turns.
        target: [n] what each should become.
        mirrored: [n] bool, those on which every move goes the other way.
        candidates: moves to choose from.
        weight: [C] what a gain by each counts.
    """

    say: Tensor
    rows: Tensor
    target: Tensor
    mirrored: Tensor
    candidates: list[Move]
    weight: Tensor


def candidates_of(plan: Plan, shown: Tensor) -> list[Move]:
    """The moves of a plan that may be chosen, from [2, M] bool."""
    made = shown if plan.moves is None else shown & plan.moves
    return [(m, Direction(d)) for d, m in made.nonzero().tolist()]


def seen_more(share: Tensor, moves: Sequence[Move]) -> Tensor:
    """Between two moves that help alike, people should see the one chosen: half a gain's weight is who sees it.

    From the share [2, M] of the pictures on which each is seen: [C] from 0.5 to 1.
    """
    return torch.tensor([0.5 + 0.5 * float(share[d, m]) for m, d in moves])


def jobs_of(
    plan: Plan,
    jobs: Sequence[tuple[str, int]],
    masks: Sequence[Tensor],
    shares: Sequence[Tensor],
    shown: Sequence[Tensor],
    stable: Tensor,
    shared: bool,
) -> list[Job]:
    """What is grown: a list for each job of a `Choice`, or for two jobs one that they share."""
    says = [stable & mask for mask in masks]
    rows = [say.nonzero().flatten()[: Effort.pictures] for say in says]
    found = []
    for (_, target), say, mine, share, allowed in zip(jobs, says, rows, shares, shown, strict=True):
        candidates, wanted = candidates_of(plan, allowed), torch.full((len(mine),), target)
        found.append(Job(say, mine, wanted, wanted != target, candidates, seen_more(share, candidates)))
    if not shared:
        return found
    towards_0, towards_1 = found
    order = torch.cat(rows).argsort()
    targets = torch.cat([towards_0.target, towards_1.target])[order]
    back = [(m, d.opposite) for m, d in towards_0.candidates]
    weight = (towards_0.weight + seen_more(shares[1], back)) / 2
    mirrored = targets == jobs[1][1]
    return [Job(stable, torch.cat(rows)[order], targets, mirrored, towards_0.candidates, weight)]


def grow_list(
    generator: Generator,
    effects: Measured,
    plan: Plan,
    job: Job,
    count: int,
    explained: float,
    accept: Accept | None = None,
) -> tuple[list[Move], Grown]:
    """One list, and how it came about.

    A move that by itself does not raise the target's logit is no candidate, even if it should help on top of others:
    each attribute is also shown alone, and then has to say something for its class.

    Args:
        accept: a veto. A move of a list that is walked both ways has to pass it in both.
    """
    if not len(job.rows) or not job.candidates:
        return [], Grown()
    raised, led = alone(effects, job)
    helpful = (raised.mean(dim=0) > 0).nonzero().flatten()
    candidates = [job.candidates[c] for c in helpful.tolist()]
    moves = [(int(plan.candidates[m]), d) for m, d in candidates]

    def may(number: int) -> bool:
        m, d = candidates[number]
        ways = {(int(t), d.opposite if back else d) for t, back in zip(job.target, job.mirrored, strict=True)}
        return accept is None or all(accept(m, way, target) for target, way in sorted(ways))

    pictures = Pictures(generator.styles(job.rows), job.target, job.mirrored, led[:, helpful])
    found = grow(
        generator.logits_of,
        generator.edits_of,
        pictures,
        moves,
        plan.stats,
        count,
        explained=explained,
        weight=job.weight[helpful],
        accept=may,
        shift=plan.shift,
    )
    return [candidates[c] for c in found.chosen], found


def alone(effects: Measured, job: Job) -> tuple[Tensor, Tensor]:
    """What each candidate by itself did to the target's logit and to its lead on each picture: two of [n, C]."""
    both = [(m, d) for m, d in job.candidates] + [(m, d.opposite) for m, d in job.candidates]
    parts, start, last = [], 0, int(job.rows.max())
    for part in effects.moves(both):
        here = job.rows[(job.rows >= start) & (job.rows < start + len(part))]
        parts.append(part[here - start])
        start += len(part)
        if start > last:
            break
    straight, back = torch.cat(parts).cpu().chunk(2, dim=1)  # [n, C, K]
    change = torch.where(job.mirrored[:, None, None], back, straight)
    before, target = effects.logits[job.rows, None], job.target[:, None]
    raised = change.gather(2, target[..., None].expand(*change.shape[:2], 1)).squeeze(2)
    return raised, lead(before + change, target) - lead(before, target)


def told(grown: Sequence[Grown]) -> str:
    """What growing lists took, in words; one that is walked both ways was grown once."""
    once = {id(how): how.cost for how in grown}.values()
    cost = sum(once, Cost())
    return (
        f"{len(once)} {'list was' if len(once) == 1 else 'lists were'} grown with {cost.edits:,} moved copies, "
        f"{cost.pictures:,} whole pictures and {cost.gradients:,} gradients"
    )
