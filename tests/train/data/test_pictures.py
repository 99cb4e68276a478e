"""Folders of pictures: what is read, what is refused, and an order that survives a restart."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from stylex.pictures.images import to_tensor
from train.data import pictures as data
from train.data.pictures import epochs, in_validation, load_pictures, to_float
from train.data.records import DataError

LINUX = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc")


def test_a_folder_becomes_pictures_labels_and_names(pictures):
    found = load_pictures(pictures, 16)
    assert found.x.shape == (60, 3, 16, 16)
    assert found.x.dtype == torch.uint8
    assert found.class_names == ["plain", "spotted"]
    assert found.labels.bincount().tolist() == [30, 30]
    for label, name in zip(found.labels.tolist(), found.names, strict=True):
        assert name.split("/")[0] == found.class_names[label]


def test_to_float_gives_the_numbers_of_to_tensor(pictures):
    found = load_pictures(pictures, 16)
    assert torch.equal(to_float(found.x[:5]), to_tensor([pictures / name for name in found.names[:5]], 16))
    assert to_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]


def test_a_subset_keeps_pictures_labels_and_names_together(pictures):
    found = load_pictures(pictures, 16)
    part = found.subset(torch.tensor([59, 0, 30]))
    assert len(part) == 3
    assert torch.equal(part.x, found.x[[59, 0, 30]])
    assert part.labels.tolist() == [1, 0, 1]
    assert part.names == [found.names[59], found.names[0], found.names[30]]


# The split.


def test_the_two_parts_are_disjoint_and_together_everything(pictures):
    train, val = load_pictures(pictures, 16, "train"), load_pictures(pictures, 16, "val")
    assert not set(train.names) & set(val.names)
    assert set(train.names) | set(val.names) == set(load_pictures(pictures, 16).names)
    assert set(val.labels.tolist()) == {0, 1}


def test_a_picture_never_changes_sides(make_pictures, tmp_path):
    """Only the name decides: not the folder, not the neighbours, not the order of the files."""
    folder = make_pictures()
    before = {Path(name).name for name in load_pictures(folder, 16, "val").names}
    for path in list((folder / "plain").iterdir())[::3]:
        path.unlink()
    Image.new("RGB", (16, 16)).save(folder / "plain" / "another.png")
    moved = shutil.move(folder, tmp_path / "elsewhere")
    after = {Path(name).name for name in load_pictures(moved, 16, "val").names}
    left = {p.name for p in Path(moved).rglob("*.png")}
    assert after - {"another.png"} == before & left


def test_the_split_is_the_one_that_was_published():
    """Numbers in model cards rest on it, so it may never drift."""
    names = [f"leaf-{i}.jpg" for i in range(40)]
    assert [i for i, name in enumerate(names) if in_validation(Path(name))] == [0, 5, 15, 27, 31, 38]
    share = sum(in_validation(Path(f"{i}.png")) for i in range(10_000)) / 10_000
    assert share == pytest.approx(0.12, abs=0.01)


# What is refused.


def test_a_broken_picture_is_named_and_left_out(make_pictures, capsys):
    folder = make_pictures(count=3)
    broken = folder / "plain" / "plain-1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    found = load_pictures(folder, 16)
    assert "plain/plain-1.png" not in found.names
    assert len(found) == 5
    said = capsys.readouterr().err
    assert "1 of 6 pictures cannot be read and are left out" in said
    assert str(broken) in said


def test_a_class_of_broken_pictures_alone_is_refused(make_pictures):
    folder = make_pictures(count=2)
    for path in (folder / "spotted").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"class spotted of .* has no readable picture in the all part"):
        load_pictures(folder, 16)


def test_pictures_without_labels_are_read_alike(pictures, make_pictures, tmp_path):
    """The same files in one flat folder: the same pixels on the same sides, and no labels."""
    shutil.copytree(pictures / "plain", tmp_path / "flat")
    shutil.copytree(pictures / "spotted", tmp_path / "flat", dirs_exist_ok=True)
    for split in ("train", "val"):
        flat, labelled = load_pictures(tmp_path / "flat", 16, split, ["a", "b"]), load_pictures(pictures, 16, split)
        assert flat.labels is None
        assert flat.subset(torch.tensor([0])).labels is None
        assert flat.class_names == ["a", "b"]
        assert flat.names == [name.split("/")[1] for name in labelled.names]
        assert torch.equal(flat.x, labelled.x)


def test_no_picture_left_is_refused_without_labels_too(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="has no readable picture in the all part; add some"):
        load_pictures(tmp_path, 16)


def test_only_the_first_process_names_the_broken(make_pictures, capsys, monkeypatch):
    folder = make_pictures(count=3)
    (folder / "plain" / "plain-1.png").write_bytes(b"")
    monkeypatch.setenv("RANK", "1")
    assert len(load_pictures(folder, 16)) == 5
    assert capsys.readouterr().err == ""


# Memory.


def mapped(folder: Path) -> bool:
    """Whether a file of this folder lies in our memory; it has no name any more."""
    return f"{folder}/" in Path("/proc/self/maps").read_text()


@LINUX
def test_what_does_not_fit_in_memory_lies_in_a_file_without_a_name(pictures, tmp_path, monkeypatch):
    in_memory = load_pictures(pictures, 16)
    monkeypatch.setattr(data, "memory", lambda: 50_000)
    monkeypatch.setattr(data.tempfile, "tempdir", str(tmp_path))
    assert not mapped(tmp_path)
    on_disk = load_pictures(pictures, 16)
    assert mapped(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(on_disk.x, in_memory.x)
    assert torch.equal(on_disk.subset(torch.tensor([3, 1])).x, in_memory.x[[3, 1]])


@LINUX
def test_processes_of_one_machine_share_its_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "memory", lambda: 2 * 4 * 3 * 16 * 16)
    monkeypatch.setattr(data.tempfile, "tempdir", str(tmp_path))
    alone = data.room_for(4, 16)
    assert not mapped(tmp_path)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    one_of_two = data.room_for(4, 16)
    assert mapped(tmp_path)
    assert alone.shape == one_of_two.shape == (4, 3, 16, 16)


def test_no_room_anywhere_is_one_sentence(monkeypatch):
    with pytest.raises(DataError, match=r"^1,000,000,000,000 pictures of 256 px are .* GB, too much for .* set TMPDIR"):
        data.room_for(10**12, 256)


@pytest.mark.parametrize(("limit", "is_less"), [("max\n", False), ("1000000\n", True), (str(2**60), False)])
def test_the_limit_of_a_container_counts(tmp_path, monkeypatch, limit, is_less):
    monkeypatch.setattr(data, "CGROUP_LIMIT", tmp_path / "nowhere")
    whole = data.memory()
    assert whole > 2**28
    (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(data, "CGROUP_LIMIT", tmp_path / "memory.max")
    assert data.memory() == (1_000_000 if is_less else whole)


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
