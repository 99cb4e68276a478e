"""`python -m stylex explain` as a person types it, and one clear sentence for everything that can be wrong."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from stylex import StylEx
from stylex.__main__ import main
from stylex.classifiers.classifier import wrap
from stylex.storage.outputs import MANIFEST

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def picture(tmp_path) -> Path:
    noise = np.random.default_rng(1).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    path = tmp_path / "leaf.png"
    Image.fromarray(noise).resize((40, 40)).save(path)
    return path


@pytest.fixture
def explain(model_folder, picture, tmp_path):
    """The command in this process, with its exit code; `output` is tmp_path / "out"."""

    def run(*args: str, image: Path | str = picture, model: Path | str = model_folder) -> int:
        given = ["explain", str(image), "--model", str(model), "--output", str(tmp_path / "out"), *args]
        return main(given)

    return run


@pytest.fixture
def refused(explain, capsys, tmp_path):
    """What the command says where it fails: one line, and nothing written."""

    def run(*args: str, **places: Path | str) -> str:
        assert explain(*args, **places) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("error: ")
        assert said.err.count("\n") == 1
        assert not (tmp_path / "out").exists()
        return said.err.removeprefix("error: ").strip()

    return run


def test_a_model_without_its_classifier_is_given_it_again(explain, refused, tiny_model, tmp_path, monkeypatch):
    model, network = copy.copy(tiny_model), tiny_model.classifier.network
    model.classifier = wrap(network, tiny_model.class_names, 16, mean=(0.5,) * 3, std=(0.5,) * 3)
    folder = model.save_pretrained(tmp_path / "unportable")
    assert "only whoever trained it has it; give it with --classifier" in refused(model=folder)
    assert "no classifier: use the folder of one, torchvision:NAME" in refused("--classifier", "mine", model=folder)
    monkeypatch.setitem(sys.modules, "mine_to_ask", SimpleNamespace(network=network))
    assert explain("--classifier", "mine_to_ask:network", model=folder) == 0


def test_the_literal_command_explains_a_picture(model_folder, picture, tmp_path):
    """In a process of its own, from another folder, with a machine's plainest output encoding."""
    shutil.move(model_folder, tmp_path / "checkpoints" / "leaves")
    command = "-m stylex explain leaf.png --model checkpoints/leaves --target spotted --top-k 2 --output out/"
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (0, "")
    numbers = json.loads((tmp_path / "out" / "explanation.json").read_text(encoding="utf-8"))
    assert numbers["target"] == "spotted"
    assert len(numbers["attributes"]) == 2
    assert (tmp_path / "out" / "attribute-2.gif").is_file()
    assert "written to out" in done.stdout


def test_what_is_printed_are_the_numbers_of_the_explanation(explain, model_folder, picture, tmp_path, capsys):
    assert explain("--target", "spotted", "--top-k", "3") == 0
    said = capsys.readouterr().out
    e = StylEx.from_pretrained(model_folder).explain(picture, target="spotted", top_k=3)
    assert f"classifier: spotted {e.probs['spotted'] * 100:.1f} %, plain {e.probs['plain'] * 100:.1f} %" in said
    for warning in e.warnings:
        assert f"warning: {warning}" in said
    assert "towards spotted:" in said
    for n, a in enumerate(e.attributes, start=1):
        line = next(line for line in said.splitlines() if f"attribute-{n}.gif" in line)
        assert a.title in line
        assert f"{a.prob_before * 100:.1f} % → {a.prob_after * 100:.1f} %" in line
        assert f"{a.changed_share:.0%} of the pixels change visibly" in line
    assert said.endswith(f"written to {tmp_path / 'out'}\n")


def test_every_option_reaches_the_explanation(explain, model_folder, picture, tmp_path):
    assert explain("--strategy", "subset", "--shift", "0.25", "--top-k", "4", "--target", "spotted") == 0
    numbers = json.loads((tmp_path / "out" / "explanation.json").read_text(encoding="utf-8"))
    expected = StylEx.from_pretrained(model_folder).explain(
        picture, target="spotted", top_k=4, strategy="subset", shift=0.25
    )
    assert numbers == expected.to_dict()
    assert numbers["strategy"] == "subset"


def test_without_a_target_it_is_the_runner_up(explain, tmp_path):
    assert explain("--top-k", "1") == 0
    numbers = json.loads((tmp_path / "out" / "explanation.json").read_text(encoding="utf-8"))
    assert numbers["target"] == min(numbers["probs"], key=numbers["probs"].get)


# Pictures.


def test_a_missing_picture_is_named(refused, tmp_path):
    assert refused(image=tmp_path / "nothing.png") == f"'{tmp_path}/nothing.png' does not exist; check the path"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.png", b"not a picture", "is not a picture, or its beginning is damaged; use one of PNG, JPEG"),
        ("empty.png", b"", "is empty (0 bytes); export or download it again"),
        ("cut.png", None, "cannot be read to its end"),
    ],
)
def test_a_bad_picture_is_named(refused, picture, tmp_path, name, content, sentence):
    path = tmp_path / name
    path.write_bytes(picture.read_bytes()[:60] if content is None else content)
    said = refused(image=path)
    assert said.startswith(f"'{path}' ")
    assert sentence in said


def test_a_folder_a_speck_and_a_strip_are_no_pictures(refused, tmp_path):
    assert "is a folder; pass a single picture" in refused(image=tmp_path)
    for size, sentence in (((1, 1), "too small, 1 x 1 pixels"), ((20_000, 16), "too narrow, 20000 x 16 pixels")):
        Image.new("RGB", size).save(tmp_path / "odd.png")
        assert sentence in refused(image=tmp_path / "odd.png")


# Options.


def test_a_wrong_target_is_answered_with_the_classes(refused):
    assert refused("--target", "healthy") == "there is no class 'healthy'; this classifier knows plain, spotted"


def test_numbers_that_make_no_sense_are_refused(refused):
    assert refused("--top-k", "0") == "top_k is 0; use 1 or more"
    assert refused("--shift", "nan").startswith("shift is nan; use 1 for the end of the range")


@pytest.mark.parametrize("args", [["--strategy", "greedy"], ["--top-k", "many"], ["--targt", "plain"]])
def test_a_mistyped_option_is_refused_with_the_usage(explain, args, capsys):
    with pytest.raises(SystemExit) as caught:
        explain(*args)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "usage: stylex" in said
    assert args[0] in said


@pytest.mark.parametrize("args", [[], ["explain"], ["explain", "leaf.png"]])
def test_what_is_missing_is_named(args, capsys):
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    assert "the following arguments are required" in capsys.readouterr().err


def test_an_output_that_cannot_be_a_folder_is_named(explain, tmp_path, capsys):
    (tmp_path / "out").write_text("somebody's notes")
    assert explain("--top-k", "1") == 1
    said = capsys.readouterr().err
    assert re.fullmatch(r"error: .*/out cannot be written \(.+\); choose another --output\n", said)
    assert (tmp_path / "out").read_text() == "somebody's notes"


def test_a_folder_of_pictures_is_no_place_for_an_explanation_of_them(explain, capsys, tmp_path, monkeypatch):
    """Before a model is read, in one sentence."""
    photos = tmp_path / "out"
    photos.mkdir()
    Image.new("RGB", (80, 60)).save(photos / "source.png")
    before = (photos / "source.png").read_bytes()
    monkeypatch.setattr(StylEx, "from_pretrained", None)
    assert explain(image=photos / "source.png") == 1
    assert capsys.readouterr().err == (
        f"error: {photos / 'source.png'} is read for this, and would be written over; choose another --output\n"
    )
    (photos / "source.png").rename(photos / "overview.png")
    assert explain() == 1
    assert capsys.readouterr().err == (
        f"error: {photos / 'overview.png'} was not written by stylex, or was edited since, and would be lost; move it "
        "away, or choose another --output\n"
    )
    assert (photos / "overview.png").read_bytes() == before


# Models.


def test_a_missing_model_is_named(refused, tmp_path):
    for name in (str(tmp_path / "no-model"), "leaves"):
        said = refused(model=name)
        assert said.startswith(f"{name} is neither a folder nor a repository name")


def test_an_empty_model_folder_says_what_is_missing(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert refused(model=tmp_path / "empty").startswith(f"{tmp_path}/empty/config.json is missing")


def test_a_corrupt_model_folder_says_which_file(refused, model_folder):
    weights = model_folder / "generator" / "model.safetensors"
    whole = weights.read_bytes()
    for half in (b"", whole[:100], whole[: len(whole) // 2]):
        weights.write_bytes(half)
        assert refused().startswith(f"{weights} cannot be read")
    weights.unlink()
    assert refused().startswith(f"{weights} is missing")
    (model_folder / "config.json").write_text("{")
    assert refused().startswith(f"{model_folder}/config.json is not valid JSON")


def test_a_model_that_was_never_searched_says_what_to_run(refused, model_folder):
    (model_folder / "style_stats.safetensors").unlink()
    assert refused() == "this model has no style statistics; run train/find_attributes.py on it first"


# The other methods.


def test_explain_takes_a_method(explain, tmp_path, capsys):
    assert explain("--target", "spotted", "--method", "counterfactual", "--space", "few", "--prob", "0.7") == 0
    told = json.loads((tmp_path / "out" / "explanation.json").read_text(encoding="utf-8"))
    assert told["method"] == "counterfactual"
    assert told["attributes"][0]["found"]["space"] == "few"
    assert "spotted, fewest coordinates" in capsys.readouterr().out


def test_a_probability_that_nothing_reaches_is_refused(refused):
    said = refused("--target", "spotted", "--method", "counterfactual", "--prob", "1")
    assert said == "prob is 1.0; use a probability between 0 and 1, such as 0.9; no softmax reaches the ends"


def test_compare_writes_its_sheets(model_folder, picture, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["compare", str(picture), "--model", str(model_folder), "--target", "spotted", "--output", out]) == 0
    said = capsys.readouterr().out
    assert "EigenFind" in said
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"compare.png", "maps.png", "compare.json", MANIFEST}


def test_perturb_needs_a_classifier_and_no_generator(classifier_folder, picture, tmp_path, capsys):
    given = ["perturb", str(picture), "--classifier", str(classifier_folder), "--output", str(tmp_path / "out")]
    assert main([*given, "--steps", "5"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"centre at \d+% from the left, \d+% from the top", said)
    written = {"perturbation.png", "loss.png", "perturbation.json", MANIFEST}
    assert {p.name for p in (tmp_path / "out").iterdir()} == written
    assert main([*given, "--target", "mouldy"]) == 1
    assert capsys.readouterr().err == "error: there is no class 'mouldy'; this classifier knows plain, spotted\n"
    assert main([*given, "--steps", "0"]) == 1
    assert "steps 0" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "name"), [("compare", "compare.png"), ("perturb", "perturbation.png")])
def test_they_write_over_what_they_wrote_and_over_nothing_of_a_person_s(
    command, name, model_folder, classifier_folder, picture, tmp_path, capsys, monkeypatch
):
    asked = ["--model", str(model_folder)] if command == "compare" else ["--classifier", str(classifier_folder)]
    given = [command, *asked, "--output", str(tmp_path / "out")]
    more = ["--steps", "2"] if command == "perturb" else []
    for _ in range(2):
        assert main([*given, str(picture), *more]) == 0
    capsys.readouterr()
    file = tmp_path / "out" / name
    monkeypatch.setattr(StylEx, "from_pretrained", None)  # what follows is said before anything is read
    monkeypatch.setattr("stylex.__main__.adopt_as_said", None)
    assert main([*given, str(file)]) == 1
    assert capsys.readouterr().err == (
        f"error: {file} is read for this, and would be written over; choose another --output\n"
    )
    file.write_bytes(picture.read_bytes())
    assert main([*given, str(picture)]) == 1
    assert capsys.readouterr().err == (
        f"error: {file} was not written by stylex, or was edited since, and would be lost; move it away, or choose "
        "another --output\n"
    )
    assert file.read_bytes() == picture.read_bytes()
