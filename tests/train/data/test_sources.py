"""Class folders, a flat folder, a table, a zip: the same pictures whichever way, and one sentence for what is wrong."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from stylex.pictures.images import ImageError
from train.data.pictures import load_pictures
from train.data.records import DataError
from train.data.sources import find_pictures

NAMES = ["plain", "spotted"]


def refusal(data: Path, names: list[str] | None = None) -> str:
    """The one sentence."""
    with pytest.raises(DataError) as caught:
        find_pictures(data, names)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pack(folder: Path, to: Path, prefix: str = "", compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(to, "w", compression) as archive:
        for path in sorted(folder.rglob("*"), reverse=True):  # the order in a zip says nothing
            if path.is_file():
                archive.write(path, prefix + path.relative_to(folder).as_posix())
    return to


@pytest.fixture
def table(make_pictures) -> Callable[[str], Path]:
    """Six pictures, three of a class, with a labels.csv of this text beside them."""
    folder = make_pictures(count=3)

    def write(text: str, name: str = "labels.csv") -> Path:
        (folder / name).write_text(text, encoding="utf-8")
        return folder

    return write


def rows(folder: Path) -> str:
    return "".join(f"{p.relative_to(folder).as_posix()},{p.parent.name}\n" for p in sorted(folder.rglob("*.png")))


# Four ways to the same pictures.


@pytest.mark.parametrize("way", ["flat table", "table", "the table itself", "zip", "zip of a folder", "zip of a table"])
def test_whichever_way_they_are_given_they_are_the_same_pictures(way, pictures, tmp_path):
    expected = load_pictures(pictures, 16, "train")
    folder = Path(shutil.copytree(pictures, tmp_path / "copy"))
    data = folder
    if way == "flat table":  # beside each other, and a table in between
        text = "".join(f"{p.name},{p.parent.name}\n" for p in sorted(folder.rglob("*.png")))
        for path in list(folder.rglob("*.png")):
            path.rename(folder / path.name)
        (folder / "labels.csv").write_text("file,label\n" + text)
    if way in ("table", "the table itself", "zip of a table"):
        (folder / "labels.csv").write_text("file,label\n" + rows(folder))
    if way == "the table itself":
        data = folder / "labels.csv"
    if way.startswith("zip"):
        data = pack(folder, tmp_path / "pictures.zip", "inside/of/" if way == "zip of a folder" else "")
    found = load_pictures(data, 16, "train")
    assert [Path(name).name for name in found.names] == [Path(name).name for name in expected.names]
    assert found.class_names == expected.class_names
    assert torch.equal(found.labels, expected.labels)
    assert torch.equal(found.x, expected.x)
    if way in ("zip", "zip of a folder"):  # and so does what was measured on them
        sizes = [(p.name, p.size) for p in find_pictures(pictures).pictures]
        assert [(p.name, p.size) for p in find_pictures(data).pictures] == sizes


def test_an_order_of_classes_that_is_not_the_alphabet_s_is_kept(pictures):
    found = find_pictures(pictures, ["spotted", "plain"])
    assert found.class_names == ["spotted", "plain"]
    assert {(p.name.split("/")[0], p.label) for p in found.pictures} == {("spotted", 0), ("plain", 1)}


def test_class_folders_that_are_links_are_followed(pictures, tmp_path):
    for name in NAMES:
        (tmp_path / name).symlink_to(pictures / name, target_is_directory=True)
    assert len(find_pictures(tmp_path).pictures) == 60


def test_one_flat_folder_has_pictures_and_no_labels(pictures, tmp_path):
    found = find_pictures(pictures / "plain", NAMES)
    assert len(found.pictures) == 30
    assert found.class_names is None
    assert {p.label for p in found.pictures} == {None}
    assert len(find_pictures(pack(pictures / "plain", tmp_path / "flat.zip")).pictures) == 30


# What is no picture, or refused.


def test_what_does_not_exist_is_named(tmp_path):
    assert refusal(tmp_path / "nowhere").endswith(
        "nowhere does not exist; give a folder of pictures, with one sub-folder for each class if they have labels, a "
        "zip of one, or a dataset of the Hub such as hf://datasets/me/name"
    )
    (tmp_path / "file").touch()
    assert "file is neither a folder nor a zip that can be read" in refusal(tmp_path / "file")


def test_one_class_is_not_enough(make_pictures):
    folder = make_pictures(count=2)
    shutil.rmtree(folder / "spotted")
    assert refusal(folder) == (
        f"{folder} holds one class (plain); with labels it needs at least two sub-folders of pictures, one for each "
        f"class, and without labels none: give {folder / 'plain'} itself"
    )
    Image.new("RGB", (16, 16)).save(folder / "another.png")
    assert f"{folder} holds pictures and one class (plain)" in refusal(folder)


def test_a_folder_that_may_not_be_read_is_named(make_pictures, monkeypatch):
    folder = make_pictures(count=2)

    def refuse(path: Path) -> None:  # root may read everything, so the system is spoken for
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert refusal(folder) == f"{folder} cannot be read (Permission denied); check its permissions"


def test_no_pictures_at_all(tmp_path):
    assert f"{tmp_path} holds no pictures (.avif, .bmp" in refusal(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    assert "holds no pictures" in refusal(tmp_path)


def test_an_empty_or_hidden_folder_is_no_class(make_pictures):
    folder = make_pictures(count=2)
    (folder / "empty").mkdir()
    shutil.copytree(folder / "plain", folder / ".thumbnails")
    (folder / "notes.csv").write_text("of no concern")
    assert find_pictures(folder).class_names == NAMES


def test_parts_of_a_data_set_are_no_classes(make_pictures):
    folder = make_pictures(count=2)
    (folder / "plain").rename(folder / "train")
    (folder / "spotted").rename(folder / "Val")
    assert f"holds Val, train, which are parts of a data set and no classes; give one of them, such as {folder}/" in (
        refusal(folder)
    )


@pytest.mark.parametrize("names", [["plain"], ["plain", "spotted", "striped"], ["cat", "dog"]])
def test_other_classes_than_the_classifier_s_are_refused_before_a_picture_is_read(make_pictures, names, capsys):
    folder = make_pictures(count=2)
    (folder / "plain" / "plain-0.png").write_bytes(b"")
    assert f"has the classes plain, spotted, the classifier {', '.join(names)}; they must be the same" in (
        refusal(folder, names)
    )
    assert capsys.readouterr().err == ""


# Tables.


def test_a_table_may_have_spaces_other_columns_a_mark_of_utf_8_and_names_with_commas(table):
    folder = table('\ufeffid,file , label,,\r\n1,plain/plain-0.png, "a, b",,\r\n\r\n2, spotted/spotted-0.png,c,,\r\n')
    found = find_pictures(folder)
    assert [p.name for p in found.pictures] == ["plain/plain-0.png", "spotted/spotted-0.png"]
    assert found.class_names == ["a, b", "c"]


def test_a_table_without_labels_chooses_pictures(table):
    found = find_pictures(table("file\nplain/plain-0.png\nspotted/spotted-2.png\n"))
    assert [(p.name, p.label) for p in found.pictures] == [("plain/plain-0.png", None), ("spotted/spotted-2.png", None)]
    assert found.class_names is None


def test_a_table_of_another_name_is_taken_where_it_is_the_only_one(make_pictures):
    folder = make_pictures(count=3)
    for path in list(folder.rglob("*.png")):
        path.rename(folder / path.name)
    text = "".join(f"{p.name},{p.name.split('-')[0]}\n" for p in sorted(folder.glob("*.png")))
    (folder / "mine.csv").write_text("file,label\n" + text)
    assert find_pictures(folder).class_names == NAMES
    (folder / "theirs.csv").write_text("file,label\n")
    assert "holds mine.csv, theirs.csv; name the one with the labels labels.csv" in refusal(folder)
    (folder / "labels.csv").write_text("file\nplain-0.png\n")
    assert len(find_pictures(folder).pictures) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "labels.csv has nothing in it; it must name the columns: file,label, or file without labels"),
        ("\n", "it must name the columns"),
        ("plain/plain-0.png,plain\n", "has the first line 'plain/plain-0.png,plain'; it must name the columns"),
        ("file,file\na,b\n", "has the first line 'file,file'"),
        ("file;label\na;b\n", "has the first line 'file;label'; it must name the columns, with commas between them: "),
        ("file,label\n", "has a first line and no rows; give one row for each picture"),
        ('file,label\n"plain/plain-0.png,plain\n', "cannot be read as a CSV in UTF-8 (unexpected end of data)"),
        (
            "file,label\nplain/plain-0.png,plain\nplain/none.png,plain\nplain/plain-1.png,\nplain/plain-0.png,x\n",
            ": 3 of 4 rows are wrong: line 3: there is no file 'plain/none.png' in ",
        ),
        ("file,label\nplain/plain-0.png\n", "1 of 1 rows is wrong: line 2: plain/plain-0.png has no label"),
        ("file,label\nplain/plain-0.png,a,b\n", "1 of 1 rows is wrong: line 2 has more columns than the first line"),
        ("file,label\n../pictures/plain/plain-0.png,a\n", "line 2: there is no file '../pictures/plain/plain-0.png'"),
        ("file,label\n/etc/hostname,a\n", "line 2: there is no file '/etc/hostname'"),
        ("file,label\n" + "b" * 5000 + ",a\n", f"line 2: there is no file '{'b' * 100}' in"),
        ("file,label\nplain,a\n", "line 2: there is no file 'plain'"),
        ("file,label\nplain/plain-0.png,a\nplain/plain-1.png,a\n", "has one class (a); give at least two"),
    ],
)
def test_a_bad_table_is_one_sentence_that_names_the_rows(table, text, says):
    assert says in refusal(table(text))


def test_all_bad_rows_are_counted_and_the_first_ones_named(table):
    said = refusal(table("file,label\n" + "".join(f"{i}.png,a\n" for i in range(9))))
    assert "labels.csv: 9 of 9 rows are wrong: line 2: there is no file '0.png'" in said
    assert said.endswith("; and 4 more")
    assert said.count("there is no file") == 5


def test_a_file_named_twice_says_where(table):
    said = refusal(table("file,label\nplain/plain-0.png,a\n./plain/plain-0.png,b\n"))
    assert said.endswith("1 of 2 rows is wrong: line 3: ./plain/plain-0.png is in line 2 already")


def test_a_table_that_is_no_text_is_refused(table):
    folder = table("")
    (folder / "labels.csv").write_bytes(b"file,label\n\xff\xfe\n")
    assert "cannot be read as a CSV in UTF-8" in refusal(folder)


# Zips.


@pytest.fixture
def archive(tmp_path) -> Callable[..., Path]:
    """A zip of these names, each with these bytes."""

    def make(*names: str | zipfile.ZipInfo, data: bytes = b"x", **options) -> Path:
        with zipfile.ZipFile(tmp_path / "pictures.zip", "w", zipfile.ZIP_DEFLATED, **options) as archive:
            for name in names:
                archive.writestr(name, data)
        return tmp_path / "pictures.zip"

    return make


@pytest.mark.parametrize("name", ["../a.png", "a/../../b.png", "/etc/a.png", "..\\a.png", "C:\\a.png", "C:/a.png"])
def test_a_name_that_leads_out_of_a_zip_is_refused(archive, name):
    path = archive("plain/a.png", name)
    assert f"{path} holds {name!r}, which leads out of it; pack it again" in refusal(path)


def test_a_zip_bomb_is_refused_unread(archive, monkeypatch):
    monkeypatch.setattr("train.data.sources.SMALL_ZIP", 1_000_000)
    path = archive(*(f"{i}.png" for i in range(10)), data=bytes(10_000_000))
    assert "pictures.zip has 0.1 MB and unpacks to 10 files of 100 MB, which pictures do not; if you trust it" in (
        refusal(path)
    )
    monkeypatch.setattr("train.data.sources.SMALL_ZIP", 10**9)
    monkeypatch.setattr("train.data.sources.MAX_FILES", 9)
    assert "unpacks to 10 files" in refusal(path)


def test_a_file_of_a_zip_that_says_less_than_it_holds_gives_no_more_than_it_says(archive):
    """The sizes that were added up are those that are kept."""
    path = archive("a.png", data=bytes(1_000_000))
    raw = path.read_bytes()
    path.write_bytes(raw.replace((1_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    (picture,) = find_pictures(path).pictures
    assert picture.size == 1000
    with pytest.raises(ImageError, match=r"^a.png of .*pictures.zip cannot be unpacked \(Bad CRC-32"):
        picture.read()


def test_what_a_computer_adds_to_a_zip_is_no_picture(archive):
    path = archive(
        "./", "./x/", "x/plain/a.png", "__MACOSX/x/plain/._a.png", "x/.DS_Store", "x/.hidden/b.png", "x/spotted/b.png"
    )
    found = find_pictures(path)
    assert [p.name for p in found.pictures] == ["plain/a.png", "spotted/b.png"]


def test_an_encrypted_zip_is_refused(archive):
    path = archive("a.png")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    assert refusal(path) == f"{path} is encrypted; unpack it and give the folder"


def test_a_link_in_a_zip_is_not_followed(archive, pictures, capsys):
    link = zipfile.ZipInfo("b.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = archive("a.png", link, data=str(pictures / "plain" / "plain-0.png").encode())
    with pytest.raises(DataError, match="no readable picture"):
        load_pictures(path, 16)
    assert f"b.png of {path} is not a picture" in capsys.readouterr().err


def test_a_broken_picture_of_a_zip_is_named_and_left_out(make_pictures, tmp_path, capsys):
    folder = make_pictures(count=3)
    (folder / "plain" / "plain-1.png").write_bytes(b"no picture")
    path = pack(folder, tmp_path / "pictures.zip", compression=zipfile.ZIP_STORED)
    raw = path.read_bytes()
    at = raw.index((folder / "spotted" / "spotted-0.png").read_bytes())
    path.write_bytes(raw[: at + 20] + b"????" + raw[at + 24 :])
    assert len(load_pictures(path, 16)) == 4
    said = capsys.readouterr().err
    assert "2 of 6 pictures cannot be read and are left out" in said
    assert f"plain/plain-1.png of {path} is not a picture" in said
    assert f"spotted/spotted-0.png of {path} cannot be unpacked (Bad CRC-32" in said


def test_nothing_of_a_zip_is_written_to_the_disk(make_pictures, tmp_path):
    path = pack(make_pictures(count=2), tmp_path / "pictures.zip")
    before = sorted(tmp_path.rglob("*"))
    load_pictures(path, 16)
    assert sorted(tmp_path.rglob("*")) == before


def test_half_a_zip_is_refused(make_pictures, tmp_path):
    path = pack(make_pictures(count=2), tmp_path / "pictures.zip")
    path.write_bytes(path.read_bytes()[:-40])
    assert "is neither a folder nor a zip that can be read (File is not a zip file); pack it again" in refusal(path)
