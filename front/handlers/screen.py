"""The first tab: which model, which picture, and everything that is then shown of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

import gradio as gr

from front import flicker_views, views
from front.closer import overlays
from front.flicker_views import place_of
from front.handlers.visit import Closer, Visit, chosen, started
from front.links import Link
from front.methods import METHODS
from front.models import Exhibit, Shelf
from front.replies import TOP_K, load, plainly
from front.trust import trust
from stylex import Direction, Explanation, Method, MethodError, ModelError, Strategy

T = TypeVar("T")
# What belongs to a model beside the screen: lead, samples, two classes, and for the survey and the review of these what
# is seen and its page.
BESIDES = 8


class Screen:
    """A whole screen for each answer."""

    ON_GPU = ("show_first", "choose_model", "show_sample", "show_upload", "show_again")

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        # Everybody begins with the same few pictures.
        self.explain_sample = lru_cache(maxsize=128)(self._explain_sample)

    def _explain_sample(
        self, model: str, sample: str, target: str | None, strategy: Strategy, method: Method
    ) -> tuple[Explanation, Closer]:
        return self._explain(model, self.shelf.get(model).pictures[sample], target, strategy, method)

    def _explain(
        self, model: str, image: Any, target: str | None, strategy: Strategy, method: Method
    ) -> tuple[Explanation, Closer]:
        shown = self.shelf.get(model).model
        e = shown.explain(image, target, TOP_K, strategy, method=method)
        laid = overlays(shown, e)
        return e, Closer(laid, *trust(shown, e, laid))

    # The choice of a model.

    def show_first(self, request: gr.Request) -> list[Any]:
        """The first screen: what the link asks for, or else the first picture of the first model."""
        with plainly():
            link = Link.read(dict(request.query_params))
            missing = []
            if link.model is not None and link.model not in self.shelf.names(link.model):
                missing.append(f"The link asks for {link.model}, which is not here.{self._way_to(link.model)}")
                link = Link()
            shown = self.shelf.get(link.model)
            if link.sample is not None and link.sample not in shown.pictures:
                missing.append(f"The link asks for the picture {link.sample}, which this model does not have.")
                link = replace(link, sample=None)
            if link.target is not None and link.target not in shown.model.class_names:
                missing.append(f"The link asks for {link.target}, which this classifier does not know.")
                link = replace(link, target=None)
            names = self.shelf.names(shown.name)
            return [
                gr.update(choices=names, value=shown.name, visible=len(names) > 1),
                *self._exhibit(shown, link, missing),
            ]

    # A drop-down list tells of a choice whenever it is left, so each answer first asks whether anything is new.

    def choose_model(self, model: str, method: Method, strategy: Strategy, visit: Visit | None = None) -> Any:
        if visit is not None and visit.model == model:
            return gr.skip()
        with plainly():
            return self._exhibit(self.shelf.get(model), Link(strategy=strategy, method=method))

    def show_models(self) -> list[Any]:
        """What there is to choose from, and what is on its way, at once when the page opens."""
        return self._models(self.shelf.news())

    def look_for_models(self, model: str | None = None) -> list[Any]:
        """The same again and again while something is on its way, with what has come, beside the `model` shown."""
        return self._models([*self.shelf.news(), *self.shelf.arrivals()], model)

    def bring_model(self, name: str) -> list[Any]:
        """A model of the visitor's own, chosen as soon as it is here, and what is said of that."""
        with plainly():
            shown = self.shelf.bring(name or "")
            names = self.shelf.names(shown.name)
            return [gr.update(choices=names, value=shown.name, visible=len(names) > 1), views.brought(shown)]

    def _way_to(self, model: str) -> str:
        is_allowed = self.shelf.guests is not None and self.shelf.guests.allows(model)
        return " Name it at the foot of the page, and it will be." if is_allowed else ""

    def _models(self, news: Sequence[str], model: str | None = None) -> list[Any]:
        names, waiting = self.shelf.names(model), self.shelf.is_waiting
        return [gr.update(choices=names, visible=len(names) > 1), views.banner(news), gr.Timer(active=waiting)]

    def _exhibit(self, shown: Exhibit, link: Link, missing: Sequence[str] = ()) -> list[Any]:
        """Everything that belongs to a model, and the explanation of a sample if it can give one.

        Args:
            link: what to show of it; the first sample if that names none.
            missing: what was asked for and is not here.
        """
        classes, sample = shown.model.class_names, link.sample or next(iter(shown.pictures), None)
        offered = views.samples(self.shelf.exhibits(shown.name), shown.name, sample)
        parts = [views.lead(classes), offered, *unseen(classes)]
        if sample is None or shown.model.stats is None:
            return [*parts, *no_screen(views.notice(shown.model, bool(shown.pictures)))]
        return [*parts, *self._sample(shown.name, replace(link, sample=sample), missing)]

    def _sample(self, model: str, link: Link, missing: Sequence[str] = ()) -> list[Any]:
        """The screen of the sample that a link names."""
        sample = link.sample
        assert sample is not None
        (e, closer), said = answered(
            lambda method: self.explain_sample(model, sample, link.target, link.strategy, method), link.method
        )
        missing = [*missing, *said]
        if link.attribute and link.attribute not in {place_of(a) for a in e.attributes}:
            missing.append("The attribute that the link points at is not among those found now.")
        return self._screen(Visit(model, e, closer, sample), link.attribute, missing)

    def _own(self, model: str, image: Any, target: str | None, strategy: Strategy, method: Method) -> list[Any]:
        """The screen of a visitor's own picture."""
        (e, closer), said = answered(lambda method: self._explain(model, image, target, strategy, method), method)
        return self._screen(Visit(model, e, closer), missing=said)

    def _screen(
        self, visit: Visit, attribute: tuple[int, Direction] | None = None, missing: Sequence[str] = ()
    ) -> list[Any]:
        """Everything that shows an explanation.

        Args:
            attribute: the one to be pointed out.
            missing: what was asked for and is not here.
        """
        e = visit.explanation
        laid, of_picture, of_edits = visit.closer
        names = [f"{n} · {flicker_views.called(a)}" for n, a in enumerate(e.attributes, start=1)]
        knobs = [gr.Slider(value=0, label=name, visible=True) for name in names]
        knobs += [gr.Slider(value=0, visible=False)] * (TOP_K - len(knobs))
        return [
            visit,
            views.banner(missing),
            views.answer(e, of_picture),
            gr.update(choices=list(e.probs), value=e.target, visible=True),
            gr.update(value=e.method, visible=True),
            gr.update(value=e.strategy, visible=e.method == "attfind"),
            flicker_views.flickers(e, replace(visit.link, attribute=attribute), laid, of_edits),
            "",
            gr.update(visible=bool(e.attributes)),
            flicker_views.painter(e),
            "",
            gr.update(visible=bool(e.attributes)),
            gr.update(visible=bool(e.attributes)),
            views.moved(e, e.reconstruction, e.reconstruction_probs),
            *knobs,
        ]

    # One picture. Each of these returns a whole screen.

    def show_sample(self, model: str, method: Method, strategy: Strategy, event: gr.EventData) -> list[Any]:
        """A sample of any model, with everything that belongs to that model if it is another."""
        with plainly():
            exhibits = self.shelf.exhibits(model)
            shown = exhibits[chosen(event, exhibits, "model")]
            names = list(shown.pictures)
            sample = names[chosen(event, range(len(names)))]
            link = Link(shown.name, sample, strategy=strategy, method=method)
            if shown.name != model:
                return [shown.name, *self._exhibit(shown, link)]
            return [*[gr.skip()] * (1 + BESIDES), *self._sample(model, link)]

    def show_upload(self, path: str | None, model: str, method: Method, strategy: Strategy) -> list[Any]:
        with plainly():
            return self._own(model, load(path), None, strategy, method)

    def show_again(self, visit: Visit | None, target: str, method: Method, strategy: Strategy) -> Any:
        """The same picture with another target, method or strategy."""
        with plainly():
            visit = started(visit)
            e = visit.explanation
            if (e.target, e.method, e.strategy) == (target, method, strategy):
                return gr.skip()
            if visit.sample is not None:
                return self._sample(visit.model, Link(visit.model, visit.sample, target, strategy, method=method))
            return self._own(visit.model, e.source, target, strategy, method)


def no_screen(notice: str) -> list[Any]:
    """The same places, with nothing to show yet."""
    hidden = gr.update(visible=False)
    return [
        None,
        "",
        "",
        hidden,
        hidden,
        hidden,
        notice,
        "",
        hidden,
        "",
        "",
        hidden,
        hidden,
        "",
        *[gr.Slider(value=0, visible=False)] * TOP_K,
    ]


def answered(ask: Callable[[Method], T], method: Method) -> tuple[T, list[str]]:
    """An explanation by a method; where that has no answer, AttFind's, and the reason why."""
    try:
        return ask(method), []
    except (MethodError, ModelError) as error:
        if method == "attfind":
            raise
        return ask("attfind"), [f"{METHODS[method].label} has no answer here: {error}. You see AttFind’s instead."]


def unseen(classes: Sequence[str]) -> list[Any]:
    """The choice of two classes, and empty pages until somebody looks at them: nothing is seen."""
    pair = [gr.update(choices=classes, value=classes[n]) for n in (0, 1)]
    return [*pair, None, "", None, ""]
