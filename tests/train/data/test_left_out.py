"""What is not taken for a picture is counted and named by class, and a class that comes out empty is an error."""

from __future__ import annotations

import io
import os
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image

from stylex.pictures.formats import UNREAD, unread_by_content
from stylex.pictures.images import ImageError, load_image
from train.data.pictures import load_pictures
from train.data.records import DataError
from train.data.sources import find_pictures

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def put(path: Path, form: str = "JPEG") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (len(path.name), 90, 9)).save(path, form)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two classes of twenty pictures."""
    for name in ("cat", "dog"):
        for n in range(20):
            put(tmp_path / "data" / name / f"{name}-{n}.jpg")
    return tmp_path / "data"


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPG", ".JFIF", ".jif"])
def test_every_name_of_jpeg_is_one(folder, suffix):
    for n in range(20):
        put(folder / "fox" / f"fox-{n}{suffix}")
    source = find_pictures(folder)
    assert source.class_names == ["cat", "dog", "fox"]
    assert len(source.pictures) == 60


@pytest.mark.parametrize("suffix", [".heic", ".HEIC", ".jxl", ".cr2", ".psd", ".svg", ".mp4", "", ".dat"])
def test_a_class_without_a_picture_that_is_read_is_an_error(folder, suffix):
    (folder / "fox").mkdir()
    for n in range(5):
        (folder / "fox" / f"fox-{n}{suffix}").write_bytes(HEIC)
    with pytest.raises(
        DataError, match=r"class fox of .*/data has no picture that is read here, but 5 .*fox-0"
    ) as caught:
        find_pictures(folder)
    assert "or move it away" in str(caught.value)
    assert ("export it as JPEG" in str(caught.value)) == (suffix.lower() == ".heic")
    packed = folder.with_suffix(".zip")
    with ZipFile(packed, "w") as archive:
        for path in folder.rglob("*.*" if suffix else "*"):
            archive.write(path, path.relative_to(folder))
    if suffix:
        with pytest.raises(DataError, match=r"class fox of .* has no picture that is read here"):
            find_pictures(packed)


def test_a_folder_without_anything_is_no_class_and_is_named(folder, capsys):
    (folder / "fox" / "deep").mkdir(parents=True)
    load_pictures(folder, 16)
    assert f"1 file of {folder} is left out:\n  1 empty folders (fox)\n" in capsys.readouterr().err


def test_one_class_of_pictures_beside_one_of_others_names_the_other(tmp_path):
    put(tmp_path / "cat" / "a.png", "PNG")
    (tmp_path / "fox").mkdir()
    (tmp_path / "fox" / "a.heic").write_bytes(HEIC)
    with pytest.raises(DataError, match=r"class fox of"):
        find_pictures(tmp_path)


def test_a_folder_of_texts_beside_the_classes_is_no_class(folder):
    (folder / "annotations").mkdir()
    (folder / "annotations" / "cat.xml").write_text("<xml/>")
    assert find_pictures(folder).class_names == ["cat", "dog"]


@pytest.mark.skipif(os.name == "nt", reason="links of Unix")
def test_what_is_skipped_is_counted_and_named_by_class_and_said_once(folder, capsys):
    for n in range(4):
        (folder / "cat" / f"phone-{n}.heic").write_bytes(HEIC)
    (folder / "cat" / "notes.txt").write_text("mine")
    (folder / "dog" / ".hidden.jpg").write_bytes(b"x")
    (folder / "dog" / "gone.png").symlink_to(folder / "nowhere.png")
    put(folder / "loose.png", "PNG")
    load_pictures(folder, 16, "train")
    load_pictures(folder, 16, "val")
    said = capsys.readouterr().err
    assert said.count("are left out:") == 1
    assert f"8 files of {folder} are left out:\n" in said
    for line in (
        "1 beside the folders of the classes (loose.png)",
        "cat: 4 HEIC (phone-0.heic, phone-1.heic, phone-2.heic and 1 more); export it as JPEG",
        "cat: 1 no pictures by their names (notes.txt)",
        "dog: 1 hidden, for a name of theirs begins with a dot (.hidden.jpg)",
        "dog: 1 links to nowhere (gone.png)",
    ):
        assert f"\n  {line}" in said


def test_damage_is_counted_by_class(folder, capsys):
    for name in ("cat/cat-3.jpg", "cat/cat-4.jpg", "dog/dog-1.jpg"):
        (folder / name).write_bytes(b"damaged")
    load_pictures(folder, 16)
    said = capsys.readouterr().err
    assert "3 of 40 pictures cannot be read and are left out:" in said
    assert "  of class cat: 2\n  of class dog: 1\n" in said


def test_pictures_without_labels_too(tmp_path, capsys):
    for n in range(3):
        put(tmp_path / f"{n}.jpg")
    (tmp_path / "a.heic").write_bytes(HEIC)
    load_pictures(tmp_path, 16)
    assert "1 files" not in (said := capsys.readouterr().err)
    assert f"1 file of {tmp_path} is left out:\n  1 HEIC (a.heic); export it as JPEG" in said


def test_a_folder_of_nothing_but_heic_says_so(tmp_path):
    (tmp_path / "a.heic").write_bytes(HEIC)
    with pytest.raises(DataError, match=r"holds no pictures \(.*\), but 1 HEIC \(a\.heic\); export it as JPEG"):
        find_pictures(tmp_path)


def test_a_clean_folder_is_read_in_silence(folder, capsys):
    (folder / ".DS_Store").write_bytes(b"x")
    load_pictures(folder, 16)
    assert capsys.readouterr().err == ""


def test_a_picture_that_is_not_read_is_named_by_its_content_whatever_its_suffix():
    icon = io.BytesIO()
    Image.new("RGB", (16, 16)).save(icon, "ICO")
    for data, kind in (
        (HEIC, "HEIC"),
        (b"\xff\x0a" + bytes(50), "JPEG XL"),
        (b"8BPS\0\1" + bytes(50), "a document of Photoshop"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "a drawing"),
        (b"%PDF-1.7\n", "a drawing"),
        (b"\0\0\0\x1cftypisom\0\0\2\0isomiso2mp41" + bytes(50), "a film"),
        (icon.getvalue(), "an icon"),
        (bytes(128) + b"DICM" + bytes(50), "a picture of a clinic"),
    ):
        assert kind in UNREAD
        with pytest.raises(ImageError, match=f"the picture is not a picture that is read here: it is {kind}; "):
            load_image(data)
    assert unread_by_content(b"") is None
