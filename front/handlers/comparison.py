"""The tab that asks every method about the picture of the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import gradio as gr

from front import compare_views
from front.handlers.visit import Visit, told
from front.methods import maps_here
from front.models import Shelf
from front.replies import plainly
from stylex import compare


@dataclass(frozen=True)
class Question:
    """What every method is asked about a sample."""

    model: str
    sample: str
    target: str
    progress: Callable[[int, int], None] = field(compare=False)


class Comparisons:
    """What is compared now, and the page of it."""

    ON_GPU = ("show_comparison", "show_comparison_again")

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.compare_sample = lru_cache(maxsize=32)(self._compare_sample)

    def _compare(self, model: str, image: Any, target: str, progress: Callable[[int, int], None]) -> str:
        return compare_views.page(compare(self.shelf.get(model).model, image, target, maps_here(), progress))

    def _compare_sample(self, q: Question) -> str:
        return self._compare(q.model, self.shelf.get(q.model).pictures[q.sample], q.target, q.progress)

    def show_comparison(
        self,
        visit: Visit | None,
        compared: tuple[str, str, str] | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        """What is compared now, and every method on the visitor's picture."""
        if visit is None:
            return [None, compare_views.NOTHING]
        if compared == visit.subject:
            return gr.skip()
        with plainly():
            e, tell = visit.explanation, told(progress, "methods")
            if visit.sample is None:
                page = self._compare(visit.model, e.source, e.target, tell)
            else:
                page = self.compare_sample(Question(visit.model, visit.sample, e.target, tell))
            return [visit.subject, page]

    def show_comparison_again(
        self,
        tab: str,
        visit: Visit | None,
        compared: tuple[str, str, str] | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        """The same after the model was changed, if the visitor is looking at it."""
        return self.show_comparison(visit, compared, progress) if tab == "compare" else gr.skip()
