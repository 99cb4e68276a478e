"""Tables in documents that scripts write: between two marks, so that what a person writes around them stays."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stylex.storage.outputs import OutputError
from train.options.processor import has_bf16


def marks(name: str, script: str) -> tuple[str, str]:
    """Before and behind a table: what it is called, and who writes it, a script of benchmarks or a path to one."""
    path = script if "/" in script else f"benchmarks/{script}"
    return f"<!-- {name}: written by {path}.py -->", f"<!-- end of {name} -->"


def read(page: Path, name: str, script: str, title: str = "Measured") -> tuple[str, str, str]:
    """What stands before, between and behind the marks of one table; of a page that has none yet, they come last.

    Raises:
        OutputError: if the second mark is gone, and with it where a person's text goes on.
    """
    start, end = marks(name, script)
    text = page.read_text(encoding="utf-8") if page.exists() else f"# {title}\n"
    if start not in text:
        text += f"\n{start}\n{end}\n"
    before, behind = text.split(start, 1)
    if end not in behind:
        raise OutputError(f"{page} has {start} and no {end} behind it; put it back, or name other --docs")
    between, after = behind.split(end, 1)
    return before, between.strip("\n"), after


def line(cells: Sequence[Any]) -> str:
    """One row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def write(page: Path, name: str, script: str, table: str, title: str = "Measured") -> None:
    """Put a table between its marks.

    Raises:
        OutputError: see `read`.
    """
    before, _, after = read(page, name, script, title)
    start, end = marks(name, script)
    page.write_text(f"{before}{start}\n{table.strip()}\n{end}{after}", encoding="utf-8")


def put_rows(page: Path, name: str, script: str, head: str, rows: Sequence[str], cells: int) -> None:
    """Put rows into a table, those of larger numbers in the first cell below, in the place of rows with the same first
    `cells`; the others stay.

    Raises:
        OutputError: see `read`.
    """

    def key(row: str) -> list[str]:
        return row.split("|")[1 : 1 + cells]

    _, before, _ = read(page, name, script)
    anew = [key(row) for row in rows]
    kept = [row for row in before.splitlines()[2:] if key(row) not in anew]
    body = sorted([*kept, *rows], key=lambda row: int(key(row)[0]))
    write(page, name, script, "\n".join([head, "|" + " --- |" * (head.count("|") - 1), *body]))


def machine(device: str = "cpu") -> str:
    """The GPU of that name as it calls itself; else the processor as its table names it, with its threads and what it
    computes in."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    kind, count = "bf16" if has_bf16() else "no bf16", torch.get_num_threads()
    return f"{count} thread{'s' if count > 1 else ''} of {model}, {torch.backends.cpu.get_cpu_capability()}, {kind}"


def today() -> str:
    return date.today().isoformat()
