"""What it costs to rank a table of effects that is too large for memory, for each picture in it.

    python benchmarks/ranking.py --classes 200 --pictures 192

The table is of random numbers, in the files that train/find_attributes.py writes; to read them is part of what is
timed.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from stylex.attfind import shards
from stylex.attfind.selection import select_one_vs_rest, unstable
from stylex.attfind.shards import Plan, ShardedEffects
from stylex.stylespace import StyleStats
from stylex.terminal import print_anything

ATTRIBUTES = 20


def write_table(folder: Path, classes: int, pictures: int, coordinates: int, shard_size: int) -> Plan:
    """Random effects of a tenth of a logit, as those of most moves are."""
    torch.manual_seed(0)
    stats = StyleStats.of(torch.randn(8, coordinates))
    names = [f"{i}.png" for i in range(pictures)]
    plan = Plan("random", names, torch.arange(coordinates), stats, classes, 1.0, 16, shard_size)
    shards.write_plan(plan, folder)
    for number in range(plan.shards):
        n = len(plan.rows(number))
        tensors = {
            "effect": 0.1 * torch.randn(classes, n, 2, coordinates),
            "changed": torch.rand(n, 2, coordinates),
            "logits": torch.randn(n, classes),
            "s": torch.randn(n, coordinates),
        }
        shards.write_shard(plan, folder, number, tensors)
    return plan


def main(args: list[str] | None = None) -> dict[str, float]:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=192)
    parser.add_argument(
        "--coordinates", type=int, default=1248, help="those of the bundled models (default %(default)s)"
    )
    parser.add_argument("--shard-size", type=int, default=8)
    o = parser.parse_args(args)
    with TemporaryDirectory() as name:
        folder = Path(name)
        plan = write_table(folder, o.classes, o.pictures, o.coordinates, o.shard_size)
        size = sum(file.stat().st_size for file in folder.iterdir())
        effects = ShardedEffects(plan, folder)
        start = time.perf_counter()
        unstable(effects, o.classes)
        middle = time.perf_counter()
        select_one_vs_rest(effects, effects.logits.argmax(dim=1), 0, ATTRIBUTES)
        end = time.perf_counter()
    numbers = {
        "classes": o.classes,
        "pictures": o.pictures,
        "coordinates": o.coordinates,
        "threads": torch.get_num_threads(),
        "table_mb_a_picture": size / 1e6 / o.pictures,
        "unstable_ms_a_picture": 1000 * (middle - start) / o.pictures,
        "list_ms_a_picture": 1000 * (end - middle) / o.pictures,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }
    print(json.dumps(numbers, indent=2))
    return numbers


if __name__ == "__main__":
    main()
