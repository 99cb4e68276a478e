"""The report of a search: how sure each rank is, how many attributes it takes, and pictures of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from stylex.attfind.effects import Attribute
from stylex.attfind.report import Entry, Flicker, report
from stylex.attfind.screening import Certificate
from stylex.attfind.selection import Move, effects_on, pictures_by_distance, pictures_by_effect, rank_certainty
from stylex.attfind.shards import Measured, Plan
from stylex.model import StylEx
from stylex.pictures.images import to_pil
from stylex.storage.outputs import put_text
from stylex.stylespace import Direction, move, move_together
from train.options.searching import Options
from train.search.choose import Choice, lists_of, share_a_list

BATCH = 32
# Moves beside the chosen ones that compete for a place when pictures are drawn anew.
RIVALS = 64
REPORTED_PICTURES = 100
SHOWN_PICTURES = 4


class Narrow:
    """A few coordinates of a table, in memory: {target: [N, 2, P]}."""

    def __init__(self, tables: dict[int, Tensor]) -> None:
        self.tables = tables

    def of(self, target: int) -> Iterator[Tensor]:
        yield self.tables[target]


def certainty_of(
    model: StylEx, effects: Measured, choice: Choice, o: Options, number: int
) -> list[tuple[float, int, int]]:
    """For each move of a list: in which share of draws of the pictures it is chosen, and between which ranks.

    The discriminator is not asked again. A list whose moves were made together is not grown again either: what is
    doubted is each move on top of those before it, at its place.
    """
    if choice.grown:
        return [(share, rank, rank) for rank, share in enumerate(choice.grown[number].certain, start=1)]
    names, labels, chosen = model.class_names, effects.logits.argmax(dim=1), choice.lists[number]
    # A list that two classes share is drawn as a whole, any other by itself.
    together = share_a_list(choice.jobs, names, o)
    jobs = range(len(choice.jobs)) if together else [number]
    positions = {m for m, _ in chosen}
    for i in jobs:
        parts = effects_on(effects, choice.jobs[i][1], choice.masks[i])
        total = sum((part.clamp(min=0).sum(dim=0) for part in parts), torch.zeros(()))
        promising = (total * choice.shown[i]).amax(dim=0)
        positions |= set(promising.topk(min(RIVALS, len(promising))).indices.tolist())
    kept = torch.tensor(sorted(positions))
    narrow = {}
    for i in jobs:
        target = choice.jobs[i][1]
        narrow[target] = torch.cat([part[:, :, kept] for part in effects.of(target)])
    mine, visible = [choice.jobs[i] for i in jobs], [choice.shown[i][:, kept] for i in jobs]

    def list_from(rows: Tensor) -> list[Move]:
        table = Narrow({target: x[rows] for target, x in narrow.items()})
        lists = lists_of(table, labels[rows], names, mine, visible, choice.stable[rows], o)
        return lists[number if together else 0]

    here = [(int((kept == m).nonzero()), direction) for m, direction in chosen]
    return rank_certainty(list_from, len(labels), here)


def sufficiency_of(
    model: StylEx, s: Tensor, target: int, moves: Sequence[tuple[int, Direction]]
) -> list[tuple[int, float]]:
    """(k, share of the pictures s [n, S] whose decision the first k moves together make the target)."""
    assert model.stats is not None
    curve = []
    for k in range(1, len(moves) + 1):
        edited = move_together(s, moves[:k], model.stats)
        flips = torch.cat([model.logits_of(part).argmax(dim=1) == target for part in edited.split(BATCH)])
        curve.append((k, float(flips.float().mean())))
    return curve


def write_report(
    path: Path,
    model: StylEx,
    effects: Measured,
    plan: Plan,
    choice: Choice,
    attributes: Sequence[Attribute],
    styles: Callable[[Sequence[str]], Tensor],
    o: Options,
    doubt: Certificate | None = None,
) -> None:
    """Everything a person needs to believe or doubt the attributes, as one page; see `stylex.attfind.report`."""
    by_move = {(a.index, a.direction, a.target): a for a in attributes}
    curves, entries = {}, []
    jobs = list(zip(choice.jobs, choice.masks, choice.lists, strict=True))
    for number, ((_, target), mask, chosen) in enumerate(tqdm(jobs, desc="report", unit="list")):
        if not chosen:
            continue
        certain = certainty_of(model, effects, choice, o, number)
        rows = mask.nonzero().flatten()
        moves = [(int(plan.candidates[m]), d) for m, d in chosen]
        s = styles([plan.pictures[i] for i in rows[:REPORTED_PICTURES].tolist()])
        name = model.class_names[target]
        curves[f"{by_move[(*moves[0], name)].source} → {name}"] = sufficiency_of(model, s, target, moves)
        changes = torch.cat(list(effects.moves(chosen)))[mask]  # [n, L, K]
        for place, ((m, direction), (index, _), certainty) in enumerate(zip(chosen, moves, certain, strict=True)):
            change = changes[:, place]
            before, after = effects.logits[mask], effects.logits[mask] + change
            if o.shown == "distance":
                ends = plan.stats.s_max if direction == Direction.UP else plan.stats.s_min
                distance = (effects.styles(m)[mask] - ends[index]).abs()
                shown = pictures_by_distance(before, after, distance, target, SHOWN_PICTURES)
            else:
                seed = 0 if o.shown == "random" else None
                shown = pictures_by_effect(before, after, target, SHOWN_PICTURES, o.effect_threshold, seed)
            # A weak move shows well on too few of them; then on those where it does most.
            shown = shown or change[:, target].topk(min(SHOWN_PICTURES, len(rows))).indices.tolist()
            one = styles([plan.pictures[i] for i in rows[shown].tolist()])
            moved = move(one, index, direction, plan.stats, plan.shift)
            x, x_moved = model.synthesize(one), model.synthesize(moved)
            probs, probs_moved = model.classify(x)[:, target].tolist(), model.classify(x_moved)[:, target].tolist()
            flickers = [Flicker(to_pil(x[i]), to_pil(x_moved[i]), probs[i], probs_moved[i]) for i in range(len(shown))]
            attribute = by_move[(index, direction, name)]
            entries.append(Entry(attribute, change[:, target].tolist(), certainty, flickers))
    notes = [
        f"{len(plan.pictures)} pictures of the {o.split} part, {plan.made:,} of {2 * model.space.num_conv:,} "
        f"moves made on each, shift {plan.shift:g}, rule {o.rule}; curves on at most {REPORTED_PICTURES} of them."
    ]
    if doubt is not None:
        notes.append(
            f"The moves were chosen by their gradient. On {doubt.pictures} pictures on which every one was made, "
            f"recall@20 is {doubt.recall_at_20:.3f} ({doubt.recall_per_picture:.3f} for single pictures), and "
            f"the first ten are the same for {doubt.same_top_10:.0%} of the classes."
        )
    elif plan.made < 2 * model.space.num_conv:
        notes.append("The moves were chosen by their gradient; what that missed was not measured (--certify).")
    title = f"What changes the mind of a classifier of {', '.join(model.class_names)}"
    put_text(path, report(title, entries, curves, notes), option="--effects")
