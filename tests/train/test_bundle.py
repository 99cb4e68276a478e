"""A trained model becomes a folder to ship: whole, with samples that it made itself and a card of measured numbers."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from stylex import ModelError, StylEx
from stylex.pictures.images import to_pil
from stylex.storage.alike import called
from stylex.storage.files import read_json
from stylex.storage.outputs import MANIFEST
from train import evaluate
from train.bundle import address_of, attribute_sheet, choose_samples, main
from train.data.pictures import in_validation, load_pictures, to_float
from train.data.records import DataError
from train.engine.revision import revision_of

ABOUT = Path(__file__).resolve().parents[2] / "train" / "configs" / "leaves-about.md"


@pytest.fixture(scope="module")
def trained(tiny_model, tmp_path_factory) -> Path:
    """The tiny model, turned around so that it often keeps the class of a picture."""
    model = copy.copy(tiny_model)
    model.generator = copy.deepcopy(tiny_model.generator)
    model.generator.affine.class_weight.data.neg_()
    return model.save_pretrained(tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture(scope="module")
def data(trained, tmp_path_factory) -> Path:
    """Held-out pictures of both classes, four or more of each; drawn by the model, since it knows no others."""
    model, folder = StylEx.from_pretrained(trained), tmp_path_factory.mktemp("data")
    x = model.synthesize(model.sample(torch.tensor([[0.9, 0.1], [0.1, 0.9]]).repeat(20, 1), seed=4))
    names = (f"{i}.png" for i in range(10_000) if in_validation(Path(f"{i}.png")))
    for picture, k, name in zip(x, model.logits(x).argmax(1).tolist(), names, strict=False):
        (folder / model.class_names[k]).mkdir(exist_ok=True)
        to_pil(picture).save(folder / model.class_names[k] / name)
    # One of each class that is not held out, or one of the others would be lent to that side.
    seen = (f"{i}.png" for i in range(10_000) if not in_validation(Path(f"{i}.png")))
    for name in model.class_names:
        first = min((folder / name).iterdir())
        shutil.copy(first, folder / name / next(seen))
    return folder


@pytest.fixture(scope="module")
def metrics(trained, data, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("metrics") / "metrics.json"
    evaluate.main(["--model", str(trained), "--data", str(data), "--split", "val", "--output", str(path)])
    return path


@pytest.fixture(scope="module")
def bundle(trained, data, metrics) -> Callable[..., Path]:
    def run(output: Path, **changes) -> Path:
        values = {"model": trained, "data": data, "metrics": metrics, "about": ABOUT, "output": output, "samples": 3}
        main([arg for name, value in {**values, **changes}.items() for arg in (f"--{name}", str(value))])
        return output

    return run


@pytest.fixture(scope="module")
def shipped(bundle, tmp_path_factory) -> Path:
    return bundle(tmp_path_factory.mktemp("checkpoints") / "tiny")


def test_the_folder_holds_the_whole_model(shipped, trained, metrics):
    model, before = StylEx.from_pretrained(shipped), StylEx.from_pretrained(trained)
    assert revision_of(model) == revision_of(before) == read_json(metrics)["revision"]
    assert model.attributes == before.attributes
    names = {p.relative_to(shipped).as_posix() for p in shipped.rglob("*") if p.is_file()}
    assert {"config.json", "README.md", "metrics.json", "attributes.json", "attributes.png"} <= names
    assert {"style_stats.safetensors", "generator/model.safetensors", "samples/SOURCE.md"} <= names
    assert not [name for name in names if name.endswith(".part")]


def test_the_samples_are_reconstructions_and_no_photographs(shipped, trained, data):
    model, held_out = StylEx.from_pretrained(trained), load_pictures(data, 16, "val")
    x = to_float(held_out.x)
    x_rec = model.synthesize(model.styles(model.encode(x)))
    reconstructions = {np.asarray(to_pil(picture)).tobytes(): k for k, picture in enumerate(x_rec)}
    photographs = {np.asarray(to_pil(picture)).tobytes() for picture in x}
    samples = sorted((shipped / "samples").glob("*.png"))
    assert [p.name for p in samples] == [f"{name}-{n}.png" for name in ("plain", "spotted") for n in (1, 2, 3)]
    for path in samples:
        with Image.open(path) as image:
            made = np.asarray(image).tobytes()
        assert made in reconstructions
        assert made not in photographs
        name = path.name.split("-")[0]
        picture = x[reconstructions[made]][None]
        for says in (model.classify(picture), model.classify(x_rec[reconstructions[made]][None])):
            assert model.class_names[int(says.argmax())] == name
    assert "made by this model" in (shipped / "samples" / "SOURCE.md").read_text(encoding="utf-8")


def test_the_card_s_numbers_are_the_measured_ones(shipped, metrics):
    text, numbers = (shipped / "README.md").read_text(encoding="utf-8"), read_json(metrics)
    assert json.loads((shipped / "metrics.json").read_text(encoding="utf-8")) == numbers
    table = [line for line in text.splitlines() if line.startswith("|")]
    for key in ("classifier_accuracy", "agreement", "retrieval", "mean_abs_delta_prob", "l1", "kid", "visibility"):
        assert any(f"| {numbers[key]} |" in row for row in table), key
    for k in ("1", "3", "5", "10", "20"):
        assert any(str(numbers["sufficiency"][k]) in row for row in table)
    assert f"On {numbers['n']} held-out pictures, shift 1.0" in text
    assert numbers["revision"] in text
    assert "Data and licence" in text


def test_the_card_lists_every_attribute_with_its_effect(shipped):
    model, text = StylEx.from_pretrained(shipped), (shipped / "README.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| spotted | plain |")]
    towards = [a for a in model.attributes if a.target == "plain"]
    assert len(rows) == len(towards) > 0
    for row, a in zip(rows, towards, strict=True):
        assert row[3] == a.coordinate
        assert float(row[4]) == pytest.approx(a.delta_logit, abs=0.005)


def test_a_second_bundle_leaves_no_sample_of_the_first(bundle, shipped, tmp_path):
    folder = shutil.copytree(shipped, tmp_path / "tiny")
    bundle(folder, samples=1)
    assert sorted(p.name for p in (folder / "samples").iterdir()) == [
        MANIFEST,
        "SOURCE.md",
        "plain-1.png",
        "spotted-1.png",
    ]


def test_the_card_s_example_runs_where_its_reader_is(bundle, shipped, tmp_path):
    """From the root of this repository for a folder in it; else by the words it was asked for in, or its name."""
    here = Path(main.__code__.co_filename).resolve().parents[1]
    assert address_of("checkpoints/leaves", here) == "checkpoints/leaves"
    assert address_of(str(here / "checkpoints" / "leaves"), Path("/")) == "checkpoints/leaves"
    assert address_of("leaves", here / "checkpoints") == "checkpoints/leaves"
    assert address_of("out/tiny", tmp_path) == "out/tiny"
    assert address_of(str(tmp_path / "tiny"), here) == "tiny"
    assert 'StylEx.from_pretrained("tiny")' in (shipped / "README.md").read_text(encoding="utf-8")
    moved = bundle(tmp_path / "cats2", address="checkpoints/cats_dogs")
    assert 'StylEx.from_pretrained("checkpoints/cats_dogs")' in (moved / "README.md").read_text(encoding="utf-8")


def test_own_pictures_beside_the_samples_and_flickers_stay(bundle, shipped, tmp_path):
    folder = shutil.copytree(shipped, tmp_path / "tiny")
    mine = [folder / "samples" / "mine.png", folder / "attributes" / "mine.gif", folder / "samples" / "plain-9.png"]
    for path in mine:
        path.write_bytes(b"mine")
    bundle(folder, samples=1)
    assert [path.read_bytes() for path in mine] == [b"mine"] * 3
    (folder / "samples" / "plain-1.png").write_bytes(b"mine")
    with pytest.raises(ModelError, match=r"plain-1\.png was not written by stylex, or was edited since"):
        bundle(folder, samples=1)


# Which pictures.


def pencil_model(probs: list[float], probs_rec: list[float]) -> SimpleNamespace:
    """Pictures are single numbers, and so is what the classifier says of class 0; reconstructing adds 100."""

    def classify(x: torch.Tensor) -> torch.Tensor:
        known = probs if int(x[0]) < 100 else probs_rec
        p = torch.tensor([known[int(v) % 100] for v in x])
        return torch.stack([p, 1 - p], dim=1)

    return SimpleNamespace(
        class_names=["a", "b"],
        encode=lambda x: x,
        styles=lambda latent: latent,
        synthesize=lambda s: s + 100,
        classify=classify,
    )


def test_a_card_that_somebody_edited_is_left_alone_and_that_is_said(bundle, shipped, tmp_path, capsys):
    output = tmp_path / "again"
    shutil.copytree(shipped, output)
    card = output / "README.md"
    bundle(output)
    assert "left alone" not in capsys.readouterr().err
    card.write_text(card.read_text(encoding="utf-8").replace("diseased", "sick"), encoding="utf-8")
    edited = card.read_bytes()
    bundle(output)
    assert card.read_bytes() == edited
    assert f"warning: somebody edited {card}, so it is left alone" in capsys.readouterr().err


def test_a_sample_is_of_its_class_before_and_after():
    x = torch.arange(6.0)
    #                            right  lost  wrong  label b, right, right, called a
    model = pencil_model([0.9, 0.9, 0.2, 0.1, 0.4, 0.8], [0.8, 0.3, 0.1, 0.3, 0.1, 0.9])
    chosen = choose_samples(model, x, torch.tensor([0, 0, 0, 1, 1, 1]), 2)
    assert {name: group.tolist() for name, group in chosen.items()} == {"a": [100.0], "b": [103.0, 104.0]}


def test_samples_are_spread_over_the_middle_half():
    p = [0.5 + i / 100 for i in range(1, 41)] + [0.1]
    chosen = choose_samples(pencil_model(p, p), torch.arange(41.0), torch.tensor([0] * 40 + [1]), 3)
    assert chosen["a"].tolist() == [129.0, 120.0, 110.0]
    assert chosen["b"].tolist() == [140.0]


def test_a_class_that_no_reconstruction_keeps_is_refused():
    model = pencil_model([0.9, 0.1], [0.9, 0.8])
    with pytest.raises(DataError, match="no held-out picture of b keeps its class when it is reconstructed"):
        choose_samples(model, torch.arange(2.0), torch.tensor([0, 1]), 1)


def test_the_sheet_has_room_for_the_longest_row():
    def explanation(count: int) -> SimpleNamespace:
        picture = Image.new("RGB", (16, 16))
        edits = [SimpleNamespace(image=picture, heading="darker", coordinate=f"c{n}") for n in range(count)]
        return SimpleNamespace(reconstruction=picture, attributes=edits, predicted="plain", target="spotted")

    wide = attribute_sheet([explanation(3), explanation(0)])
    assert wide.width > attribute_sheet([explanation(1), explanation(0)]).width
    assert attribute_sheet([explanation(0)]).height > 16
    alike = {called("c2", "plain", "spotted"): called("c0", "plain", "spotted")}
    assert attribute_sheet([explanation(3)], alike).width == attribute_sheet([explanation(2)]).width


# What is refused, before anything is written.


def test_numbers_of_another_model_are_refused(bundle, metrics, tmp_path):
    (tmp_path / "old.json").write_text(json.dumps({**read_json(metrics), "revision": "0123456789ab"}))
    with pytest.raises(ModelError, match=r"old\.json is about revision 0123456789ab, .* is .*; evaluate it again"):
        bundle(tmp_path / "out", metrics=tmp_path / "old.json")
    assert not (tmp_path / "out").exists()


def test_numbers_of_other_attributes_are_refused(bundle, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "model")
    rows = read_json(folder / "attributes.json")
    (folder / "attributes.json").write_text(json.dumps({"attributes": rows["attributes"][1:]}))
    with pytest.raises(ModelError, match="its weights or attributes have changed; evaluate it again"):
        bundle(tmp_path / "out", model=folder)
    (folder / "attributes.json").write_text(json.dumps({"attributes": []}))
    with pytest.raises(ModelError, match=r"has no attributes yet; run train/find_attributes\.py on it first"):
        bundle(tmp_path / "out", model=folder)
    assert not (tmp_path / "out").exists()


def test_without_labels_the_classifier_s_answers_count(bundle, shipped, data, tmp_path):
    flat = tmp_path / "flat"
    for folder in data.iterdir():
        shutil.copytree(folder, flat, dirs_exist_ok=True)
    for path in (bundle(tmp_path / "out", data=flat) / "samples").glob("*.png"):
        assert path.read_bytes() == (shipped / "samples" / path.name).read_bytes()


def test_what_is_missing_is_named(bundle, make_pictures, tmp_path):
    with pytest.raises(DataError, match=r"about\.md is missing; write it, with train/configs/leaves-about\.md as"):
        bundle(tmp_path / "out", about=tmp_path / "about.md")
    with pytest.raises(DataError, match=r"metrics\.json is missing; run train/evaluate\.py first"):
        bundle(tmp_path / "out", metrics=tmp_path / "metrics.json")
    folder = make_pictures(count=2)
    (folder / "plain").rename(folder / "striped")
    with pytest.raises(DataError, match="has the classes spotted, striped, the classifier plain, spotted; they"):
        bundle(tmp_path / "out", data=folder)
    assert not (tmp_path / "out").exists()
