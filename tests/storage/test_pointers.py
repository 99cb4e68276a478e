"""A clone without its large files: every reader says what lies there instead, and what fetches it."""

from __future__ import annotations

import os
from pathlib import Path
from zipfile import ZipFile

import pytest

from stylex import ModelError, StylEx
from stylex.attfind.shards import ShardError, read_plan
from stylex.classifiers.adopt import adopt, names_of
from stylex.classifiers.classifier import ClassifierError
from stylex.pictures.images import ImageError, load_image
from stylex.storage.pointers import stub
from train.data.pictures import load_pictures
from train.data.sources import DataError, find_pictures
from train.engine.checkpoint import ResumeError, load
from train.options.command import parse
from train.options.searching import Options

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 123456\n"
ANNEX = b"/annex/objects/SHA256E-s123--" + b"a" * 64 + b".png\n"
WORDS = {"git-lfs": (LFS, "git lfs pull"), "git-annex": (ANNEX, "git annex get")}


@pytest.fixture(params=WORDS)
def pointer(request) -> bytes:
    return WORDS[request.param][0]


@pytest.fixture
def says(pointer) -> str:
    """The end of the sentence, for `match`."""
    (sentence,) = (f"is a pointer of {name} .*; run `{way}`" for name, (data, way) in WORDS.items() if data == pointer)
    return sentence


def test_a_picture(pointer, says, tmp_path):
    (tmp_path / "a.png").write_bytes(pointer)
    for source in (tmp_path / "a.png", pointer):
        with pytest.raises(ImageError, match=says):
            load_image(source)


@pytest.mark.skipif(os.name == "nt", reason="links of Unix")
def test_a_picture_that_git_annex_keeps_as_a_link(tmp_path):
    (tmp_path / "a.png").symlink_to("../.git/annex/objects/aa/bb/SHA256E-s1--a.png/SHA256E-s1--a.png")
    with pytest.raises(ImageError, match="git annex get"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "name", ["config.json", "attributes.json", "generator/model.safetensors", "classifier/config.json", "README.md"]
)
def test_a_file_of_a_model(model_folder, pointer, says, name):
    (model_folder / name).write_bytes(pointer)
    with pytest.raises(ModelError, match=f"{name} {says}"):
        StylEx.from_pretrained(model_folder)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin"])
def test_weights_of_an_architecture(pointer, says, tmp_path, suffix):
    weights = tmp_path / f"weights{suffix}"
    weights.write_bytes(pointer)
    with pytest.raises(ClassifierError, match=says):
        adopt("torchvision:resnet18", weights=weights, class_names=["a", "b"], resolution=32)


def test_a_program_and_a_list_of_names(pointer, says, tmp_path):
    (tmp_path / "network.pt").write_bytes(pointer)
    (tmp_path / "names.txt").write_bytes(pointer)
    with pytest.raises(ClassifierError, match=says):
        adopt(str(tmp_path / "network.pt"), class_names=["a", "b"], resolution=32)
    with pytest.raises(ClassifierError, match=says):
        names_of(str(tmp_path / "names.txt"))


def test_a_configuration(pointer, says, tmp_path):
    (tmp_path / "mine.yaml").write_bytes(pointer)
    for given in (["--config", f"{tmp_path}/mine.yaml"], [f"--config={tmp_path}/mine.yaml"]):
        with pytest.raises(SystemExit, match=says):
            parse(Options, "", given)


def test_a_zip_and_a_table(pointer, says, tmp_path):
    for name in ("pictures.zip", "labels.csv"):
        (tmp_path / name).write_bytes(pointer)
        with pytest.raises(DataError, match=says):
            find_pictures(tmp_path / name)


def test_pictures_in_a_folder_and_in_a_zip(pointer, says, make_pictures, tmp_path, capsys):
    folder = make_pictures()
    (folder / "plain" / "plain-3.png").write_bytes(pointer)
    load_pictures(folder, 16)
    assert "plain-3.png' is a pointer of git" in capsys.readouterr().err
    with ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for path in folder.rglob("*.png"):
            archive.write(path, path.relative_to(folder))
    load_pictures(tmp_path / "pictures.zip", 16)
    assert "is a pointer of git" in capsys.readouterr().err


def test_a_plan_and_a_checkpoint(pointer, says, tmp_path):
    (tmp_path / "checkpoint-000000016").mkdir()
    for path in (tmp_path / "plan.safetensors", tmp_path / "checkpoint-000000016" / "state.pt"):
        path.write_bytes(pointer)
    with pytest.raises(ShardError, match=says):
        read_plan(tmp_path, "abc")
    with pytest.raises(ResumeError, match=says):
        load(tmp_path, "latest")


def test_what_is_itself_is_none(pictures):
    assert stub(next(Path(pictures).rglob("*.png")).read_bytes()[:200]) is None
    assert stub(b"") is None
    assert stub(b"version 1.0 of https://git-lfs.github.com") is None
