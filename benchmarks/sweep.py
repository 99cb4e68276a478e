"""Pictures a second for several sizes and batches, until time is up: what a rented GPU should be given.

    python benchmarks/sweep.py --config train/configs/gpu-leaves.yaml --limit_s 60 --json sweep.json

What matters most comes first: the configuration's own size at each batch, then the same compiled where enough time is
left, then the other sizes as presets. The file is written anew after each row, so whoever ends this early loses
one row. What is timed is `Trainer.step`, as in benchmarks/training.py, whose options all hold.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.output import ready
from benchmarks.training import Runner, reader, training_options
from stylex.storage.outputs import put_json
from stylex.terminal import print_anything

BATCHES = (16, 32, 64)
RESOLUTIONS = (64, 128, 256)
# With less time left, graphs are not begun: on one H200 the first step with them took 17 s, and each new kind seconds.
COMPILING_S = 60.0
FIRST, MOST_S = 2, 3.0  # steps that are not timed; seconds that a row is timed for
# Shapes that a configuration names for its own size; other sizes have those of their preset.
SHAPES = ("channels", "trunk_channels", "w_dim")


def rows(resolution: int) -> Iterator[tuple[int, int, bool]]:
    """Size, batch and whether compiled, in the order of what matters."""
    for batch in BATCHES:
        yield resolution, batch, False
    yield resolution, 0, True  # at the best batch
    for other in RESOLUTIONS:
        if other != resolution:
            for batch in BATCHES[:2]:
                yield other, batch, False


def timed(options: list[str], limit_s: float) -> dict[str, Any]:
    """Pictures a second of the joint phase, and peak memory where the device tells it.

    Args:
        limit_s: the timing ends after so many seconds.
    """
    cuda, begun = torch.cuda.is_available() and os.environ.get("ACCELERATE_USE_CPU") != "true", time.perf_counter()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    runner = Runner(options, joint=True)
    read = reader(runner.trainer.accelerator.device)
    runner.steps(FIRST if not runner.o.compile else runner.cycle())
    ready_s, steps, start = time.perf_counter() - begun, 0, read()
    while steps < runner.cycle() and (not steps or read() - start < min(MOST_S, limit_s)):
        runner.steps(1)
        steps += 1
    seconds = read() - start
    return {
        "images_per_second": steps * runner.o.batch_size / seconds,
        "steps": steps,
        "start_s": ready_s,
        "peak_memory_mb": torch.cuda.max_memory_allocated() / 2**20 if cuda else None,
    }


def sweep(options: list[str], limit_s: float, path: Path | None) -> list[dict[str, Any]]:
    """All rows that there is time for; a size that does not fit into memory has an error in its row."""
    begun, found = time.perf_counter(), list[dict[str, Any]]()
    own = training_options(options, joint=True).resolution
    plain = [*options, *(word for name in SHAPES for word in (f"--{name}", "null"))]
    for resolution, batch, compiled in rows(own):
        left = limit_s - (time.perf_counter() - begun)
        if left <= 0:
            break
        if compiled:
            fastest = best(found, own)
            if fastest is None or left < COMPILING_S:
                continue
            batch = fastest["batch_size"]
        of = options if resolution == own else plain
        words = [*of, "--resolution", str(resolution), "--batch_size", str(batch), "--compile", str(compiled).lower()]
        row: dict[str, Any] = {"resolution": resolution, "batch_size": batch, "compile": compiled}
        try:
            row |= timed(words, left)
            print(f"{resolution} px, batch {batch}, compiled {compiled}: {row['images_per_second']:.1f} a second")
        except (RuntimeError, MemoryError) as error:
            row["error"] = str(error).splitlines()[0][:200]
            print(f"{resolution} px, batch {batch}, compiled {compiled}: {row['error']}", file=sys.stderr)
        gc.collect()
        found.append(row)
        if path:
            put_json(path, {"runs": found, "images_per_second": None}, option="--json")
    return found


def best(found: list[dict[str, Any]], resolution: int) -> dict[str, Any] | None:
    """The fastest row of a size, if one was measured."""
    own = [row for row in found if row["resolution"] == resolution and "images_per_second" in row]
    return max(own, key=lambda row: row["images_per_second"], default=None)


def main(args: list[str] | None = None) -> list[dict[str, Any]]:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit_s", type=float, default=60.0, help="no row is begun after so many seconds")
    parser.add_argument("--json", type=Path, help="write the rows to this file, after each")
    o, options = parser.parse_known_args(args)
    ready(parser, o.json)
    return sweep(options, o.limit_s, o.json)


if __name__ == "__main__":
    main()
