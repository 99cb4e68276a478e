"""No script begins work that it could not write down, and none writes over what is not its own."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image

from stylex import ModelError, StylEx
from stylex.classifiers.classifier import save_classifier
from stylex.storage.alike import called
from stylex.storage.outputs import OutputError
from train import adapt, bundle, evaluate, explain_mistakes, find_attributes, repair, study, train, train_classifier
from train.engine import checkpoint
from train.engine.place import claim_run
from train.engine.publish import SOURCE, flickers, told_apart

NOT_OURS = "was not written by stylex, or was edited since, and would be lost; move it away, or choose another"


@pytest.fixture
def never(monkeypatch) -> None:
    """Whatever would be work."""

    def work(*args, **kwargs):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(StylEx, "from_pretrained", work)
    monkeypatch.setattr(train, "classifiers", work)
    monkeypatch.setattr(train_classifier, "find_pictures", work)


SCRIPTS = {
    "train_classifier": lambda output: train_classifier.main(["--data", "x", "--output", output]),
    "evaluate": lambda output: evaluate.main(["--data", "x", "--model", "x", "--output", f"{output}/numbers.json"]),
    "bundle": lambda output: bundle.main(
        ["--data", "x", "--model", "x", "--metrics", "x", "--about", "x", "--output", output]
    ),
    "train": lambda output: train.main(["--data", "x", "--classifier", "x", "--output", output]),
    "find_attributes": lambda output: find_attributes.main(["--data", "x", "--model", "x", "--effects", output]),
    "adapt": lambda output: adapt.main(["--data", "x", "--model", "x", "--name", "x", "--output", output]),
    "study": lambda output: study.main(["--data", "x", "--model", "x", "--output", output]),
    "repair": lambda output: repair.main(["--data", "x", "--model", "x", "--output", output]),
    "explain_mistakes": lambda output: explain_mistakes.main(["--data", "x", "--model", "x", "--output", output]),
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("deeper", ["", "/run"], ids=["a file", "below a file"])
def test_a_place_that_is_no_folder_is_said_before_the_work(never, tmp_path, script, deeper):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(OutputError, match=r"notes.* cannot be written \(.+\); choose another --(output|effects)"):
        SCRIPTS[script](f"{tmp_path}/notes{deeper}")
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_folder_where_the_numbers_should_go_is_said_before_the_work(never, tmp_path):
    with pytest.raises(OutputError, match="is a folder, and a file is to be written there"):
        evaluate.main(["--data", "x", "--model", "x", "--output", str(tmp_path)])


@pytest.mark.parametrize(
    ("script", "name", "content"),
    [
        ("train_classifier", "config.json", '{"model_type": "vit", "num_labels": 3}'),
        ("train_classifier", "judge/model.safetensors", "of somebody's"),
        ("train_classifier", "metrics.json", '{"accuracy": 0.5}'),
        ("evaluate", "numbers.json", '{"accuracy": 0.5}'),
        ("train", "metrics.json", '{"accuracy": 0.5}'),
        ("train", "log.jsonl", '{"event": "mine"}\n'),
        ("train", "model/config.json", '{"model_type": "vit"}'),
        ("train", "model/classifier/model.safetensors", "of somebody's"),
        ("train", "sheets/000000064.png", "a picture"),
        ("train", "checkpoint-000000064/notes.txt", "mine"),
        ("adapt", "domains/x.png", "a picture"),
        ("study", "key.json", '{"items": "mine"}'),
        ("repair", "page.html", "mine"),
        ("explain_mistakes", "mistakes.json", '{"mine": 1}'),
    ],
)
def test_a_file_of_a_person_s_is_said_before_the_work(never, tmp_path, script, name, content):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    with pytest.raises(OutputError, match=f"{name} .*would be lost"):
        SCRIPTS[script](str(tmp_path))
    assert path.read_text() == content


def test_other_files_of_a_person_s_are_no_obstacle(tmp_path):
    for name in ("notes.txt", "sheets/mine.png", "model/README.md", "holiday.jpg", "samples.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    claim_run(tmp_path)


def test_an_earlier_run_s_own_files_are_ours(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "model")
    checkpoint.save(tmp_path, 64, {"nimg": 64})
    (tmp_path / "log.jsonl").write_text('{"nimg": 64}\n')
    (tmp_path / "sheets").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "sheets" / "000000064.png")
    claim_run(tmp_path)
    shutil.rmtree(tmp_path / "model")
    (tmp_path / "model" / "generator").mkdir(parents=True)  # a kill within the first save
    tiny_model.generator.save_pretrained(tmp_path / "model" / "generator")
    (tmp_path / "model" / "generator" / "config.json").unlink()
    claim_run(tmp_path)


# What is saved from Python.


def test_a_model_of_another_library_is_not_written_over(tiny_model, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    for save in (tiny_model.save_pretrained, tiny_model.generator.save_pretrained):
        with pytest.raises(ModelError, match=r"config\.json was not written by stylex.*another folder"):
            save(tmp_path)
    with pytest.raises(ModelError, match=r"config\.json was not written by stylex"):
        save_classifier(tiny_model.classifier, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_nor_are_weights_that_lie_there_alone(tiny_model, tmp_path):
    from safetensors.torch import save_file

    weights = {k: v.clone().contiguous() for k, v in tiny_model.classifier.network.state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(ModelError, match=r"model\.safetensors was not written by stylex"):
        save_classifier(tiny_model.classifier, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_nor_is_the_readme_of_a_project(tiny_model, tmp_path):
    (tmp_path / "README.md").write_text("# My project\n")
    with pytest.raises(ModelError, match=r"README\.md was not written by stylex"):
        tiny_model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "# My project\n"


def test_a_model_of_an_earlier_version_is_written_over(tiny_model, model_folder):
    """Its files of tensors have no mark."""
    from safetensors.torch import load_file, save_file

    for path in model_folder.rglob("*.safetensors"):
        save_file(load_file(path), path)
    tiny_model.save_pretrained(model_folder)
    assert StylEx.from_pretrained(model_folder)


# Bundles.


@pytest.fixture
def moving(tiny_model, pictures):
    return [tiny_model.explain(next(pictures.rglob("*.png")), top_k=3)]


def test_pictures_of_a_person_s_stay_beside_the_flickers(moving, tmp_path):
    (tmp_path / "mine.gif").write_bytes(b"mine")
    (tmp_path / "1.gif").write_bytes(b"mine")
    (first, _), *_ = flickers(moving, tmp_path)
    assert first == f"{tmp_path.name}/2.gif"
    assert (tmp_path / "1.gif").read_bytes() == (tmp_path / "mine.gif").read_bytes() == b"mine"


def test_a_flicker_and_its_caption_on_the_card_say_what_was_changed(moving, tmp_path):
    for (_, caption), a in zip(flickers(moving, tmp_path), moving[0].attributes, strict=True):
        assert caption.startswith((f"{a.name}; ", "proposed: ", "on this picture: ", "no simple description ("))
        assert caption.count("→") == 1
        assert "\n" not in caption


def test_what_cannot_be_told_apart_from_another_of_the_same_picture_does_not_move_on_the_card(moving, tmp_path):
    (e,) = moving
    first, second, third = (called(a.coordinate, e.predicted, e.target) for a in e.attributes)
    assert told_apart(e, {first: third}) == e.attributes[1:]
    assert told_apart(e, {second: "gone", third: "gone"}) == e.attributes  # what is kept for them is not here
    best, *others = (called(a.coordinate, "rest", e.target) for a in e.attributes)
    assert told_apart(e, dict.fromkeys(others, best)) == e.attributes[:1]
    assert len(flickers(moving, tmp_path, {second: first})) == 2


def test_a_bundle_of_an_earlier_version_is_known_by_its_source(moving, tmp_path):
    names, _, known = bundle.files_of(["plain"], 2, 16)
    for name in ("samples", "attributes"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "samples" / "plain-1.png")
    Image.new("RGB", (800, 600)).save(tmp_path / "samples" / "plain-2.png")
    (tmp_path / "attributes" / "1.gif").write_bytes(b"flicker")
    assert not known(tmp_path / "samples" / "plain-1.png")
    (tmp_path / "samples" / "SOURCE.md").write_text(SOURCE)
    assert known(tmp_path / "samples" / "plain-1.png")
    assert known(tmp_path / "attributes" / "1.gif")
    assert not known(tmp_path / "samples" / "plain-2.png")
    assert {"samples/plain-1.png", "attributes/6.gif", "metrics.json"} <= set(names)
