"""A scenario's pictures as a folder, such as anybody's, and beside it what each was drawn from."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.planting.scenarios import Scenario
from benchmarks.planting.scenes import NAMES, pixels
from stylex.pictures.images import to_pil_list
from stylex.storage.files import load_tensors, read_json, save_tensors, write_json
from train.data.pictures import list_pictures, to_float

SEEDS_APART = 100_000  # pictures of two runs never share a seed


@dataclass(frozen=True)
class Planted:
    """Pictures [N] of one part: their names in the folder, factors [N, J], labels [N] and seeds."""

    names: list[str]
    factors: Tensor
    labels: Tensor
    seeds: list[int]
    side: int

    def x(self) -> Tensor:
        """[N, 3, side, side] in [-1, 1], as they are in the files."""
        return to_float(pixels(self.factors, self.seeds, self.side))


def plant(scenario: Scenario, seed: int, side: int, folder: Path, count: int | None = None) -> None:
    """Draw a scenario's pictures into `folder`/pictures, a folder for each class, unless that is done."""
    if (folder / "planted.json").exists():
        return
    shutil.rmtree(folder / "pictures", ignore_errors=True)  # of a run that was stopped while it drew
    count = count or scenario.count
    factors, labels = scenario.sample(count, torch.Generator().manual_seed(seed))
    seeds = list(range(seed * SEEDS_APART, seed * SEEDS_APART + count))
    names = [f"{scenario.class_names[k]}/{n:05d}.png" for n, k in enumerate(labels.tolist())]
    for name in scenario.class_names:
        (folder / "pictures" / name).mkdir(parents=True, exist_ok=True)
    for name, picture in zip(names, to_pil_list(to_float(pixels(factors, seeds, side))), strict=True):
        picture.save(folder / "pictures" / name)
    save_tensors({"factors": factors, "labels": labels}, folder / "planted.safetensors")
    write_json(folder / "planted.json", {"side": side, "factors": list(NAMES), "names": names, "seeds": seeds})


def part_of(folder: Path, split: str, class_names: Sequence[str]) -> Planted:
    """The train or val part of what `plant` drew, in an order in which the classes mix: the same pictures that training
    leaves out, or does not."""
    said = read_json(folder / "planted.json")
    count = len(said["names"])
    tensors = load_tensors(
        folder / "planted.safetensors", {"factors": (count, len(NAMES)), "labels": (count,)}, "tensor"
    )
    at = {name: n for n, name in enumerate(said["names"])}
    source = list_pictures(folder / "pictures", split, class_names)  # type: ignore[arg-type]
    rows = torch.tensor([at[p.name] for p in source.pictures]).sort().values  # as they were drawn
    names = [said["names"][n] for n in rows.tolist()]
    seeds = [said["seeds"][n] for n in rows.tolist()]
    return Planted(names, tensors["factors"][rows], tensors["labels"][rows], seeds, said["side"])
