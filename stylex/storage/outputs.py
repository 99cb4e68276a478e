"""Where a person lets us write: into new places, and over what we wrote ourselves; never over anything of theirs.

What we write is listed beside it in `MANIFEST`, with digests, so a file that was edited since is no longer ours. What
lies there from before there were lists, and the parts of models, is known by its content.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from safetensors import SafetensorError, safe_open

from .files import MARK, MAX_TEXT_BYTES, ModelError, is_sealed, write_text

MANIFEST = ".stylex.json"
ABOUT = "What stylex wrote here. It writes over these files while they are as it left them, and over no others."
# Keys by which a JSON file is known as one of ours: of a model, a network, a classifier, a search, measurements,
# an explanation, the record of a training, benchmarks.
KEYS = (
    {"format_version", "model"},
    {"class", "resolution", "w_dim"},
    {"class_names", "resolution", "library", "architecture"},
    {"class_names", "eye", "side"},
    {"agreement", "retrieval", "revision"},
    {"accuracy", "accuracy_under_4_levels", "temperature"},
    {"moves", "pictures", "recall_at_20"},
    {"predicted", "target", "strategy", "reconstruction_probs"},
    {"command", "code", "hardware", "pictures"},
    {"exact_speedup", "screened_speedup"},
    {"knob_p95_ms", "visitors"},
    {"runs", "images_per_second"},
)
REPORT = "<title>What changes the mind of a classifier of "


class OutputError(ModelError):
    """A place that cannot be written, or a file there that is not ours; the message names it and the way out."""


def never(path: Path) -> bool:
    return False


# Before the work.


def check_place(folder: Path, option: str = "--output") -> None:
    """Try whether files can be made in a folder, or where it would be made; nothing is left behind.

    Raises:
        OutputError: with what the system says, if they cannot.
    """
    try:
        place = folder.absolute()
        while not os.path.lexists(place):
            place = place.parent
        if not place.is_dir():
            raise NotADirectoryError(0, f"{place} is not a folder")
        with TemporaryFile(dir=place):
            pass
        # The system says of names that no folder can have only when it is asked for them.
        with suppress(FileNotFoundError):
            folder.absolute().lstat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{folder} cannot be written ({reason}); choose another {option}") from None


def claim(
    folder: Path,
    names: Iterable[str],
    *,
    option: str = "--output",
    spare: Iterable[str | os.PathLike[str] | None] = (),
    known: Callable[[Path], bool] = never,
) -> None:
    """Make sure that files can be written into a folder, and that none of them is a person's.

    Args:
        names: what will be written, relative to the folder.
        option: what a message tells to choose otherwise.
        spare: what was read for it, and must not be written over even if it is ours.
        known: whether a file that is in no list is ours all the same; beside `looks_ours`.

    Raises:
        OutputError: naming the file and the way out.
    """
    paths = [folder / name for name in names]
    for place in dict.fromkeys([folder, *(path.parent for path in paths)]):
        check_place(place, option)
    inputs = [Path(source) for source in spare if source is not None]
    for path in paths:
        if path.is_dir():
            raise OutputError(f"{path} is a folder, and a file is to be written there; choose another {option}")
        if any(_same(path, source) for source in inputs):
            raise OutputError(f"{path} is read for this, and would be written over; choose another {option}")
        if not is_ours(path, known):
            raise OutputError(
                f"{path} was not written by stylex, or was edited since, and would be lost; move it away, or choose "
                f"another {option}"
            )


def is_ours(path: Path, known: Callable[[Path], bool] = never) -> bool:
    """Whether nothing of a person's is lost when `path` is written: nothing is there, or what we left there."""
    try:
        status = os.stat(path)
    except OSError:
        return not os.path.lexists(path)  # a link to nowhere is somebody's
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return not stat.S_ISDIR(status.st_mode)  # devices and pipes take what they are given
    listed = _listed(path.parent).get(path.name)
    return digest(path) in listed if listed else known(path) or looks_ours(path)


def looks_ours(path: Path) -> bool:
    """Whether a file has the content of one that we write."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                marked = {MARK, "plan", "fingerprint"} & set(file.metadata() or ())
                return bool(marked) or "s_min" in file.keys() or _is_model_file(path.parent)  # noqa: SIM118
        if path.stat().st_size > MAX_TEXT_BYTES:
            return False
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return _json_is_ours(json.loads(text))
        if path.suffix == ".jsonl":
            return "nimg" in json.loads(text.partition("\n")[0])
        return is_sealed(text) or REPORT in text[:1000]
    except (OSError, ValueError, TypeError, RecursionError, SafetensorError):
        return False


def _json_is_ours(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    rows = value.get("attributes")
    searched = value.keys() <= {"attributes", "certificate"} and isinstance(rows, list)
    return any(keys <= value.keys() for keys in KEYS) or (searched and all("direction" in row for row in rows or []))


def _is_model_file(folder: Path) -> bool:
    """Weights from before they were marked: beside a config.json of ours."""
    return (folder / "config.json").is_file() and looks_ours(folder / "config.json")


def _same(path: Path, source: Path) -> bool:
    try:
        return path.samefile(source)
    except OSError:
        return False


# The list.


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _listed(folder: Path) -> dict[str, list[str]]:
    """Digests of what we wrote in a folder, by name; of each file the last two, for a kill may leave either."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return {str(name): list(map(str, digests)) for name, digests in files.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _enlist(digests: Mapping[Path, str]) -> None:
    """Note what is about to be written; where the list cannot be kept, the files still can."""
    for folder in {path.parent for path in digests}:
        files = _listed(folder)
        for path, new in digests.items():
            if path.parent == folder:
                files[path.name] = [*files.get(path.name, [])[-1:], new]
        with suppress(OSError):
            write_text(folder / MANIFEST, json.dumps({"about": ABOUT, "files": files}, indent=1) + "\n")


# After it.


def put_text(path: Path, text: str, *, option: str = "--output", known: Callable[[Path], bool] = never) -> None:
    """Write a text that a person asked for by name; see `claim` for what is refused."""
    claim(path.parent, [path.name], option=option, known=known)
    if not path.exists() or path.is_file():
        _enlist({path: hashlib.sha256(text.encode()).hexdigest()[:16]})
    write_text(path, text)


def put_json(path: Path, value: Mapping[str, Any], **options: Any) -> None:
    """Write an object for people to read; see `put_text`."""
    put_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n", **options)


@contextmanager
def filling(
    folder: Path,
    *,
    replaces: str = r"(?!)",
    option: str = "--output",
    spare: Iterable[str | os.PathLike[str] | None] = (),
    known: Callable[[Path], bool] = never,
) -> Iterator[Path]:
    """Fill a folder with files, all of them or none.

    Yields an empty folder; what has been written into it at the end takes its place in `folder`. Files of ours from a
    former time whose names match `replaces`, and which were not written again, go.

    Args:
        option, spare, known: see `claim`.

    Raises:
        OutputError: see `claim`.
    """
    check_place(folder, option)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".", suffix=".part", ignore_cleanup_errors=True) as place:
        aside = Path(place)
        yield aside
        names = sorted(path.relative_to(aside).as_posix() for path in aside.rglob("*") if path.is_file())
        claim(folder, names, option=option, spare=spare, known=known)
        former = [
            path
            for parent in {(folder / name).parent for name in names}
            if parent.is_dir()
            for path in parent.iterdir()
            if re.fullmatch(replaces, name := path.relative_to(folder).as_posix()) and name not in names
        ]
        for path in former:
            if path.is_file() and is_ours(path, known):
                path.unlink()
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        _enlist({folder / name: digest(aside / name) for name in names})
        for name in names:
            os.replace(aside / name, folder / name)
