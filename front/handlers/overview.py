"""The tab of the classifier as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import gradio as gr

from front import survey_views, views
from front.handlers.visit import told
from front.models import Shelf
from front.replies import keep_copies, plainly
from front.survey import survey


@dataclass(frozen=True)
class Pair:
    """Two classes of a model; how the wait is told is no part of the question."""

    model: str
    source: str
    target: str
    progress: Callable[[int, int], None] = field(compare=False)


class Overview:
    """What is seen now, and the page of it."""

    ON_GPU = ("show_pair", "show_pair_again")

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.survey_of = lru_cache(maxsize=32)(self._survey_of)

    def _survey_of(self, pair: Pair) -> str:
        shown = self.shelf.get(pair.model)
        pictures = list(shown.pictures.values())
        found = survey(shown.model, pictures, pair.source, pair.target, shown.metrics, pair.progress)
        return survey_views.page(found, shown.model.card, shown.metrics, len(shown.model.class_names))

    def show_pair(
        self,
        model: str,
        source: str,
        target: str,
        seen: tuple[str, str, str] | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        """What is seen now, and the attributes of the classifier between two of its classes."""
        if seen == (model, source, target):
            return gr.skip()
        with plainly():
            shown = self.shelf.get(model).model
            if shown.stats is None:
                return [None, views.notice(shown, True)]
            if not {source, target} <= set(shown.class_names):  # of the model that was chosen a moment ago
                source, target = shown.class_names[:2]
            return [(model, source, target), self.survey_of(Pair(model, source, target, told(progress, "pictures")))]

    def show_pair_again(
        self,
        tab: str,
        model: str,
        source: str,
        target: str,
        seen: tuple[str, str, str] | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        """The same after the model was changed, if the visitor is looking at it."""
        return self.show_pair(model, source, target, seen, progress) if tab == "classifier" else gr.skip()

    def save_papers(self, model: str) -> str:
        """All numbers of a model, and its card."""
        with plainly():
            return keep_copies(self.shelf.get(model).papers, "numbers")

    def keep_apart(self, model: str, chosen: str, other: str) -> Any:
        """The other class of a pair, which gives way when both are the same."""
        if chosen != other:
            return gr.skip()
        classes = self.shelf.get(model).model.class_names
        return next(name for name in classes if name != chosen)
