"""Links that bring a view back: which model, sample picture, target, method, strategy and attribute.

A visitor's own picture is never in a link.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args
from urllib.parse import urlencode

from stylex import Direction, Method, Strategy

ATTRIBUTE = re.compile(r"(\d{1,7})-(up|down)")


@dataclass(frozen=True)
class Link:
    """What a link names; None for what it leaves open. Nothing of it has been looked up yet."""

    model: str | None = None
    sample: str | None = None
    target: str | None = None
    strategy: Strategy = "independent"
    attribute: tuple[int, Direction] | None = None
    method: Method = "attfind"

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Link:
        """From the query of an address; what cannot be understood is left out."""
        how = next((s for s in get_args(Strategy) if s == query.get("how")), cls.strategy)
        method = next((m for m in get_args(Method) if m == query.get("method")), cls.method)
        found = ATTRIBUTE.fullmatch(query.get("attr", ""))
        attribute = (int(found[1]), Direction[found[2].upper()]) if found else None
        return cls(query.get("model"), query.get("sample"), query.get("target"), how, attribute, method)

    def to(self, index: int, direction: Direction) -> Link:
        """The same view with one of its attributes pointed at."""
        return replace(self, attribute=(index, direction))

    def __str__(self) -> str:
        """The query, with its question mark."""
        attribute = self.attribute and f"{self.attribute[0]}-{self.attribute[1].name.lower()}"
        values = {"model": self.model, "sample": self.sample, "target": self.target}
        # Strategies are AttFind's alone.
        values |= {"how": self.strategy} if self.method == "attfind" else {"method": self.method}
        values |= {"attr": attribute}
        return "?" + urlencode({key: value for key, value in values.items() if value is not None})
