"""The Space: look at what an image classifier looks at. This file builds the interface and wires it to its answers.

python app.py    shows the models in checkpoints/, and before them those that STYLEX_MODELS names with commas between
                 them: folders and Hub repositories; me/stylex-mine@v2 is pinned at that revision. Visitors may bring
                 those that STYLEX_ALLOW names, me/* for all of an owner, and compare a model's classifier with those
                 of the folders in STYLEX_CLASSIFIERS

What stands where: front/models.py the models to choose from, front/handlers/ what a click does, front/closer.py what a
closer look shows, front/views.py and the other views what is then shown, front/endpoints.py the same for programs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, get_args

from front.surroundings import Unfit, root_path, settle

try:
    WARNINGS = settle()  # before gradio and torch, which read their surroundings when they are imported
except Unfit as error:
    sys.exit(f"error: {error}")

import gradio as gr
from starlette.middleware import Middleware

import front.gpu  # before anything that imports torch
from front import own_views, views
from front.cores import share_out_our_cores
from front.endpoints import MAX_TOP_K, Endpoints
from front.endpoints_of_models import EndpointsOfModels
from front.guard import MAX_UPLOAD_MB, Guard
from front.guests import MAX_NAME, Guests, rules
from front.handlers.bench import Bench
from front.handlers.comparison import Comparisons
from front.handlers.judging import Judging
from front.handlers.overview import Overview
from front.handlers.reviewing import Reviewing
from front.handlers.screen import Screen
from front.methods import METHODS
from front.models import Shelf, wishes
from front.replies import KNOB_END, TOP_K, picture_file
from front.rivals import classifiers
from stylex import Method, ModelError, Strategy
from stylex.terminal import print_anything

HERE = Path(__file__).parent
FRONT = HERE / "front"
KEEP_S = 3600  # how long a file made for a visitor, or sent by one, stays
LOOK_S = 1.0  # how often a page asks for models that are on their way
STRATEGIES = [("each one alone", "independent"), ("one on top of the other", "subset"), ("by the class's list", "list")]

# What takes longer than an explanation waits in one line, and explanations in another, which a few may leave at once. A
# knob is a single small forward pass and does not wait.
IN_LINE: dict[str, Any] = {"concurrency_id": "line", "concurrency_limit": 1}
# Whoever waits for the Hub holds up nobody else.
FETCHING: dict[str, Any] = {"concurrency_id": "fetch", "concurrency_limit": 1}
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
MAX_WAITING = 100
# Answers at work at the same time, with knobs; each thread that ever computed keeps some memory.
THREADS = 4
# Visitors whose picture is remembered, those seen last; each takes about half a megabyte.
MAX_VISITORS = 300
# Events of the two gr.HTML that hold buttons; each says which button was meant.
ON_SAMPLE = """element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-sample]');
  if (!button) return;
  for (const other of element.querySelectorAll('[data-sample]')) other.setAttribute('aria-pressed', other === button);
  trigger('pick', { model: Number(button.dataset.model), number: Number(button.dataset.sample) });
});"""
ON_CARD = """element.addEventListener('click', (event) => {
  for (const name of ['gif', 'steps']) {
    const button = event.target.closest(`[data-${name}]`);
    if (button) trigger(name, { number: Number(button.dataset[name]) });
  }
});"""
ON_REVIEW = (FRONT / "review.js").read_text(encoding="utf-8")
ON_PAINT = (FRONT / "paint.js").read_text(encoding="utf-8")
NO_SAMPLE = "() => document.querySelectorAll('[data-sample]').forEach(b => b.setAttribute('aria-pressed', false))"
SAVE_FILE = "() => document.querySelector('a#sx-file, #sx-file a, #sx-file').click()"


def build_app(shelf: Shelf, at_once: int = 1) -> gr.Blocks:
    """The interface to the models of a shelf that has been filled, which makes so many explanations `at_once`."""
    screen, bench = front.gpu.lent(Screen(shelf)), front.gpu.lent(Bench(shelf))
    comparisons, overview = front.gpu.lent(Comparisons(shelf)), front.gpu.lent(Overview(shelf))
    reviewing, judging = front.gpu.lent(Reviewing(shelf)), front.gpu.lent(Judging(shelf))
    first, allowed = shelf.get(), shelf.guests.allowed if shelf.guests else []
    classes = first.model.class_names

    with gr.Blocks(title="StylEx", analytics_enabled=False, delete_cache=(KEEP_S, KEEP_S)) as app:
        visit, tab, seen, compared = gr.State(None), gr.State("picture"), gr.State(None), gr.State(None)
        laid, is_reviewing, duelled = gr.State(None), gr.State(False), gr.State(None)
        with gr.Row(elem_classes="sx-head"):
            with gr.Column(scale=4, min_width=280):
                lead = gr.HTML(views.lead(classes), elem_classes="sx sx-lead")
            with gr.Column(scale=1, min_width=200):
                model = gr.Dropdown(
                    shelf.names(),
                    value=first.name,
                    label="Classifier",
                    visible=len(shelf.names()) > 1,
                    elem_id="sx-model",
                )
        banner = gr.HTML(elem_classes="sx sx-banner", elem_id="sx-banner")
        look = gr.Timer(LOOK_S, active=False)
        tabs = gr.Tabs(overflow_behavior="wrap")  # on a phone none of them is hidden in a menu
        with tabs, gr.Tab("One picture") as picture_tab:
            missing = gr.HTML(elem_classes="sx sx-banner", elem_id="sx-missing")
            with gr.Row(elem_classes="sx-columns"):
                with gr.Column(scale=3, min_width=270, elem_classes="sx-left"):
                    sampler = gr.HTML(elem_classes="sx", elem_id="sx-sampler", js_on_load=ON_SAMPLE)
                    upload = picture_file(
                        label="Your own picture", show_label=False, file_types=["image"], height=64, elem_id="sx-upload"
                    )
                    answer = gr.HTML(elem_classes="sx", elem_id="sx-answer")
                    target = gr.Dropdown(classes, label="Move it towards", visible=False, elem_id="sx-target")
                    with gr.Accordion("Ask in another way", open=False, elem_id="sx-ways"):
                        method = gr.Dropdown(
                            [(words.label, name) for name, words in METHODS.items()],
                            value="attfind",
                            label="Method",
                            visible=False,
                            elem_id="sx-method",
                        )
                        strategy = gr.Radio(
                            STRATEGIES,
                            value="independent",
                            label="Change the attributes",
                            visible=False,
                            elem_id="sx-strategy",
                        )
                with gr.Column(scale=8, min_width=300, elem_classes="sx-right"):
                    flickers = gr.HTML(
                        views.notice(first.model, bool(first.pictures)),
                        elem_classes="sx",
                        elem_id="sx-flickers",
                        js_on_load=ON_CARD,
                    )
                    stepped = gr.HTML(elem_classes="sx", elem_id="sx-stepped")
                    with gr.Accordion("Ask about a place", open=False, visible=False, elem_id="sx-ask") as asking:
                        painter = gr.HTML(elem_classes="sx", elem_id="sx-painter", js_on_load=ON_PAINT)
                        placed = gr.HTML(elem_classes="sx", elem_id="sx-placed")
                    with gr.Accordion(
                        "Turn them yourself", open=False, visible=False, elem_id="sx-workbench"
                    ) as workbench:
                        gr.HTML(views.KNOBS_LEAD, elem_classes="sx")
                        with gr.Row(elem_classes="sx-knobs"):
                            with gr.Column(scale=5, min_width=260):
                                knobs = [
                                    gr.Slider(
                                        0, KNOB_END, 0, step=0.05, label=str(n), buttons=[], elem_id=f"sx-knob-{n}"
                                    )
                                    for n in range(1, TOP_K + 1)
                                ]
                                with gr.Row():
                                    to_end = gr.Button("All to 1", size="sm", min_width=80, elem_classes="sx-plain")
                                    to_start = gr.Button("Back to 0", size="sm", min_width=80, elem_classes="sx-plain")
                            with gr.Column(scale=7, min_width=260, elem_classes="sx-seen"):
                                moved = gr.HTML(elem_classes="sx", elem_id="sx-moved")
                    save = gr.Button(
                        "Download everything (zip)", size="sm", visible=False, elem_id="sx-zip", elem_classes="sx-plain"
                    )
        with tabs, gr.Tab("Compare") as compare_tab:
            comparison = gr.HTML(elem_classes="sx", elem_id="sx-comparison", min_height=240)
        with tabs, gr.Tab("The classifier") as classifier_tab:
            with gr.Row(elem_classes="sx-pair-of-classes"):
                source = gr.Dropdown(classes, value=classes[0], label="From", min_width=140, elem_id="sx-source")
                goal = gr.Dropdown(classes, value=classes[1], label="To", min_width=140, elem_id="sx-goal")
            with gr.Accordion("Review these attributes", open=False, elem_id="sx-review") as review:
                sheet = gr.HTML(elem_classes="sx", elem_id="sx-sheet", js_on_load=ON_REVIEW, min_height=80)
            found = gr.HTML(elem_classes="sx", elem_id="sx-survey", min_height=240)
            papers = gr.Button("Download all numbers (zip)", size="sm", elem_id="sx-papers", elem_classes="sx-plain")
        with tabs, gr.Tab("Two classifiers") as versus_tab:
            rival = gr.Dropdown([], label="Compared with", visible=False, elem_id="sx-rival")
            duel = gr.HTML(elem_classes="sx", elem_id="sx-duel", min_height=240)
        with gr.Accordion("A model of your own", open=False, elem_id="sx-own"):
            gr.HTML(own_views.how(allowed), elem_classes="sx")
            with gr.Row(visible=bool(allowed)):
                wanted = gr.Textbox(
                    label="Repository", placeholder="someone/stylex-leaves", max_length=MAX_NAME, max_lines=1, scale=4
                )
                bring = gr.Button("Show it", size="sm", min_width=80, scale=1, elem_classes="sx-plain")
            brought = gr.HTML(elem_classes="sx", elem_id="sx-brought")
        # Made on demand, then clicked by SAVE_FILE.
        file = gr.DownloadButton("Download", elem_id="sx-file", elem_classes="sx-hidden")

        shelved = [model, banner, look]
        shown = [visit, missing, answer, target, method, strategy, flickers, stepped, asking, painter, placed]
        shown += [workbench, save, moved, *knobs]
        exhibit = [lead, sampler, source, goal, seen, found, laid, sheet, *shown]
        explained: dict[str, Any] = {"concurrency_id": "explain", "concurrency_limit": at_once}
        explaining: dict[str, Any] = {**explained, **PRIVATE, "show_progress_on": flickers}
        surveyed: dict[str, Any] = {**IN_LINE, **PRIVATE, "show_progress_on": found}
        laid_out: dict[str, Any] = {**IN_LINE, **PRIVATE, "show_progress_on": comparison}
        reviewed: dict[str, Any] = {**IN_LINE, **PRIVATE, "show_progress_on": sheet}
        judged: dict[str, Any] = {**IN_LINE, **PRIVATE, "show_progress_on": duel}

        app.load(screen.show_models, None, shelved, **AT_ONCE, **PRIVATE)
        app.load(screen.show_first, None, [model, *exhibit], **explaining)
        look.tick(screen.look_for_models, model, shelved, **AT_ONCE, **PRIVATE)
        fetched = gr.on(
            [bring.click, wanted.submit],
            screen.bring_model,
            wanted,
            [model, brought],
            **FETCHING,
            **PRIVATE,
            show_progress_on=brought,
        )
        chosen = [model, method, strategy, visit]
        for switched in (
            model.input(screen.choose_model, chosen, exhibit, **explaining),
            fetched.success(screen.choose_model, chosen, exhibit, **explaining),
        ):
            switched.success(overview.show_pair_again, [tab, model, source, goal, seen], [seen, found], **surveyed)
            switched.success(
                comparisons.show_comparison_again, [tab, visit, compared], [compared, comparison], **laid_out
            )
            switched.success(judging.show_duel_again, [tab, model, rival, duelled], [rival, duelled, duel], **judged)
            switched.success(
                reviewing.show_sheet_again, [is_reviewing, model, source, goal, laid], [laid, sheet], **reviewed
            )

        sampler.pick(screen.show_sample, [model, method, strategy], [model, *exhibit], **explaining)
        sent = upload.upload(screen.show_upload, [upload, model, method, strategy], shown, **explaining)
        for ended in (sent.success, sent.failure):  # either way the box is ready for the next picture
            ended(lambda: None, None, upload, **AT_ONCE, **PRIVATE)
        sent.success(None, js=NO_SAMPLE)
        for choice in (target, method, strategy):
            choice.input(
                screen.show_again, [visit, target, method, strategy], shown, trigger_mode="always_last", **explaining
            )

        for knob in knobs:
            knob.input(bench.turn_knobs, [visit, *knobs], moved, trigger_mode="always_last", **AT_ONCE, **PRIVATE)
        for button, amount in ((to_end, 1.0), (to_start, 0.0)):
            turned = gr.State(amount)
            button.click(bench.turn_all_to, [turned, visit], [*knobs, moved], **AT_ONCE, **PRIVATE)

        painter.ask(bench.ask_place, visit, placed, show_progress_on=placed, **IN_LINE, **PRIVATE)
        flickers.steps(bench.show_steps, visit, stepped, show_progress="hidden", **IN_LINE, **PRIVATE)
        made = flickers.gif(bench.save_gif, visit, file, show_progress="hidden", **IN_LINE, **PRIVATE)
        made.success(None, js=SAVE_FILE)
        made = save.click(bench.save_all, visit, file, show_progress_on=save, **IN_LINE, **PRIVATE)
        made.success(None, js=SAVE_FILE)
        made = papers.click(overview.save_papers, model, file, show_progress_on=papers, **IN_LINE, **PRIVATE)
        made.success(None, js=SAVE_FILE)

        every = {"picture": picture_tab, "compare": compare_tab, "classifier": classifier_tab, "versus": versus_tab}
        for name, opened in every.items():
            named = gr.State(name)
            opened.select(lambda name: name, named, tab, **AT_ONCE, **PRIVATE)
        compare_tab.select(comparisons.show_comparison, [visit, compared], [compared, comparison], **laid_out)
        classifier_tab.select(overview.show_pair, [model, source, goal, seen], [seen, found], **surveyed)
        for one, other in ((source, goal), (goal, source)):
            apart = one.input(overview.keep_apart, [model, one, other], other, **AT_ONCE, **PRIVATE)
            apart.success(overview.show_pair, [model, source, goal, seen], [seen, found], **surveyed)
            apart.success(
                reviewing.show_sheet_again, [is_reviewing, model, source, goal, laid], [laid, sheet], **reviewed
            )
        review.expand(reviewing.show_sheet, [model, source, goal, laid], [laid, sheet], **reviewed)
        for told, turned in ((True, review.expand), (False, review.collapse)):
            turned(lambda is_open: is_open, gr.State(told), is_reviewing, **AT_ONCE, **PRIVATE)
        made = sheet.save(reviewing.save_review, model, file, show_progress="hidden", **IN_LINE, **PRIVATE)
        made.success(None, js=SAVE_FILE)
        versus_tab.select(judging.show_duel, [model, rival, duelled], [rival, duelled, duel], **judged)
        rival.input(judging.show_duel, [model, rival, duelled], [rival, duelled, duel], **judged)

        add_endpoints(front.gpu.lent(Endpoints(shelf)), front.gpu.lent(EndpointsOfModels(shelf)), explained)

    # Nobody passes the line: what waits there cannot be asked for directly.
    return app.queue(max_size=MAX_WAITING, api_open=False)


def add_endpoints(do: Endpoints, of_models: EndpointsOfModels, explained: dict[str, Any]) -> None:
    """What programs may call; the components say what goes in and comes out, and no visitor sees them."""
    with gr.Column(visible=False):
        image, towards, model = (
            picture_file(label="image"),
            gr.Textbox("", label="target"),
            gr.Textbox("", label="model"),
        )
        how = gr.Dropdown(list(get_args(Strategy)), value="independent", label="strategy")
        method = gr.Dropdown(list(get_args(Method)), value="attfind", label="method")
        count = gr.Number(TOP_K, label="top_k", precision=0, minimum=1, maximum=MAX_TOP_K)
        moves, cells, said = gr.JSON(label="moves"), gr.JSON(label="cells"), gr.JSON(label="said")
        second, repository = gr.Textbox("", label="second"), gr.Textbox("", label="repository")
        numbers, result = gr.JSON(label="numbers"), gr.File(label="file")
        both: list[Any] = [numbers, result]
        asked = [image, towards, how, count, model, method]
        gr.Button().click(do.classify, [image, model], numbers, api_name="classify", **explained)
        gr.Button().click(do.explain, asked, both, api_name="explain", **explained)
        asked = [image, moves, towards, model]
        gr.Button().click(do.counterfactual, asked, both, api_name="counterfactual", **IN_LINE)
        gr.Button().click(do.compare, [image, towards, model], both, api_name="compare", **IN_LINE)
        asked = [image, towards, how, count, model, method]
        gr.Button().click(do.trust, asked, both, api_name="trust", **IN_LINE)
        gr.Button().click(do.place, [image, cells, towards, model], both, api_name="place", **IN_LINE)
        gr.Button().click(of_models.versus, [second, model], both, api_name="versus", **IN_LINE)
        gr.Button().click(of_models.review, [said, model], both, api_name="review", **IN_LINE)
        gr.Button().click(of_models.bring, repository, numbers, api_name="bring", **FETCHING)


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
        "max_file_size": f"{MAX_UPLOAD_MB}mb",  # stylex.pictures.images limits the pixels
        "max_threads": THREADS,
        "enable_monitoring": False,
        "state_session_capacity": MAX_VISITORS,
        "app_kwargs": {"middleware": [Middleware(Guard)]},
        "footer_links": ["api"],
        "run_history": False,
        "ssr_mode": False,
        "root_path": root_path(),
    }


def main() -> int:
    print_anything()
    for sentence in WARNINGS:
        print(f"warning: {sentence}", file=sys.stderr)
    at_once = share_out_our_cores()
    try:
        options = launch_options()
        shelf = Shelf(
            wishes(os.environ.get("STYLEX_MODELS", ""), HERE / "checkpoints"),
            Guests(rules(os.environ.get("STYLEX_ALLOW", ""))),
            classifiers(os.environ.get("STYLEX_CLASSIFIERS", "")),
        )
        shelf.fill()
    except (ModelError, Unfit) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    try:
        build_app(shelf, at_once).launch(**options)
    except OSError as error:  # a port that is taken
        print(f"error: the app cannot be served: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
