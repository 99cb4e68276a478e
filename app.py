"""The Space: look at what an image classifier looks at. This file builds the interface and wires it to stylex.

python app.py    serves checkpoints/leaves, or the first that can be had of the folders and Hub repositories that
                 STYLEX_MODELS names, with commas between them; me/stylex-mine@v2 is pinned at that revision
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast, get_args

import gradio as gr
import torch
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from front import views
from stylex import Direction, Explanation, ImageError, ModelError, StylEx
from stylex.explain import Strategy, combine, resolve_target
from stylex.hub import fetch, split_revision
from stylex.images import load_image, to_pil
from stylex.render import flicker
from stylex.stylespace import move_together

FRONT = Path(__file__).parent / "front"
BUNDLED = "checkpoints/leaves"
TOP_K = 5
KNOB_END = 1.5  # a little past the range seen in training, so that a weak attribute can be exaggerated
MAX_SAMPLES = 12
MAX_TOP_K = 50
MAX_MOVES = 64
MAX_UPLOAD = "20mb"  # stylex.images limits the pixels
KEEP_S = 3600  # how long a file made for a visitor, or sent by one, stays
STRATEGIES = [("each one alone", "independent"), ("one on top of the other", "subset")]

# Explanations wait in one line, two at work; a knob is a single small forward pass and does not wait.
IN_LINE: dict[str, Any] = {"concurrency_id": "explain", "concurrency_limit": 2}
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
MAX_WAITING = 100

# Events of the two gr.HTML that hold buttons; each says which button was meant.
ON_SAMPLE = """element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-sample]');
  if (!button) return;
  for (const other of element.querySelectorAll('[data-sample]')) other.setAttribute('aria-pressed', other === button);
  trigger('pick', { number: Number(button.dataset.sample) });
});"""
ON_GIF = """element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-gif]');
  if (button) trigger('gif', { number: Number(button.dataset.gif) });
});"""
NO_SAMPLE = "() => document.querySelectorAll('[data-sample]').forEach(b => b.setAttribute('aria-pressed', false))"
SAVE_FILE = "() => document.querySelector('a#sx-file, #sx-file a, #sx-file').click()"


@dataclass(frozen=True)
class Visit:
    """What one visitor looks at: an explanation, and the number of its sample picture if it is of one."""

    explanation: Explanation
    sample: int | None = None


class Handlers:
    """What the page's events do, around one model that every visitor shares and nobody changes."""

    def __init__(self, model: StylEx, pictures: Sequence[Path]) -> None:
        self.model = model
        self.pictures = pictures
        # Everybody begins with the same few pictures.
        self.explain_sample = lru_cache(maxsize=64)(self._explain_sample)

    def _explain_sample(self, number: int, target: str | None, strategy: Strategy) -> Explanation:
        return self.model.explain(self.pictures[number], target, TOP_K, strategy)

    def named(self, probs: torch.Tensor) -> dict[str, float]:
        """[K] -> class name: probability."""
        return dict(zip(self.model.class_names, probs.tolist(), strict=True))

    # The page. Each of the first four returns a whole screen, in the order of `shown` in `build_app`.

    def show_first(self, strategy: Strategy) -> list[Any]:
        with plainly():
            return screen(Visit(self.explain_sample(0, None, strategy), 0))

    def show_sample(self, strategy: Strategy, event: gr.EventData) -> list[Any]:
        number = chosen(event, range(len(self.pictures)))
        with plainly():
            return screen(Visit(self.explain_sample(number, None, strategy), number))

    def show_upload(self, path: str | None, strategy: Strategy) -> list[Any]:
        with plainly():
            return screen(Visit(self.model.explain(load(path), None, TOP_K, strategy)))

    def show_again(self, visit: Visit | None, target: str, strategy: Strategy) -> list[Any]:
        """The same picture with another target or strategy."""
        with plainly():
            visit = started(visit)
            if visit.sample is not None:
                return screen(Visit(self.explain_sample(visit.sample, target, strategy), visit.sample))
            return screen(Visit(self.model.explain(visit.explanation.source, target, TOP_K, strategy)))

    def turn_knobs(self, visit: Visit | None, *amounts: float) -> str:
        with plainly():
            e = started(visit).explanation
            x = self.model.synthesize(combine(self.model, e.s, e.attributes, amounts[: len(e.attributes)]))
            return views.moved(e, to_pil(x), self.named(self.model.classify(x)[0]))

    def turn_all_to(self, amount: float, visit: Visit | None) -> list[Any]:
        return [*[amount] * TOP_K, self.turn_knobs(visit, *[amount] * TOP_K)]

    def save_gif(self, visit: Visit | None, event: gr.EventData) -> str:
        e = started(visit).explanation
        number = chosen(event, range(1, len(e.attributes) + 1))
        a = e.attributes[number - 1]
        with TemporaryDirectory() as folder:
            return keep(flicker(a.before, a.image, Path(folder) / f"attribute-{number}.gif", caption=e.caption(a)))

    def save_all(self, visit: Visit | None) -> str:
        return keep_all(started(visit).explanation)

    # The same for programs.

    def classify(self, image: str) -> dict[str, Any]:
        """What the classifier says of a picture, and of the reconstruction on which explanations are built.

        Args:
            image: the picture.

        Returns:
            {"photograph": {class: probability}, "reconstruction": {class: probability}}
        """
        with plainly():
            x = self.model.load_images([load(image)])
            x_rec = self.model.synthesize(self.model.styles(self.model.encode(x)))
            return {
                "photograph": self.named(self.model.classify(x)[0]),
                "reconstruction": self.named(self.model.classify(x_rec)[0]),
            }

    def explain(
        self, image: str, target: str = "", strategy: Strategy = "independent", top_k: int = TOP_K
    ) -> tuple[dict[str, Any], str]:
        """Which attributes would change the classifier's mind about a picture, with the probability before and after.

        Args:
            image: the picture.
            target: the class to move towards; empty for the runner-up.
            strategy: "independent" moves each attribute alone, "subset" each on top of the ones before.
            top_k: how many attributes, at most.

        Returns:
            The numbers, and a zip of all pictures and flickers.
        """
        with plainly():
            e = self.model.explain(load(image), target or None, top_k, strategy)
            return e.to_dict(), keep_all(e)

    def counterfactual(self, image: str, moves: Any, target: str = "") -> tuple[dict[str, Any], str]:
        """A picture with chosen style coordinates moved, and what the classifier then says.

        Args:
            image: the picture.
            moves: a list such as [{"index": 17, "direction": "up", "amount": 1.0}], with index and direction as
                `explain` returns them; amount 0 stays, 1 (when left out) goes to the end of the range.
            target: the class whose probability is asked for; empty for the runner-up.

        Returns:
            {"target", "prob_before", "prob_after", "probs"}, and the picture as PNG.
        """
        with plainly():
            model = self.model
            if model.stats is None:
                raise ModelError("this model has no style statistics; run train/find_attributes.py on it first")
            x = model.load_images([load(image)])
            aim = resolve_target(model.class_names, model.logits(x)[0], target or None)
            s = model.styles(model.encode(x))
            s_moved = s
            for index, direction, amount in read_moves(moves, model.space.num_conv):
                s_moved = move_together(s_moved, [(index, direction)], model.stats, amount)
            x_moved = model.synthesize(s_moved)
            before, after = model.classify(model.synthesize(s))[0], model.classify(x_moved)[0]
            numbers = {
                "target": model.class_names[aim],
                "prob_before": float(before[aim]),
                "prob_after": float(after[aim]),
                "probs": self.named(after),
            }
            with TemporaryDirectory() as folder:
                path = Path(folder) / "counterfactual.png"
                to_pil(x_moved).save(path)
                return numbers, keep(path)


def build_app(model: StylEx, samples: Path | None) -> gr.Blocks:
    """The interface around one model.

    Args:
        samples: folder of PNG pictures to offer; the first of them is explained on the first screen.
    """
    pictures = sorted(samples.glob("*.png"))[:MAX_SAMPLES] if samples else []
    do = Handlers(model, pictures)

    with gr.Blocks(title="StylEx", analytics_enabled=False, delete_cache=(KEEP_S, KEEP_S)) as app:
        visit = gr.State(None)
        gr.HTML(views.lead(model.class_names), elem_classes="sx sx-lead")
        with gr.Row(elem_classes="sx-columns"):
            with gr.Column(scale=4, min_width=300):
                sampler = gr.HTML(
                    views.samples(pictures), elem_classes="sx", js_on_load=ON_SAMPLE, visible=bool(pictures)
                )
                upload = gr.File(
                    label="Your own picture", show_label=False, file_types=["image"], height=64, elem_id="sx-upload"
                )
                answer = gr.HTML(elem_classes="sx", elem_id="sx-answer")
                choose = gr.Radio if len(model.class_names) <= 6 else gr.Dropdown
                target = choose(model.class_names, label="Move it towards", visible=False, elem_id="sx-target")
                strategy = gr.Radio(
                    STRATEGIES, value="independent", label="Change the attributes", visible=False, elem_id="sx-strategy"
                )
            with gr.Column(scale=8, min_width=300):
                flickers = gr.HTML(
                    views.notice(model, bool(pictures)), elem_classes="sx", elem_id="sx-flickers", js_on_load=ON_GIF
                )
                with gr.Column(visible=False, elem_classes="sx-workbench") as workbench:
                    gr.HTML(views.KNOBS_LEAD, elem_classes="sx")
                    with gr.Row(elem_classes="sx-knobs"):
                        with gr.Column(scale=5, min_width=260):
                            knobs = [
                                gr.Slider(0, KNOB_END, 0, step=0.05, label=str(n), buttons=[], elem_id=f"sx-knob-{n}")
                                for n in range(1, TOP_K + 1)
                            ]
                            with gr.Row():
                                to_end = gr.Button("All to 1", size="sm", min_width=80, elem_classes="sx-plain")
                                to_start = gr.Button("Back to 0", size="sm", min_width=80, elem_classes="sx-plain")
                            save = gr.Button(
                                "Download everything (zip)", size="sm", elem_id="sx-zip", elem_classes="sx-plain"
                            )
                        with gr.Column(scale=7, min_width=260, elem_classes="sx-seen"):
                            moved = gr.HTML(elem_classes="sx", elem_id="sx-moved")
        # Made on demand, then clicked by SAVE_FILE.
        file = gr.DownloadButton("Download", elem_id="sx-file", elem_classes="sx-hidden")

        shown = [visit, answer, target, strategy, flickers, workbench, moved, *knobs]
        private: dict[str, Any] = {"api_visibility": "private"}
        explaining: dict[str, Any] = {**IN_LINE, **private, "show_progress_on": flickers}
        if pictures and model.stats is not None:
            app.load(do.show_first, strategy, shown, **explaining)
        sampler.pick(do.show_sample, strategy, shown, **explaining)
        sent = upload.upload(do.show_upload, [upload, strategy], shown, **explaining)
        for ended in (sent.success, sent.failure):  # either way the box is ready for the next picture
            ended(lambda: None, None, upload, **AT_ONCE, **private)
        sent.success(None, js=NO_SAMPLE)
        for choice in (target, strategy):
            choice.input(do.show_again, [visit, target, strategy], shown, trigger_mode="always_last", **explaining)

        for knob in knobs:
            knob.input(do.turn_knobs, [visit, *knobs], moved, trigger_mode="always_last", **AT_ONCE, **private)
        for button, amount in ((to_end, 1.0), (to_start, 0.0)):
            turned = gr.State(amount)
            button.click(do.turn_all_to, [turned, visit], [*knobs, moved], **AT_ONCE, **private)

        made = flickers.gif(do.save_gif, visit, file, show_progress="hidden", **IN_LINE, **private)
        made.success(None, js=SAVE_FILE)
        made = save.click(do.save_all, visit, file, show_progress_on=save, **IN_LINE, **private)
        made.success(None, js=SAVE_FILE)

        with gr.Column(visible=False):  # what the endpoints take and return; no visitor sees it
            image, towards = gr.File(label="image"), gr.Textbox(label="target")
            how = gr.Dropdown(list(get_args(Strategy)), value="independent", label="strategy")
            count = gr.Number(TOP_K, label="top_k", precision=0, minimum=1, maximum=MAX_TOP_K)
            moves, numbers, result = gr.JSON(label="moves"), gr.JSON(label="numbers"), gr.File(label="file")
            gr.Button().click(do.classify, image, numbers, api_name="classify", **IN_LINE)
            both: list[Any] = [numbers, result]
            gr.Button().click(do.explain, [image, towards, how, count], both, api_name="explain", **IN_LINE)
            gr.Button().click(do.counterfactual, [image, moves, towards], both, api_name="counterfactual", **IN_LINE)

    return app.queue(max_size=MAX_WAITING)


def screen(visit: Visit) -> list[Any]:
    """Everything that shows an explanation."""
    e = visit.explanation
    knobs = [gr.Slider(value=0, label=f"{n} · {a.title}", visible=True) for n, a in enumerate(e.attributes, start=1)]
    knobs += [gr.Slider(value=0, visible=False)] * (TOP_K - len(knobs))
    return [
        visit,
        views.answer(e),
        gr.update(value=e.target, visible=True),
        gr.update(visible=True),
        views.flickers(e),
        gr.update(visible=bool(e.attributes)),
        views.moved(e, e.reconstruction, e.reconstruction_probs),
        *knobs,
    ]


@contextmanager
def plainly() -> Iterator[None]:
    """What is wrong with a picture, a model or an argument becomes one sentence on the page. No gradients are kept."""
    try:
        with torch.no_grad():
            yield
    except (ImageError, ModelError, ValueError) as error:
        raise sorry(str(error)) from None


def sorry(text: str) -> gr.Error:
    """An error that gradio shows as one sentence, without a stack trace in the page or in the log."""
    return gr.Error(escape(f"{text[:1].upper()}{text[1:]}."), title="Sorry", print_exception=False)


def load(path: str | None) -> Any:
    if not path:
        raise ImageError("there is no picture; choose or send one")
    return load_image(path, name="your file")


def started(visit: Visit | None) -> Visit:
    if visit is None:
        raise sorry("choose a picture first")
    return visit


def chosen(event: gr.EventData, allowed: range) -> int:
    """The number that a button of a gr.HTML sent; anybody can send any."""
    number = event._data.get("number") if isinstance(event._data, dict) else None
    if number not in allowed:
        raise sorry("there is no such picture")
    return cast(int, number)


def read_moves(moves: Any, size: int) -> list[tuple[int, Direction, float]]:
    """(coordinate, direction, amount) of each move that a program sent.

    Raises:
        ValueError: saying which entry is wrong.
    """
    if not isinstance(moves, list) or len(moves) > MAX_MOVES:
        raise ValueError(f"moves must be a list of at most {MAX_MOVES} objects with index, direction and amount")
    found = []
    for n, row in enumerate(moves):
        row = row if isinstance(row, dict) else {}
        index, direction, amount = row.get("index"), row.get("direction"), row.get("amount", 1.0)
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < size:
            raise ValueError(f"move {n}: index is {index!r}; use a whole number from 0 to {size - 1}")
        if direction not in ("up", "down"):
            raise ValueError(f"move {n}: direction is {direction!r}; use 'up' or 'down'")
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 <= amount <= KNOB_END:
            raise ValueError(f"move {n}: amount is {amount!r}; use a number from 0 to {KNOB_END}")
        found.append((index, Direction[direction.upper()], float(amount)))
    return found


def keep(path: Path) -> str:
    """Copy a file to where gradio serves files from, and takes them away after `KEEP_S`."""
    return save_file_to_cache(path, cache_dir=get_upload_folder())


def keep_all(e: Explanation) -> str:
    with TemporaryDirectory() as folder:
        e.save(Path(folder) / "explanation")
        return keep(Path(shutil.make_archive(f"{folder}/explanation", "zip", folder, "explanation")))


def launch_options() -> dict[str, Any]:
    """What gradio wants at launch: looks, script and limits. Address and port come from the environment."""
    sans, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    theme = gr.themes.Base(primary_hue="teal", neutral_hue="stone", font=sans, font_mono=mono).set(
        body_background_fill="#fdfcfa",
        body_background_fill_dark="#161513",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_padding="0",
        block_shadow="none",
    )
    return {
        "theme": theme,
        "css_paths": FRONT / "page.css",
        "js": (FRONT / "flicker.js").read_text(encoding="utf-8"),
        "max_file_size": MAX_UPLOAD,
        "footer_links": ["api"],
        "run_history": False,
        "ssr_mode": False,
    }


def first_model(names: str) -> tuple[StylEx, Path]:
    """The first of the models that can be had, and its folder.

    Raises:
        ModelError: of the last one, if there is none.
    """
    found = [name.strip() for name in names.split(",") if name.strip()] or [BUNDLED]
    for n, name in enumerate(found, start=1):
        source, revision = split_revision(name)
        try:
            folder = fetch(source, revision=revision)
            return StylEx.from_pretrained(folder), folder
        except ModelError as error:
            if n == len(found):
                raise
            print(f"warning: {error}; the next one is tried", file=sys.stderr)
    raise AssertionError("a list of models is never empty")


def main() -> int:
    try:
        model, folder = first_model(os.environ.get("STYLEX_MODELS", ""))
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    samples = folder / "samples"
    build_app(model, samples if samples.is_dir() else None).launch(**launch_options())
    return 0


if __name__ == "__main__":
    sys.exit(main())
