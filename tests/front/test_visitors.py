"""Whatever a visitor sends, the app answers in one sentence, and nothing but its own pictures and models is touched."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from odd_files import BAD, FINE, saved, scene

import app
from front.models import Exhibit, Shelf, Wish

ROOT = Path(__file__).parents[2]
SLOW_S = 120


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def built(tiny_model, cache) -> Iterator[gr.Blocks]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(cache))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        blocks = app.build_app(Shelf([Wish("one", "one", exhibit=Exhibit("one", tiny_model, {}))]))
        blocks.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **app.launch_options())
        yield blocks
        blocks.close()


@pytest.fixture(scope="module")
def api(built) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{built.local_url}gradio_api", timeout=SLOW_S) as client:
        yield client


def send(api: httpx.Client, name: str, data: bytes) -> dict[str, Any]:
    """The file as an input of an endpoint."""
    (path,) = api.post("/upload", files={"files": (name, data)}).raise_for_status().json()
    return file_at(path)


def file_at(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def call(api: httpx.Client, name: str, *data: Any) -> tuple[str, Any]:
    """How it ended, "complete" or "error", and the answer."""
    started = api.post(f"/call/{name}", json={"data": data}).raise_for_status().json()
    with api.stream("GET", f"/call/{name}/{started['event_id']}") as events:
        lines = events.read().decode().splitlines()
    kinds = [n for n, line in enumerate(lines) if line in ("event: complete", "event: error")]
    return lines[kinds[-1]].removeprefix("event: "), json.loads(lines[kinds[-1] + 1].removeprefix("data: "))


def sentence(answer: Any) -> str:
    """What a person would read, after a look at its manners."""
    said = answer["error"]
    assert isinstance(said, str), answer
    assert "\n" not in said
    assert said.endswith(".")
    for leak in ("Traceback", "/tmp", str(ROOT)):
        assert leak not in said
    return said


@pytest.mark.parametrize("name", FINE)
def test_odd_pictures_are_explained_all_the_same(api, name):
    ended, (numbers,) = call(api, "classify", send(api, name, FINE[name]), "")
    assert ended == "complete"
    assert sum(numbers["photograph"].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_one_sentence(api, name, capfd):
    data, expected = BAD[name]
    ended, answer = call(api, "explain", send(api, name, data), "", "independent", 1, "", "attfind")
    assert (ended, expected in sentence(answer)) == ("error", True), answer
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "path",
    [
        str(ROOT / "README.md"),
        "/etc/passwd",
        "../../../../../../etc/passwd",
        "app.py",
        "checkpoints/leaves/samples/diseased-1.png",
        "data:image/png;base64,iVBORw0KGgo=",
        "C:/windows/win.ini",
        "\0",
        "",
    ],
)
def test_a_file_of_the_server_cannot_be_named_as_a_picture(api, path):
    mine = send(api, "mine.png", saved(scene(), "PNG"))["path"]
    for name in (path, f"{mine}/../../../{path}", f"{mine}/../../../../../../{path}"):
        for endpoint in ("call/classify", "queue/join", "run/predict"):
            body = {"data": [file_at(name), ""], "fn_index": 0, "session_hash": "s"}
            answer = api.post(f"/{endpoint}", json=body)
            assert (answer.status_code, answer.text.split("; ")[1]) == (400, "send the file itself.")


@pytest.mark.parametrize("where", ["", "/etc/passwd", "app.py", "../app.py", "%2e%2e/app.py", str(ROOT / "app.py")])
def test_a_file_of_the_server_cannot_be_read(api, where):
    for route in ("file=", "file/"):
        answer = api.get(f"/{route}{where}")
        assert answer.status_code in (403, 404)
        assert "root:" not in answer.text
        assert "import" not in answer.text


@pytest.mark.parametrize("address", ["https://example.org/x.png", "http://169.254.169.254/latest/meta-data"])
def test_nothing_is_fetched_from_an_address(api, address, monkeypatch):
    asked = []
    for method in ("async_ssrf_protected_download", "ssrf_protected_download"):
        monkeypatch.setattr(f"gradio.processing_utils.{method}", lambda url, *_: asked.append(url))
    for endpoint in ("call/classify", "queue/join", "run/predict"):
        answer = api.post(f"/{endpoint}", json={"data": [file_at(address), ""], "fn_index": 0, "session_hash": "s"})
        assert answer.status_code == 400
        assert "send the file itself" in answer.text
    assert api.get(f"/file={address}").status_code == 404
    assert api.get(f"/proxy={address}").status_code == 404
    assert asked == []


@pytest.mark.parametrize("name", ["../../evil.png", "a/../../b.png", "..", ".", "nul\0.png", "x" * 500 + ".png"])
def test_an_upload_stays_in_its_folder_whatever_it_is_called(api, name, cache):
    answer = api.post("/upload", files={"files": (name, saved(scene(), "PNG"))})
    assert answer.status_code in (200, 400, 500)
    for path in answer.json() if answer.status_code == 200 else []:
        assert Path(path).resolve().is_relative_to(cache.resolve())


@pytest.mark.parametrize(
    "model", ["google/vit-base", "../../checkpoints/leaves", str(ROOT / "checkpoints"), "one@main"]
)
def test_only_a_model_of_the_shelf_can_be_named(api, model, monkeypatch):
    def fetched(*args: Any, **options: Any) -> None:
        raise AssertionError("a visitor's model was looked for")

    monkeypatch.setattr("front.models.fetch", fetched)
    picture = send(api, "mine.png", saved(scene(), "PNG"))
    for endpoint, data in (
        ("classify", [picture, model]),
        ("explain", [picture, "", "independent", 1, model, "attfind"]),
        ("counterfactual", [picture, [], "", model]),
    ):
        ended, answer = call(api, endpoint, *data)
        assert ended == "error"
        assert "choose one of one" in answer["error"]


def test_nobody_passes_the_line(api):
    for name in ("classify", "explain", "counterfactual"):
        assert api.post(f"/run/{name}", json={"data": [None, ""]}).status_code == 404


def test_too_many_bytes_are_refused_before_they_are_read(api):
    answer = api.post("/upload", files={"files": ("large.png", bytes(21 * 10**6))})
    assert (answer.status_code, answer.text) == (413, "That is more than 20 MB; send a smaller picture.")
    assert api.post("/call/classify", json={"data": ["x" * 2_000_000, ""]}).status_code == 413


def test_a_visitor_who_leaves_the_line_is_not_computed(api, built, tiny_model, monkeypatch):
    """One answer takes its time; three more wait; their visitors go; nobody computes for them."""
    computed: list[float] = []
    explain = type(tiny_model).explain

    def slow(self: Any, *args: Any, **options: Any) -> Any:
        computed.append(time.monotonic())
        time.sleep(2)
        return explain(self, *args, **options)

    monkeypatch.setattr(type(tiny_model), "explain", slow)
    picture = send(api, "mine.png", saved(scene(), "PNG"))
    for _ in range(4):
        event = api.post("/call/explain", json={"data": [picture, "", "independent", 1, "", "attfind"]}).json()[
            "event_id"
        ]
        with httpx.Client(timeout=SLOW_S) as leaver, leaver.stream("GET", f"{api.base_url}call/explain/{event}"):
            pass  # has opened the page's stream, and closes it
    gone = time.monotonic()
    while api.get("/queue/status").json()["queue_size"] and time.monotonic() - gone < SLOW_S:
        time.sleep(0.1)
    time.sleep(3)
    assert 1 <= len(computed) <= 2  # the one at work, and perhaps one that began before its visitor had gone


def test_the_number_of_remembered_visitors_is_bounded(built):
    assert built.state_session_capacity == app.MAX_VISITORS
    assert built.max_threads == app.THREADS
