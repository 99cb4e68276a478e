"""Under a sub-path of somebody's web server the app works as at the top, and what is closed stays closed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from gradio_client import Client, handle_file
from odd_files import saved, scene
from reverse_proxy import reverse_proxy

import app
from front.models import Exhibit, Shelf, Wish

# A root that begins as gradio's own routes do, and how it may be written; the proxy cuts it off or keeps it.
PLACES = [("/gradio", True), ("gradio/", False)]
CLOSED = ("gradio_api/deep_link?session_hash=a", "gradio_api/proxy=https://example.org/x.png", "monitoring/summary")


@contextmanager
def served(model, setting: str, *, strips: bool) -> Iterator[str]:
    """The address of an app whose GRADIO_ROOT_PATH is `setting`, behind a proxy."""
    blocks = app.build_app(Shelf([Wish("one", "one", exhibit=Exhibit("one", model, {}))]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ROOT_PATH", setting)
        blocks.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **app.launch_options())
        try:
            root = f"/{urlsplit(setting).path.strip('/')}"
            with reverse_proxy(blocks.server_port, root, strips=strips) as address:
                yield address
        finally:
            blocks.close()


@pytest.fixture(scope="module", params=PLACES, ids=lambda place: f"{place[0]} {'cut off' if place[1] else 'kept'}")
def address(request, tiny_model, tmp_path_factory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        setting, strips = request.param
        with served(tiny_model, setting, strips=strips) as address:
            yield address


def test_a_program_uploads_asks_and_fetches_what_was_made(address, pictures, tmp_path):
    client = Client(address, verbose=False, download_files=str(tmp_path))
    numbers, archive = client.predict(
        handle_file(pictures / "spotted" / "spotted-0.png"), "spotted", "independent", 1, api_name="/explain"
    )
    assert numbers["target"] == "spotted"
    assert Path(archive).stat().st_size > 1000


def test_the_page_and_all_it_names_are_there(address):
    page = httpx.get(f"{address}/")
    assert page.status_code == 200
    root = address.removesuffix("/")
    assert f'"root":"{root}"' in page.text
    for name in set(re.findall(r'(?:src|href)="(\./assets/[^"]+)"', page.text)):
        assert httpx.get(f"{address}/{name}").status_code == 200
    assert httpx.get(f"{address}?model=one", follow_redirects=True).status_code == 200
    assert httpx.get(f"{address}/config").json()["root"] == root


def test_what_is_closed_stays_closed_however_it_is_written(address):
    root = urlsplit(address).path
    with httpx.Client(base_url=address.removesuffix(root), timeout=30, follow_redirects=True) as client:
        for closed in CLOSED:
            encoded = "".join(f"%{ord(c):02x}" if c in "_kin" else c for c in closed)
            for path in (
                f"/{closed}",
                f"//{closed}",
                f"/{closed.replace('/', '//', 1)}",
                f"%2f{encoded}",
                f"/{closed}/",
            ):
                for start in (root, f"{root}{root}"):
                    answer = client.get(f"{start}{path}")
                    assert answer.status_code == 404, answer.url
            assert client.post(f"{root}/{closed}").status_code == 404


def test_a_picture_by_its_address_is_refused_there_too(address):
    for route in ("call/classify", "queue/join", "run/predict"):
        body = {"data": [{"path": "https://example.org/x.png", "meta": {"_type": "gradio.FileData"}}, ""]}
        answer = httpx.post(f"{address}/gradio_api/{route}", json=body)
        assert (answer.status_code, answer.text.split("; ")[1]) == (400, "send the file itself.")


def test_too_many_bytes_are_refused_there_too(address):
    answer = httpx.post(f"{address}/gradio_api/upload", files={"files": ("large.png", bytes(21 * 10**6))})
    assert (answer.status_code, answer.text) == (413, "That is more than 20 MB; send a smaller picture.")
    assert httpx.post(f"{address}/gradio_api/upload", files={"files": ("a.png", saved(scene(), "PNG"))}).is_success
