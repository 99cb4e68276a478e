"""A real app in its own process, and a real Chromium that may speak to nobody else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from playwright.sync_api import Page, Route

from stylex.model import StylEx
from stylex.pictures.images import to_pil

ROOT = Path(__file__).parents[2]
START_S = 300
# A busy machine is slow, but a test must end.
PATIENCE_MS = 60_000


@pytest.hookimpl(trylast=True)  # pytest itself brings together what shares a fixture of the session
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marked, and their files last (on each worker): Playwright leaves an event loop running, under which nobody can
    start one."""
    driven = [item for item in items if "playwright" in getattr(item, "fixturenames", ())]
    for item in driven:
        item.add_marker(pytest.mark.browser)
    files = {item.path for item in driven}
    items.sort(key=lambda item: item.path in files)


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, object]:
    found = os.environ.get("STYLEX_CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    quiet += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    return {"args": quiet, **({"executable_path": found} if found else {})}


def save_samples(model: StylEx, folder: Path, count: int = 6) -> None:
    """Pictures that the model made, in the folder where the app looks for them."""
    folder.mkdir()
    probs = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).repeat(count, 1)[:count]
    for n, x in enumerate(model.synthesize(model.sample(probs, seed=1))):
        to_pil(x).save(folder / f"{n}.png")


@contextmanager
def running_app(folder: Path, **settings: str) -> Iterator[str]:
    """`python app.py` as a user starts it, with a folder for what it writes; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log_path = folder / "app.log"
    settings |= {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    with log_path.open("w") as log:
        app = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env={**os.environ, **settings}, stdout=log, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, app, log_path)
        yield url
    finally:
        app.terminate()
        app.wait(timeout=30)
    assert "Traceback" not in log_path.read_text(), log_path.read_text()


@pytest.fixture
def run_app() -> Callable[..., AbstractContextManager[str]]:
    return running_app


@pytest.fixture(scope="session")
def app_url(tiny_model: StylEx, classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with the tiny model first, and after it those that ship with the repository; it knows a second classifier
    of the tiny one's classes, and visitors may bring what `me` has on the Hub of the tests."""
    folder = tmp_path_factory.mktemp("app")
    tiny_model.save_pretrained(folder / "model")
    save_samples(tiny_model, folder / "model" / "samples")
    settings = {"STYLEX_MODELS": str(folder / "model"), "STYLEX_CLASSIFIERS": str(classifier_folder)}
    with running_app(folder, **settings, STYLEX_ALLOW="me/*", HF_HOME=str(folder / "hub")) as url:
        yield url


def wait_for(url: str, app: subprocess.Popen[bytes], log_path: Path) -> None:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up:
        if app.poll() is not None:
            pytest.fail(f"the app ended:\n{log_path.read_text()}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the app did not answer within {START_S} s:\n{log_path.read_text()}")


@pytest.fixture
def strict_page(page: Page) -> Iterator[Page]:
    """A page for which a request to any other host, or an error in its own script, fails the test."""
    foreign: list[str] = []
    errors: list[str] = []

    def check(route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    page.route("http*://**", check)
    page.on("websocket", lambda ws: foreign.append(ws.url) if urlsplit(ws.url).hostname != "127.0.0.1" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(PATIENCE_MS)
    yield page
    assert not foreign
    assert not errors


@pytest.fixture
def app_page(strict_page: Page, app_url: str) -> Page:
    """The first screen, with a sample explained."""
    strict_page.goto(app_url)
    strict_page.locator(".sx-flicker").first.wait_for()
    return strict_page
