"""Checkpoints of a run: written aside and renamed, so a kill leaves either a whole one or none."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch

KEEP = 2
NAME = re.compile(r"checkpoint-(\d{9})")


class ResumeError(ValueError):
    """A checkpoint that cannot be continued from; the message says which and what to do."""


def save(run: Path, nimg: int, state: dict[str, Any]) -> Path:
    """Write `run/checkpoint-NNNNNNNNN`, then remove all but the newest `KEEP`.

    Later ones go, too: they are what a run got to that was since started again from an earlier point, and would
    otherwise be taken for the latest.
    """
    folder = run / f"checkpoint-{nimg:09d}"
    aside = run / f".{folder.name}.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    torch.save(state, aside / "state.pt")
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(aside, folder)
    whole = found(run)
    now = whole.index(folder)
    for other in whole[: max(0, now + 1 - KEEP)] + whole[now + 1 :]:
        shutil.rmtree(other)
    return folder


def found(run: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return sorted(p for p in run.glob("checkpoint-*") if NAME.fullmatch(p.name))


def load(run: Path, which: str) -> dict[str, Any] | None:
    """The state of `which`: "latest" (None if there is none yet), or a checkpoint folder.

    Raises:
        ResumeError: if the checkpoint is missing or cannot be read.
    """
    if which == "latest":
        folders = found(run)
        if not folders:
            return None
        folder = folders[-1]
    else:
        folder = Path(which)
    try:
        # weights_only: a checkpoint holds tensors and numbers, and must not be able to run code.
        return torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    except Exception as error:
        older = [p.name for p in found(folder.parent) if p != folder]
        hint = f"try --resume {folder.parent / older[-1]}" if older else "start again with --resume none"
        raise ResumeError(f"{folder} cannot be read ({type(error).__name__}: {error}); {hint}") from error
