"""Pictures as tensors: decoded once, kept as uint8, split by file name. Where they come from is in `sources`."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylex.pictures.images import ImageError, to_uint8
from train.data.left_out import tell
from train.data.records import DataError, Picture, Source, Split
from train.data.sources import find_pictures
from train.data.split import held_out
from train.data.split import in_validation as in_validation

# More than this share of the memory of the machine is not taken; what is larger lies in a file that memory maps.
MEMORY_SHARE = 0.5
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Pictures:
    """x [N, 3, R, R] uint8, labels [N] (None if the pictures have none), and what each is called in its source."""

    x: Tensor
    labels: Tensor | None
    names: list[str]
    class_names: list[str]

    def __len__(self) -> int:
        return self.x.shape[0]

    def subset(self, index: Tensor) -> Pictures:
        labels = self.labels[index] if self.labels is not None else None
        return Pictures(self.x[index], labels, [self.names[i] for i in index.tolist()], self.class_names)


def to_float(x: Tensor) -> Tensor:
    """uint8 -> [-1, 1], the same numbers as `stylex.pictures.images.to_tensor`."""
    return x.float() / 127.5 - 1


def list_pictures(data: str | Path, split: Split = "all", class_names: Sequence[str] | None = None) -> Source:
    """One part of the pictures of `data`, unread; see `sources.find_pictures`."""
    source = find_pictures(data, class_names)
    tell(source)
    return part_of(source, split)


def part_of(source: Source, split: Split) -> Source:
    """One part of pictures that were listed.

    Raises:
        DataError: if a class has a single picture, and so cannot be in both parts.
    """
    if split == "all":
        return source
    for k, name in enumerate(source.class_names or []):
        if sum(p.label == k for p in source.pictures) == 1:
            raise DataError(
                f"class {name} of {source.place} has one picture; it needs two, one to learn from and one that is held "
                "out: add some or remove it"
            )
    out = held_out(source.pictures)
    chosen = [p for p in source.pictures if (p.name in out) == (split == "val")]
    return replace(source, pictures=chosen)


def readable(source: Source, resolution: int, split: Split) -> Iterator[tuple[Picture, Tensor]]:
    """Each picture with its pixels [1, 3, R, R] uint8, read one after the other.

    Broken pictures are left out; at the end they are named on stderr, and counted.

    Args:
        split: which part this is, for the message.

    Raises:
        DataError: at the end, if no picture is left, or none of a class.
    """
    broken, seen, lost = [], set(), Counter[int | None]()
    for picture in source.pictures:
        try:
            x = pixels(picture, source.place, resolution)
        except ImageError as error:
            broken.append(str(error))
            lost[picture.label] += 1
            continue
        seen.add(picture.label)
        yield picture, x
    if broken and int(os.environ.get("RANK", 0)) == 0:
        print(
            f"{len(broken)} of {len(source.pictures)} pictures cannot be read and are left out:",
            *broken,
            *([f"of class {name}: {lost[k]}" for k, name in enumerate(source.class_names or []) if lost[k]]),
            sep="\n  ",
            file=sys.stderr,
        )
    for k, name in enumerate(source.class_names or []):
        if k not in seen:
            count = sum(p.label == k for p in source.pictures)
            cause = f"none of its {count} can be read" if count else "there is none"
            raise DataError(
                f"class {name} of {source.place} has no readable picture in the {split} part: {cause}; add some or "
                "remove it"
            )
    if not seen:
        raise DataError(f"{source.place} has no readable picture in the {split} part; add some")


def pixels(picture: Picture, place: str, resolution: int) -> Tensor:
    """[1, 3, R, R] uint8.

    Raises:
        ImageError: naming the picture.
    """
    opened = picture.read()
    name = None if isinstance(opened, Path) else f"{picture.name} of {place}"
    return to_uint8(opened, resolution, name)


def load_pictures(
    data: str | Path, resolution: int, split: Split = "all", class_names: Sequence[str] | None = None
) -> Pictures:
    """Read all pictures of a part; see `list_pictures` and `readable` for what is left out and what is refused."""
    source = list_pictures(data, split, class_names)
    x, names, labels = room_for(len(source.pictures), resolution), [], []
    for i, (picture, row) in enumerate(readable(source, resolution, split)):
        x[i] = row[0]
        names.append(picture.name)
        labels.append(picture.label)
    known = torch.tensor(labels) if source.class_names is not None else None
    return Pictures(x[: len(names)], known, names, source.class_names or list(class_names or []))


def room_for(count: int, resolution: int) -> Tensor:
    """An empty uint8 tensor [count, 3, R, R]: in memory, or where that is too small in a file without a name in the
    folder for temporary files, which is gone when the process ends however it ends.

    Raises:
        DataError: if there is no room on the disk either.
    """
    shape = (count, 3, resolution, resolution)
    size = math.prod(shape)
    if size <= MEMORY_SHARE * memory() / int(os.environ.get("LOCAL_WORLD_SIZE", 1)):
        return torch.empty(shape, dtype=torch.uint8)
    folder = tempfile.gettempdir()
    disk = os.statvfs(folder)
    if size > disk.f_bavail * disk.f_frsize:
        raise DataError(
            f"{count:,} pictures of {resolution} px are {size / 1e9:.1f} GB, too much for the memory and for {folder}; "
            "set TMPDIR to a folder with more room, or lower the resolution"
        )
    with tempfile.TemporaryFile(dir=folder) as file:
        return torch.from_numpy(np.memmap(file, np.uint8, "w+", shape=shape))


def memory() -> int:
    """Bytes of memory that this machine has, or that its container may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = CGROUP_LIMIT.read_text(encoding="ascii").strip() if CGROUP_LIMIT.is_file() else "max"
    return total if limit == "max" else min(total, int(limit))


def epochs(count: int, batch_size: int, seed: int, start: int = 0) -> Iterator[Tensor]:
    """Endless batches of indices [batch_size]: every picture once per shuffle, from the `start`-th picture on.

    The order follows from `seed` alone, so a resumed run sees what an unbroken one would have seen.
    """
    position, epoch, order = start, -1, torch.empty(0, dtype=torch.long)
    while True:
        index = []
        for i in range(position, position + batch_size):
            if i // count != epoch:
                epoch = i // count
                order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
            index.append(order[i % count])
        yield torch.stack(index)
        position += batch_size
