"""Pictures of a dataset on the Hub, through the `datasets` library: data alone, nobody's code.

    hf://datasets/me/name[@revision][?split=test&config=small&image=photo&label=species]

What is left out is the only one of its kind, or `train` of several splits.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from stylex.pictures.images import ImageError, ImageSource
from stylex.storage.hub import REPO_ID, split_revision
from train.data.records import DataError, Picture, Source, shown

if TYPE_CHECKING:
    import datasets

HUB = "hf://datasets/"
ASKED = ("split", "config", "image", "label")
LABEL = "label"


def from_hub(place: str) -> Source:
    """The rows of one split, unread; their labels are of the class column, or of the column `LABEL`, if there is one.

    Raises:
        DataError: if the library is missing, the address is wrong, the dataset cannot be had, or it is not clear which
            columns are meant.
    """
    repo_id, revision, asked = parse_address(place)
    rows = download(place, repo_id, revision, asked)
    columns = rows.features
    image = the_column(place, "image", asked, [n for n, f in columns.items() if type(f).__name__ == "Image"])
    classes = [n for n, f in columns.items() if type(f).__name__ == "ClassLabel"]
    label = asked.get("label")
    if label is None and classes:
        label = the_column(place, "label", asked, classes)
    elif label is None and LABEL in columns:
        label = LABEL
    if label and label not in columns:
        raise DataError(f"{place} has no column {label!r}; its columns are {shown(list(columns))}")
    labels, names = labels_of(place, rows, label) if label else ([None] * len(rows), None)
    return Source(place, pictures_of(rows, image, labels), names)


def parse_address(place: str) -> tuple[str, str | None, dict[str, str]]:
    """Repository, revision, and what was asked for after the question mark."""
    address, _, query = place.removeprefix(HUB).partition("?")
    repo_id, revision = split_revision(address)
    asked = dict(parse_qsl(query, keep_blank_values=True))
    if not REPO_ID.fullmatch(repo_id) or set(asked) - set(ASKED):
        raise DataError(
            f"{place} is no address of a dataset; use {HUB}me/name, with @revision and ?split=… after it if need be; "
            f"what may be asked for is {', '.join(ASKED)}"
        )
    return repo_id, revision, asked


def download(place: str, repo_id: str, revision: str | None, asked: dict[str, str]) -> datasets.Dataset:
    try:
        import datasets
    except ImportError:
        raise DataError(f'{place} needs the datasets library: pip install "datasets>=4"') from None
    if int(datasets.__version__.split(".")[0]) < 4:
        raise DataError(f'datasets {datasets.__version__} may run code of a dataset: pip install "datasets>=4"')
    try:
        found = datasets.load_dataset(repo_id, asked.get("config"), revision=revision)
    except Exception as error:  # of many libraries: the Hub's client, the network, pyarrow, the disk
        raise DataError(f"{place} cannot be had ({' '.join(str(error).split())})") from None
    split = asked.get("split") or (next(iter(found)) if len(found) == 1 else "train")
    if split not in found:
        raise DataError(f"{place} has no split {split!r}; it has {shown(list(found))}: add ?split={next(iter(found))}")
    return found[split]


def the_column(place: str, kind: str, asked: dict[str, str], found: list[str]) -> str:
    """The column that was asked for, or the only one."""
    name = asked.get(kind) or (found[0] if len(found) == 1 else None)
    if name not in found:
        came = f"no column {name!r} of this kind" if name else f"{len(found)} columns of this kind"
        raise DataError(f"{place} has {came} ({kind}): {shown(found) or 'none'}; add ?{kind}=NAME")
    return name


def labels_of(place: str, rows: datasets.Dataset, column: str) -> tuple[list[Any], list[str] | None]:
    """The number of each row's class, and the names; None for both where no row has a label."""
    values = rows.data.column(column).to_pylist()
    feature = rows.features[column]
    names = getattr(feature, "names", None)
    if names is None:
        names = sorted({str(v) for v in values if v is not None})
        number = {name: k for k, name in enumerate(names)}
        values = [None if v is None else number[str(v)] for v in values]
    labels = [None if v is None or v < 0 else v for v in values]  # -1 is how the Hub keeps a label back
    without = sum(v is None for v in labels)
    if without == len(labels):
        return labels, None
    if without:
        raise DataError(f"{without} of the {len(labels)} rows of {place} have no {column}; ask for none with ?label=")
    if len(names) < 2:
        raise DataError(f"{place} has one class ({shown(names)}); give at least two, or ask for none with ?label=")
    return labels, list(names)


def pictures_of(rows: datasets.Dataset, column: str, labels: list[Any]) -> list[Picture]:
    """One picture for each row. A file's name is kept, so it is on the same side of the split as in a folder."""
    import datasets
    import pyarrow.compute

    rows = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    pictures = rows.data.column(column)
    paths = pyarrow.compute.struct_field(pictures, "path").to_pylist()
    sizes = pyarrow.compute.binary_length(pyarrow.compute.struct_field(pictures, "bytes")).to_pylist()
    found = []
    for i, (path, size, label) in enumerate(zip(paths, sizes, labels, strict=True)):
        name = f"{i:09d}/{Path(path).name}" if path else f"{i:09d}"
        found.append(Picture(name, label, size or 0, partial(read, rows, column, i)))
    return found


def read(rows: datasets.Dataset, column: str, i: int) -> ImageSource:
    """Bytes of a row, or the downloaded file that it names. A row may name any file of this machine; none is opened
    but those of the download."""
    import datasets
    from huggingface_hub import constants

    picture = rows[i][column]
    if picture is None:
        raise ImageError(f"row {i} has no picture")
    if picture["bytes"] is not None:
        return picture["bytes"]
    path = Path(picture["path"] or "").resolve()
    caches = (constants.HF_HUB_CACHE, datasets.config.HF_DATASETS_CACHE, datasets.config.DOWNLOADED_DATASETS_PATH)
    if not any(path.is_relative_to(Path(cache).resolve()) for cache in caches):
        raise ImageError(f"row {i} names the file {picture['path']!r} instead of holding a picture")
    return path
