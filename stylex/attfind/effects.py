"""AttFind: which style coordinates change the classifier's mind (Lang et al. 2021).

attfind knows nothing about images; it sees coordinates and logits. What it finds over many pictures, `selection` ranks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ..pictures.names import Proposal, Titled
from ..stylespace import Direction, StyleStats, move

# The source of an attribute searched on the pictures of all other classes.
REST = "rest"
# Fields that older files do not have.
OPTIONAL_NUMBERS = ("visible_share", "delta_logit_std")
OPTIONAL_TEXTS = ("name", "rule")
OPTIONAL = (*OPTIONAL_TEXTS, *OPTIONAL_NUMBERS, "proposal", "no_reason", "marks")
# What a person may have seen in an attribute: what the field knows, what merely goes along with the class, what the
# camera or the generator made, what is worth a look.
MARKS = ("known", "confounder", "artefact", "new")


@dataclass(frozen=True)
class Attribute(Titled):
    """One coordinate, the way to move it, and what that did to pictures of `source` on their way to `target`.

    Means over those pictures of the change of the target's logit and probability, the logit's spread, the share whose
    decision flips, and the share on which a person sees the change. For a person to fill in are `name`, `marks`, any of
    `MARKS`, and `no_reason`: that this should be no reason for a decision, see train/repair.py. `proposal` is a
    description that was measured (see `stylex/pictures/names.py`); `rule` says by which one it was chosen.
    """

    index: int
    layer: str
    channel: int
    direction: Direction
    source: str
    target: str
    delta_logit: float
    delta_prob: float
    images_share: float
    visible_share: float | None = None
    name: str | None = None
    delta_logit_std: float | None = None
    rule: str | None = None
    proposal: Proposal | None = None
    no_reason: bool = False
    marks: tuple[str, ...] = ()

    @property
    def judged(self) -> dict[str, Any]:
        """What a person has said of it, by field: what stays when everything else is measured anew."""
        return {"name": self.name, "no_reason": self.no_reason, "marks": self.marks}

    def to_dict(self) -> dict[str, Any]:
        row = {**asdict(self), "direction": self.direction.name.lower(), "marks": list(self.marks)}
        for key in ("no_reason", "marks"):
            if not row[key]:  # as older versions know it
                del row[key]
        return row

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Attribute:
        """Build from parsed JSON.

        Raises:
            ValueError: naming the key that is missing, unknown, or of the wrong kind.
        """
        if not isinstance(row, dict):
            raise ValueError(f"is {row!r}; it must be an object")
        known = {f.name for f in fields(cls)}
        if missing := sorted(known - set(OPTIONAL) - set(row)):
            raise ValueError(f"key {missing[0]} is missing")
        if unknown := sorted(set(row) - known):
            raise ValueError(f"key {unknown[0]} is unknown")
        for key in ("index", "channel"):
            if not isinstance(row[key], int) or isinstance(row[key], bool):
                raise ValueError(f"{key} is {row[key]!r}; it must be a whole number")
        for key in ("layer", "source", "target", *OPTIONAL_TEXTS):
            if not isinstance(row.get(key), str) and (key not in OPTIONAL_TEXTS or row.get(key) is not None):
                raise ValueError(f"{key} is {row[key]!r}; it must be a text")
        for key in ("delta_logit", "delta_prob", "images_share", *OPTIONAL_NUMBERS):
            value = row.get(key)
            if value is None and key in OPTIONAL_NUMBERS:
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
                raise ValueError(f"{key} is {value!r}; it must be a number")
        if not isinstance(row.get("no_reason", False), bool):
            raise ValueError(f"no_reason is {row['no_reason']!r}; it must be true or false")
        marks = row.get("marks", [])
        if not isinstance(marks, list) or not all(mark in MARKS for mark in marks) or len(set(marks)) < len(marks):
            raise ValueError(f"marks is {marks!r}; it must be a list of {', '.join(MARKS)}, each at most once")
        if row["direction"] not in ("down", "up"):
            raise ValueError(f"direction is {row['direction']!r}; it must be 'down' or 'up'")
        proposal = None if row.get("proposal") is None else Proposal.from_dict(row["proposal"])
        return cls(
            **{**row, "direction": Direction[row["direction"].upper()], "proposal": proposal, "marks": tuple(marks)}
        )


def towards(attributes: Sequence[Attribute], source: str, target: str) -> list[Attribute]:
    """The list of a pair of classes, best first: the one searched on pictures of `source` if there is one, else the one
    searched on those of all other classes. The two are never mixed: each is a list of moves to be made together."""
    own = [a for a in attributes if (a.source, a.target) == (source, target)]
    return own or [a for a in attributes if (a.source, a.target) == (REST, target)]


# Style coordinates [B, S] -> classifier logits [B, K].
LogitsOf = Callable[[Tensor], Tensor]
# What is seen of one picture when coordinate index[b] takes the value value[b]: [B], [B] -> [B, K].
Edits = Callable[[Tensor, Tensor], Tensor]
# Styles s [1, S] of a picture -> its edits.
EditsOf = Callable[[Tensor], Edits]

# Of a processor. Narrower passes are never faster; wider ones have not been, and trying them takes longer than ten
# pictures do.
WIDTHS = (8, 16, 32, 64)
# A GPU prepares for seconds for each number of copies, so it is given one: enough to keep it busy, and not so many that
# layers with few moves are mostly filled up. The others are for little memory.
WIDTHS_ON_GPU = (64, 16, 4)
# A width that much slower per copy than the best one ends the trial: less may be chance.
SLOWER = 1.25
# So do two in a row that are not at least so much faster.
FASTER = 0.97


def plain_edits(logits_of: LogitsOf, batch_size: int = 256) -> EditsOf:
    """Edits by computing every moved copy from the ground up; `StylEx.edits_of` gives the same for less."""

    def of(s: Tensor) -> Edits:
        def edits(index: Tensor, value: Tensor) -> Tensor:
            parts = []
            for i, v in zip(index.split(batch_size), value.split(batch_size), strict=True):
                moved = s.repeat(len(i), 1)
                moved[torch.arange(len(i), device=s.device), i] = v
                parts.append(logits_of(moved))
            return torch.cat(parts)

        return edits

    return of


@torch.no_grad()
def effects_of(
    edits: Edits,
    base: Tensor,
    s: Tensor,
    stats: StyleStats,
    candidates: Tensor,
    shift: float = 1.0,
    moves: Tensor | None = None,
) -> Tensor:
    """Effect of every move on one picture.

    Args:
        edits: of this picture.
        base: [1, K] what is seen of the picture itself.
        s: [1, S] its styles.
        candidates: [M] the coordinates to move.
        moves: [2, M] bool, which way each of them; None for both.

    Returns:
        [2, M, K] on the CPU. A move that is not made, or of a coordinate that is at the end already or does not vary,
        has effect 0 and costs nothing.
    """
    effect = torch.zeros(2, len(candidates), base.shape[1])
    here = s[0, candidates]
    ways = shift * (torch.stack([stats.s_min, stats.s_max]).to(s)[:, candidates] - here)  # [2, M]
    if moves is not None:
        ways = ways * moves
    direction, position = ways.nonzero(as_tuple=True)
    if len(position):
        seen = edits(candidates[position], here[position] + ways[direction, position])
        effect[direction.cpu(), position.cpu()] = (seen - base).float().cpu()
    return effect


def effect_table(
    logits_of: LogitsOf,
    s: Tensor,
    stats: StyleStats,
    *,
    candidates: Tensor | None = None,
    num_searched: int | None = None,
    shift: float = 1.0,
    batch_size: int = 256,
    edits_of: EditsOf | None = None,
    moves: Tensor | None = None,
    progress: Callable[[Iterator[int]], Iterator[int]] = lambda pictures: pictures,
) -> Tensor:
    """Change of every class logit when one style coordinate moves (Lang et al. 2021, Algorithm 1).

    effect[n, d, m, k] = C(G(s_n with coordinate m moved towards d))_k - C(G(s_n))_k

    Args:
        logits_of: style coordinates [B, S] -> classifier logits [B, K].
        s: [N, S] the pictures to explain; not changed.
        stats: the range of the coordinates.
        candidates: [M] the coordinates to try; None for the first `num_searched`.
        num_searched: how many from the front (the conv coordinates); None for all S.
        shift: see `move`.
        batch_size: how many moved copies go through the generator at once.
        edits_of: a faster way to the same numbers, which then batches as it likes, such as `StylEx.edits_of`; None to
            compute every moved copy from the ground up.
        moves: [2, M] bool, which way each of the candidates; None for both.
        progress: wraps the loop over pictures, for a bar.

    Returns:
        [N, 2, M, K] on the CPU. Moves that are not or cannot be made have effect 0 and cost nothing.
    """
    if not len(s):
        raise ValueError("there are no pictures to explain")
    if candidates is None:
        candidates = torch.arange(num_searched or s.shape[1])
    candidates, edits_of = candidates.to(s.device), edits_of or plain_edits(logits_of, batch_size)
    rows = []
    for n in progress(iter(range(len(s)))):
        one = s[n : n + 1]
        with torch.no_grad():
            base = logits_of(one)
        rows.append(effects_of(edits_of(one), base, one, stats, candidates, shift, moves))
    return torch.stack(rows)


def fastest_width(run: Callable[[int], object], widths: Sequence[int] = WIDTHS) -> int:
    """How many copies to send through the generator at once: what is fastest per copy, of what fits in memory.

    Args:
        run: one pass with so many copies; it has to wait for its result.
    """
    best, fastest, slower = widths[0], math.inf, 0
    for width in widths:
        try:
            run(width)  # the first pass of a shape pays for its preparation
            each = min(_seconds(run, width), _seconds(run, width)) / width
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if width == widths[0] or not _out_of_memory(error):
                raise
            break
        slower = 0 if each < FASTER * fastest else slower + 1
        if each > SLOWER * fastest or slower == 2:
            break
        if not slower:
            best, fastest = width, each
    return best


def first_that_fits(run: Callable[[int], object], widths: Sequence[int] = WIDTHS_ON_GPU) -> int:
    """The first of these numbers of copies for which there is memory."""
    for width in widths:
        try:
            run(width)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if width == widths[-1] or not _out_of_memory(error):
                raise
        else:
            break
    return width


def _seconds(run: Callable[[int], object], width: int) -> float:
    start = time.perf_counter()
    run(width)
    return time.perf_counter() - start


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "memory" in str(error)


def top_moves(effect: Tensor, target: int, count: int) -> list[tuple[int, Direction]]:
    """For one picture: the moves that raise the target's logit most, each coordinate once.

    Args:
        effect: [2, M, K] of this picture.
    """
    best, direction = effect[..., target].max(dim=0)  # [M]
    order = best.argsort(descending=True, stable=True)[:count]
    return [(int(i), Direction(int(direction[i]))) for i in order if best[i] > 0]


def subset(
    logits_of: LogitsOf,
    s: Tensor,
    stats: StyleStats,
    candidates: Sequence[tuple[int, Direction]],
    target: int,
    count: int,
    shift: float = 1.0,
    batch_size: int = 256,
    edits_of: EditsOf | None = None,
) -> list[tuple[int, Direction]]:
    """For one picture: grow a set of moves, each step evaluated on top of the moves already made.

    Stops when the target becomes the predicted class, when `count` moves are made, or when nothing helps.

    Args:
        s: [1, S] the picture.
        candidates: (coordinate, direction) to choose from; a coordinate moves at most once.
        edits_of: see `effect_table`.
    """
    edits_of = edits_of or plain_edits(logits_of, batch_size)
    ends = torch.stack([stats.s_min, stats.s_max]).to(s)
    chosen: list[tuple[int, Direction]] = []
    left = list(candidates)
    logits = logits_of(s)[0]
    while left and len(chosen) < count and int(logits.argmax()) != target:
        index = torch.tensor([i for i, _ in left], device=s.device)
        direction = torch.tensor([int(d) for _, d in left], device=s.device)
        value = s[0, index] + shift * (ends[direction, index] - s[0, index])
        after = edits_of(s)(index, value)
        # What counts for the decision is the lead over the strongest other class.
        best = int(lead(after, target).argmax())
        if lead(after[best], target) <= lead(logits, target):
            break
        chosen.append(left[best])
        s, logits = s.clone(), after[best]
        s[0, index[best]] = value[best]
        left = [move_ for move_ in left if move_[0] != chosen[-1][0]]
    return chosen


def lead(logits: Tensor, target: int | Tensor) -> Tensor:
    """How far the target is ahead of the strongest other class: [..., K] -> [...].

    Args:
        target: one class for all, or [...] one for each.
    """
    picked = torch.as_tensor(target, device=logits.device).expand(logits.shape[:-1]).unsqueeze(-1)
    rivals = logits.scatter(-1, picked, -torch.inf)
    return logits.gather(-1, picked).squeeze(-1) - rivals.amax(dim=-1)


def subset_by_list(
    logits_of: LogitsOf,
    s: Tensor,
    stats: StyleStats,
    moves: Sequence[tuple[int, Direction]],
    target: int,
    count: int,
    shift: float = 1.0,
) -> list[tuple[int, Direction]]:
    """For one picture: the first moves of a class-level list that together make the target the decision.

    Takes them in the list's order without asking which of them helps this picture; `subset` asks.

    Args:
        s: [1, S] the picture.
        moves: (coordinate, direction), best first.

    Returns:
        At most `count`, all of them if the decision holds out.
    """
    chosen: list[tuple[int, Direction]] = []
    for index, direction in moves[:count]:
        if int(logits_of(s)[0].argmax()) == target:
            break
        s = move(s, index, direction, stats, shift)
        chosen.append((index, direction))
    return chosen
