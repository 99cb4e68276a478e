"""What a visitor does with the picture that is explained: knobs, steps, a place, files to take home."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from front import flicker_views, views
from front.closer import steps
from front.handlers.visit import Visit, chosen, started
from front.methods import moved_together
from front.models import Shelf
from front.place import Reach, asked, cells_of, reach
from front.replies import TOP_K, keep, keep_all, named, plainly
from stylex.pictures.images import to_pil
from stylex.pictures.render import flicker

# Pictures whose moves are remembered for the next question about a place.
MOST_REACHED = 64


class Bench:
    """One thing for each answer; the rest of the screen stays."""

    ON_GPU = ("turn_knobs", "turn_all_to", "show_steps", "ask_place")

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.reached: dict[tuple[str, str, str], Reach] = {}

    def turn_knobs(self, visit: Visit | None, *amounts: float) -> str:
        with plainly():
            visit = started(visit)
            e, model = visit.explanation, self.shelf.get(visit.model).model
            x = model.synthesize(moved_together(model, e, amounts))
            return views.moved(e, to_pil(x), named(model.class_names, model.classify(x)[0]))

    def turn_all_to(self, amount: float, visit: Visit | None) -> list[Any]:
        return [*[amount] * TOP_K, self.turn_knobs(visit, *[amount] * TOP_K)]

    def show_steps(self, visit: Visit | None, event: gr.EventData) -> str:
        """The pictures on the way of one edit."""
        with plainly():
            visit = started(visit)
            number = chosen(event, range(1, len(visit.explanation.attributes) + 1)) - 1
            on_the_way = steps(self.shelf.get(visit.model).model, visit.explanation, number)
            return flicker_views.steps(visit.explanation, number, on_the_way)

    def ask_place(self, visit: Visit | None, event: gr.EventData) -> str:
        """What decides in a place that was painted."""
        with plainly():
            visit = started(visit)
            cells = cells_of(event._data.get("cells") if isinstance(event._data, dict) else None)
            model, key = self.shelf.get(visit.model).model, visit.subject
            if key not in self.reached:
                self.reached[key] = reach(model, visit.explanation)
                for old in list(self.reached)[:-MOST_REACHED]:
                    self.reached.pop(old, None)
            found = asked(model, visit.explanation, self.reached[key], cells)
            return flicker_views.place(found, visit.explanation.target)

    def save_gif(self, visit: Visit | None, event: gr.EventData) -> str:
        e = started(visit).explanation
        number = chosen(event, range(1, len(e.attributes) + 1))
        a = e.attributes[number - 1]
        with TemporaryDirectory() as folder:
            return keep(flicker(a.before, a.image, Path(folder) / f"attribute-{number}.gif", caption=e.caption(a)))

    def save_all(self, visit: Visit | None) -> str:
        return keep_all(started(visit).explanation)
