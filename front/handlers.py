"""What the page's events do. Models are shared and never changed; what a visitor has chosen comes with the event."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import gradio as gr

from front import compare_views, flicker_views, survey_views, views
from front.closer import Overlay, overlays, steps
from front.flicker_views import place_of
from front.links import Link
from front.methods import METHODS, maps_here, moved_together
from front.models import Exhibit, Shelf
from front.place import Reach, asked, cells_of, reach
from front.replies import TOP_K, keep, keep_all, keep_copies, load, named, plainly, sorry
from front.survey import survey
from front.trust import Trust, trust
from stylex import Direction, Explanation, Method, MethodError, ModelError, Strategy, compare
from stylex.pictures.images import to_pil
from stylex.pictures.render import flicker

T = TypeVar("T")
# Pictures whose moves are remembered for the next question about a place.
MOST_REACHED = 64
# What belongs to a model beside the screen: lead, samples, two classes, what is seen of them, and that page.
BESIDES = 6


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


@dataclass(frozen=True)
class Pair:
    """Two classes of a model; how the wait is told is no part of the question."""

    model: str
    source: str
    target: str
    progress: Callable[[int, int], None] = field(compare=False)


@dataclass(frozen=True)
class Question:
    """What every method is asked about a sample."""

    model: str
    sample: str
    target: str
    progress: Callable[[int, int], None] = field(compare=False)


class Handlers:
    """Answers, each a list in the order of the components that app.py names for it."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        # Everybody begins with the same few pictures and pairs of classes.
        self.explain_sample = lru_cache(maxsize=128)(self._explain_sample)
        self.survey_of = lru_cache(maxsize=32)(self._survey_of)
        self.compare_sample = lru_cache(maxsize=32)(self._compare_sample)
        self.reached: dict[tuple[str, str, str], Reach] = {}

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

    def _survey_of(self, pair: Pair) -> str:
        shown = self.shelf.get(pair.model)
        pictures = list(shown.pictures.values())
        found = survey(shown.model, pictures, pair.source, pair.target, shown.metrics, pair.progress)
        return survey_views.page(found, shown.model.card, shown.metrics, len(shown.model.class_names))

    # The choice of a model.

    def show_first(self, request: gr.Request) -> list[Any]:
        """The first screen: what the link asks for, or else the first picture of the first model."""
        with plainly():
            link = Link.read(dict(request.query_params))
            missing = []
            if link.model is not None and link.model not in self.shelf.names():
                missing.append(f"The link asks for {link.model}, which is not here.")
                link = Link()
            shown = self.shelf.get(link.model)
            if link.sample is not None and link.sample not in shown.pictures:
                missing.append(f"The link asks for the picture {link.sample}, which this model does not have.")
                link = replace(link, sample=None)
            if link.target is not None and link.target not in shown.model.class_names:
                missing.append(f"The link asks for {link.target}, which this classifier does not know.")
                link = replace(link, target=None)
            names = self.shelf.names()
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

    def look_for_models(self) -> list[Any]:
        """The same again and again while something is on its way, with what has come."""
        return self._models([*self.shelf.news(), *self.shelf.arrivals()])

    def _models(self, news: Sequence[str]) -> list[Any]:
        names, waiting = self.shelf.names(), self.shelf.is_waiting
        return [gr.update(choices=names, visible=len(names) > 1), views.banner(news), gr.Timer(active=waiting)]

    def _exhibit(self, shown: Exhibit, link: Link, missing: Sequence[str] = ()) -> list[Any]:
        """Everything that belongs to a model, and the explanation of a sample if it can give one.

        Args:
            link: what to show of it; the first sample if that names none.
            missing: what was asked for and is not here.
        """
        classes, sample = shown.model.class_names, link.sample or next(iter(shown.pictures), None)
        offered = views.samples(self.shelf.exhibits(), shown.name, sample)
        parts = [views.lead(classes), offered, *self._pair(shown, *classes[:2])]
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
            exhibits = self.shelf.exhibits()
            shown = exhibits[chosen(event, range(len(exhibits)), "model")]
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

    # One picture, by every method.

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

    # The classifier as a whole.

    def _pair(self, shown: Exhibit, source: str, target: str) -> list[Any]:
        """The choice of two classes, and an empty page until somebody looks at it: nothing is seen."""
        classes = shown.model.class_names
        return [gr.update(choices=classes, value=source), gr.update(choices=classes, value=target), None, ""]

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


def told(progress: gr.Progress, unit: str) -> Callable[[int, int], None]:
    """A bar for what is done one by one, with how many in a second and the time that is left."""
    start = time.perf_counter()

    def tell(done: int, total: int) -> None:
        rate = done / max(time.perf_counter() - start, 1e-3)
        speed = f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
        progress((done, total), desc=f"{speed} {unit}/s, {math.ceil((total - done) / rate)} s left", unit=unit)

    return tell


def answered(ask: Callable[[Method], T], method: Method) -> tuple[T, list[str]]:
    """An explanation by a method; where that has no answer, AttFind's, and the reason why."""
    try:
        return ask(method), []
    except (MethodError, ModelError) as error:
        if method == "attfind":
            raise
        return ask("attfind"), [f"{METHODS[method].label} has no answer here: {error}. You see AttFind’s instead."]


def started(visit: Visit | None) -> Visit:
    if visit is None:
        raise sorry("choose a picture first")
    return visit


def chosen(event: gr.EventData, allowed: range, key: str = "number") -> int:
    """The number that a button of a gr.HTML sent; anybody can send any."""
    number = event._data.get(key) if isinstance(event._data, dict) else None
    if type(number) is not int or number not in allowed:  # 1.0 is in a range too
        raise sorry("there is no such picture")
    return number
