"""The tab of two classifiers on one generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import gradio as gr

from front import versus_views, views
from front.handlers.visit import told
from front.models import Shelf
from front.replies import plainly
from front.rivals import against, rivals


@dataclass(frozen=True)
class Duel:
    """A model, and the name of whom its classifier is compared with."""

    model: str
    rival: str
    progress: Callable[[int, int], None] = field(compare=False)


class Judging:
    """Who is compared now, and the page of it."""

    ON_GPU = ("show_duel", "show_duel_again")

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.duel_of = lru_cache(maxsize=32)(self._duel_of)

    def _duel_of(self, duel: Duel) -> str:
        return versus_views.page(against(self.shelf, self.shelf.get(duel.model), duel.rival, duel.progress))

    def show_duel(
        self,
        model: str,
        rival: str | None,
        seen: tuple[str, str] | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        """Who can be chosen, who is seen now, and where the two disagree."""
        with plainly():
            shown = self.shelf.get(model)
            known = rivals(self.shelf, shown)
            if not known or not shown.pictures or shown.model.stats is None:
                nothing = views.notice(shown.model, True) if shown.model.stats is None else versus_views.ALONE
                return [gr.update(choices=[], value=None, visible=False), None, nothing]
            chosen = rival if rival in known else next(iter(known))
            if seen == (model, chosen):
                return gr.skip()
            choices = [(each.says, name) for name, each in known.items()]
            page = self.duel_of(Duel(model, chosen, told(progress, "changes")))
            return [gr.update(choices=choices, value=chosen, visible=True), (model, chosen), page]

    def show_duel_again(
        self,
        tab: str,
        model: str,
        rival: str | None,
        seen: tuple[str, str] | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        """The same after the model was changed, if the visitor is looking at it."""
        return self.show_duel(model, rival, seen, progress) if tab == "versus" else gr.skip()
