"""What a search computes, in which folder, and who computes which part of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from stylex.attfind import shards
from stylex.attfind.screening import Certificate, certify
from stylex.attfind.shards import Plan, ShardedEffects
from stylex.model import StylEx
from stylex.storage.hub import REPO_ID
from stylex.storage.outputs import check_place, claim
from train.data.records import DataError
from train.engine.device import device, measure_exactly
from train.options.searching import Options
from train.search.question import check_question
from train.search.searched import Searched

Jobs = list[tuple[Plan, Path]]


def prepare(o: Options) -> tuple[StylEx, Searched, Jobs]:
    """The model, the pictures, and what is computed in which folder: the search, and its certificate if asked for."""
    if REPO_ID.fullmatch(o.model) and not Path(o.model).is_dir():
        raise DataError(
            f"{o.model} is not a folder, and what is found is written into the model's folder; download it first: "
            f"hf download {o.model} --local-dir FOLDER"
        )
    beside = Path(f"{str(o.model).rstrip('/')}-effects")
    check_place(Path(o.model), "--model")
    check_place(Path(o.effects) if o.effects else beside, "--effects")
    model = StylEx.from_pretrained(o.model, classifier=o.classifier, device=device())
    check_question(model, o)
    measure_exactly()
    data = Searched(model, o)
    key = data.key()
    folder = Path(o.effects) if o.effects else beside / key
    claim(folder, ["certificate.json", *(["report.html"] if o.report else [])], option="--effects")
    if (folder / "plan.safetensors").exists():
        plan = shards.read_plan(folder, key)
    else:
        plan = shards.write_plan(data.plan(key), folder)
    jobs, searched = [(plan, folder)], model.space.num_conv
    # A shortlist of everything misses nothing.
    if plan.made < 2 * searched and o.certify:
        whole = replace(plan, pictures=plan.pictures[: o.certify], candidates=torch.arange(searched), moves=None)
        jobs.append((whole, folder / "certificate"))
        shards.write_plan(*jobs[-1])
    return model, data, jobs


def part_of(shard: str) -> tuple[int, int]:
    """Which part of the shards is ours, and of how many: from `--shard i/n`, or from the launcher.

    Raises:
        DataError: if it is not i/n with i from 0 to n - 1.
    """
    if not shard:
        return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    try:
        number, count = map(int, shard.split("/"))
    except ValueError:
        number, count = -1, 0
    if not 0 <= number < count:
        raise DataError(f"shard is {shard!r}; use i/n with i from 0 to n - 1, for instance 0/4")
    return number, count


def measure(
    model: StylEx, plan: Plan, folder: Path, styles: Callable[[Sequence[str]], Tensor], part: tuple[int, int]
) -> None:
    """Compute what is missing of our part of a plan."""
    mine = shards.missing(plan, folder, range(part[0], plan.shards, part[1]))
    for number in mine:
        if plan.path(folder, number).exists():
            print(f"{plan.path(folder, number)} is cut short or of another search; computing it again", file=sys.stderr)
    if not mine:
        return
    total = sum(len(plan.rows(n)) for n in mine)
    edits_of = model.edits_of(plan.batch_size, visible=True)
    with tqdm(total=total, desc="AttFind", unit="picture") as bar:
        shards.compute(plan, folder, mine, styles, model.logits_of, edits_of, bar.update)


def certificate(plan: Plan, effects: ShardedEffects) -> Certificate:
    """What the shortlist of a plan missed, from effects of every move."""
    whole = torch.stack([torch.cat(list(effects.of(k))) for k in range(plan.classes)], dim=-1)
    kept = torch.zeros(whole.shape[1:3], dtype=torch.bool)
    kept[:, plan.candidates] = True if plan.moves is None else plan.moves
    return certify(whole, effects.logits.argmax(dim=1), kept)


def wait_for(plan: Plan, folder: Path) -> None:
    """Until the other processes have computed their parts. It is no collective: however late, they are waited for."""
    while shards.missing(plan, folder):
        time.sleep(0.5)
