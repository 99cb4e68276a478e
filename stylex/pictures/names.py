"""What an attribute is called: by a person, or in words proposed from what it measurably does to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ..stylespace import Direction, coordinate
from .traits import Trait, traits

NONE = "no simple description"
# All of a description is true of this share of the pictures that it is chosen on, and of a few less of those that it is
# checked on, or there is none.
CHOSEN, CHECKED = 0.9, 0.75


@dataclass(frozen=True)
class Proposal:
    """A plain description that was measured, not seen: a proposal until a person has looked.

    Attributes:
        text: as "darker, at the rim"; None where no simple description holds.
        holds: share of the pictures it was checked on of which all of it is true; without a text, of the best tried.
        pictures: how many those were; 1 for a description of what was done to a single picture.
    """

    text: str | None
    holds: float
    pictures: int

    def __str__(self) -> str:
        return self.text or NONE

    @classmethod
    def from_dict(cls, row: Any) -> Proposal:
        """Build from parsed JSON.

        Raises:
            ValueError: naming what is wrong.
        """
        known = {f.name for f in fields(cls)}
        if not isinstance(row, dict) or row.keys() != known:
            raise ValueError(f"proposal is {row!r}; it must be an object of {', '.join(sorted(known))}")
        text, holds, pictures = row["text"], row["holds"], row["pictures"]
        if text is not None and not isinstance(text, str):
            raise ValueError(f"text of the proposal is {text!r}; it must be a text or null")
        if not isinstance(holds, (int, float)) or isinstance(holds, bool) or not 0 <= holds <= 1:
            raise ValueError(f"holds of the proposal is {holds!r}; it must be a share from 0 to 1")
        if type(pictures) is not int or pictures < 1:
            raise ValueError(f"pictures of the proposal is {pictures!r}; it must be a whole number from 1")
        return cls(text, float(holds), pictures)


def words(name: str | None, proposal: Proposal | None) -> str | None:
    """What to call an attribute: a person's name before a proposal; None where nobody and nothing has said."""
    return name or (str(proposal) if proposal is not None else None)


def marked(name: str | None, proposal: Proposal | None, coordinate: str) -> str:
    """`words` for a picture, where nothing stands beside them: a proposal says that it is one, and what has no
    description says that, too, before its place."""
    if name or proposal is None or proposal.text is None:
        return name or f"{NONE} ({coordinate})"
    return f"{'on this picture' if proposal.pictures == 1 else 'proposed'}: {proposal.text}"


def told(name: str | None, proposal: Proposal | None) -> str:
    """How far `words` is to be trusted, for a person to read; empty where there is nothing to say."""
    if name or proposal is None:
        return ""
    if proposal.pictures == 1:
        return "measured on this picture alone"
    if proposal.text is None:
        return f"nothing measured holds on enough of {proposal.pictures} held-out pictures"
    return f"proposed: holds on {proposal.holds:.0%} of {proposal.pictures} held-out pictures"


class Titled:
    """What has a place in StyleSpace, perhaps a name and perhaps a proposal: what to call it, and how surely."""

    layer: str
    channel: int
    direction: Direction
    name: str | None
    proposal: Proposal | None

    @property
    def coordinate(self) -> str:
        """Its place in StyleSpace and its direction."""
        return coordinate(self.layer, self.channel, self.direction)

    @property
    def words(self) -> str | None:
        """The name that a person gave, else what was proposed; None where neither is there."""
        return words(self.name, self.proposal)

    @property
    def title(self) -> str:
        return self.words or self.coordinate

    @property
    def heading(self) -> str:
        """What stands on a picture of it."""
        return marked(self.name, self.proposal, self.coordinate)

    @property
    def heading_and_place(self) -> str:
        """The same with its place in brackets, for a list in which two may be called alike."""
        return self.heading if self.heading.endswith(f"({self.coordinate})") else f"{self.heading} ({self.coordinate})"

    @property
    def doubt(self) -> str:
        """How far the words are to be trusted; empty for a person's."""
        return told(self.name, self.proposal)


# From pictures.

Pairs = tuple[Tensor, Tensor]


def propose(chosen_on: Pairs, checked_on: Pairs) -> Proposal:
    """A description of an edit: what it does, at most two things, and where.

    What is true of most pairs is put into words by those that it is chosen on; the others, which had no say, tell
    whether it holds.

    Args:
        chosen_on, checked_on: pictures x and y [N, 3, H, W] in [-1, 1], without and with the edit.
    """
    parts = describe(traits(*chosen_on), CHOSEN)
    found = {t.text: t.true for t in traits(*checked_on)}
    count = len(checked_on[0])
    if not parts:
        return Proposal(None, 0.0, count)
    holds = float(torch.stack([found[t.text] for t in parts]).all(dim=0).float().mean())
    return Proposal(said(parts) if holds >= CHECKED else None, holds, count)


def propose_alone(x: Tensor, y: Tensor) -> Proposal:
    """The same of a single pair [1, 3, H, W], of which nothing is held out: what was done to this picture."""
    parts = describe(traits(x, y), 1.0)
    return Proposal(said(parts) if parts else None, float(bool(parts)), 1)


def describe(found: Sequence[Trait], least: float) -> list[Trait]:
    """The statements that together are true of at least a share `least` of the pairs.

    The strongest of what happens, one of another kind beside it, and a place; each only if all still are.
    """
    parts: list[Trait] = []
    together = torch.ones_like(found[0].true)

    def add(candidates: Sequence[Trait]) -> None:
        nonlocal together
        for t in sorted(candidates, key=lambda t: -float(t.strength.median())):
            if float((together & t.true).float().mean()) >= least:
                parts.append(t)
                together = together & t.true
                return

    happens = [t for t in found if t.kind != "place"]
    add(happens)
    if parts:
        add([t for t in happens if t.kind != parts[0].kind])
    add([t for t in found if t.kind == "place"])
    return parts


def said(parts: Sequence[Trait]) -> str:
    """Statements in words: "darker, smoother, along the outline"; or, with a place alone, "changed at the top"."""
    text = ", ".join(t.text for t in parts)
    return f"changed {text}" if parts[0].kind == "place" else text
