"""`find_attributes` on a Ray cluster: the same options, the same shards, the same result; machines may come and go.

    python train/find_attributes_ray.py --model runs/leaves/model --data ../shared/data/leaves

All workers need the folders of the model, the pictures and the effects under the same path. Needs `pip install
"ray[data]"`; without a cluster Ray starts one on this machine.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from stylex.attfind import shards
from train import find_attributes
from train.data.records import DataError
from train.options.command import parse
from train.options.searching import Options
from train.search.jobs import prepare

# Workers import this project from where it lies here.
ROOT = str(Path(__file__).resolve().parents[1])


class Worker:
    """Loads the model once, then computes one shard after the other; if it dies, another does its shard again."""

    def __init__(self, options: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        self.model, self.data, self.jobs = prepare(Options(**options))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for job, number in zip(batch["job"].tolist(), batch["shard"].tolist(), strict=True):
            plan, folder = self.jobs[job]
            edits_of = self.model.edits_of(plan.batch_size, visible=True)
            shards.compute(plan, folder, [number], self.data.styles, self.model.logits_of, edits_of)
        return batch


def main(args: list[str] | None = None) -> None:
    try:
        import ray
    except ImportError:
        raise DataError(
            'this needs Ray Data: pip install "ray[data]"; train/find_attributes.py works without'
        ) from None
    o = parse(Options, "Search the style coordinates that change the classifier's mind, on a Ray cluster.", args)
    _, _, jobs = prepare(o)
    rows = [{"job": i, "shard": n} for i, (plan, folder) in enumerate(jobs) for n in shards.missing(plan, folder)]
    if rows:
        ray.init(runtime_env={"env_vars": {"PYTHONPATH": ROOT}}, include_dashboard=False, ignore_reinit_error=True)
        size = max(1, int(ray.cluster_resources().get("GPU", 0)) or int(ray.cluster_resources()["CPU"]))
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        work = (
            ray.data.from_items(rows)
            .repartition(len(rows))
            .map_batches(
                Worker,
                fn_constructor_args=[asdict(o)],
                batch_size=1,
                concurrency=(1, min(size, len(rows))),
                num_gpus=gpus,
                max_restarts=-1,
                max_task_retries=-1,
            )
        )
        for _ in work.iter_rows():
            pass
        ray.shutdown()
    find_attributes.main(args)


if __name__ == "__main__":
    find_attributes.run_plainly(main)
