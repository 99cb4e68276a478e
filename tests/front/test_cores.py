"""Cores are shared out among explanations, and a GPU is not."""

from __future__ import annotations

import pytest
import torch

from front import cores


@pytest.mark.parametrize(
    ("usable", "threads", "at_once", "each"), [(1, 8, 1, 1), (2, 8, 2, 1), (8, 8, 2, 4), (8, 3, 2, 1)]
)
def test_explanations_at_once_share_the_cores(monkeypatch, usable, threads, at_once, each):
    said = []
    monkeypatch.setattr(cores, "usable_cores", lambda: usable)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch, "set_num_threads", said.append)
    assert cores.share_out_our_cores() == at_once
    assert said == [each]
    monkeypatch.setattr(cores, "device", lambda: "cuda")
    assert cores.share_out_our_cores() == 1
