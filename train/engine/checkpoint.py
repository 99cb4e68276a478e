"""Checkpoints of a run: written aside and renamed, so a kill leaves either a whole one or none."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch

from stylex.storage.durable import sync_file, sync_folder
from stylex.storage.pointers import stub_at

STATE = "state.pt"
NAME = re.compile(r"checkpoint-(\d{9})")


class ResumeError(ValueError):
    """A checkpoint that cannot be continued from; the message says which and what to do."""


class SaveError(OSError):
    """A checkpoint that could not be written; the message says why, what is safe, and what to do."""


def save(run: Path, nimg: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Write `run/checkpoint-NNNNNNNNN`, then remove all but the newest `keep`.

    Later ones go, too: they are what a run got to that was since started again from an earlier point, and would
    otherwise be taken for the latest. Whatever has a name is whole and on the disk, at any moment; what is still
    written, or about to be removed, has a name that begins with a dot. (A file system that cannot promise the disk
    keeps what it can; see `stylex.storage.durable`.)

    Raises:
        SaveError: if it cannot be written, as on a full disk; the older ones stay as they are.
    """
    folder = run / f"checkpoint-{nimg:09d}"
    aside = run / f".{folder.name}.part"
    try:
        _clear(run)
        aside.mkdir(parents=True)
        _write(state, aside / STATE)
        for later in (p for p in found(run) if p.name > folder.name):
            os.replace(later, run / f".{later.name}.gone")
        if folder.exists():
            os.replace(aside / STATE, folder / STATE)
            sync_folder(folder)
        else:
            os.replace(aside, folder)
        sync_folder(run)
        for older in found(run)[:-keep]:
            os.replace(older, run / f".{older.name}.gone")
        _clear(run)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        saved = found(run)
        safe = f"{saved[-1]} is whole" if saved else "there is none before it"
        raise SaveError(
            f"the checkpoint of {nimg} pictures cannot be written into {run} ({error.strerror or error}); {safe}. "
            "Make room, or choose another --output"
        ) from error
    return folder


def _write(state: dict[str, Any], path: Path) -> None:
    with open(path, "wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # torch's archive writer hides what the system said behind an error of its own.
            raise error.__context__ if isinstance(error.__context__, OSError) else OSError(str(error)) from error
        sync_file(file)
    sync_folder(path.parent)


def _clear(run: Path) -> None:
    """Remove what a kill or this save has left half done."""
    for ending in ("part", "gone"):
        for path in run.glob(f".checkpoint-*.{ending}"):
            shutil.rmtree(path, ignore_errors=True)


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
    if pointer := stub_at(folder / STATE):
        raise ResumeError(f"{folder / STATE} {pointer}")
    try:
        # weights_only: a checkpoint holds tensors and numbers, and must not be able to run code.
        return torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except Exception as error:
        older = [p.name for p in found(folder.parent) if p.name < folder.name]
        hint = f"try --resume {folder.parent / older[-1]}" if older else "start again with --resume none"
        raise ResumeError(f"{folder} cannot be read ({type(error).__name__}: {error}); {hint}") from error
