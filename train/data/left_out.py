"""What lies among the pictures and is not taken for one: counted, and named by class and by reason."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from stylex.pictures.formats import KINDS, is_picture, unread_by_name, way_out
from train.data.records import Left, Source, shown

SHOWN = 3  # files that are named for one reason
NO_PICTURE = "no pictures by their names"
HIDDEN = "hidden, for a name of theirs begins with a dot"
NOWHERE = "links to nowhere"
LITTER = "of the operating system or a drive"
BESIDE = "beside the folders of the classes"
EMPTY = "empty folders"
# What people keep beside pictures; a folder of nothing else was not meant as a class.
TEXTS = {".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".md", ".yaml", ".yml", ".html", ".log", ".py", ".ipynb"}
_said: set[str] = set()


def reason(name: str) -> str | None:
    """Why a file with this name is not taken for a picture; None if it is, or if it is hidden and nobody misses it."""
    path = PurePosixPath(name)
    if any(part.startswith(".") for part in path.parts):
        return HIDDEN if is_picture(path) and not path.name.startswith("._") else None
    return None if is_picture(path) else unread_by_name(path) or NO_PICTURE


def sentence(why: str, names: list[str]) -> str:
    """How many files there are for a reason, the first of them, and the way out."""
    help_ = f"; {way_out(why)}" if why in KINDS.values() else ""
    return f"{len(names):,} {why} ({shown(names, SHOWN)}){help_}"


def reasons(left: Iterable[Left]) -> str:
    """All of them in one line."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, why in left:
        groups[why].append(name)
    return "; ".join(sentence(why, names) for why, names in sorted(groups.items()))


def tell(source: Source) -> None:
    """Say on stderr what was left out of a source, and what else is to be said of it, once for each."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, why in source.left:
        top, _, rest = name.partition("/")
        inside = rest and source.class_names is not None
        groups[top if inside else "", why].append(rest if inside else name)
    lines = [f"{f'{top}: ' if top else ''}{sentence(why, names)}" for (top, why), names in sorted(groups.items())]
    count = (
        f"{len(source.left):,} files of {source.place} are" if len(source.left) > 1 else f"1 file of {source.place} is"
    )
    text = "\n  ".join([f"{count} left out:", *lines])
    if source.left and text not in _said and int(os.environ.get("RANK", 0)) == 0:
        _said.add(text)
        print(text, file=sys.stderr)
    for note in (f"{source.place}: {note}" for note in source.notes):
        if note not in _said and int(os.environ.get("RANK", 0)) == 0:
            _said.add(note)
            print(note, file=sys.stderr)


def only_texts(left: Iterable[Left]) -> bool:
    return all(PurePosixPath(name).suffix.lower() in TEXTS for name, _ in left)
