"""From a table of effects to the attributes of a class: the rules of Lang et al. 2021 and of their published notebook.

selection knows nothing about pictures, and needs no generator: it reads effects. The table is a tensor [N, 2, M, K], or
`Effects` that come a few pictures at a time. Where the notebook has a fault, what is right is done here: a search stops
when every picture is explained instead of choosing coordinate 0 again and again, and no coordinate is chosen both ways,
which cannot be moved together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol, TypedDict, Unpack, get_args

import torch
from torch import Tensor

from ..stylespace import Direction

# Logits of effect after which a picture counts as explained (the notebook's max_image_effect for two classes).
EXPLAINED = 1.0
# (position among the M coordinates, direction).
Move = tuple[int, Direction]
# Whether a move may be chosen for a target; asked only of moves that would be.
Accept = Callable[[int, Direction, int], bool]
Rule = Literal["accumulated", "single"]
# Moves kept in memory for all pictures while a list is grown; the answer does not depend on it.
POOL = 512


class Effects(Protocol):
    """A table too large for memory, read class by class and as often as asked."""

    def of(self, target: int) -> Iterator[Tensor]:
        """Effects on one logit, in the order of the pictures: [n, 2, M] for the next n of them."""


Table = Tensor | Effects


class How(TypedDict, total=False):
    """What `select` takes by name, and those that look for its pictures pass on."""

    rule: Rule
    rows: Tensor | None
    accept: Accept | None


def effects_on(table: Table, target: int, rows: Tensor | None = None) -> Iterator[Tensor]:
    """Effects on the logit of `target`, part by part: [n, 2, M]; of the pictures `rows` [N] bool alone, if given."""
    start = 0
    for part in [table[..., target]] if isinstance(table, Tensor) else table.of(target):
        yield part if rows is None else part[rows[start : start + len(part)]]
        start += len(part)


def column(table: Table, target: int, position: int) -> Tensor:
    """Both moves of one coordinate: [N, 2]."""
    return torch.cat([part[:, :, position] for part in effects_on(table, target)])


# Lists of moves.


def select(
    table: Table,
    target: int,
    count: int,
    explained: float = EXPLAINED,
    *,
    rule: Rule = "accumulated",
    rows: Tensor | None = None,
    accept: Accept | None = None,
) -> list[Move]:
    """Greedy choice of moves that raise the target's logit.

    Each step takes the move with the largest mean effect over the pictures not yet explained. The rules differ in what
    they average and in when a picture is explained:

    - "accumulated", the notebook's find_significant_styles: harmful effects count as none, and a picture is explained
      once the effects of the chosen moves on it add up to `explained` logits.
    - "single", Algorithm 1 of the paper: effects count as they are, and a picture is explained by one move that alone
      has more than `explained` logits of effect.

    Args:
        table: effects on pictures that are not of the target class.
        rows: [N] bool, the pictures to look at; None for all.
        accept: a veto, for instance `realistic`.

    Returns:
        At most `count` moves, best first; fewer when nothing is left to explain or nothing helps.
    """
    if rule not in get_args(Rule):
        raise ValueError(f"rule is {rule!r}; use one of {', '.join(get_args(Rule))}")
    totals = sum((part.clamp(min=0).double().sum(dim=0).flatten() for part in effects_on(table, target, rows)), 0.0)
    if not isinstance(totals, Tensor):
        return []
    searched, pool = len(totals) // 2, POOL
    columns, outside = _pool(totals, pool)
    values = _columns(table, target, rows, columns, rule)  # [N, P]
    done, open_ = torch.zeros(len(values)), torch.ones(len(values), dtype=torch.bool)
    banned = torch.zeros(2 * searched, dtype=torch.bool)
    chosen: list[Move] = []
    while len(chosen) < count and open_.any():
        sums = torch.where(banned[columns], -torch.inf, values[open_].double().sum(dim=0))
        best = int(sums.argmax())
        if sums[best] <= outside and len(columns) < len(totals):
            # A move outside of the pool might be as good: what it does on all pictures bounds what it does on some.
            pool *= 4
            columns, outside = _pool(totals, pool)
            values = _columns(table, target, rows, columns, rule)
            continue
        if sums[best] <= 0:
            break
        position, direction = int(columns[best]) % searched, Direction(int(columns[best]) // searched)
        banned[position::searched] = True  # both ways of this coordinate
        if accept is not None and not accept(position, direction, target):
            continue
        chosen.append((position, direction))
        if rule == "accumulated":
            done += values[:, best]
            open_ = done < explained
        else:
            open_ &= values[:, best] <= explained
    return chosen


def _pool(totals: Tensor, size: int) -> tuple[Tensor, float]:
    """Numbers of the `size` most promising moves, in order, and the most that any other can promise."""
    top = totals.topk(min(size + 1, len(totals)))
    if len(totals) <= size:
        return torch.arange(len(totals)), 0.0
    return top.indices[:size].sort().values, float(top.values[size])


def _columns(table: Table, target: int, rows: Tensor | None, columns: Tensor, rule: Rule) -> Tensor:
    values = torch.cat([part.flatten(1)[:, columns] for part in effects_on(table, target, rows)])
    return values.clamp(min=0) if rule == "accumulated" else values


def select_one_vs_rest(
    table: Table,
    labels: Tensor,
    target: int,
    count: int,
    explained: float = EXPLAINED,
    **how: Unpack[How],
) -> list[Move]:
    """Moves towards `target`, searched on the pictures of all other classes.

    Args:
        labels: [N] the class of each *reconstruction*.
        how: rule, rows and accept, see `select`.
    """
    return _select_of(labels != target, table, target, count, explained, **how)


def select_one_vs_one(
    table: Table,
    labels: Tensor,
    source: int,
    target: int,
    count: int,
    explained: float = EXPLAINED,
    **how: Unpack[How],
) -> list[Move]:
    """Moves towards `target`, searched on the pictures of one other class (the notebook's class_index_from)."""
    return _select_of(labels == source, table, target, count, explained, **how)


def _select_of(
    pictures: Tensor, table: Table, target: int, count: int, explained: float, **how: Unpack[How]
) -> list[Move]:
    """`select` on those of its rows that are among `pictures` [N] bool."""
    rows = how.get("rows")
    how["rows"] = asked = pictures if rows is None else pictures & rows
    return select(table, target, count, explained, **how) if asked.any() else []


def select_two_class(
    table: Table,
    labels: Tensor,
    count: int,
    explained: float = EXPLAINED,
    **how: Unpack[How],
) -> list[Move]:
    """One list for both ways of a two-class problem (notebook, cell 12).

    Searches towards each class on the pictures of the other, turns the moves towards class 1 around, drops coordinates
    already there, and ranks by mean effect on class 0 of the move plus mean effect on class 1 of its opposite. What
    does more harm than good is left out.

    Returns:
        (position, direction towards class 0); towards class 1 each goes the other way.
    """
    towards = [select_one_vs_rest(table, labels, target, count, explained, **how) for target in (0, 1)]
    taken = {i for i, _ in towards[0]}
    union = towards[0] + [(i, d.opposite) for i, d in towards[1] if i not in taken]
    if not union:
        return []
    flat = torch.tensor([[d, i] for i, d in union])
    means = []
    for target, direction in ((0, flat[:, 0]), (1, 1 - flat[:, 0])):
        parts = [part[:, direction, flat[:, 1]].double() for part in effects_on(table, target, how.get("rows"))]
        means.append(torch.cat(parts).mean(dim=0))
    score = (means[0] + means[1]).tolist()
    order = sorted((u for u in range(len(union)) if score[u] > 0), key=lambda u: -score[u])
    return [union[u] for u in order][:count]


def select_image_fraction(
    table: Table,
    target: int,
    count: int,
    effect_threshold: float = 0.2,
    min_fraction: float = 0.03,
    *,
    rows: Tensor | None = None,
    accept: Accept | None = None,
) -> list[Move]:
    """Moves by the number of pictures that they change by more than `effect_threshold` logits.

    The notebook's find_significant_styles_image_fraction: the first 2 * `count` in that order are looked at, and none
    that changes fewer than `min_fraction` of the pictures. Nothing is removed once explained.
    """
    changed, pictures = None, 0
    for part in effects_on(table, target, rows):
        hits = (part > effect_threshold).sum(dim=0).flatten()
        changed, pictures = hits if changed is None else changed + hits, pictures + len(part)
    if changed is None or not pictures:
        return []
    searched, seen = len(changed) // 2, set()
    chosen: list[Move] = []
    for number in changed.argsort(descending=True, stable=True)[: 2 * count].tolist():
        if changed[number] == 0 or changed[number] < min_fraction * pictures or len(chosen) == count:
            break
        position, direction = number % searched, Direction(number // searched)
        if position not in seen and (accept is None or accept(position, direction, target)):
            chosen.append((position, direction))
        seen.add(position)
    return chosen


# Filters.


def unstable(table: Table, classes: int, threshold: float = 2.0, max_count: int = 750) -> Tensor:
    """Pictures whose decision almost anything changes: more than `max_count` effects above `threshold` logits.

    The notebook's filter_unstable_images, which sets the effects of such a picture to zero and keeps it in its means;
    to leave it out of `rows` comes to the same lists, but for those by image fraction: there the notebook's share is
    of all pictures, and ours of those that have a say.

    Returns:
        [N] bool.
    """
    counts: Tensor | None = None
    for target in range(classes):
        parts = [(part.abs() > threshold).sum(dim=(1, 2)) for part in effects_on(table, target)]
        counts = torch.cat(parts) if counts is None else counts + torch.cat(parts)
    assert counts is not None
    return counts > max_count


def realistic(
    table: Table,
    gap: Callable[[Tensor, int, Direction], Tensor],
    *,
    rows: Tensor | None = None,
    effect_threshold: float = 0.2,
    threshold: float = 0.2,
    pictures: int = 10,
) -> Accept:
    """Veto against coordinates whose move makes pictures less real to the discriminator (the notebook's filter).

    For each way, the first `pictures` on which it has more than `effect_threshold` logits of effect are moved and
    judged; one gap above `threshold` is enough to reject the coordinate.

    Args:
        gap: (numbers of pictures [n], position, direction) -> how far the discriminator's score of each changes, [n].
    """

    def accept(position: int, direction: Direction, target: int) -> bool:
        strong = column(table, target, position) > effect_threshold
        if rows is not None:
            strong &= rows[:, None]
        for way in Direction:
            found = strong[:, way].nonzero().flatten()[:pictures]
            if len(found) and float(gap(found, position, way).max()) > threshold:
                return False
        return True

    return accept


# Which pictures to show.


def pictures_by_effect(
    before: Tensor, after: Tensor, target: int, count: int, threshold: float = 0.3, seed: int | None = None
) -> list[int]:
    """Pictures on which one move shows well: more than `threshold` logits of effect and of probability.

    The notebook's visualize_style. The strongest come first; with a seed they come in random order, of which at most
    ten times `count` are looked at.

    Args:
        before, after: [N, K] logits of pictures of other classes without and with the move.

    Returns:
        At most `count` numbers of pictures; none if there are fewer than three.
    """
    effect = (after - before)[:, target]
    if seed is None:
        order = effect.argsort(descending=True, stable=True)
    else:
        order = torch.randperm(len(effect), generator=torch.Generator().manual_seed(seed))
    order = order[effect[order] > threshold]
    return _shown(before, after, target, order if seed is None else order[: 10 * count], count, threshold)


def pictures_by_distance(
    before: Tensor, after: Tensor, distance: Tensor, target: int, count: int, threshold: float = 0.1
) -> list[int]:
    """Pictures with the longest way to go, on which the move gains at least `threshold` of probability.

    The notebook's visualize_style_by_distance_in_s.

    Args:
        distance: [N] how far each picture's coordinate is from the end it moves to.
    """
    order = distance.argsort(descending=True, stable=True)
    return _shown(before, after, target, order, count, threshold)


def _shown(before: Tensor, after: Tensor, target: int, order: Tensor, count: int, threshold: float) -> list[int]:
    gain = (after.softmax(dim=1) - before.softmax(dim=1))[:, target]
    found = [i for i in order.tolist() if gain[i] >= threshold][:count]
    return found if len(found) >= min(3, count) else []


# How far to trust a list.


def rank_certainty(
    pick: Callable[[Tensor], Sequence[Move]], pictures: int, chosen: Sequence[Move], rounds: int = 200, seed: int = 0
) -> list[tuple[float, int, int]]:
    """How a list changes when the pictures are drawn anew, with replacement (Efron's bootstrap).

    Args:
        pick: numbers of pictures [pictures] -> the list that they give.
        chosen: the list of all pictures.

    Returns:
        For each move of `chosen`: the share of `rounds` in which it is in the list at all, and between which ranks it
        is in nine of ten of those (1 is the first; 0, 0 if it never is).
    """
    generator = torch.Generator().manual_seed(seed)
    ranks: dict[Move, list[int]] = {move: [] for move in chosen}
    for _ in range(rounds):
        drawn = torch.randint(pictures, (pictures,), generator=generator)
        for rank, move in enumerate(pick(drawn), start=1):
            if move in ranks:
                ranks[move].append(rank)
    found = []
    for move in chosen:
        seen = sorted(ranks[move])
        low, high = (seen[int(0.05 * len(seen))], seen[int(0.95 * (len(seen) - 1))]) if seen else (0, 0)
        found.append((len(seen) / rounds, low, high))
    return found
