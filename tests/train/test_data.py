"""Folders of pictures: what is read, what is refused, and an order that survives a restart."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from stylex.images import to_tensor
from train.data import DataError, epochs, in_validation, load_folder, to_float


def test_a_folder_becomes_pictures_labels_and_names(pictures):
    found = load_folder(pictures, 16)
    assert found.x.shape == (60, 3, 16, 16)
    assert found.x.dtype == torch.uint8
    assert found.class_names == ["plain", "spotted"]
    assert found.labels.bincount().tolist() == [30, 30]
    for label, path in zip(found.labels.tolist(), found.paths, strict=True):
        assert path.parent.name == found.class_names[label]


def test_to_float_gives_the_numbers_of_to_tensor(pictures):
    found = load_folder(pictures, 16)
    assert torch.equal(to_float(found.x[:5]), to_tensor(found.paths[:5], 16))
    assert to_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]


def test_a_subset_keeps_pictures_labels_and_paths_together(pictures):
    found = load_folder(pictures, 16)
    part = found.subset(torch.tensor([59, 0, 30]))
    assert len(part) == 3
    assert torch.equal(part.x, found.x[[59, 0, 30]])
    assert part.labels.tolist() == [1, 0, 1]
    assert part.paths == [found.paths[59], found.paths[0], found.paths[30]]


# The split.


def test_the_two_parts_are_disjoint_and_together_everything(pictures):
    train, val = load_folder(pictures, 16, "train"), load_folder(pictures, 16, "val")
    assert not set(train.paths) & set(val.paths)
    assert set(train.paths) | set(val.paths) == set(load_folder(pictures, 16).paths)
    assert set(val.labels.tolist()) == {0, 1}


def test_a_picture_never_changes_sides(make_pictures, tmp_path):
    """Only the name decides: not the folder, not the neighbours, not the order of the files."""
    folder = make_pictures()
    before = {p.name for p in load_folder(folder, 16, "val").paths}
    for path in list((folder / "plain").iterdir())[::3]:
        path.unlink()
    Image.new("RGB", (16, 16)).save(folder / "plain" / "another.png")
    moved = shutil.move(folder, tmp_path / "elsewhere")
    after = {p.name for p in load_folder(moved, 16, "val").paths}
    left = {p.name for p in Path(moved).rglob("*.png")}
    assert after - {"another.png"} == before & left


def test_the_split_is_the_one_that_was_published():
    """Numbers in model cards rest on it, so it may never drift."""
    names = [f"leaf-{i}.jpg" for i in range(40)]
    assert [i for i, name in enumerate(names) if in_validation(Path(name))] == [0, 5, 15, 27, 31, 38]
    share = sum(in_validation(Path(f"{i}.png")) for i in range(10_000)) / 10_000
    assert share == pytest.approx(0.12, abs=0.01)


# What is refused.


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder; give a folder with one sub-folder"):
        load_folder(tmp_path / "nowhere", 16)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is not a folder"):
        load_folder(tmp_path / "file", 16)


def test_one_class_is_not_enough(make_pictures):
    folder = make_pictures()
    shutil.rmtree(folder / "spotted")
    with pytest.raises(DataError, match=r"holds one class \(plain\); training needs at least two sub-folders"):
        load_folder(folder, 16)


def test_no_pictures_at_all(tmp_path):
    with pytest.raises(DataError, match="holds no class folder with pictures"):
        load_folder(tmp_path, 16)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    with pytest.raises(DataError, match="holds no class folder with pictures"):
        load_folder(tmp_path, 16)


def test_an_empty_or_hidden_folder_is_no_class(make_pictures):
    folder = make_pictures(count=2)
    (folder / "empty").mkdir()
    shutil.copytree(folder / "plain", folder / ".thumbnails")
    assert load_folder(folder, 16).class_names == ["plain", "spotted"]


def test_a_broken_picture_is_named_and_left_out(make_pictures, capsys):
    folder = make_pictures(count=3)
    broken = folder / "plain" / "plain-1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    found = load_folder(folder, 16)
    assert broken not in found.paths
    assert len(found) == 5
    said = capsys.readouterr().err
    assert "1 of 6 pictures cannot be read and are left out" in said
    assert str(broken) in said


def test_a_class_of_broken_pictures_alone_is_refused(make_pictures):
    folder = make_pictures(count=2)
    for path in (folder / "spotted").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"class spotted of .* has no readable picture in the all part"):
        load_folder(folder, 16)


@pytest.mark.parametrize("names", [["plain"], ["spotted", "plain"], ["plain", "spotted", "striped"]])
def test_other_classes_than_the_model_s_are_refused_before_a_picture_is_read(make_pictures, names, capsys):
    folder = make_pictures(count=2)
    (folder / "plain" / "plain-0.png").write_bytes(b"")
    with pytest.raises(DataError, match=f"has the classes plain, spotted, the model {', '.join(names)}; they must be"):
        load_folder(folder, 16, class_names=names)
    assert capsys.readouterr().err == ""
    assert len(load_folder(folder, 16, class_names=["plain", "spotted"])) == 3


# The order.


def take(iterator, count: int) -> list[list[int]]:
    return [index.tolist() for index in itertools.islice(iterator, count)]


@pytest.mark.parametrize("start", [0, 1, 2, 3, 7, 20])
def test_a_resumed_order_goes_on_at_the_same_place(start):
    unbroken = take(epochs(10, 4, seed=5), 30)
    assert take(epochs(10, 4, seed=5, start=start * 4), 30 - start) == unbroken[start:]


def test_a_run_resumed_with_another_batch_size_sees_the_pictures_in_the_same_order():
    in_fours = itertools.chain(*take(epochs(10, 4, seed=5), 6))
    (eight,) = take(epochs(10, 8, seed=5, start=12), 1)
    assert eight == list(in_fours)[12:20]


def test_every_picture_comes_once_per_epoch_and_the_epochs_differ():
    flat = list(itertools.chain(*take(epochs(6, 4, seed=0), 6)))  # 24 = four epochs
    rounds = [flat[i : i + 6] for i in range(0, 24, 6)]
    assert all(sorted(r) == list(range(6)) for r in rounds)
    assert len({tuple(r) for r in rounds}) > 1


def test_the_order_follows_from_the_seed_and_leaves_the_global_one_alone():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert take(epochs(50, 8, seed=1), 5) == take(epochs(50, 8, seed=1), 5)
    assert take(epochs(50, 8, seed=1), 5) != take(epochs(50, 8, seed=2), 5)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_batch_larger_than_the_data_takes_several_rounds():
    (batch,) = take(epochs(3, 8, seed=0), 1)
    assert len(batch) == 8
    assert sorted(batch[:3]) == sorted(batch[3:6]) == [0, 1, 2]
