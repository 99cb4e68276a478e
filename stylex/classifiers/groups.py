"""Outputs of a classifier taken together: a network of a thousand classes, asked about cats and dogs alone.

The logit of a group is the logsumexp of its members', so its probability is the sum of theirs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from .config import ClassifierError

REST = "rest"
RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def parse_groups(text: str, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What somebody typed: "cat=281-285,dog=151-268,other=rest".

    Members are numbers of outputs, ranges of them, or names of classes, with a + between several; "rest" is whatever
    no other group has. What is in no group is left out: it is as if the network did not know it.

    Args:
        names: what the network calls its own outputs, in their order.

    Returns:
        The names of the groups, and the members of each in numbers alone, such as ("281-285", "151-268").

    Raises:
        ClassifierError: naming the group, what is wrong with it, and the way out.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        group, separator, members = (piece.strip() for piece in part.partition("="))
        if not separator or not group or not members:
            raise ClassifierError(f"the group {part.strip()!r} is no NAME=OUTPUTS; use such as cat=281-285,dog=151-268")
        if group in found:
            raise ClassifierError(f"there are two groups {group!r}; put a + between outputs of one: {group}=1+5-7")
        found[group] = members
    if len(found) < 2:
        raise ClassifierError(f"{text!r} is a single group; name two or more, such as cat=281-285,other=rest")
    numbers = {group: _numbers(group, members, names) for group, members in found.items() if members != REST}
    rests = [group for group, members in found.items() if members == REST]
    if len(rests) > 1:
        raise ClassifierError(f"{' and '.join(rests)} are both the rest; only one group can be")
    if rests:
        taken = set().union(*numbers.values()) if numbers else set()
        numbers[rests[0]] = [n for n in range(len(names)) if n not in taken]
        if not numbers[rests[0]]:
            raise ClassifierError(f"nothing is left for {rests[0]!r}: the other groups have every output")
    texts = tuple(_text(numbers[group]) for group in found)
    check_groups(texts, list(found), len(names))
    return tuple(found), texts


def _numbers(group: str, members: str, names: Sequence[str]) -> list[int]:
    chosen: list[int] = []
    if members.strip() in names:  # a name with a + in it
        return [names.index(members.strip())]
    for member in (piece.strip() for piece in members.split("+")):
        if RANGE.fullmatch(member) and member not in names:
            chosen += _range(group, member, len(names))
        elif member in names:
            chosen.append(names.index(member))
        else:
            raise ClassifierError(
                f"the group {group!r} has {member!r}, which is neither a class of this classifier nor a number such as "
                f"7 or 281-285; its {len(names)} classes begin with {', '.join(names[:5])}"
            )
    return chosen


def _range(group: str, text: str, count: int) -> list[int]:
    match = RANGE.fullmatch(text)
    if match is None:
        raise ClassifierError(f"the group {group!r} has {text!r}; use numbers of outputs, such as 7 or 281-285")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first or last >= count:
        raise ClassifierError(f"the group {group!r} has {text}; the outputs are 0 to {count - 1}, the lower one first")
    return list(range(first, last + 1))


def _text(numbers: Sequence[int]) -> str:
    """[1, 2, 3, 7] -> "1-3+7"."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return "+".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def members_of(texts: Sequence[str], names: Sequence[str], count: int) -> list[list[int]]:
    """The outputs of each group, from texts such as "1-3+7"."""
    return [
        [n for part in text.split("+") for n in _range(name, part, count)]
        for text, name in zip(texts, names, strict=True)
    ]


def check_groups(texts: Sequence[str], names: Sequence[str], count: int) -> None:
    """Refuse groups that are no groups of `count` outputs.

    Raises:
        ClassifierError: naming the group and the output.
    """
    of: dict[int, str] = {}
    for name, members in zip(names, members_of(texts, names, count), strict=True):
        for n in members:
            if n in of:
                where = f"twice in the group {name!r}" if of[n] == name else f"in the groups {of[n]!r} and {name!r}"
                raise ClassifierError(f"the output {n} is {where}; an output belongs to one")
            of[n] = name


def mask_of(texts: Sequence[str], names: Sequence[str], count: int) -> Tensor:
    """[K, count]: 0 where an output belongs to the group, -inf elsewhere."""
    mask = torch.full((len(texts), count), -math.inf)
    for k, members in enumerate(members_of(texts, names, count)):
        mask[k, members] = 0
    return mask


def grouped(logits: Tensor, mask: Tensor) -> Tensor:
    """Logits [N, count] and the mask [K, count] of `mask_of` -> logits of the groups [N, K]."""
    return (logits[:, None] + mask).logsumexp(dim=2)
