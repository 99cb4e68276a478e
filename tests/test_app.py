"""The app around a tiny model: it builds, its endpoints answer, its HTML is escaped."""

from __future__ import annotations

import dataclasses
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import gradio as gr
import httpx
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from PIL import Image
from small import tiny_classifier

import app
from front import compare_views, flicker_views, place, views
from front.closer import overlays
from front.endpoints import read_moves
from front.handlers.bench import Bench
from front.handlers.comparison import Comparisons
from front.handlers.overview import Overview
from front.handlers.screen import Screen
from front.handlers.visit import Visit
from front.links import Link
from front.models import Exhibit, Shelf, Wish
from front.replies import TOP_K, plainly
from front.trust import Check, Trust, trust
from stylex import MethodError, StylEx
from stylex.compare import ROWS
from stylex.networks.config import ModelConfig
from stylex.stylespace import StyleStats

ENDPOINTS = ("classify", "explain", "counterfactual", "compare", "trust", "place", "versus", "review", "bring")


def shelf_of(*shown: Exhibit) -> Shelf:
    return Shelf([Wish(exhibit.name, ".", exhibit=exhibit) for exhibit in shown])


@pytest.fixture(scope="module")
def shelf(tiny_model: StylEx, pictures: Path) -> Shelf:
    """Two models with samples of their own."""
    spotted, plain = ({p.stem: p for p in sorted((pictures / c).glob("*.png"))[:3]} for c in ("spotted", "plain"))
    return shelf_of(Exhibit("one", tiny_model, spotted), Exhibit("two", tiny_model, plain, {"n": 12}))


def ask(**query: str) -> gr.Request:
    """A visitor who opens the page with this link."""
    return gr.Request(query_params=query)


@pytest.fixture(scope="module")
def picture(pictures: Path) -> Path:
    return pictures / "spotted" / "spotted-0.png"


@pytest.fixture(scope="module")
def client(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        demo = app.build_app(shelf)
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **app.launch_options())
        yield Client(url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))
        demo.close()


def test_classify_answers_for_the_picture_and_its_reconstruction(client, tiny_model, picture):
    numbers = client.predict(handle_file(picture), api_name="/classify")
    expected = tiny_model.explain(picture)
    assert numbers["photograph"] == pytest.approx(expected.probs, abs=1e-5)
    assert numbers["reconstruction"] == pytest.approx(expected.reconstruction_probs, abs=1e-5)


def test_explain_returns_the_numbers_and_everything_in_a_zip(client, picture):
    numbers, archive = client.predict(handle_file(picture), "spotted", "independent", 2, api_name="/explain")
    assert numbers["target"] == "spotted"
    assert len(numbers["attributes"]) == 2
    with zipfile.ZipFile(archive) as files:
        assert json.loads(files.read("explanation/explanation.json")) == numbers
        assert "explanation/attribute-2.gif" in files.namelist()


def test_counterfactual_makes_the_moves_that_explain_found(client, tiny_model, picture):
    e = tiny_model.explain(picture, target="spotted", top_k=1)
    (a,) = e.attributes
    moves = [{"index": a.index, "direction": a.direction.name.lower()}]
    numbers, path = client.predict(handle_file(picture), moves, "spotted", api_name="/counterfactual")
    assert numbers["prob_before"] == pytest.approx(a.prob_before, abs=1e-5)
    assert numbers["prob_after"] == pytest.approx(a.prob_after, abs=1e-5)
    with Image.open(path) as image:
        assert image.tobytes() == a.image.tobytes()


@pytest.mark.parametrize(
    ("moves", "sentence"),
    [
        ("up", "Moves must be a list"),
        ([{"index": 10**6, "direction": "up"}], "Move 0: index is 1000000; use a whole number from 0 to"),
        ([{"index": 0, "direction": "left"}], "use 'up' or 'down'"),
        ([{"index": 0, "direction": "up", "amount": 99}], "amount is 99; use a number from 0 to 1.5"),
        ([{}] * 65, "at most 64"),
    ],
)
def test_a_wrong_move_is_refused_in_one_sentence(moves, sentence):
    with pytest.raises(gr.Error) as error, plainly():
        read_moves(moves, 24)
    assert sentence in error.value.message.replace("&#x27;", "'")


def test_explain_by_another_method_returns_its_edits(client, tiny_model, picture):
    numbers, archive = client.predict(
        handle_file(picture), "spotted", "independent", 2, "one", "random", api_name="/explain"
    )
    expected = tiny_model.explain(picture, "spotted", 2, method="random")
    assert numbers["method"] == "random"
    assert [a["index"] for a in numbers["attributes"]] == [a.index for a in expected.attributes]
    with zipfile.ZipFile(archive) as files:
        assert "explanation/attribute-2.gif" in files.namelist()


def test_compare_returns_a_row_for_every_method_and_the_sheets(client, picture):
    numbers, archive = client.predict(handle_file(picture), "spotted", api_name="/compare")
    assert [row["name"] for row in numbers["methods"]] == list(ROWS)
    assert all("prob_after" in row or row["note"] for row in numbers["methods"])
    with zipfile.ZipFile(archive) as files:
        assert {"comparison/compare.json", "comparison/compare.png"} <= set(files.namelist())


def test_a_bad_picture_or_target_is_refused_in_one_sentence(client, picture, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("This is not a picture.")
    with pytest.raises(AppError, match=r"Your file is not a picture.*\.$"):
        client.predict(handle_file(bad), api_name="/classify")
    with pytest.raises(AppError, match=r"no class .*nosuch.*plain, spotted"):
        client.predict(handle_file(picture), "nosuch", api_name="/explain")
    with pytest.raises(AppError, match="There is no picture"):
        client.predict(None, api_name="/classify")


def test_trust_returns_the_grades_the_reasons_and_the_changes_on_the_photograph(client, tiny_model, picture):
    numbers, archive = client.predict(handle_file(picture), "spotted", "independent", 2, api_name="/trust")
    e = tiny_model.explain(picture, "spotted", 2)
    laid = overlays(tiny_model, e)
    of_picture, of_edits = trust(tiny_model, e, laid)
    assert numbers["picture"] == of_picture.to_dict()
    assert [row["grade"] for row in numbers["attributes"]] == [found.grade for found in of_edits]
    assert [row["photograph"]["agrees"] for row in numbers["attributes"]] == [over.agrees for over in laid]
    with zipfile.ZipFile(archive) as files:
        assert set(files.namelist()) == {f"trust/photograph{n}.png" for n in ("", "-1", "-2")}


def test_place_returns_the_attributes_of_a_place(client, tiny_model, picture):
    numbers, archive = client.predict(handle_file(picture), list(range(128)), "spotted", api_name="/place")
    e = tiny_model.explain(picture, "spotted", 1)
    expected = place.asked(tiny_model, e, place.reach(tiny_model, e), place.cells_of(list(range(128))))
    assert [row["index"] for row in numbers["attributes"]] == [one.edit.index for one in expected]
    assert numbers["attributes"][0]["inside"] == pytest.approx(expected[0].inside, abs=1e-4)
    with zipfile.ZipFile(archive) as files:
        assert len(files.namelist()) == 1 + len(expected)
    with pytest.raises(AppError, match=r"There is no such place on the picture\.$"):
        client.predict(handle_file(picture), [256], api_name="/place")


def test_versus_returns_what_two_classifiers_say(client):
    numbers, archive = client.predict(api_name="/versus")
    assert (numbers["first"], numbers["second"]) == ("the classifier of one", "the classifier of two")
    assert (numbers["agree"], numbers["disagree"]) == (1.0, [])  # they are the same
    with zipfile.ZipFile(archive) as files:
        assert set(files.namelist()) == {"versus/classifiers.json", "versus/classifiers.png"}
    with pytest.raises(AppError, match=r"no second classifier .*nobody.* for one; choose one of two"):
        client.predict("nobody", api_name="/versus")


def test_review_returns_the_files_that_repair_reads(client, tiny_model):
    said = [{"attribute": 1, "name": "a rim", "ticks": ["no reason"]}]
    numbers, archive = client.predict(said, api_name="/review")
    assert [row.get("no_reason", False) for row in numbers["attributes"]][:3] == [False, True, False]
    with zipfile.ZipFile(archive) as files:
        assert json.loads(files.read("review/attributes.json"))["attributes"] == numbers["attributes"]
        assert b"a rim" in files.read("review/review.csv")
    with pytest.raises(AppError, match="use a list of known"):
        client.predict([{"attribute": 1, "ticks": ["good"]}], api_name="/review")


def test_bring_refuses_what_is_not_allowed(client):
    with pytest.raises(AppError, match=r"This app shows no other models; run it at home with yours\.$"):
        client.predict("me/tiny", api_name="/bring")


def test_the_endpoints_are_the_only_ones_and_say_what_they_do(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {f"/{name}" for name in ENDPOINTS}
    assert all(len(info["description"]) > 40 for info in endpoints.values())


def test_explanations_leave_their_line_a_few_at_once_and_what_takes_longer_waits_in_another(shelf):
    demo = app.build_app(shelf, at_once=2)
    lines = {fn.api_name: (fn.concurrency_id, fn.concurrency_limit) for fn in demo.fns.values()}
    assert {lines[name] for name in ("show_first", "show_upload", "show_again", "explain")} == {("explain", 2)}
    assert {lines[name] for name in ("compare", "show_pair", "counterfactual")} == {("line", 1)}


def test_an_ai_client_finds_the_endpoints_as_tools(shelf, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_MCP_SERVER", "True")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    demo = app.build_app(shelf)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **app.launch_options())

    async def tools() -> dict[str, Any]:
        async with streamablehttp_client(f"{url}gradio_api/mcp/") as (read, write, _), ClientSession(read, write) as ai:
            await ai.initialize()
            return {tool.name: tool for tool in (await ai.list_tools()).tools}

    try:
        found = anyio.run(tools)
    finally:
        demo.close()
    assert {name.rpartition("_")[2] for name in found} == set(ENDPOINTS)
    (explain,) = (tool for name, tool in found.items() if name.endswith("explain"))
    assert explain.description.startswith("Which attributes would change the classifier's mind")
    assert {"image", "target", "strategy", "top_k", "model"} <= set(explain.inputSchema["properties"])


def test_a_file_of_the_server_cannot_be_named_as_a_picture(client, picture):
    # By REST: gradio's own client would upload the file that it is told of.
    secret = {"path": str(picture), "meta": {"_type": "gradio.FileData"}}
    answer = httpx.post(f"{client.src}gradio_api/call/classify", json={"data": [secret, ""]})
    assert answer.status_code == 400
    assert answer.text.endswith("send the file itself.")


def test_a_program_may_name_a_model_of_the_shelf_and_no_other(client, picture):
    assert client.predict(handle_file(picture), "two", api_name="/classify").keys() == {"photograph", "reconstruction"}
    numbers, _ = client.predict(handle_file(picture), "spotted", "subset", 2, "two", api_name="/explain")
    assert numbers["strategy"] == "subset"
    for name in ("/etc", "me/tiny", "three"):
        with pytest.raises(AppError, match=r"no model .* choose one of one, two"):
            client.predict(handle_file(picture), name, api_name="/classify")


def test_a_model_without_statistics_or_pictures_says_so_in_one_sentence(tiny_model, shelf):
    bare = StylEx(tiny_model.config, tiny_model.classifier)
    for model, says in ((bare, "no style statistics yet"), (tiny_model, "Choose a picture of your own")):
        screen = Screen(shelf_of(Exhibit("bare", model, {}))).show_first(ask())
        assert sum(says in part for part in screen if isinstance(part, str)) == 1
        assert not any(isinstance(part, Visit) for part in screen)
    assert "no style statistics yet" in str(
        Overview(shelf_of(Exhibit("bare", bare, {}))).show_pair("bare", "plain", "spotted")
    )


def test_a_link_brings_model_sample_target_and_attribute_back(shelf):
    do = Screen(shelf)
    (visit,) = (part for part in do.show_first(ask()) if isinstance(part, Visit))
    assert (visit.model, visit.sample) == ("one", "spotted-0")
    (visit,) = (part for part in do.choose_model("two", "attfind", "subset") if isinstance(part, Visit))
    e, closer = do.explain_sample("two", "plain-1", "plain", "independent", "attfind")
    a = e.attributes[1]
    link = Visit("two", e, closer, "plain-1").link.to(a.index, a.direction)
    screen = do.show_first(ask(model="two", sample="plain-1", target="plain", attr=str(link).rpartition("=")[2]))
    (again,) = (part for part in screen if isinstance(part, Visit))
    assert (again.model, again.sample, again.explanation.target) == ("two", "plain-1", "plain")
    assert screen[0]["value"] == "two"
    (page,) = (part for part in screen if isinstance(part, str) and "data-linked" in part)
    assert page.count("data-linked") == 1
    (card,) = re.findall(r"<figure [^>]* data-linked='yes'[^>]*>", page)
    assert "data-open" in card
    assert f"aria-label='Attribute 2, {flicker_views.called(a)}:" in card
    assert str(link).replace("&", "&amp;") in page


def test_a_link_to_what_is_not_here_shows_the_first_and_says_what_is_missing(shelf):
    do = Screen(shelf)
    for query, says in (
        ({"model": "<b>"}, "The link asks for &lt;b&gt;, which is not here."),
        ({"sample": "nosuch"}, "The link asks for the picture nosuch"),
        ({"target": "nosuch"}, "The link asks for nosuch, which this classifier does not know."),
        ({"attr": "999999-up"}, "The attribute that the link points at is not among those found now."),
    ):
        screen = do.show_first(ask(**query))
        (visit,) = (part for part in screen if isinstance(part, Visit))
        assert (visit.model, visit.sample) == ("one", "spotted-0")
        assert any(says in part for part in screen if isinstance(part, str)), says


def test_another_method_is_shown_and_its_knobs_turn(shelf, tiny_model, picture):
    do, bench = Screen(shelf), Bench(shelf)
    says = tiny_model.explain(picture).reconstruction_probs
    target = min(says, key=says.__getitem__)  # something to be reached
    for method in ("counterfactual", "eigenfind", "random"):
        screen = do.show_first(ask(sample=picture.stem, target=target, method=method))
        (visit,) = (part for part in screen if isinstance(part, Visit))
        e = visit.explanation
        assert e.method == method
        assert str(visit.link).endswith(f"&method={method}")
        a, *_ = e.attributes
        # Turned to its end, a knob gives what its flicker says.
        assert f"id='sx-now'>{views.percent(a.prob_after)}<" in bench.turn_knobs(visit, 1.0)
        assert f"id='sx-now'>{views.percent(a.prob_before)}<" in bench.turn_knobs(visit, 0.0)


def test_a_method_without_an_answer_says_why_and_attfind_answers_instead(shelf, tiny_model, monkeypatch, picture):
    def silent(*args: Any, **options: Any) -> None:
        raise MethodError("the classifier gives spotted 0.95 on this reconstruction already")

    monkeypatch.setattr("stylex.model.explain_by", silent)
    do = Screen(shelf)
    for screen in (
        do.show_first(ask(method="counterfactual")),
        do.show_upload(str(picture), "one", "counterfactual", "independent"),
    ):
        (visit,) = (part for part in screen if isinstance(part, Visit))
        assert visit.explanation.method == "attfind"
        assert any(isinstance(part, dict) and part.get("value") == "attfind" for part in screen)
        (said,) = (part for part in screen if isinstance(part, str) and "has no answer here" in part)
        assert said.startswith("<p>The smallest change (counterfactual) has no answer here: the classifier gives")
        assert said.count("<p>") == 1


def test_every_method_is_compared_on_the_picture_that_is_looked_at(shelf, picture):
    do, comparisons = Screen(shelf), Comparisons(shelf)
    assert comparisons.show_comparison(None) == [None, compare_views.NOTHING]
    (visit,) = (part for part in do.show_first(ask(model="two", target="spotted")) if isinstance(part, Visit))
    compared, page = comparisons.show_comparison(visit)
    assert compared == visit.subject
    assert page.count("class='sx-method'") == len(ROWS)
    assert page.count("<img") == page.count(" alt='")
    assert comparisons.show_comparison(visit, compared) == gr.skip()
    assert comparisons.show_comparison(visit)[1] is page  # of a sample it is computed once for all visitors
    assert comparisons.show_comparison_again("compare", visit)[1] is page
    assert comparisons.show_comparison_again("picture", visit) == gr.skip()
    (own,) = (p for p in do.show_upload(str(picture), "one", "attfind", "independent") if isinstance(p, Visit))
    assert comparisons.show_comparison(own, compared)[0] != compared
    assert comparisons.compare_sample.cache_info().currsize == 1  # and a visitor's own picture is not kept


def test_an_upload_is_in_no_link(shelf, picture):
    screen = Screen(shelf).show_upload(str(picture), "one", "attfind", "independent")
    (page,) = (part for part in screen if isinstance(part, str) and "sx-copy" in part)
    assert "sample=" not in page
    assert "picture is not in them" in page


def test_the_two_classes_of_a_pair_differ(shelf):
    do = Overview(shelf)
    assert do.keep_apart("one", "plain", "plain") == "spotted"
    assert do.keep_apart("one", "spotted", "spotted") == "plain"
    assert do.keep_apart("one", "plain", "spotted") == gr.skip()
    seen, _ = do.show_pair("one", "plain", "of another model")
    assert seen == ("one", "plain", "spotted")


def test_a_pair_is_computed_once_for_all_visitors(shelf):
    do = Overview(shelf)
    seen, page = do.show_pair("two", "plain", "spotted")
    assert "From plain to spotted, and back" in page
    assert do.show_pair("two", "plain", "spotted")[1] is page
    assert do.show_pair_again("classifier", "two", "plain", "spotted", ("one", "plain", "spotted"))[1] is page
    assert do.show_pair_again("picture", "two", "plain", "spotted") == gr.skip()
    assert do.show_pair("two", "plain", "spotted", seen) == gr.skip()
    assert do.survey_of.cache_info().misses == 1


def test_the_page_gains_a_model_that_has_come(shelf, tiny_model):
    late = Wish("me/late", "me/late")
    growing = Shelf([late, *shelf.wanted])
    model, banner, timer = Screen(growing).look_for_models()
    assert model["choices"] == ["one", "two"]
    assert "Fetching me/late from the Hub" in banner
    assert timer.active
    late.exhibit = Exhibit("me/late", tiny_model, {})
    model, banner, timer = Screen(growing).look_for_models()
    assert model["choices"] == ["me/late", "one", "two"]
    assert "value" not in model  # the visitor's choice stays
    assert banner == "<p>me/late is here now.</p>"
    assert not timer.active


def test_a_sample_is_of_the_model_that_stood_there_when_it_was_clicked(shelf, tiny_model):
    """Whatever has come before it meanwhile."""
    late = Wish("me/late", "me/late")
    do = Screen(Shelf([late, *shelf.wanted]))
    page = next(part for part in do.show_first(ask()) if isinstance(part, str) and "data-sample" in part)
    number = int(re.findall(r"data-model='(\d+)'", page)[0])
    late.exhibit = Exhibit("me/late", tiny_model, {"plain-0": shelf.get("two").pictures["plain-0"]})
    screen = do.show_sample("one", "attfind", "independent", gr.EventData(None, {"model": number, "number": 0}))
    (visit,) = (part for part in screen if isinstance(part, Visit))
    assert (visit.model, visit.sample) == ("one", "spotted-0")


def test_names_from_a_model_folder_are_escaped(tiny_model, picture):
    e = tiny_model.explain(picture)
    evil = "<img src=x onerror=alert(1)>'"
    e = dataclasses.replace(
        e,
        target=evil,
        probs={evil: 1.0},
        reconstruction_probs={evil: 1.0},
        warnings=[evil],
        attributes=[dataclasses.replace(e.attributes[0], name=evil)],
    )
    page = (
        views.lead([evil, evil]) + views.answer(e, Trust((Check(evil, False),))) + views.moved(e, e.source, {evil: 1.0})
    )
    laid, trusted = overlays(tiny_model, tiny_model.explain(picture, top_k=1)), [Trust((Check(evil, True),))]
    page += flicker_views.flickers(e, Link(evil, evil, evil), laid, trusted) + views.banner([evil])
    assert "onerror" in page
    assert "<img src=x" not in page
    assert "alert(1)>'" not in page


def test_a_warning_and_a_disagreement_are_shown(tiny_model, picture):
    e = tiny_model.explain(picture)
    first, second = e.probs
    e = dataclasses.replace(
        e,
        probs={first: 0.4, second: 0.6},
        reconstruction_probs={first: 0.7, second: 0.3},
        warnings=["The classifier calls them two things."],
    )
    page = views.answer(e, Trust(()))
    assert f"The classifier says {second}" in page
    assert "two things" in page
    assert "60.0&nbsp;%" in page
    assert "70.0&nbsp;%" in page


def test_ten_classes_show_the_likeliest_and_the_target(tiny_model):
    probs = {f"class {n}": p for n, p in enumerate([0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.04, 0.03, 0.02, 0.01])}
    page = views.bars(probs, "class 9")
    assert page.count("<dt") == views.MOST_BARS + 1
    assert "class 9" in page
    assert "class 5" not in page


def test_every_visitor_has_a_state_of_their_own(shelf):
    do, bench = Screen(shelf), Bench(shelf)
    (one,) = (part for part in do.show_first(ask()) if isinstance(part, Visit))
    two = Visit("two", *do.explain_sample("two", "plain-1", None, "independent", "attfind"))
    before = bench.turn_knobs(one, *[0.0] * TOP_K)
    bench.turn_knobs(two, *[1.0] * TOP_K)
    assert bench.turn_knobs(one, *[0.0] * TOP_K) == before
    assert bench.turn_knobs(one, *[1.0] * TOP_K) != before


def test_a_click_can_only_name_what_is_on_the_page(shelf):
    do = Screen(shelf)
    odd = [{"number": 5}, {"number": 0.0}, {"number": "0"}, {"number": None}, {}]
    for data in (*({"model": 0} | said for said in odd), {"model": 2, "number": 0}, {"number": 0}, None, [0]):
        with pytest.raises(gr.Error):
            do.show_sample("one", "attfind", "independent", gr.EventData(None, data))


def test_ten_classes_have_a_target_and_a_pair_each(tmp_path, pictures):
    names = tuple(f"sign {n}" for n in range(10))
    config = ModelConfig(16, 10, (8, 8, 8), (8, 8, 8), w_dim=8, z_dim=8, mapping_layers=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = StylEx(config, tiny_classifier(names))
        s = model.styles(torch.randn(8, config.w_dim + 10))
    model.stats = StyleStats.of(s)
    shelf = shelf_of(Exhibit("hands", model, {"0": pictures / "plain" / "plain-0.png"}))
    do, overview = Screen(shelf), Overview(shelf)
    screen = do.show_first(ask(target="sign 7"))
    (visit,) = (part for part in screen if isinstance(part, Visit))
    assert visit.explanation.target == "sign 7"
    assert sum(isinstance(part, dict) and part.get("choices") == list(names) for part in screen) == 3
    assert (
        "kept no attribute that moves pictures of sign 2 towards sign 9"
        in overview.show_pair("hands", "sign 2", "sign 9")[1]
    )
