"""Attributes that a machine does not tell apart: of each group the strongest is kept, and the others go for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Group:
    """One attribute that is kept, and those that cannot be told apart from it, each with the share of questions about
    the two that were answered right, the lowest first."""

    kept: str
    dropped: tuple[tuple[str, float], ...]


def called(coordinate: str, source: str, target: str) -> str:
    """An attribute as a key of metrics.json: where it is and between which classes."""
    return f"{coordinate}, {source} → {target}"


def groups(metrics: Mapping[str, Any] | None, attributes: Sequence[Mapping[str, Any]]) -> list[Group]:
    """What to look at once, the group with the lowest share first.

    From the strongest to the weakest an attribute is kept, or goes for the kept one that it is least told apart from.
    So everything that is dropped was compared with what is kept for it: that a is like b and b is like c says nothing
    of a and c.

    Args:
        metrics: of which `two_afc_alike` is read, pairs (a, b, share).
        attributes: see `card.Facts`; the strongest is the one that moves its target's logit most.
    """
    shares: dict[str, dict[str, float]] = {}
    for a, b, share in (metrics or {}).get("two_afc_alike", []):
        shares.setdefault(a, {})[b] = shares.setdefault(b, {})[a] = share
    strongest_first = sorted(attributes, key=lambda row: -row["delta_logit"])
    kept: dict[str, list[tuple[str, float]]] = {}
    for row in strongest_first:
        key = called(row["coordinate"], row["source"], row["target"])
        if stronger := [other for other in kept if other in shares.get(key, {})]:
            goes_for = min(stronger, key=lambda other: shares[key][other])
            kept[goes_for].append((key, shares[key][goes_for]))
        else:
            kept[key] = []
    found = [Group(key, tuple(sorted(rest, key=lambda pair: pair[1]))) for key, rest in kept.items() if rest]
    return sorted(found, key=lambda group: group.dropped[0][1])


def goes_for(found: Sequence[Group]) -> dict[str, str]:
    """Of each attribute that is dropped, the one that is kept for it."""
    return {key: group.kept for group in found for key, _ in group.dropped}
