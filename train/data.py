"""Folders of pictures as tensors: decoded once, kept as uint8, split by file name."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from stylex.images import ImageError, list_images, to_uint8

Split = Literal["train", "val", "all"]
VALIDATION_PERCENT = 12


class DataError(ValueError):
    """A folder that cannot be trained on; the message says what was found and what is needed."""


@dataclass(frozen=True)
class Pictures:
    """x [N, 3, R, R] uint8, labels [N], and where each came from."""

    x: Tensor
    labels: Tensor
    paths: list[Path]
    class_names: list[str]

    def __len__(self) -> int:
        return self.x.shape[0]

    def subset(self, index: Tensor) -> Pictures:
        return Pictures(self.x[index], self.labels[index], [self.paths[i] for i in index.tolist()], self.class_names)


def to_float(x: Tensor) -> Tensor:
    """uint8 -> [-1, 1], the same numbers as `stylex.images.to_tensor`."""
    return x.float() / 127.5 - 1


def in_validation(path: Path) -> bool:
    """Whether a picture belongs to the validation part: decided by its file name alone, so it never changes sides."""
    digest = hashlib.sha1(path.name.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big") % 100 < VALIDATION_PERCENT


def list_folder(
    folder: str | Path, split: Split = "all", class_names: list[str] | None = None
) -> tuple[list[tuple[Path, int]], list[str]]:
    """Pictures of a folder with one sub-folder for each class, unread: path and class of each, and the class names.

    Args:
        class_names: the classes that have to be there, in this order; None for any.

    Raises:
        DataError: if the folder is missing or empty, or has fewer than two classes or other ones than `class_names`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give a folder with one sub-folder of pictures for each class")
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    names = [n for n in names if list_images(folder / n)]
    if len(names) < 2:
        found = f"one class ({names[0]})" if names else "no class folder with pictures"
        raise DataError(
            f"{folder} holds {found}; training needs at least two sub-folders of pictures, one for each class"
        )
    if class_names is not None and names != class_names:
        raise DataError(
            f"{folder} has the classes {', '.join(names)}, the model {', '.join(class_names)}; they must be the same"
        )
    files = [(p, k) for k, n in enumerate(names) for p in list_images(folder / n)]
    return [(p, k) for p, k in files if split == "all" or in_validation(p) == (split == "val")], names


def readable(
    files: list[tuple[Path, int]], resolution: int, folder: str | Path, names: list[str], split: Split
) -> Iterator[tuple[Path, int, Tensor]]:
    """Path, class and picture [1, 3, R, R] uint8 of each file, read one after the other.

    Broken pictures are named on stderr and left out.

    Raises:
        DataError: at the end, if a class has no picture left.
    """
    broken, seen = [], set()
    for path, label in files:
        try:
            picture = to_uint8([path], resolution)
        except ImageError as error:
            broken.append(str(error))
            continue
        seen.add(label)
        yield path, label, picture
    if broken:
        print(
            f"{len(broken)} of {len(files)} pictures cannot be read and are left out:",
            *broken,
            sep="\n  ",
            file=sys.stderr,
        )
    for k, name in enumerate(names):
        if k not in seen:
            raise DataError(
                f"class {name} of {folder} has no readable picture in the {split} part; add some or remove the folder"
            )


def load_folder(
    folder: str | Path, resolution: int, split: Split = "all", class_names: list[str] | None = None
) -> Pictures:
    """Read a folder with one sub-folder of pictures for each class; see `list_folder` and `readable`."""
    files, names = list_folder(folder, split, class_names)
    paths, labels, pictures = zip(*readable(files, resolution, folder, names, split), strict=True)
    return Pictures(torch.cat(pictures), torch.tensor(labels), list(paths), names)


def epochs(count: int, batch_size: int, seed: int, start: int = 0) -> Iterator[Tensor]:
    """Endless batches of indices [batch_size]: every picture once per shuffle, after `start` pictures of them.

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
