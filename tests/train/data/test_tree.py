"""What lies beside pictures: links, and what operating systems, drives and programs leave."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from train.data.pictures import list_pictures
from train.data.sources import find_pictures
from train.data.tree import LITTER


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (90, 120, 40)).save(path, "PNG")


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"):
        picture(tmp_path / "pictures" / name)
    return tmp_path / "pictures"


def packed(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder))


@pytest.mark.parametrize(
    "name",
    [
        "@eaDir",
        "$RECYCLE.BIN",
        "System Volume Information",
        "__MACOSX",
        "lost+found",
        "#recycle",
        "@__thumb",
        "FOUND.007",
        "@SynoResource",
        "$WINDOWS.~BT",
    ],
)
def test_what_a_drive_or_a_system_puts_there_is_no_class_and_is_said(name, folder, capsys):
    picture(folder / name / "1.png" / "SYNOPHOTO_THUMB_M.png")
    picture(folder / "cat" / name.upper() / "x.png")
    (folder / "dog" / "Thumbs.db").write_bytes(b"x")
    for data in (folder, packed(folder)):
        found = list_pictures(data)
        assert found.class_names == ["cat", "dog"]
        assert [p.name for p in found.pictures] == ["cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"]
        said = capsys.readouterr().err
        assert f"3 files of {data} are left out:\n" in said
        assert f"cat: 1 of the operating system or a drive ({name.upper()})" in said
        assert f"\n  1 of the operating system or a drive ({name})" in said or f"{name}: 1 of" in said


@pytest.mark.parametrize("name", ["$5", "@home", "#1", "found.dog", "windows"])
def test_a_class_may_be_called_almost_like_them(name, folder):
    picture(folder / name / "1.png")
    assert name in (find_pictures(folder).class_names or [])


def test_names_of_litter_are_written_small():
    assert {name.lower() for name in LITTER} == LITTER


def test_links_to_folders_are_followed_and_loops_end(folder, tmp_path, capsys):
    picture(tmp_path / "elsewhere" / "deep" / "5.png")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "elsewhere")
    (folder / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "dog" / "up").symlink_to(folder)
    (folder / "fox").symlink_to(tmp_path / "elsewhere")
    (folder / "dog" / "6.png").symlink_to(tmp_path / "elsewhere" / "deep" / "5.png")
    found = find_pictures(folder)
    assert found.class_names == ["cat", "dog", "fox"]
    assert [p.name for p in found.pictures if p.label == 0] == ["cat/1.png", "cat/2.png", "cat/more/deep/5.png"]
    assert "dog/6.png" in [p.name for p in found.pictures]
    assert "fox/deep/5.png" in [p.name for p in found.pictures]


def test_links_to_nowhere_are_counted_and_named(folder, tmp_path, capsys):
    (folder / "cat" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "dog" / "gone").symlink_to(tmp_path / "nowhere")
    (folder / "dog" / "itself").symlink_to(folder / "dog" / "itself")
    assert len(list_pictures(folder).pictures) == 4
    said = capsys.readouterr().err
    assert f"3 files of {folder} are left out:\n" in said
    assert "cat: 1 links to nowhere (lost.png)" in said
    assert "dog: 2 links to nowhere (gone, itself)" in said


def test_a_class_that_is_a_link_to_nowhere_is_an_error(folder, tmp_path):
    from train.data.records import DataError

    (folder / "fox").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"class fox of .*pictures is a link that leads nowhere; mend it or move it"):
        find_pictures(folder)


def test_what_lies_in_a_zip_is_told_by_class_whatever_is_around_it(folder, capsys):
    picture(folder / "cat" / "@eaDir" / "1.png")
    picture(folder / "dog" / ".hidden" / "5.png")
    (folder / "dog" / "._3.png").write_bytes(b"x")
    path = Path(shutil.make_archive(str(folder), "zip", folder.parent, folder.name))
    assert list_pictures(path).class_names == ["cat", "dog"]
    said = capsys.readouterr().err
    assert (
        f"2 files of {path} are left out:\n  cat: 1 of the operating system or a drive (@eaDir)\n  dog: 1 hidden"
        in said
    )


def test_a_link_in_a_zip_is_never_followed(folder, tmp_path):
    picture(tmp_path / "secret" / "5.png")
    path = packed(folder)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("dog/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(tmp_path / "secret" / "5.png"))
    (found,) = (p for p in find_pictures(path).pictures if p.name == "dog/link.png")
    assert found.read() == str(tmp_path / "secret" / "5.png").encode()


# Tables beside pictures.


@pytest.mark.parametrize("names", [("sample_submission.csv",), ("train.csv", "test.csv")])
def test_a_stray_table_is_no_reason_to_stop_and_is_said(names, folder, capsys):
    for name in names:
        (folder / "cat" / name).write_text("id,score\n1,0.5\n")
    for data in (folder / "cat", packed(folder / "cat")):
        found = list_pictures(data)
        assert (found.class_names, len(found.pictures)) == (None, 2)
        assert capsys.readouterr().err.endswith(
            f"{data}: {', '.join(sorted(names))} names no column file in the first line and is not taken for labels; "
            "there are none\n"
        )


def test_the_table_that_is_taken_is_said_and_one_can_go_without(folder, capsys):
    from train.data.records import DataError

    cat = folder / "cat"
    (cat / "mine.csv").write_text("file,label\n1.png,a\n2.png,b\n")
    (cat / "sample_submission.csv").write_text("id,score\n1,0.5\n")
    for data in (cat, packed(cat)):
        assert list_pictures(data).class_names == ["a", "b"]
        assert capsys.readouterr().err.endswith(f"{data}/mine.csv: the labels are those of mine.csv\n")
        assert list_pictures(f"{data}?label=").class_names is None
    (cat / "labels.csv").write_text("no,table\n")
    with pytest.raises(DataError, match=rf"it must name the columns.*; {cat}\?label= goes without it$"):
        list_pictures(cat)
    assert len(list_pictures(f"{cat}?label=").pictures) == 2
    assert len(list_pictures(f"{folder}?label=").pictures) == 4


# Names in a zip.


def zip_of(path: Path, encoding: str, names: list[str]) -> Path:
    """As a program writes it that knows nothing of the flag."""
    with zipfile.ZipFile(path, "w") as archive:
        for i, name in enumerate(names):
            info = zipfile.ZipInfo(f"{i:04d}" + "x" * (len(name.encode(encoding)) - 4))
            archive.writestr(info, b"x")
    raw = path.read_bytes()
    for i, name in enumerate(names):
        coded = name.encode(encoding)
        raw = raw.replace(f"{i:04d}".encode() + b"x" * (len(coded) - 4), coded)
    path.write_bytes(raw)
    return path


NAMES = {
    "gbk": ["猫科/1.png", "狗科/2.png"],
    "shift_jis": ["ネコ/1.png", "イヌ/2.png"],
    "euc_kr": ["고양이/1.png", "강아지/2.png"],
    "cp932": ["①髙猫/1.png", "犬/2.png"],
    "cp949": ["똠방각/1.png", "강아지/2.png"],
    "cp1251": ["кошка/1.png", "собака/2.png"],
    "cp866": ["кошка/1.png", "собака/2.png"],
    "cp437": ["fläche/1.png", "größe/2.png"],
    "cp850": ["maçã/1.png", "limão/2.png"],
}


@pytest.mark.parametrize("encoding", NAMES)
def test_names_of_unknown_letters_are_not_guessed_and_can_be_said(encoding, tmp_path):
    from train.data.records import DataError

    path = zip_of(tmp_path / "old.zip", encoding, NAMES[encoding])
    with pytest.raises(DataError) as caught:
        find_pictures(path)
    assert str(caught.value).startswith(
        f"{path} has names that are not in UTF-8, and does not say in what; say it behind"
    )
    assert f"behind the path, {path}?names=ENCODING: " in str(caught.value)
    assert f"{encoding} for {NAMES[encoding][0]!r}" in str(caught.value)
    found = find_pictures(f"{path}?names={encoding}")
    assert found.class_names == sorted(name.split("/")[0] for name in NAMES[encoding])
    with pytest.raises(DataError, match="has names that are not in ascii; as cp437 one is"):
        find_pictures(f"{path}?names=ascii")
    with pytest.raises(DataError, match="klingon is no encoding that is known here"):
        find_pictures(f"{path}?names=klingon")


def test_an_encoding_is_offered_that_reads_all_names_and_once(tmp_path):
    from train.data.records import DataError

    path = zip_of(tmp_path / "old.zip", "cp949", ["고양이/1.png", "똠방각/2.png"])
    with pytest.raises(DataError, match=r" cp949 for '고양이/1\.png'") as caught:
        find_pictures(path)
    assert "euc_kr" not in str(caught.value)
    path = zip_of(tmp_path / "west.zip", "cp437", ["größe/2.png"])
    with pytest.raises(DataError) as caught:
        find_pictures(path)
    assert str(caught.value).count("größe") == 1


def test_names_in_utf_8_without_the_flag_are_read_as_that(tmp_path):
    path = zip_of(tmp_path / "mac.zip", "utf-8", ["猫科/1.png", "größe/2.png"])
    assert find_pictures(path).class_names == ["größe", "猫科"]


def test_other_questions_are_refused(folder):
    from train.data.records import DataError

    with pytest.raises(DataError, match=r"what may be asked for of a folder is \?label="):
        find_pictures(f"{folder}?split=test")
