"""The app's shelf of models against a Hub that answers, is slow, is away or comes back."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from front import models
from front.models import Shelf, wishes
from stylex import ModelError

NAME = "me/tiny"
LIMIT_S = 5.0  # after which a visitor has to see something


@pytest.fixture
def bundled(model_folder, tmp_path) -> Path:
    shutil.copytree(model_folder, tmp_path / "checkpoints" / "leaves")
    return tmp_path / "checkpoints"


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def filled(named: str, bundled: Path, **options: float) -> tuple[Shelf, float]:
    """The shelf, and how long it took to be ready for a visitor, the reading of the bundled model left out."""
    shelf = Shelf(wishes(named, bundled))
    start = time.monotonic()
    shelf.fill(**options)
    return shelf, time.monotonic() - start


def test_a_model_of_the_hub_is_shown_first_at_the_revision_it_is_pinned_to(hub, pushed, bundled):
    pinned = f"{NAME}@{hub.repo(NAME).history()[0].oid}"
    hub.put(NAME, "config.json", b"{}")
    shelf, _ = filled(pinned, bundled, patience=60)
    assert shelf.names() == [pinned, "leaves"]
    assert shelf.get().model.class_names == ["plain", "spotted"]
    assert shelf.news() == []


def test_a_slow_hub_keeps_nobody_waiting_and_its_model_comes_later(hub, pushed, bundled):
    hub.fails("GET /api/models/me/tiny", "slow", seconds=1.5)
    shelf, seconds = filled(NAME, bundled, patience=0.1)
    assert seconds < LIMIT_S
    assert (shelf.names(), shelf.get().name, shelf.is_waiting) == (["leaves"], "leaves", True)
    assert shelf.news() == ["Fetching me/tiny from the Hub: 0.0 MB so far. Meanwhile you see leaves."]
    until(lambda: not shelf.is_waiting)
    assert (shelf.names(), shelf.news()) == ([NAME, "leaves"], [])


def test_a_hub_that_is_away_costs_no_time_and_is_told_and_asked_again(hub, pushed, bundled, monkeypatch):
    monkeypatch.setattr(models, "PAUSE_S", 0.2)
    hub.stop()
    shelf, seconds = filled(NAME, bundled)
    assert seconds < LIMIT_S
    assert shelf.names() == ["leaves"]
    until(lambda: not shelf.is_waiting)
    (sentence,) = shelf.news()
    assert sentence.startswith(
        "me/tiny cannot be shown: me/tiny is neither a folder here nor among what was downloaded"
    )
    assert sentence.endswith("Meanwhile you see leaves.")
    hub.start(hub_port())
    until(lambda: NAME in shelf.names())
    assert shelf.news() == []


def hub_port() -> int:
    import loopback

    return loopback.PORT


def test_what_was_downloaded_before_is_shown_without_the_hub(hub, pushed, bundled):
    filled(NAME, bundled, patience=60)
    hub.stop()
    with pytest.warns(UserWarning, match="is used as it was last downloaded"):
        shelf, _ = filled(NAME, bundled, patience=60)
    assert shelf.names() == [NAME, "leaves"]


def test_one_model_that_cannot_be_had_holds_up_no_other(hub, pushed, tmp_path, capsys):
    shelf, _ = filled(f"me/nothing@v1,{NAME}", tmp_path / "none", patience=60)
    until(lambda: not shelf.is_waiting)
    assert shelf.names() == [NAME]
    (sentence,) = shelf.news()
    assert sentence.startswith("me/nothing@v1 cannot be shown: me/nothing is neither a folder here nor a repository")
    assert "warning: me/nothing@v1 cannot be shown" in capsys.readouterr().err
    with pytest.raises(ModelError, match="me/nothing is neither"):
        filled("me/nothing", tmp_path / "none")


def test_a_damaged_model_of_the_hub_is_told_without_a_path(hub, pushed, bundled, tmp_path):
    hub.put(NAME, "config.json", b"{}")
    shelf, _ = filled(NAME, bundled, patience=60)
    assert shelf.news() == ["me/tiny cannot be shown: the log of the app says why. Meanwhile you see leaves."]
