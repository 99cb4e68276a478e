"""From a table of effects to the attributes of a model, by the options of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from stylex import metrics
from stylex.attfind.effects import REST, Attribute
from stylex.attfind.selection import (
    Accept,
    Move,
    Rule,
    Table,
    realistic,
    select,
    select_image_fraction,
    select_two_class,
    unstable,
)
from stylex.attfind.shards import Measured, Plan
from stylex.attfind.together import Grown
from stylex.model import StylEx
from stylex.stylespace import Direction, move
from train.options.searching import Options
from train.search.grown import Generator, grow_list, jobs_of
from train.search.moves import differentiable
from train.search.question import check_decisions, class_number

# The discriminator judges a move at twice its length, where faults show (the notebook's shift_size).
DISCRIMINATOR_SHIFT = 2.0


def visible_shares(effects: Measured, masks: Sequence[Tensor]) -> list[Tensor]:
    """On which share of the pictures of each mask [N] bool a person sees each move: [2, M]."""
    counts: list[Tensor | float] = [0.0] * len(masks)
    start = 0
    for changed in effects.changed():
        seen = changed >= metrics.VISIBLE_SHARE
        for i, mask in enumerate(masks):
            counts[i] = counts[i] + seen[mask[start : start + len(seen)]].sum(dim=0)
        start += len(seen)
    return [torch.as_tensor(c) / mask.sum().clamp(min=1) for c, mask in zip(counts, masks, strict=True)]


def realism(model: StylEx, plan: Plan, pictures: Callable[[Tensor], tuple[Tensor, Tensor]]):
    """How far each of some pictures' score by the discriminator changes with a move, for `selection.realistic`.

    One picture at a time, because the discriminator compares those of a batch with each other.
    """
    judge = model.discriminator
    assert judge is not None  # `check_question`

    @torch.no_grad()
    def gap(rows: Tensor, position: int, direction: Direction) -> Tensor:
        found = []
        for s, probs in zip(*(t.split(1) for t in pictures(rows)), strict=True):
            moved = move(s, int(plan.candidates[position]), direction, plan.stats, DISCRIMINATOR_SHIFT)
            x = model.synthesize(moved)
            found.append((judge(model.synthesize(s), probs) - judge(x, model.classify(x))).abs())
        return torch.cat(found).cpu()

    return gap


@dataclass(frozen=True)
class Choice:
    """Lists of moves, and what they were chosen by.

    Attributes:
        jobs: (class name or REST, number of the target) of each list.
        masks: [N] bool, the pictures of each job.
        shares: [2, M], on which share of them a person sees each move.
        shown: [2, M] bool, the moves seen often enough.
        stable: [N] bool, the pictures that have a say.
        lists: the moves, best first.
        rule: by which they were chosen.
        grown: how each list came about, where its moves were made together.
    """

    jobs: list[tuple[str, int]]
    masks: list[Tensor]
    shares: list[Tensor]
    shown: list[Tensor]
    stable: Tensor
    lists: list[list[Move]]
    rule: str
    grown: list[Grown] = field(default_factory=list)


def why_empty(choice: Choice, number: int) -> str:
    """Why a list of a choice has no move."""
    mask, searched = choice.masks[number], int(choice.masks[number].sum())
    if not (mask & choice.stable).any():
        return f"none of its {searched} pictures has a say, for too many moves change them (--unstable_count)"
    if not choice.shown[number].any():
        return f"no move is seen on enough of its {searched} pictures (--min_visible)"
    return f"no move that may be chosen raises it on its {searched} pictures"


def choice_of(
    model: StylEx,
    effects: Measured,
    plan: Plan,
    o: Options,
    pictures: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> Choice:
    """Choose moves from a table of effects.

    Args:
        pictures: numbers of pictures -> their styles [n, S] and probabilities [n, K]; asked by the discriminator, and
            where moves are made together.

    Raises:
        DataError: if there is nothing to compare.
    """
    names, labels = model.class_names, effects.logits.argmax(dim=1)
    check_decisions([effects.logits], names, o)
    jobs = [(REST, k) for k in range(len(names))]
    if o.target:
        jobs = [(o.source or REST, class_number(o.target, names))]
    masks = [labels != t if source == REST else labels == class_number(source, names) for source, t in jobs]
    shares = visible_shares(effects, masks)
    shown = [share >= o.min_visible for share in shares]
    if share_a_list(jobs, names, o):
        both = shown[0] & shown[1].flip(0)  # a move has to show in either direction
        shown = [both, both.flip(0)]
    # Where few moves are made, the most promising, no picture could have as many strong ones as the notebook asks for.
    limit = min(o.unstable_count, plan.made * len(names) // 2)
    stable = ~unstable(effects, len(names), o.unstable_threshold, limit)
    gap = realism(model, plan, pictures) if o.discriminator else None
    if o.rule != "together":
        lists = lists_of(effects, labels, names, jobs, shown, stable, o, gap)
        return Choice(jobs, masks, shares, shown, stable, lists, o.rule)
    generator = Generator(differentiable(model), model.edits_of(plan.batch_size), lambda rows: pictures(rows)[0])
    shared = share_a_list(jobs, names, o)
    found: list[tuple[list[Move], Grown]] = []
    for job in tqdm(jobs_of(plan, jobs, masks, shares, shown, stable, shared), desc="lists", unit="list"):
        accept = None if gap is None else veto(effects, gap, job.say, o)
        found.append(grow_list(generator, effects, plan, job, o.count, o.explained, accept))
    if shared:
        towards_0, how = found[0]
        found.append(([(m, d.opposite) for m, d in towards_0], how))
    lists, grown = [chosen for chosen, _ in found], [how for _, how in found]
    return Choice(jobs, masks, shares, shown, stable, lists, o.rule, grown)


def share_a_list(jobs: Sequence[tuple[str, int]], names: Sequence[str], o: Options) -> bool:
    """Two classes have one list for both ways, unless it goes by the number of pictures changed."""
    return len(jobs) == len(names) == 2 and o.rule != "image_fraction"


def veto(effects: Table, gap: Callable[[Tensor, int, Direction], Tensor], rows: Tensor, o: Options) -> Accept:
    """The discriminator's, on the pictures `rows` [N] bool."""
    return realistic(effects, gap, rows=rows, effect_threshold=o.effect_threshold, threshold=o.discriminator)


def lists_of(
    effects: Table,
    labels: Tensor,
    names: Sequence[str],
    jobs: Sequence[tuple[str, int]],
    shown: Sequence[Tensor],
    stable: Tensor,
    o: Options,
    gap: Callable[[Tensor, int, Direction], Tensor] | None = None,
) -> list[list[Move]]:
    """One list of moves for each job, by the rules that read the table alone; see `Choice`."""
    by_target = {t: mask for (_, t), mask in zip(jobs, shown, strict=True)}

    def accept_on(rows: Tensor) -> Accept:
        real = None if gap is None else veto(effects, gap, rows, o)

        def accept(position: int, direction: Direction, target: int) -> bool:
            seen = bool(by_target[target][direction, position])
            return seen and (real is None or real(position, direction, target))

        return accept

    rule: Rule = "single" if o.rule == "single" else "accumulated"
    if share_a_list(jobs, names, o):
        towards_0 = select_two_class(
            effects, labels, o.count, o.explained, rule=rule, rows=stable, accept=accept_on(stable)
        )
        return [towards_0, [(m, d.opposite) for m, d in towards_0]]
    lists = []
    for source, target in jobs:
        rows = stable & (labels != target if source == REST else labels == names.index(source))
        if o.rule == "image_fraction":
            found = select_image_fraction(
                effects, target, o.count, o.effect_threshold, o.min_fraction, rows=rows, accept=accept_on(rows)
            )
        else:
            found = select(effects, target, o.count, o.explained, rule=rule, rows=rows, accept=accept_on(rows))
        lists.append(found)
    return lists


def attributes_of(model: StylEx, effects: Measured, plan: Plan, choice: Choice) -> list[Attribute]:
    """What the chosen moves did to all pictures of their job, unstable ones too; the best of every job first."""
    names = model.class_names
    old = {(a.index, a.direction, a.target): a.judged for a in model.attributes}
    numbers = measured(effects, choice)
    attributes = []
    for place in range(max(map(len, choice.lists))):
        for (source, target), share, chosen, found in zip(
            choice.jobs, choice.shares, choice.lists, numbers, strict=True
        ):
            if place >= len(chosen):
                continue
            m, direction = chosen[place]
            index = int(plan.candidates[m])
            layer, channel = model.space.locate(index)
            logit, spread, prob, flips = found[place].tolist()
            attributes.append(
                Attribute(
                    index=index,
                    layer=layer,
                    channel=channel,
                    direction=direction,
                    source=names[1 - target] if source == REST and len(names) == 2 else source,
                    target=names[target],
                    delta_logit=logit,
                    delta_logit_std=spread,
                    delta_prob=prob,
                    images_share=flips,
                    visible_share=float(share[direction, m]),
                    rule=choice.rule,
                    **old.get((index, direction, names[target]), {}),
                )
            )
    return attributes


def measured(effects: Measured, choice: Choice) -> list[Tensor]:
    """Mean and spread of the change of the target's logit, mean change of its probability, share of flips.

    One reading of the table for all lists: [len(list), 4] for each.
    """
    ends, everything = [0], []
    for chosen in choice.lists:
        everything += chosen
        ends.append(len(everything))
    sums = [torch.zeros(len(chosen), 4, dtype=torch.float64) for chosen in choice.lists]
    start = 0
    for part in effects.moves(everything) if everything else ():
        logits = effects.logits[start : start + len(part)]
        for i, ((_, target), mask) in enumerate(zip(choice.jobs, choice.masks, strict=True)):
            mine = mask[start : start + len(part)]
            change = part[mine, ends[i] : ends[i + 1]]  # [n, L, K]
            before = logits[mine].unsqueeze(1)
            gain = change[..., target].double()
            prob = ((before + change).softmax(-1) - before.softmax(-1))[..., target]
            flips = ((before + change).argmax(-1) == target).double()
            sums[i] += torch.stack([gain, gain.square(), prob.double(), flips], dim=-1).sum(dim=0)
        start += len(part)
    found = []
    for total, mask in zip(sums, choice.masks, strict=True):
        mean = total / mask.sum().clamp(min=1)
        mean[:, 1] = (mean[:, 1] - mean[:, 0].square()).clamp(min=0).sqrt()
        found.append(mean)
    return found
