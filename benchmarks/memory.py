"""What training and search take of memory: the peak of a fresh process, beside what `--dry_run` counts.

    python benchmarks/memory.py --resolution 64 128 256 --json memory.json
    python benchmarks/memory.py --resolution 256 --batches 16 --what recomputed

Options that are not listed below are those of `train/train.py`, and so are the defaults. Each row is a process of its
own, on random pictures, a random classifier and random weights: of training the heaviest steps there are (encoder,
discriminator, and the encoder once more on what was drawn), of search what train/find_attributes.py does once for a
plan and then for each picture. On a processor the peak is that of resident memory, torch itself included; on a GPU that
of what torch has taken there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import page
from benchmarks.output import ready
from benchmarks.training import Runner, training_options
from stylex.attfind.effects import WIDTHS, WIDTHS_ON_GPU
from stylex.classifiers.classifier import ClassifierConfig, build
from stylex.model import StylEx
from stylex.networks.config import ModelConfig
from stylex.storage.files import read_json
from stylex.storage.outputs import put_json
from stylex.stylespace import StyleStats
from stylex.terminal import print_anything
from train.engine.device import device
from train.options.searching import Options as SearchOptions
from train.options.training import BATCH_SIZE
from train.presets import Memory
from train.search.moves import moves_of
from train.search.searched import ENCODED

WHAT = ("training", "recomputed", "search")
SMALL = 4  # pictures a step, beside the preset's
# The first step asks the encoder a second time; class swaps, which take its place, keep less.
FIRST, HEAVIEST = 3, ["--class_swap", "0"]
SCREENED = 8  # pictures whose gradients a search takes at once


def resident() -> tuple[int, int]:
    """Bytes of this process's memory: now, and the most since it began."""
    status = Path("/proc/self/status")
    if not status.exists():
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return most, most
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
    now, most = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def peak(on: torch.device) -> int:
    return torch.cuda.max_memory_allocated(on) if on.type == "cuda" else resident()[1]


def training(options: list[str], steps: int) -> dict[str, Any]:
    """Peak of some steps of training, in this process."""
    start = resident()[0]
    runner = Runner([*options, *HEAVIEST], joint=True)
    trainer, o = runner.trainer, runner.o
    on = trainer.accelerator.device
    trainer.step_number, begun = FIRST, time.perf_counter()
    runner.steps(steps)
    seconds, most = time.perf_counter() - begun, peak(on)
    counted = Memory.of(
        trainer.config,
        o.batch_size,
        bf16=o.mixed_precision == "bf16",
        r1=o.r1_weight > 0,
        judges=(trainer.classifier, trainer.features),
        recompute=o.recompute,
    )
    return {
        "resolution": o.resolution,
        "batch_size": o.batch_size,
        "precision": "bfloat16" if o.mixed_precision == "bf16" else "float32",
        "device": torch.cuda.get_device_name() if on.type == "cuda" else page.machine(),
        "date": page.today(),
        "start_mb": 0.0 if on.type == "cuda" else start / 1e6,
        "peak_memory_mb": most / 1e6,
        "counted_mb": counted.total / 1e6,
        "counted_held_mb": counted.held / 1e6,
        "seconds_a_step": seconds / steps,
    }


def search(resolution: int, keep: int) -> dict[str, Any]:
    """Peak of a search with the networks of a preset, in this process."""
    on, start = device(), resident()[0]
    torch.manual_seed(0)
    config = ModelConfig.preset(resolution, 2)
    model = StylEx(config, build(ClassifierConfig(("a", "b"), resolution))).to(on)
    begun = time.perf_counter()
    x = (torch.rand(ENCODED, 3, resolution, resolution) * 2 - 1).to(on)
    s = model.styles(model.encode(x))
    options = SearchOptions(model="", data="", candidates=keep)
    moves_of(model, [s[:SCREENED]], StyleStats.of(s), options)
    # The widest pass that a search tries, of moves in the first layer: whichever width it finds fastest.
    width, one = max(WIDTHS if on.type == "cpu" else WIDTHS_ON_GPU), s[:1]
    first = torch.zeros(width, dtype=torch.long, device=on)
    model.edits_of(width, visible=True)(one)(first, s[0, :1].expand(width))
    return {
        "resolution": resolution,
        "width": width,
        "device": torch.cuda.get_device_name() if on.type == "cuda" else page.machine(),
        "date": page.today(),
        "start_mb": 0.0 if on.type == "cuda" else start / 1e6,
        "peak_memory_mb": peak(on) / 1e6,
        "seconds": time.perf_counter() - begun,
    }


# The rows and their table.


def rows(o: argparse.Namespace) -> list[list[str]]:
    """The arguments of each process."""
    found = []
    for resolution in o.resolution:
        batches = o.batches or sorted({SMALL, BATCH_SIZE.get(resolution, SMALL)})
        if "training" in o.what:
            found += [["training", "--resolution", str(resolution), "--batches", str(batch)] for batch in batches]
        if "recomputed" in o.what:
            found.append(["recomputed", "--resolution", str(resolution), "--batches", str(max(batches))])
        if "search" in o.what:
            found.append(["search", "--resolution", str(resolution)])
    return found


def in_child(words: Sequence[str]) -> dict[str, Any]:
    """One row, in a process that has done nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "row.json"
        if subprocess.run([sys.executable, __file__, "--child", "--json", str(file), "--what", *words]).returncode:
            return {"error": "failed; what it said stands above"}
        return json.loads(file.read_text(encoding="utf-8"))


HEAD = "| px | what | pictures a step | peak, GB | torch alone, GB | counted, GB | rest / counted | on | date |"


def gb(mb: float) -> str:
    return f"{mb / 1e3:.2f}"


def line(row: dict[str, Any]) -> str:
    """A row as Markdown: what was measured, and how it compares with what is counted."""
    cells = [str(row["resolution"]), ", ".join(filter(None, [row["what"], row.get("precision")]))]
    peak_and_torch = [gb(row["peak_memory_mb"]), gb(row["start_mb"])]
    if row["what"] == "search":
        cells += ["", *peak_and_torch, "", ""]
    else:
        beyond = (row["peak_memory_mb"] - row["start_mb"]) / row["counted_mb"]
        cells += [str(row["batch_size"]), *peak_and_torch, gb(row["counted_mb"]), f"{beyond:.2f}"]
    return f"| {' | '.join([*cells, row['device'], row['date']])} |"


def main(args: list[str] | None = None) -> dict[str, Any]:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--what", choices=WHAT, nargs="+", default=["training", "search"])
    parser.add_argument("--batches", type=int, nargs="+", help="pictures a step; a few and the preset's without it")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--keep", type=int, default=SearchOptions.candidates, help="of search, as --candidates")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="a GPU if there is one")
    parser.add_argument("--measured", type=Path, nargs="+", default=[], help="files of --json, instead of measuring")
    parser.add_argument("--docs", type=Path, help="folder whose speed.md gets the rows")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    o, options = parser.parse_known_args(args)
    if o.device == "cpu":
        os.environ |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    if o.child:
        ((what,), (resolution,)) = o.what, o.resolution
        if what == "search":
            numbers = search(resolution, o.keep)
        else:
            words = [*options, "--resolution", str(resolution), "--batch_size", str(o.batches[0])]
            words += ["--recompute", "true"] if what == "recomputed" else []
            numbers = training(words, o.steps)
        put_json(o.json, numbers, option="--json")
        return numbers
    ready(parser, o.json)
    training_options(options, joint=True)  # a mistyped one is refused before anything is measured
    common = [*options, "--steps", str(o.steps), "--keep", str(o.keep), *(["--device", o.device] if o.device else [])]
    found: list[dict[str, Any]] = [row for file in o.measured for row in read_json(file)["runs"]]
    for words in [] if o.measured else rows(o):
        found.append({"what": words[0], "resolution": int(words[2])} | in_child([*words, *common]))
        if "error" not in found[-1]:
            print(line(found[-1]), flush=True)
    whole = [line(row) for row in found if "error" not in row]
    print("\n".join(["", HEAD, *whole]))
    if o.docs:
        said = " ".join(["memory", *(word.removeprefix("--") for word in options)])
        page.put_rows(o.docs / "speed.md", said, "memory", HEAD, whole, cells=3)
    numbers = {"runs": found}
    if o.json:
        put_json(o.json, numbers, option="--json")
    return numbers


if __name__ == "__main__":
    main()
