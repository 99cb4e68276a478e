"""What lies in a folder: files, links that lead somewhere and nowhere, and what an operating system left."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

# What network drives, operating systems and programs put beside pictures, in small letters: thumbnails, trash, indices.
# Hidden names (.DS_Store, .AppleDouble, .ipynb_checkpoints, .Trash-1000, ._picture.png) need no list.
LITTER = {
    "@eadir",
    "@tmp",
    "@__thumb",
    "@recycle",
    "@recently-snapshot",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "$winreagent",
    "$sysreset",
    "$getcurrent",
    "$extend",
    "msocache",
    "_vti_cnf",
    "_vti_pvt",
    "recycler",
    "recycled",
    "system volume information",
    "__macosx",
    "network trash folder",
    "thevolumesettingsfolder",
    "temporary items",
    "lost+found",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__pycache__",
    "lost.dir",
    "~snapshot",
}
# The same with a number or a name behind it: what a check of the disk found, of Synology, of an update of Windows.
LITTER_OF = re.compile(r"found\.\d{3}|@syno\w+|@eastream|\$windows\.~\w+")


@dataclass
class Tree:
    """Names relative to a folder, with slashes.

    Attributes:
        files: hidden ones, too, sorted as paths.
        dangling: links that lead nowhere.
        litter: top-most names of what is nobody's picture.
    """

    files: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)


def is_hidden(name: str) -> bool:
    """Whether a part of a path begins with a dot."""
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def is_litter(part: str) -> bool:
    """Whether a name, of a file or of a folder, is nobody's picture and no class."""
    return part.lower() in LITTER or LITTER_OF.fullmatch(part.lower()) is not None


def litter_in(names: Iterable[str]) -> list[str]:
    """The top-most names of litter on these paths."""
    found = set()
    for name in names:
        parts = PurePosixPath(name).parts
        for i, part in enumerate(parts):
            if is_litter(part):
                found.add("/".join(parts[: i + 1]))
                break
    return sorted(found)


def walk(root: Path) -> Tree:
    """Everything below a folder. Links to folders are followed; below each folder at the top every real one is once."""
    tree = Tree()
    for entry in _entries(root):
        _visit(Path(entry.path), entry.name, {root.resolve()}, tree)
    tree.files.sort(key=PurePosixPath)
    tree.dangling.sort()
    tree.litter.sort()
    return tree


def _visit(path: Path, name: str, seen: set[Path], tree: Tree) -> None:
    if is_litter(path.name):
        tree.litter.append(name)
    elif path.is_dir():
        real = path.resolve()
        if real not in seen:
            seen.add(real)
            for entry in _entries(path):
                _visit(Path(entry.path), f"{name}/{entry.name}", seen, tree)
    elif path.is_file():
        tree.files.append(name)
    elif path.is_symlink() and not is_hidden(name):
        tree.dangling.append(name)


def _entries(path: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)
