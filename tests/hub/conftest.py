"""The loopback Hub, fresh for every test, in each of the three ways in which large files travel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import loopback
import pytest
from hub.server import Hub

from stylex import StylEx


@pytest.fixture(scope="session")
def _hub() -> Iterator[Hub]:
    hub = Hub()
    hub.start(loopback.PORT)
    yield hub
    if hub.server is not None:
        hub.stop()


@pytest.fixture
def hub(_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub without repositories, and a client without a cache. Large files go through LFS."""
    from huggingface_hub import constants

    if _hub.server is None:  # a test stopped it
        _hub.start(loopback.PORT)
    _hub.reset()
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield _hub
    _hub.faults.clear()


@pytest.fixture(params=["lfs", "regular", "xet"])
def any_hub(hub: Hub, request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The same for each way."""
    from huggingface_hub import constants

    if request.param == "xet":
        pytest.importorskip("hf_xet")
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
        (tmp_path / "xet").mkdir()
    hub.reset(request.param, tmp_path / "xet" if request.param == "xet" else None)
    return hub


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries as often as ever, but does not wait between two tries."""
    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    def skip(_: float) -> None:
        pass

    import time

    for module in (file_download, _http):
        quick = SimpleNamespace(**{**vars(time), "sleep": skip})
        monkeypatch.setattr(module, "time", quick)


@pytest.fixture
def pushed(hub: Hub, tiny_model: StylEx) -> str:
    """A repository with the tiny model."""
    tiny_model.push_to_hub("me/tiny")
    return "me/tiny"
