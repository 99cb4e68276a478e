"""A picture that nobody has read yet, where it is from, and what is said of those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from stylex.pictures.images import ImageSource

Left = tuple[str, str]
"""Name of a file in its source, and why it is left out."""
Split = Literal["train", "val", "all"]


class DataError(ValueError):
    """Pictures that cannot be used; the message says what was found and what is needed."""


@dataclass(frozen=True)
class Picture:
    """One picture that has not been read.

    Attributes:
        name: unique in its source, with slashes; see `split` for the side that it decides on.
        label: number of its class; None if nobody said.
        size: of the file, in bytes.
        read: gives what `stylex.pictures.images.load_image` opens; raises `ImageError`.
    """

    name: str
    label: int | None
    size: int
    read: Callable[[], ImageSource]


@dataclass(frozen=True)
class Source:
    """Pictures, and their classes if they have labels: all of them or none.

    Attributes:
        place: where they are, as the user called it.
        class_names: sorted, or as numbered by the dataset or asked for; None without labels.
        left: what lies there, too, and is not taken for a picture; see `left_out`.
        notes: what a person should hear of it, a line each.
    """

    place: str
    pictures: list[Picture]
    class_names: list[str] | None
    left: tuple[Left, ...] = ()
    notes: tuple[str, ...] = ()


def shown(names: Sequence[str], most: int = 12) -> str:
    """Names for a message."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
