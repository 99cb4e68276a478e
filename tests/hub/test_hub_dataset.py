"""Datasets of the loopback Hub through the real `datasets` library: the pictures of a folder, and what is refused."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hub.server import Hub
from huggingface_hub import HfApi

from train.data.hub_dataset import parse_address
from train.data.pictures import load_pictures
from train.data.records import DataError
from train.data.sources import find_pictures

PLACE = "hf://datasets/me/spots"


def refusal(place: str, names: list[str] | None = None) -> str:
    """The one sentence."""
    with pytest.raises(DataError) as caught:
        find_pictures(place, names)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def push(hub: Hub, tmp_path, monkeypatch) -> Callable[[Path], None]:
    datasets = pytest.importorskip("datasets")
    # Where the Hub is away or knows no such dataset, the library takes what an earlier test has left in its cache.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")

    def run(folder: Path) -> None:
        api = HfApi()
        api.create_repo("me/spots", repo_type="dataset", exist_ok=True)
        api.upload_folder(repo_id="me/spots", repo_type="dataset", folder_path=folder)

    return run


@pytest.fixture
def table(push, make_pictures, tmp_path) -> Callable[..., Path]:
    """Pushes rows of six pictures as parquet files, with any columns; returns the folder of the pictures."""
    import datasets
    import pyarrow.parquet

    def run(splits: tuple[str, ...] = ("train",), keep: bool = True, **columns: list[Any]) -> Path:
        folder = make_pictures(count=3)
        paths = sorted(folder.rglob("*.png"))
        pictures = [{"bytes": p.read_bytes() if keep else None, "path": p.name if keep else str(p)} for p in paths]
        kinds: dict[str, Any] = {"image": datasets.Image(decode=False)}
        for name, values in columns.items():
            kinds[name] = datasets.Value("int64" if isinstance(values[0], int) else "string")
            if name.startswith("class"):
                kinds[name] = datasets.ClassLabel(names=["spotted", "plain"])
            if name.startswith("image"):
                kinds[name], columns[name] = datasets.Image(decode=False), pictures
        rows = datasets.Dataset.from_dict({"image": pictures, **columns}, features=datasets.Features(kinds))
        (tmp_path / "repo").mkdir()
        for split in splits:
            pyarrow.parquet.write_table(rows.data.table, tmp_path / "repo" / f"{split}-00000-of-00001.parquet")
        push(tmp_path / "repo")
        return folder

    return run


def test_a_dataset_of_class_folders_is_the_folder(push, pictures):
    """Downloaded it has the same pixels, the same labels, and the same pictures on either side of the split."""
    push(pictures)
    for split in ("train", "val"):
        found, expected = load_pictures(PLACE, 16, split), load_pictures(pictures, 16, split)
        assert [Path(n).name for n in found.names] == [Path(n).name for n in expected.names]
        assert found.class_names == expected.class_names
        assert torch.equal(found.labels, expected.labels)
        assert torch.equal(found.x, expected.x)


def test_rows_that_hold_their_pictures_and_number_their_classes(table):
    folder = table(class_of=[1, 1, 1, 0, 0, 0])
    found = load_pictures(PLACE, 16, class_names=["plain", "spotted"])
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(found.x, load_pictures(folder, 16).x)
    assert len(set(found.names)) == 6
    assert find_pictures(PLACE).class_names == ["spotted", "plain"]
    assert find_pictures(PLACE + "?label=").class_names is None


def test_labels_of_text_are_names(table):
    table(label=["a", "a", "b", "c", "c", "c"], note=["x"] * 6)
    assert find_pictures(PLACE).class_names == ["a", "b", "c"]
    assert [p.label for p in find_pictures(PLACE).pictures] == [0, 0, 1, 2, 2, 2]
    assert refusal(PLACE + "?label=colour") == f"{PLACE}?label=colour has no column 'colour'; its columns are " + (
        "image, label, note"
    )
    assert refusal(PLACE + "?label=note").startswith(f"{PLACE}?label=note has one class (x); give at least two")


def test_several_columns_of_a_kind_are_named(table):
    table(class_a=[0, 0, 0, 1, 1, 1], class_b=[0, 1, 0, 1, 0, 1], image_2=[""])
    assert refusal(PLACE).endswith("has 2 columns of this kind (image): image, image_2; add ?image=NAME")
    assert refusal(PLACE + "?image=image").endswith(
        "has 2 columns of this kind (label): class_a, class_b; add ?label=NAME"
    )
    assert [p.label for p in find_pictures(PLACE + "?image=image_2&label=class_b").pictures] == [0, 1, 0, 1, 0, 1]


def test_labels_that_the_hub_keeps_back_are_none(table):
    table(class_of=[-1] * 6)
    assert find_pictures(PLACE).class_names is None


def test_a_label_for_some_pictures_only_is_refused(table):
    table(class_of=[0, 1, 0, 1, -1, -1])
    assert refusal(PLACE) == f"2 of the 6 rows of {PLACE} have no class_of; ask for none with ?label="


def test_a_split_is_asked_for_by_name(table):
    table(splits=("train", "test"))
    assert len(find_pictures(PLACE).pictures) == len(find_pictures(PLACE + "?split=test").pictures) == 6
    assert refusal(PLACE + "?split=extra") == (
        f"{PLACE}?split=extra has no split 'extra'; it has train, test: add ?split=train"
    )


def test_a_row_may_not_name_a_file_of_this_machine(table, capsys):
    """A stranger's dataset says which file is read."""
    folder = table(keep=False)
    with pytest.raises(DataError, match="no readable picture"):
        load_pictures(PLACE, 16)
    assert f"row 0 names the file '{folder / 'plain' / 'plain-0.png'}' instead of holding a picture" in (
        capsys.readouterr().err
    )


def test_what_cannot_be_had_is_one_sentence(push, tmp_path):
    assert refusal(PLACE).startswith(f"{PLACE} cannot be had (")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "README.md").write_text("nothing here")
    push(tmp_path / "empty")
    assert refusal(PLACE).startswith(f"{PLACE} cannot be had (")
    assert refusal(PLACE + "@v9").startswith(f"{PLACE}@v9 cannot be had (")


def test_an_old_revision_can_be_had(push, make_pictures):
    folder = make_pictures(count=2)
    push(folder)
    HfApi().create_tag("me/spots", tag="v1", repo_type="dataset")
    shutil.copy(folder / "plain" / "plain-0.png", folder / "plain" / "plain-9.png")
    push(folder)
    assert len(find_pictures(PLACE).pictures) == 5
    assert len(find_pictures(PLACE + "@v1").pictures) == 4


# What needs no Hub.


def test_an_address_is_taken_apart():
    assert parse_address(PLACE) == ("me/spots", None, {})
    assert parse_address(PLACE + "@v1?split=test&label=") == ("me/spots", "v1", {"split": "test", "label": ""})


@pytest.mark.parametrize("place", ["hf://datasets/", "hf://datasets/spots", PLACE + "/train", PLACE + "?colour=red"])
def test_what_is_no_address_is_refused(place):
    assert refusal(place) == (
        f"{place} is no address of a dataset; use hf://datasets/me/name, with @revision and ?split=… after it if need "
        "be; what may be asked for is split, config, image, label"
    )


def test_without_the_library_the_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert refusal(PLACE) == f'{PLACE} needs the datasets library: pip install "datasets>=4"'
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(__version__="3.6.0"))
    assert refusal(PLACE) == 'datasets 3.6.0 may run code of a dataset: pip install "datasets>=4"'
