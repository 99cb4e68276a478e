"""Which pictures are held out: the same ones wherever they lie, and some of each class.

A picture goes by its file's name alone, so that it is on the same side in a folder, a zip or a table. Where several
have one name (`cat/1/image.png`, `cat/2/image.png`) a name says nothing, and they go by their path within the source.

No rule that looks only at the pictures that there are can promise each class a picture on both sides and also never
move one: of two that both fall on one side one has to be lent to the other, and would have to stay lent when a third
falls there by itself, whatever pair it was of. So the promise is the weaker one: where a class has none on a side, the
picture nearest to the border is lent, and only that one may go back when others are added. All others stay, unless a
second file of the same name comes.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePath, PurePosixPath

from train.data.records import Picture

VALIDATION_PERCENT = 12


def place_of(name: str | PurePath) -> tuple[int, bytes]:
    """Where a name stands: in 0 to 99, and among those with the same number."""
    digest = hashlib.sha1(str(name).encode(errors="surrogateescape"), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big") % 100, digest


def in_validation(name: str | PurePath) -> bool:
    """Whether a picture of this file name is held out, before any is lent."""
    return place_of(PurePath(name).name)[0] < VALIDATION_PERCENT


def held_out(pictures: Sequence[Picture]) -> set[str]:
    """Names of the validation part: about 12 %, and of each class of two or more at least one, and not all."""
    last = [PurePosixPath(p.name).name for p in pictures]
    count = Counter(last)
    places = {p.name: place_of(name if count[name] == 1 else p.name) for p, name in zip(pictures, last, strict=True)}
    classes: dict[int | None, list[str]] = defaultdict(list)
    for picture in pictures:
        classes[picture.label].append(picture.name)
    out: set[str] = set()
    for names in classes.values():
        chosen = {name for name in names if places[name][0] < VALIDATION_PERCENT}
        if len(names) > 1 and not chosen:
            chosen = {min(names, key=places.__getitem__)}
        elif len(names) > 1 and len(chosen) == len(names):
            chosen -= {max(names, key=places.__getitem__)}
        out |= chosen
    return out
