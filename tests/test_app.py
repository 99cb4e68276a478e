"""The app around a tiny model: it builds, its endpoints answer, its HTML is escaped."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from front import views
from stylex import StylEx


@pytest.fixture(scope="module")
def picture(pictures: Path) -> Path:
    return pictures / "spotted" / "spotted-0.png"


@pytest.fixture(scope="module")
def client(tiny_model: StylEx, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        demo = app.build_app(tiny_model, None)
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
    with pytest.raises(gr.Error) as error, app.plainly():
        app.read_moves(moves, 24)
    assert sentence in error.value.message.replace("&#x27;", "'")


def test_a_bad_picture_or_target_is_refused_in_one_sentence(client, picture, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("This is not a picture.")
    with pytest.raises(AppError, match=r"Your file is not a picture.*\.$"):
        client.predict(handle_file(bad), api_name="/classify")
    with pytest.raises(AppError, match=r"no class .*nosuch.*plain, spotted"):
        client.predict(handle_file(picture), "nosuch", api_name="/explain")
    with pytest.raises(AppError, match="There is no picture"):
        client.predict(None, api_name="/classify")


def test_the_three_endpoints_are_the_only_ones_and_say_what_they_do(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/classify", "/explain", "/counterfactual"}
    assert all(len(info["description"]) > 40 for info in endpoints.values())


def test_a_file_of_the_server_cannot_be_named_as_a_picture(client, picture):
    # By REST: gradio's own client would upload the file that it is told of.
    secret = {"path": str(picture), "meta": {"_type": "gradio.FileData"}}
    started = httpx.post(f"{client.src}gradio_api/call/classify", json={"data": [secret]}).json()
    with httpx.stream("GET", f"{client.src}gradio_api/call/classify/{started['event_id']}", timeout=60) as events:
        text = events.read().decode()
    assert "event: error" in text
    assert "plain" not in text


def test_a_model_without_statistics_says_so_in_one_sentence(tiny_model):
    bare = StylEx(tiny_model.config, tiny_model.classifier)
    built = app.build_app(bare, None)
    shown = [block.value for block in built.blocks.values() if getattr(block, "elem_id", None) == "sx-flickers"]
    assert "no style statistics yet" in shown[0]
    assert not any(event.name == "show_first" for event in built.fns.values())


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
    page = views.lead([evil, evil]) + views.answer(e) + views.flickers(e) + views.moved(e, e.source, {evil: 1.0})
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
    page = views.answer(e)
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


def test_every_visitor_has_a_state_of_their_own(tiny_model, pictures):
    do = app.Handlers(tiny_model, sorted((pictures / "spotted").glob("*.png"))[:2])
    one = do.show_first("independent")[0]
    two = app.Visit(tiny_model.explain(do.pictures[1], strategy="independent"))
    before = do.turn_knobs(one, *[0.0] * app.TOP_K)
    do.turn_knobs(two, *[1.0] * app.TOP_K)
    assert do.turn_knobs(one, *[0.0] * app.TOP_K) == before
    assert do.turn_knobs(one, *[1.0] * app.TOP_K) != before


def test_a_click_can_only_name_what_is_on_the_page(tiny_model, pictures):
    do = app.Handlers(tiny_model, [])
    for data in ({"number": 5}, {"number": "0"}, {"number": None}, {}, None, [0]):
        with pytest.raises(gr.Error):
            do.show_sample("independent", gr.EventData(None, data))
