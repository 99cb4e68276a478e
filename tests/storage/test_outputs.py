"""Nothing of a person's is lost: we write into new places, and over what we wrote, as long as it is as we left it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from stylex.storage import outputs
from stylex.storage.outputs import MANIFEST, OutputError, check_place, claim, filling, is_ours, put_json, put_text


def refused(folder: Path, names: list[str], **options) -> str:
    with pytest.raises(OutputError) as caught:
        claim(folder, names, **options)
    return str(caught.value)


def test_a_new_place_and_an_empty_one_are_free(tmp_path):
    claim(tmp_path, ["a.json"])
    claim(tmp_path / "new" / "deep", ["a.json"])
    assert list(tmp_path.iterdir()) == []


def test_what_we_wrote_is_written_over_until_somebody_edits_it(tmp_path):
    path = tmp_path / "numbers.json"
    put_json(path, {"a": 1})
    put_json(path, {"a": 2})
    path.write_text(path.read_text() + "my notes")
    assert refused(tmp_path, ["numbers.json"]) == (
        f"{path} was not written by stylex, or was edited since, and would be lost; move it away, or choose another "
        "--output"
    )
    with pytest.raises(OutputError):
        put_json(path, {"a": 3})
    assert path.read_text().endswith("my notes")
    path.unlink()
    put_json(path, {"a": 4})
    assert json.loads(path.read_text()) == {"a": 4}


def test_a_file_of_a_person_s_is_never_written_over(tmp_path):
    (tmp_path / "a.json").write_text('{"mine": 1}')
    (tmp_path / "b.png").write_bytes(b"a picture")
    assert refused(tmp_path, ["new.json", "b.png"]).startswith(f"{tmp_path / 'b.png'} was not written by stylex")
    assert "a.json" in refused(tmp_path, ["a.json"])


def test_an_empty_file_and_a_device_lose_nothing(tmp_path):
    (tmp_path / "made-before").touch()
    claim(tmp_path, ["made-before"])
    if Path("/dev/null").exists():
        put_json(Path("/dev/null"), {"a": 1})
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.skipif(os.name == "nt", reason="links of Unix")
def test_a_link_is_followed_and_stays_one(tmp_path):
    mine = tmp_path / "mine.json"
    mine.write_text('{"mine": 1}')
    (tmp_path / "link.json").symlink_to(mine)
    assert "link.json" in refused(tmp_path, ["link.json"])
    (tmp_path / "nowhere.json").symlink_to(tmp_path / "unplugged" / "disk.json")
    assert "nowhere.json" in refused(tmp_path, ["nowhere.json"])
    mine.write_text("")
    put_json(tmp_path / "link.json", {"a": 1})
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads(mine.read_text()) == {"a": 1}


def test_the_input_is_spared_even_if_it_is_ours(tmp_path):
    put_text(tmp_path / "source.png", "ours")
    says = refused(tmp_path, ["source.png"], spare=[tmp_path / "." / "source.png", None])
    assert says == f"{tmp_path / 'source.png'} is read for this, and would be written over; choose another --output"


@pytest.mark.skipif(os.name == "nt", reason="links of Unix")
def test_the_input_is_spared_under_all_its_names(tmp_path):
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "source.png"
    put_text(photo, "ours")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    (tmp_path / "hard").mkdir()
    os.link(photo, tmp_path / "hard" / "source.png")
    for folder in ("link", "hard"):
        assert "source.png is read for this, and would be" in refused(tmp_path / folder, ["source.png"], spare=[photo])


@pytest.mark.skipif(os.name == "nt", reason="a folder that somebody is in")
def test_a_folder_that_went_away_beneath_somebody_is_said(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(OutputError, match=r"^out cannot be written \(No such file or directory\)"):
        check_place(Path("out"))


@pytest.mark.parametrize(
    "content",
    [
        '{"format_version": 2, "model": {}, "class_names": []}',
        '{"attributes": []}',
        '{"agreement": 1, "retrieval": 1, "revision": "a", "n": 1}',
    ],
)
def test_files_from_before_there_were_lists_are_known_by_their_content(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    claim(tmp_path, ["a.json"])


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "7", '{"model_type": "vit"}', '{"attributes": {"hair": 1}}', '{"attributes": [1]}', "[" * 9999],
)
def test_other_content_is_a_person_s(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    assert "was not written by stylex" in refused(tmp_path, ["a.json"])


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 3}', '{"files": {"a.json": 3}}', "\0" * 99])
def test_a_list_that_is_damaged_is_no_list(tmp_path, content):
    put_text(tmp_path / "a.txt", "ours")
    (tmp_path / MANIFEST).write_text(content)
    assert not is_ours(tmp_path / "a.txt")
    (tmp_path / "a.txt").unlink()
    put_text(tmp_path / "a.txt", "ours again")
    assert is_ours(tmp_path / "a.txt")


# Places.


def test_a_file_where_a_folder_should_be_is_said(tmp_path):
    (tmp_path / "notes").write_text("mine")
    for folder in (tmp_path / "notes", tmp_path / "notes" / "deep" / "er"):
        with pytest.raises(OutputError, match=r"cannot be written \(.+\); choose another --output"):
            check_place(folder)


def test_names_that_no_folder_can_have_are_said(tmp_path):
    for name in ("a" * 300, "nul\0byte"):
        with pytest.raises(OutputError, match="cannot be written"):
            check_place(tmp_path / name)


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied"),
        OSError(30, "Read-only file system"),
        FileNotFoundError(2, "No such file or directory"),  # /proc, and where an automounter makes the folders
    ],
)
def test_a_place_that_takes_nothing_is_said(tmp_path, monkeypatch, error):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(outputs, "TemporaryFile", refuse)
    with pytest.raises(OutputError, match=error.strerror):
        claim(tmp_path / "new", ["a.json"])


def test_a_folder_where_a_file_should_be_is_said(tmp_path):
    (tmp_path / "numbers.json").mkdir()
    assert "is a folder, and a file is to be written there" in refused(tmp_path, ["numbers.json"])


# Whole folders.


def fill(folder: Path, files: dict[str, str], **options) -> None:
    with filling(folder, **options) as aside:
        for name, content in files.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).write_text(content)


def there(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {p.relative_to(folder).as_posix(): p.read_text() for p in files}


def test_a_folder_is_filled_again_and_what_it_no_longer_needs_goes(tmp_path):
    fill(tmp_path, {"a-1": "1", "a-2": "2", "deep/a-3": "3"}, replaces=r"(deep/)?a-\d")
    (tmp_path / "a-9").write_text("mine")
    (tmp_path / "a-1-notes").write_text("mine")
    (tmp_path / "deep" / "a-4").write_text("mine")
    fill(tmp_path, {"a-1": "one", "deep/a-5": "5"}, replaces=r"(deep/)?a-\d")
    assert there(tmp_path) == {
        "a-1": "one",
        "a-9": "mine",
        "a-1-notes": "mine",
        "deep/a-4": "mine",
        "deep/a-5": "5",
    }


def test_what_was_edited_stays_though_it_is_no_longer_needed(tmp_path):
    fill(tmp_path, {"a-1": "1", "a-2": "2"}, replaces=r"a-\d")
    (tmp_path / "a-2").write_text("2, and my notes")
    fill(tmp_path, {"a-1": "1"}, replaces=r"a-\d")
    assert there(tmp_path) == {"a-1": "1", "a-2": "2, and my notes"}


def test_all_or_nothing(tmp_path):
    (tmp_path / "b").write_text("mine")
    with pytest.raises(OutputError):
        fill(tmp_path, {"a": "1", "b": "2"})

    def stop(folder):
        with filling(folder) as aside:
            (aside / "a").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop(tmp_path)
    assert there(tmp_path) == {"b": "mine"}
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_kill_before_any_rename_leaves_nothing_that_is_not_known_as_ours(tmp_path, monkeypatch):
    fill(tmp_path, {"a": "1", "b": "1"})
    replace, left = os.replace, [3]

    def killed(aside, path):
        left[0] -= 1
        if left[0] < 1:
            raise KeyboardInterrupt
        replace(aside, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            fill(tmp_path, {"a": "2", "b": "2"})
    assert there(tmp_path) == {"a": "2", "b": "1"}
    fill(tmp_path, {"a": "3", "b": "3"})
    assert there(tmp_path) == {"a": "3", "b": "3"}
