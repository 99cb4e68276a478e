"""Which pictures are held out: steadily, fairly, and as they always were."""

from __future__ import annotations

import hashlib

import pytest

from train.data.pictures import list_pictures
from train.data.records import DataError, Picture
from train.data.split import held_out, in_validation


def pictures_of(*names: str) -> list[Picture]:
    tops = sorted({name.split("/")[0] for name in names})
    return [Picture(name, tops.index(name.split("/")[0]), 0, bytes) for name in names]


def test_where_names_do_not_repeat_the_split_is_what_it_always_was():
    """Frozen: what has been measured on held-out pictures is measured on the same ones."""
    names = [f"{top}/{top}-{i:04d}.png" for top in ("a", "b", "c") for i in range(1000)]
    out = held_out(pictures_of(*names))
    assert out == {name for name in names if in_validation(name)}
    told = hashlib.sha1("\n".join(sorted(out)).encode()).hexdigest()
    assert (len(out), told) == (386, "873dbc074fcea11fba42c2c72d378dfe29a6fb3d")


def test_where_names_repeat_paths_decide():
    names = [f"{top}/{i}/image.png" for top in ("cat", "dog") for i in range(30)]
    out = held_out(pictures_of(*names))
    assert 2 <= len(out) <= 20
    assert {name.split("/")[0] for name in out} == {"cat", "dog"}


@pytest.mark.parametrize("count", [2, 3, 20])
def test_every_class_has_a_picture_on_both_sides(count):
    names = [f"class{k}/{k}-{i}.png" for k in range(100) for i in range(count)]
    out = held_out(pictures_of(*names))
    for k in range(100):
        mine = {name for name in names if name.startswith(f"class{k}/")}
        assert mine & out
        assert mine - out


def test_a_picture_that_is_added_moves_no_other_but_the_one_that_was_lent():
    names = [f"class{k}/{k}-{i}.png" for k in range(20) for i in range(12)]
    before = held_out(pictures_of(*names))
    for i in range(40):
        after = held_out(pictures_of(*names, f"class3/new-{i}.png"))
        moved = (before ^ after) - {f"class3/new-{i}.png"}
        assert len(moved) <= 1
        assert all(not in_validation(name) for name in moved)
    repeated = [f"cat/{i}/image.png" for i in range(60)] + [f"dog/{i}/image.png" for i in range(60)]
    before = held_out(pictures_of(*repeated))
    assert not (before ^ held_out(pictures_of(*repeated, "cat/60/image.png"))) - {"cat/60/image.png"}


def test_a_class_of_one_picture_is_told_so(make_pictures):
    folder = make_pictures(count=4)
    for path in sorted((folder / "plain").iterdir())[1:]:
        path.unlink()
    for split in ("train", "val"):
        with pytest.raises(DataError) as caught:
            list_pictures(folder, split)
        assert str(caught.value) == (
            f"class plain of {folder} has one picture; it needs two, one to learn from and one that is held out: add "
            "some or remove it"
        )
    assert len(list_pictures(folder, "all").pictures) == 5
