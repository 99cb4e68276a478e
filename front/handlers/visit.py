"""What one visitor looks at, and what an event may say of it."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import NamedTuple

import gradio as gr

from front.closer import Overlay
from front.links import Link
from front.replies import sorry
from front.trust import Trust
from stylex import Explanation


class Closer(NamedTuple):
    """What a closer look at an explanation found: its edits on the photograph, and how far each thing is trusted."""

    laid: list[Overlay]
    of_picture: Trust
    of_edits: list[Trust]


@dataclass(frozen=True)
class Visit:
    """What one visitor looks at: an explanation by a model, and the name of the sample picture if it is of one."""

    model: str
    explanation: Explanation
    closer: Closer
    sample: str | None = None

    @property
    def link(self) -> Link:
        e = self.explanation
        return Link(self.model, self.sample, e.target, e.strategy, method=e.method)

    @property
    def subject(self) -> tuple[str, str, str]:
        """What every method is asked about: the model, the picture, by its digest, and the class to move it to."""
        e = self.explanation
        return self.model, hashlib.sha256(e.source.tobytes()).hexdigest(), e.target


def started(visit: Visit | None) -> Visit:
    if visit is None:
        raise sorry("choose a picture first")
    return visit


def chosen(event: gr.EventData, allowed: Container[int], key: str = "number") -> int:
    """The number that a button of a gr.HTML sent; anybody can send any."""
    number = event._data.get(key) if isinstance(event._data, dict) else None
    if type(number) is not int or number not in allowed:  # 1.0 is in a range too
        raise sorry("there is no such picture")
    return number


def told(progress: gr.Progress, unit: str) -> Callable[[int, int], None]:
    """A bar for what is done one by one, with how many in a second and the time that is left."""
    start = time.perf_counter()

    def tell(done: int, total: int) -> None:
        rate = done / max(time.perf_counter() - start, 1e-3)
        speed = f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
        progress((done, total), desc=f"{speed} {unit}/s, {math.ceil((total - done) / rate)} s left", unit=unit)

    return tell
