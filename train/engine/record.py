"""How a model was trained, for its card: the command, the code, the machine, the time."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

import torch

import stylex
from stylex.storage.files import ModelError, read_json, write_json

ROOT = Path(__file__).resolve().parents[2]
FILE = "training.json"


class Record:
    """Writes `FILE` into the model folder of a run; the minutes of earlier starts count."""

    def __init__(self, folder: Path, *, resumed: bool, processes: int = 1) -> None:
        self.start = time.monotonic()
        self.minutes = earlier_minutes(folder / FILE) if resumed else 0.0
        self.processes = processes

    def write(self, folder: Path, nimg: int) -> None:
        write_json(
            folder / FILE,
            {
                "command": command(sys.argv),
                "code": code(),
                "hardware": hardware(self.processes),
                "software": f"torch {torch.__version__}, Python {platform.python_version()}",
                "minutes": round(self.minutes + (time.monotonic() - self.start) / 60, 1),
                "pictures": nimg,
            },
        )


def earlier_minutes(path: Path) -> float:
    try:
        minutes = read_json(path).get("minutes")
    except ModelError:
        return 0.0
    return float(minutes) if isinstance(minutes, (int, float)) else 0.0


def command(args: list[str]) -> str:
    """The command line; of a path from the root of the machine only the name, for the card is for strangers."""
    shown = [Path(arg).name if os.path.isabs(arg) else arg for arg in args[1:]]
    return shlex.join([f"train/{Path(args[0]).name}", *shown])


def code() -> str:
    """Version and, in a clone, the commit."""

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *args], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    except (OSError, subprocess.CalledProcessError):
        return f"stylex {stylex.__version__}"
    return f"stylex {stylex.__version__}, commit {commit}{changed}"


def hardware(processes: int) -> str:
    if torch.cuda.is_available():
        return f"{processes} × {torch.cuda.get_device_name()}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} CPU core{'' if cores == 1 else 's'} ({platform.machine()})"
