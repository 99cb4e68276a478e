"""The loopback Hub, fresh for every test, in each of the three ways in which large files travel."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hub.server import Hub

from stylex import StylEx


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
