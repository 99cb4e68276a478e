"""How AttFind's cost grows: with the pictures, with their side, and how well processes share it.

    python benchmarks/scaling.py --resolution 64 128 --pictures 10 20 40 --docs docs
    python benchmarks/scaling.py --resolution 64 --processes 2 --docs docs

Networks of the presets with random weights, which take as long as trained ones, and two classes. What is timed is what
train/find_attributes.py does for a screened search: the trial of how many copies go through at once, the gradients, and
the moves of each picture; and every n-th of the moves that an exact one makes. With `--processes` the same shards are
computed by one process and by several, on one thread each: their efficiency is how many times faster they are, for
each of them. Rows of other sizes in speed.md stay.
"""

from __future__ import annotations

import argparse
import json
import statistics
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
from benchmarks.page import line
from benchmarks.training import reader
from benchmarks.untrained import Untrained
from stylex.attfind import shards
from stylex.attfind.effects import effects_of
from stylex.attfind.shards import Plan
from stylex.storage.outputs import put_json
from stylex.terminal import print_anything
from train.options.searching import Options as SearchOptions
from train.search.moves import moves_of, width_of

KEY = "scaling"  # of the plans
PARTS = 8  # pictures whose gradients are taken at once, as in a search
SHARD = 2  # pictures, so that few are shared evenly
SIZES = (
    "| px | coordinates | copies at once | exact, ms a move | moves screened | pictures | gradients, s | moves, s "
    "| s a picture | on |"
)
SHARED = (
    "| px | pictures | moves of each | one process, one thread, s | processes of one thread | together, s | efficiency "
    "| one process of as many threads, s | on |"
)


def grown(resolution: int, counts: Sequence[int], keep: int, every: int, width: int = 0) -> dict[str, Any]:
    """Seconds of a screened search of the first so many pictures, for each of `counts`, and of an exact move; on one
    thread those of the processor, so that other programs do not count.

    Args:
        keep: moves for each class, as `--candidates`.
        every: of an exact search every so-many-th coordinate is moved, both ways, on the first picture.
        width: copies that go through at once; 0 finds it by trying.
    """
    options = SearchOptions(model="", data="", candidates=keep, batch_size=width)
    r = Untrained.of(resolution, max(counts))
    model, searched, read = r.model, r.model.space.num_conv, reader(r.model.device)
    width = width_of(model, r.s[:1], options)
    gradients = {}
    for count in counts:
        begun = read()
        candidates, moves = moves_of(model, r.s[:count].split(PARTS), r.stats, options)
        gradients[count] = read() - begun
    edits_of, spent = model.edits_of(width, visible=True), []
    for n in range(max(counts)):
        one, begun = r.s[n : n + 1], read()
        base = model.logits_of(one)
        effects_of(edits_of(one), torch.cat([base, base.new_zeros(1, 1)], dim=1), one, r.stats, candidates, moves=moves)
        spent.append(read() - begun)
    few, one = torch.arange(0, searched, every), r.s[:1]
    seen, begun = torch.cat([model.logits_of(one), torch.zeros(1, 1)], dim=1), read()
    effects_of(edits_of(one), seen, one, r.stats, few)
    return {
        "resolution": resolution,
        "coordinates": searched,
        "width": width,
        "exact_ms_a_move": 1e3 * (read() - begun) / (2 * len(few)),
        "moves": int(moves.sum()) if moves is not None else 2 * searched,
        "pictures": {n: {"gradients_s": gradients[n], "moves_s": sum(spent[:n])} for n in counts},
    }


def shared(resolution: int, pictures: int, keep: int, processes: int, rounds: int) -> dict[str, Any]:
    """Seconds in which the shards of one plan are computed by one process, by several, and by one on more threads."""
    r, options = Untrained.of(resolution, pictures), SearchOptions(model="", data="", candidates=keep)
    candidates, moves = moves_of(r.model, r.s.split(PARTS), r.stats, options)
    width = width_of(r.model, r.s[:1], options)
    names = [str(n) for n in range(pictures)]
    plan = Plan(KEY, names, candidates, r.stats, 2, options.shift, width, SHARD, moves)
    ways = {"one": (1, 1), "several": (processes, 1), "threads": (1, processes)}
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (count, threads) in ways.items():  # in turns, so that a busy machine slows them alike
            with tempfile.TemporaryDirectory() as folder:
                shards.write_plan(plan, Path(folder))
                spent[way].append(together(Path(folder), resolution, pictures, count, threads))
    one, several, threads = (statistics.median(spent[way]) for way in ways)
    return {
        "resolution": resolution,
        "pictures": pictures,
        "moves": plan.made,
        "processes": processes,
        "one_s": one,
        "several_s": several,
        "threads_s": threads,
        "efficiency": one / (processes * several),
    }


def together(folder: Path, resolution: int, pictures: int, count: int, threads: int) -> float:
    """Seconds from when all processes have their model and plan until the last shard is written."""
    words = [sys.executable, __file__, "--resolution", str(resolution), "--pictures", str(pictures)]
    words += ["--folder", str(folder), "--threads", str(threads)]
    started = [
        subprocess.Popen([*words, "--part", f"{n}/{count}"], stdout=subprocess.PIPE, text=True) for n in range(count)
    ]
    go = folder / "go"
    while len(list(folder.glob("ready-*"))) < count:
        if any(child.poll() for child in started):
            sys.exit("a process failed; what it said stands above")
        time.sleep(0.01)
    go.touch()
    said = [json.loads(child.communicate()[0]) for child in started]
    return max(row["ended"] for row in said) - min(row["began"] for row in said)


def compute(folder: Path, resolution: int, pictures: int, part: tuple[int, int]) -> dict[str, float]:
    """One of the processes; on Linux their clocks are one."""
    r, plan = Untrained.of(resolution, pictures), shards.read_plan(folder, KEY)
    edits_of = r.model.edits_of(plan.batch_size, visible=True)
    r.model.logits_of(r.s[:1])  # the first pass takes longer
    (folder / f"ready-{part[0]}").touch()
    while not (folder / "go").exists():
        time.sleep(0.001)
    began, mine = time.monotonic(), range(part[0], plan.shards, part[1])
    shards.compute(plan, folder, mine, lambda names: r.s[[int(n) for n in names]], r.model.logits_of, edits_of)
    return {"began": began, "ended": time.monotonic()}


# The tables.


def lines_of_sizes(found: dict[str, Any], on: str) -> list[str]:
    head = [
        found["resolution"],
        f"{found['coordinates']:,}",
        found["width"],
        f"{found['exact_ms_a_move']:.1f}",
        found["moves"],
    ]
    rows = []
    for count, t in found["pictures"].items():
        each = (t["gradients_s"] + t["moves_s"]) / count
        rows.append(line([*head, count, f"{t['gradients_s']:.1f}", f"{t['moves_s']:.1f}", f"{each:.2f}", on]))
    return rows


def line_of_shared(n: dict[str, Any], on: str) -> str:
    times = [
        f"{n['one_s']:.1f}",
        n["processes"],
        f"{n['several_s']:.1f}",
        f"{n['efficiency']:.2f}",
        f"{n['threads_s']:.1f}",
    ]
    return line([n["resolution"], n["pictures"], n["moves"], *times, on])


def main(args: list[str] | None = None) -> dict[str, Any]:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, nargs="+", default=[64])
    parser.add_argument("--pictures", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--keep", type=int, default=SearchOptions.candidates, help="moves for each class")
    parser.add_argument("--every", type=int, default=8, help="of an exact search every so-many-th coordinate is moved")
    parser.add_argument("--batch_size", type=int, default=0, help="copies at once; 0 finds it by trying")
    parser.add_argument("--processes", type=int, help="share the shards of the most pictures among so many, instead")
    parser.add_argument("--rounds", type=int, default=3, help="of sharing; the median counts")
    parser.add_argument("--threads", type=int, help="of the processor")
    parser.add_argument("--docs", type=Path, help="folder whose speed.md gets the rows")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    o = parser.parse_args(args)
    if o.threads:
        torch.set_num_threads(o.threads)
    if o.part:
        number, count = map(int, o.part.split("/"))
        numbers: dict[str, Any] = compute(o.folder, o.resolution[0], max(o.pictures), (number, count))
        print(json.dumps(numbers))
        return numbers
    ready(parser, o.json)
    on = f"{page.machine()}; {page.today()}"
    runs = []
    for resolution in o.resolution:
        if o.processes:
            runs.append(shared(resolution, max(o.pictures), o.keep, o.processes, o.rounds))
            head, rows, name = SHARED, [line_of_shared(runs[-1], on)], "AttFind shared among processes"
        else:
            runs.append(grown(resolution, sorted(o.pictures), o.keep, o.every, o.batch_size))
            head, rows, name = SIZES, lines_of_sizes(runs[-1], on), "AttFind at several sizes"
        print("\n".join([head, *rows]), flush=True)
        if o.docs:
            page.put_rows(o.docs / "speed.md", name, "scaling", head, rows, cells=1)
    numbers = {"runs": runs}
    if o.json:
        put_json(o.json, numbers, option="--json")
    return numbers


if __name__ == "__main__":
    main()
