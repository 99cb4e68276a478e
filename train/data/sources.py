"""Where pictures are: class folders, one flat folder, a table of labels, a zip of any of these, a dataset of the Hub.

A `Source` says which pictures there are. None of them is read before somebody asks for it, and nothing is unpacked.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import parse_qsl
from zipfile import BadZipFile, ZipFile, ZipInfo

from stylex.pictures.formats import SUFFIXES, is_picture
from stylex.pictures.images import MAX_BYTES, ImageError, ImageSource
from stylex.storage.pointers import HEAD, stub, stub_at
from train.data.hub_dataset import HUB, from_hub
from train.data.left_out import BESIDE, EMPTY, LITTER, NOWHERE, only_texts, reason, reasons
from train.data.records import DataError, Left, Picture, Source, shown
from train.data.tree import Tree, is_hidden, is_litter, litter_in, walk
from train.data.zipnames import decoded

TABLE = "labels.csv"
ASKED = ("label", "names")
DRIVE = re.compile(r"[A-Za-z]:")
# Names of parts of a data set: a folder of them is no folder of classes.
PARTS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
# Pictures are compressed already: what unpacks to so many times the archive is none of them.
MAX_GROWTH = 100
SMALL_ZIP = 100_000_000
MAX_FILES = 5_000_000
SHOWN_ROWS, MAX_SHOWN = 5, 100  # bad rows in a message, characters of what a file says


def find_pictures(data: str | Path, class_names: Sequence[str] | None = None) -> Source:
    """The pictures of `data`, unread.

    Args:
        data: a folder with one sub-folder for each class; a folder of pictures without labels; a folder with a table
            `TABLE` of its pictures (see `from_table`), or the table itself; a zip of any of these; or a dataset of the
            Hub, see `hub_dataset.from_hub`.
        class_names: the classes that have to be there if there are labels, which are numbered in this order.

    Raises:
        DataError: if there are no pictures, fewer than two classes, or other ones than `class_names`.
    """
    try:
        source = _found(data)
    except OSError as error:
        raise DataError(f"{error.filename or data} cannot be read ({error.strerror}); check its permissions") from None
    if not source.pictures:
        came = f", but {reasons(source.left)}" if source.left else ""
        raise DataError(f"{source.place} holds no pictures ({', '.join(sorted(SUFFIXES))}){came}")
    return in_order(source, class_names) if class_names is not None else source


def _found(data: str | Path) -> Source:
    path = Path(data)
    if str(data).startswith(HUB):
        return from_hub(str(data))
    asked: dict[str, str] = {}
    if not path.exists() and "?" in str(data):
        address, _, query = str(data).rpartition("?")
        asked, path = dict(parse_qsl(query, keep_blank_values=True)), Path(address)
        if set(asked) - set(ASKED) or asked.get("label"):
            raise DataError(
                f"{data}: what may be asked for of a folder is ?label= (no labels), and of a zip ?names=gbk, too, in "
                "what its names are written"
            )
    labels = "label" not in asked
    if path.is_dir():
        return from_files(Folder(path), labels)
    if path.is_file() and path.suffix.lower() == ".csv":
        return from_table(Folder(path.parent), path.name)
    if path.is_file():
        return from_files(Zip(path, asked.get("names")), labels)
    raise DataError(
        f"{data} does not exist; give a folder of pictures, with one sub-folder for each class if they have labels, a "
        f"zip of one, or a dataset of the Hub such as {HUB}me/name"
    )


def in_order(source: Source, class_names: Sequence[str]) -> Source:
    """The same pictures, their labels numbered as in `class_names`."""
    if source.class_names is None:
        return source
    if set(source.class_names) != set(class_names):
        raise DataError(
            f"{source.place} has the classes {shown(source.class_names)}, the classifier {shown(class_names)}; they "
            "must be the same, or the pictures have no labels (then the classifier's answers are the labels)"
        )
    number = [list(class_names).index(name) for name in source.class_names]
    pictures = [replace(p, label=number[p.label]) for p in source.pictures if p.label is not None]
    return replace(source, pictures=pictures, class_names=list(class_names))


# Files.


class Files(Protocol):
    """A tree of files: a folder, or the inside of a zip. Names are relative, with slashes."""

    place: str

    def pictures(self) -> list[str]:
        """All that are pictures by their suffix, in order; what is hidden is skipped."""

    def folders(self) -> list[str]:
        """The folders at the top."""

    def left(self) -> list[Left]:
        """What is none of the pictures, and why."""

    def tables(self) -> list[str]:
        """The CSV files at the top."""

    def size(self, name: str) -> int | None:
        """In bytes; None if there is no such file."""

    def read(self, name: str) -> ImageSource:
        """What `load_image` opens."""

    def text(self, name: str) -> str:
        """A whole text."""


class Folder:
    """A folder on this machine."""

    def __init__(self, root: Path) -> None:
        self.root, self.place = root, str(root)

    @cached_property
    def tree(self) -> Tree:
        return walk(self.root)

    def pictures(self) -> list[str]:
        names = [name for name in self.tree.files if is_picture(name) and not is_hidden(name)]
        return sorted(names, key=lambda name: ("/" in name, PurePosixPath(name)))

    def folders(self) -> list[str]:
        tops = (p.name for p in self.root.iterdir() if p.is_dir())
        return sorted(name for name in tops if not is_hidden(name) and not is_litter(name))

    def left(self) -> list[Left]:
        tree, taken = self.tree, set(self.pictures())
        found = [(name, NOWHERE) for name in tree.dangling] + [(name, LITTER) for name in tree.litter]
        found += [(name, why) for name in tree.files if name not in taken and (why := reason(name)) is not None]
        return sorted(found)

    def tables(self) -> list[str]:
        found = (p.name for p in self.root.iterdir() if p.suffix.lower() == ".csv" and p.is_file())
        return sorted(name for name in found if not name.startswith("."))

    def size(self, name: str) -> int | None:
        path = self.root / name
        try:
            return path.stat().st_size if path.is_file() else None
        except OSError:  # a name that no file can have
            return None

    def read(self, name: str) -> ImageSource:
        return self.root / name

    def text(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8-sig")


class Zip:
    """The inside of a zip, read where it lies. A single folder around everything is looked through.

    Raises:
        DataError: if it is no zip, encrypted, names a file outside of itself or in unknown letters, or unpacks to far
            more than pictures do.
    """

    def __init__(self, path: Path, names: str | None = None) -> None:
        self.place = str(path)
        if pointer := stub_at(path):
            raise DataError(f"{path} {pointer}")
        try:
            self.archive = ZipFile(path)
        except (BadZipFile, OSError, NotImplementedError, ValueError) as error:
            raise DataError(f"{path} is neither a folder nor a zip that can be read ({error}); pack it again") from None
        found: dict[PurePosixPath, ZipInfo] = {}
        beside: list[PurePosixPath] = []
        for info, told in decoded(path, self.archive.infolist(), names):
            name = PurePosixPath(told.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts or DRIVE.match(str(name)):
                raise DataError(f"{path} holds {told!r}, which leads out of it; pack it again, from the inside")
            if not name.parts or info.is_dir():
                continue
            if is_hidden(str(name)) or any(map(is_litter, name.parts)):
                beside.append(name)
            else:
                found[name] = info
        packed, size = path.stat().st_size, sum(info.file_size for info in found.values())
        if len(found) > MAX_FILES or size > max(SMALL_ZIP, MAX_GROWTH * packed):
            raise DataError(
                f"{path} has {packed / 1e6:,.1f} MB and unpacks to {len(found):,} files of {size / 1e6:,.0f} MB, which "
                "pictures do not; if you trust it, unpack it and give the folder"
            )
        if any(info.flag_bits & 1 for info in found.values()):
            raise DataError(f"{path} is encrypted; unpack it and give the folder")
        while found and len({name.parts[0] for name in found}) == 1 and all(len(name.parts) > 1 for name in found):
            around = next(iter(found)).parts[0]
            found = {name.relative_to(around): info for name, info in found.items()}
            beside = [name.relative_to(around) if name.parts[0] == around else name for name in beside]
        self.found = {str(name): found[name] for name in sorted(found)}
        self.litter = litter_in(map(str, beside))
        self.hidden = [str(name) for name in beside if not any(map(is_litter, name.parts))]

    def pictures(self) -> list[str]:
        names = [name for name in self.found if is_picture(name)]
        return sorted(names, key=lambda name: ("/" in name, PurePosixPath(name)))

    def folders(self) -> list[str]:
        return sorted({name.split("/")[0] for name in self.found if "/" in name})

    def left(self) -> list[Left]:
        found = [(name, why) for name in (*self.found, *self.hidden) if (why := reason(name)) is not None]
        return sorted([*found, *((name, LITTER) for name in self.litter)])

    def tables(self) -> list[str]:
        return [name for name in self.found if "/" not in name and name.lower().endswith(".csv")]

    def size(self, name: str) -> int | None:
        return self.found[name].file_size if name in self.found else None

    def read(self, name: str) -> ImageSource:
        try:
            with self.archive.open(self.found[name]) as file:
                return file.read(MAX_BYTES + 1)
        except Exception as error:  # unpackers fail on bad files with almost any exception
            raise ImageError(f"{name} of {self.place} cannot be unpacked ({error}); pack it again") from None

    def text(self, name: str) -> str:
        data = self.read(name)
        assert isinstance(data, bytes)
        if len(data) > MAX_BYTES:
            raise OSError(f"more than {MAX_BYTES // 10**6} MB")
        return data.decode("utf-8-sig")


def from_files(files: Files, labels: bool = True) -> Source:
    """A table, class folders or a flat folder, whichever it is.

    Args:
        labels: False for pictures without labels, whatever there is.
    """
    tables, names = files.tables(), files.pictures()
    tops = sorted({name.split("/")[0] for name in names if "/" in name})
    if TABLE in tables and labels:
        return from_table(files, TABLE)
    if len(tops) >= 2 and labels:
        return from_class_folders(files, names, tops)
    notes: tuple[str, ...] = ()
    if tables and labels:
        those = [table for table in tables if names_files(files, table)]
        if len(those) > 1:
            raise DataError(
                f"{files.place} holds {shown(those)}; name the one with the labels {TABLE}, "
                f"or go without labels with {files.place}?label="
            )
        if those:
            return replace(from_table(files, those[0]), notes=(f"the labels are those of {those[0]}",))
        notes = (f"{shown(tables)} names no column file in the first line and is not taken for labels; there are none",)
    if not labels:
        return Source(files.place, [_picture(files, name, None) for name in names], None, tuple(files.left()))
    if tops:
        no_empty_class(files, tops)
        loose = "pictures and " if len(names) > sum("/" in name for name in names) else ""
        raise DataError(
            f"{files.place} holds {loose}one class ({tops[0]}); with labels it needs at least two sub-folders of "
            f"pictures, one for each class, and without labels none: give {Path(files.place) / tops[0]} itself"
        )
    return Source(files.place, [_picture(files, name, None) for name in names], None, tuple(files.left()), notes)


def names_files(files: Files, table: str) -> bool:
    """Whether a CSV file is a table of pictures, by the names of its columns."""
    try:
        first = next(csv.reader(io.StringIO(files.text(table), newline=""), skipinitialspace=True), [])
    except (csv.Error, UnicodeDecodeError, OSError, ImageError):
        return False
    return "file" in [name.strip() for name in first]


def from_class_folders(files: Files, names: Iterable[str], tops: list[str]) -> Source:
    """One sub-folder for each class; pictures beside them have none and are left out."""
    if set(map(str.lower, tops)) <= PARTS:
        raise DataError(
            f"{files.place} holds {shown(tops)}, which are parts of a data set and no classes; give one of them, such "
            f"as {Path(files.place) / tops[0]}"
        )
    empty = no_empty_class(files, tops)
    number = {top: k for k, top in enumerate(tops)}
    inside = [name for name in names if "/" in name]
    pictures = [_picture(files, name, number[name.split("/")[0]]) for name in inside]
    loose = [(name, BESIDE) for name in names if "/" not in name]
    return Source(files.place, pictures, tops, (*files.left(), *loose, *empty))


def no_empty_class(files: Files, tops: list[str]) -> list[Left]:
    """The folders among those of the classes, `tops`, in which there is nothing at all: they are none.

    Raises:
        DataError: if there is something in one, and no picture; then somebody meant it as a class. Texts may be there.
    """
    left, empty = files.left(), []
    for name, why in left:
        if why == NOWHERE and "/" not in name and not PurePosixPath(name).suffix:
            raise DataError(f"class {name} of {files.place} is a link that leads nowhere; mend it or move it away")
    for top in files.folders():
        inside = [(name.partition("/")[2], why) for name, why in left if name.startswith(f"{top}/")]
        if top in tops or (inside and only_texts(inside)):
            continue
        if inside:
            raise DataError(
                f"class {top} of {files.place} has no picture that is read here, but {reasons(inside)}; or move it away"
            )
        empty.append((top, EMPTY))
    return empty


def from_table(files: Files, table: str) -> Source:
    """Pictures named by a CSV file: UTF-8, commas, a first line with the names of the columns.

    The column `file` is a path from the folder of the table. The column `label` is the name of a class; without it the
    pictures have no labels. Other columns say nothing here.

    Raises:
        DataError: naming the first bad rows: no such file, a path that leads out of the folder, a file named twice, no
            label, too many columns.
    """
    where = str(Path(files.place) / table)
    without = f"; {files.place}?label= goes without it"
    try:
        text = files.text(table)
        if pointer := stub(text[:HEAD].encode()):
            raise DataError(f"{where} {pointer}")
        reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
        columns = [name.strip() for name in reader.fieldnames or []]
        if columns.count("file") != 1 or columns.count("label") > 1:
            first = ",".join(columns)
            came = f"the first line {first[:MAX_SHOWN]!r}" if columns else "nothing in it"
            commas = ", with commas between them" if ";" in first or "\t" in first else ""
            raise DataError(
                f"{where} has {came}; it must name the columns{commas}: file,label, or file without labels{without}"
            )
        reader.fieldnames = columns
        rows = [(reader.line_num, row) for row in reader]
    except (csv.Error, UnicodeDecodeError, OSError, ImageError) as error:
        raise DataError(f"{where} cannot be read as a CSV in UTF-8 ({error}); save it again{without}") from None
    if not rows:
        raise DataError(f"{where} has a first line and no rows; give one row for each picture")
    labelled = "label" in columns
    bad: list[str] = []
    named: dict[str, int] = {}
    found: list[tuple[str, str, int]] = []
    for line, row in rows:
        file, label = (row["file"] or "").strip(), (row.get("label") or "").strip()
        path = PurePosixPath(file.replace("\\", "/"))
        size = None if path.is_absolute() or ".." in path.parts else files.size(str(path))
        if None in row:
            bad.append(f"line {line} has more columns than the first line")
        elif size is None:
            bad.append(f"line {line}: there is no file {file[:MAX_SHOWN]!r} in {files.place}")
        elif labelled and not label:
            bad.append(f"line {line}: {file} has no label")
        elif str(path) in named:
            bad.append(f"line {line}: {file} is in line {named[str(path)]} already")
        else:
            named[str(path)] = line
            found.append((str(path), label, size))
    if bad:
        more = f"; and {len(bad) - SHOWN_ROWS} more" if len(bad) > SHOWN_ROWS else ""
        raise DataError(
            f"{where}: {len(bad)} of {len(rows)} rows {'is' if len(bad) == 1 else 'are'} wrong: "
            f"{'; '.join(bad[:SHOWN_ROWS])}{more}"
        )
    names = sorted({label for _, label, _ in found}) if labelled else None
    if names is not None and len(names) < 2:
        raise DataError(f"{where} has one class ({names[0]}); give at least two, or leave the column label out")
    number = {name: k for k, name in enumerate(names or [])}
    pictures = [Picture(name, number.get(label), size, partial(files.read, name)) for name, label, size in found]
    return Source(where, pictures, names)


def _picture(files: Files, name: str, label: int | None) -> Picture:
    return Picture(name, label, files.size(name) or 0, partial(files.read, name))
