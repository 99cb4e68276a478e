"""The review sheet of the tab of the classifier."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from front import review, review_views, views
from front.handlers.visit import told
from front.models import Exhibit, Shelf
from front.replies import keep_copies, plainly


class Reviewing:
    """What is on the sheet now, and the page of it; what a visitor says of it comes back as files and stays nowhere."""

    ON_GPU = ("show_sheet", "show_sheet_again")

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def show_sheet(
        self,
        model: str,
        source: str,
        target: str,
        laid: tuple[str, str, str] | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        """The attributes between two classes, each with a form."""
        if laid == (model, source, target):
            return gr.skip()
        with plainly():
            shown = self.shelf.get(model)
            if shown.model.stats is None:
                return [None, views.notice(shown.model, True)]
            if not {source, target} <= set(shown.model.class_names):  # of the model that was chosen a moment ago
                source, target = shown.model.class_names[:2]
            pictures = list(shown.pictures.values())
            found = review.sheet(shown.model, pictures, source, target, told(progress, "attributes"))
            return [(model, source, target), review_views.page(found, key_of(shown))]

    def show_sheet_again(
        self,
        is_open: bool,
        model: str,
        source: str,
        target: str,
        laid: tuple[str, str, str] | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        """The same of another pair or model, if the visitor is looking at it."""
        return self.show_sheet(model, source, target, laid, progress) if is_open else gr.skip()

    def save_review(self, model: str, event: gr.EventData) -> str:
        """attributes.json and review.csv with what the visitor said, as a zip."""
        with plainly():
            shown = self.shelf.get(model)
            sent = event._data if isinstance(event._data, dict) else {}
            if sent.get("review") != key_of(shown):
                raise ValueError("this sheet is of another model; open it again")
            said = review.read_said(sent.get("said"), len(shown.model.attributes))
            with TemporaryDirectory() as folder:
                attributes = review.reviewed(shown.model.attributes, said)
                return keep_copies(review.save(Path(folder), shown.model, attributes), "review")


def key_of(shown: Exhibit) -> str:
    return f"{shown.name} {review.digest(shown.model.attributes)}"
