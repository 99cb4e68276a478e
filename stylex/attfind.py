"""AttFind: which style coordinates change the classifier's mind (Lang et al. 2021).

attfind knows nothing about images; it sees coordinates and logits. The selections follow the published notebook, with
its faults put right: they stop when every picture is explained instead of choosing coordinate 0 again and again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from .stylespace import Direction, StyleStats, move

# Logits of effect after which a picture counts as explained (the notebook's max_image_effect for two classes).
EXPLAINED = 1.0
# The source of an attribute searched on the pictures of all other classes.
REST = "rest"


@dataclass(frozen=True)
class Attribute:
    """One coordinate, the way to move it, and what that did to pictures of `source` on their way to `target`."""

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

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "direction": self.direction.name.lower()}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Attribute:
        """Build from parsed JSON.

        Raises:
            ValueError: naming the key that is missing, unknown, or of the wrong kind.
        """
        if not isinstance(row, dict):
            raise ValueError(f"is {row!r}; it must be an object")
        known = {f.name for f in fields(cls)}
        if missing := sorted(known - {"name", "visible_share"} - set(row)):
            raise ValueError(f"key {missing[0]} is missing")
        if unknown := sorted(set(row) - known):
            raise ValueError(f"key {unknown[0]} is unknown")
        for key in ("index", "channel"):
            if not isinstance(row[key], int) or isinstance(row[key], bool):
                raise ValueError(f"{key} is {row[key]!r}; it must be a whole number")
        for key in ("layer", "source", "target", "name"):
            if not isinstance(row.get(key), str) and (key != "name" or row.get(key) is not None):
                raise ValueError(f"{key} is {row[key]!r}; it must be a text")
        for key in ("delta_logit", "delta_prob", "images_share", "visible_share"):
            value = row.get(key)
            if value is None and key == "visible_share":
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
                raise ValueError(f"{key} is {value!r}; it must be a number")
        if row["direction"] not in ("down", "up"):
            raise ValueError(f"direction is {row['direction']!r}; it must be 'down' or 'up'")
        return cls(**{**row, "direction": Direction[row["direction"].upper()]})


# Style coordinates [B, S] -> classifier logits [B, K].
LogitsOf = Callable[[Tensor], Tensor]
# What is seen of one picture when coordinate index[b] takes the value value[b]: [B], [B] -> [B, K].
Edits = Callable[[Tensor, Tensor], Tensor]
# Styles s [1, S] of a picture -> its edits.
EditsOf = Callable[[Tensor], Edits]

# Narrower passes than the first are never faster, and wider ones than the last have not been.
WIDTHS = (8, 16, 32, 64, 128, 256, 512)
FASTER = 1.05


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
    edits: Edits, base: Tensor, s: Tensor, stats: StyleStats, candidates: Tensor, shift: float = 1.0
) -> Tensor:
    """Effect of every move on one picture.

    Args:
        edits: of this picture.
        base: [1, K] what is seen of the picture itself.
        s: [1, S] its styles.
        candidates: [M] the coordinates to move.

    Returns:
        [2, M, K] on the CPU. A coordinate that is at the end already, or does not vary, has effect 0 and costs nothing.
    """
    effect = torch.zeros(2, len(candidates), base.shape[1])
    here = s[0, candidates]
    ways = shift * (torch.stack([stats.s_min, stats.s_max]).to(s)[:, candidates] - here)  # [2, M]
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
        shift: see `stylespace.move`.
        batch_size: how many moved copies go through the generator at once.
        edits_of: a faster way to the same numbers, which then batches as it likes; None for `plain_edits`.
        progress: wraps the loop over pictures, for a bar.

    Returns:
        [N, 2, M, K] on the CPU. Coordinates that cannot move have effect 0 and cost nothing.
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
        rows.append(effects_of(edits_of(one), base, one, stats, candidates, shift))
    return torch.stack(rows)


def fastest_width(run: Callable[[int], object], widths: Sequence[int] = WIDTHS) -> int:
    """How many copies to send through the generator at once: doubled while that is faster per copy and fits in memory.

    Args:
        run: one pass with so many copies; it has to wait for its result.
    """
    best, fastest = widths[0], math.inf
    for width in widths:
        try:
            run(width)  # the first pass of a shape pays for its preparation
            start = time.perf_counter()
            run(width)
            each = (time.perf_counter() - start) / width
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if width == widths[0] or not _out_of_memory(error):
                raise
            break
        if each * FASTER > fastest:
            break
        best, fastest = width, each
    return best


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "memory" in str(error)


def filter_unstable(effect: Tensor, threshold: float = 2.0, max_count: int = 750) -> Tensor:
    """Silence pictures whose decision almost anything changes.

    Those are pictures with more than `max_count` effects above `threshold` logits. As in the notebook they stay in the
    denominators. [N, 2, M, K] -> a copy.
    """
    unstable = (effect.abs() > threshold).sum(dim=(1, 2, 3)) > max_count
    return torch.where(unstable.view(-1, 1, 1, 1), torch.zeros(()), effect)


def select(effect: Tensor, target: int, count: int, explained: float = EXPLAINED) -> list[tuple[int, Direction]]:
    """Greedy choice of moves that raise the target's logit on pictures of other classes.

    Each step takes the move with the largest mean positive effect over the pictures not yet explained; a picture is
    explained once the effects of the chosen moves on it add up to `explained` logits (the notebook's
    find_significant_styles). The notebook may choose a coordinate once each way, which cannot be moved together; here
    a coordinate is chosen once.

    Args:
        effect: [N, 2, M, K] of pictures that are not of the target class.

    Returns:
        At most `count` (position among the M, direction), best first; fewer when nothing is left to explain or
        nothing helps.
    """
    positive = effect[..., target].clamp(min=0).flatten(1)  # [N, 2M]
    searched, total = effect.shape[2], torch.zeros(len(effect))
    free = torch.ones(positive.shape[1], dtype=torch.bool)
    chosen: list[tuple[int, Direction]] = []
    while len(chosen) < count:
        left = total < explained
        if not left.any():
            break
        mean = torch.where(free, positive[left].mean(dim=0), -1.0)
        best = int(mean.argmax())
        if mean[best] <= 0:
            break
        chosen.append((best % searched, Direction(best // searched)))
        total += positive[:, best]
        free[best % searched :: searched] = False  # both ways of this coordinate
    return chosen


def select_one_vs_rest(
    effect: Tensor, labels: Tensor, target: int, count: int, explained: float = EXPLAINED
) -> list[tuple[int, Direction]]:
    """Moves towards `target`, searched on the pictures of all other classes.

    Args:
        labels: [N] the class of each *reconstruction*.
    """
    others = effect[labels != target]
    return select(others, target, count, explained) if len(others) else []


def select_two_class(
    effect: Tensor, labels: Tensor, count: int, explained: float = EXPLAINED
) -> list[tuple[int, Direction]]:
    """One list for both ways of a two-class problem (notebook, cell 12).

    Searches towards each class on the pictures of the other, turns the moves towards class 1 around, drops coordinates
    already there, and ranks by mean effect on class 0 of the move plus mean effect on class 1 of its opposite. What
    does more harm than good is left out.

    Returns:
        (position, direction towards class 0); towards class 1 each goes the other way.
    """
    towards_0 = select_one_vs_rest(effect, labels, 0, count, explained)
    towards_1 = select_one_vs_rest(effect, labels, 1, count, explained)
    taken = {i for i, _ in towards_0}
    union = towards_0 + [(i, d.opposite) for i, d in towards_1 if i not in taken]

    def score(found: tuple[int, Direction]) -> float:
        i, d = found
        return float(effect[:, d, i, 0].mean() + effect[:, d.opposite, i, 1].mean())

    return sorted((found for found in union if score(found) > 0), key=score, reverse=True)[:count]


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
) -> list[tuple[int, Direction]]:
    """For one picture: grow a set of moves, each step evaluated on top of the moves already made.

    Stops when the target becomes the predicted class, when `count` moves are made, or when nothing helps.

    Args:
        s: [1, S] the picture.
        candidates: (coordinate, direction) to choose from; a coordinate moves at most once.
    """
    chosen: list[tuple[int, Direction]] = []
    left = list(candidates)
    current, logits = s, logits_of(s)[0]
    while left and len(chosen) < count and int(logits.argmax()) != target:
        index = torch.tensor([i for i, _ in left], device=s.device)
        direction = torch.tensor([int(d) for _, d in left], device=s.device)
        moved = move(current.expand(len(left), -1), index, direction, stats, shift)
        after = torch.cat([logits_of(part) for part in moved.split(batch_size)])
        # What counts for the decision is the lead over the strongest other class.
        rivals = after.clone()
        rivals[:, target] = -torch.inf
        lead = after[:, target] - rivals.amax(dim=1)
        best = int(lead.argmax())
        others = logits.clone()
        others[target] = -torch.inf
        if lead[best] <= logits[target] - others.max():
            break
        chosen.append(left[best])
        current, logits = moved[best : best + 1], after[best]
        left = [move_ for move_ in left if move_[0] != chosen[-1][0]]
    return chosen
