"""What should be no reason is taken from a classifier, and the page says what that did."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from small import NAMES
from torch import Tensor

from front.review import read_said, reviewed, save
from stylex import StylEx, load_classifier
from stylex.classifiers.adopt import adopt
from stylex.classifiers.classifier import ClassifierError, wrap
from stylex.methods.records import MethodError
from stylex.storage.outputs import OutputError
from stylex.stylespace import StyleStats
from train import repair
from train.measure.dependence import dependence, fall


def test_dependence_by_hand():
    """A classifier that reads the first of two coordinates: at its ends the probability is 1/4 and 3/4."""
    s = torch.zeros(3, 2)
    ends = torch.tensor([3.0, 3.0]).log()
    stats = StyleStats(-ends, ends, torch.zeros(2), torch.ones(2), 3)

    def logits_of(s: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(s)), s[:, 0] - 0.001], dim=1)

    first, second = dependence(logits_of, s, [0, 1], stats)
    assert first.distance == pytest.approx(0.25, abs=1e-3)
    assert (first.flips, second.distance, second.flips) == (0.5, 0, 0)
    assert first.each.tolist() == pytest.approx([0.25] * 3, abs=1e-3)
    assert fall([first], [second]) == 1
    assert fall([second], [first]) == 0


@pytest.fixture
def run(model_folder, pictures, tmp_path):
    def of(*more: str, model=model_folder):
        given = ["--model", str(model), "--data", str(pictures), "--output", str(tmp_path / "out")]
        return repair.main([*given, "--epochs", "1", "--batch_size", "16", *more])

    return of


def mark(model_folder) -> int:
    """A person's tick at the first attribute: its coordinate."""
    path = model_folder / "attributes.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    told["attributes"][0]["no_reason"] = True
    path.write_text(json.dumps(told), encoding="utf-8")
    return told["attributes"][0]["index"]


def test_a_marked_attribute_is_measured_before_and_after_and_the_classifier_is_kept(run, model_folder, tmp_path):
    index = mark(model_folder)
    numbers = run()
    assert [row["index"] for row in numbers["marked"]] == [index]
    assert numbers["marked"][0]["before"] == numbers["before"]["dependence"]
    assert 0 <= numbers["after"]["held_out"]["accuracy"] <= 1
    assert json.loads((tmp_path / "out" / "repair.json").read_text(encoding="utf-8")) == numbers
    new, old = load_classifier(tmp_path / "out"), StylEx.from_pretrained(model_folder).classifier
    assert new.class_names == old.class_names
    x = torch.rand(2, 3, 16, 16)
    assert not torch.allclose(new(x), old(x), atol=1e-2)
    page = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert "What took their place" in page
    assert page.count("<img") >= 2
    assert "http" not in page


def test_with_the_class_goes_all_that_follows_it_but_what_is_kept_and_nobody_can_tell_whose_it_was(tiny_model):
    latent = tiny_model.encode(torch.rand(4, 3, 16, 16) * 2 - 1)
    turned = torch.cat([latent[:, :-2], latent[:, -2:].flip(1)], dim=1)
    own, other = tiny_model.styles(latent), tiny_model.styles(turned)
    kept, stats = [int((own - other).abs().sum(dim=0).argmax())], StyleStats.of(torch.cat([own, other]))

    def drawn(latent: Tensor, own: Tensor) -> Tensor:
        return repair.as_any_class(tiny_model, latent, own, kept, stats, torch.Generator().manual_seed(0))

    found = drawn(latent, own)
    torch.testing.assert_close(found[:, kept], own[:, kept])
    torch.testing.assert_close(drawn(turned, other)[:, kept], other[:, kept])
    others = [i for i in range(found.shape[1]) if i not in kept]
    torch.testing.assert_close(drawn(turned, other)[:, others], found[:, others])
    assert not torch.allclose(found[:, others], own[:, others], atol=1e-2)
    assert ((found >= stats.s_min) & (found <= stats.s_max))[:, others].all()


def test_a_repair_with_the_class_is_told_as_one(run, model_folder):
    mark(model_folder)
    assert run("--with_class", "true")["settings"]["with_class"] is True


def test_a_review_from_the_app_is_read_in_place_of_the_model_s_own_list(run, tiny_model, tmp_path):
    said = read_said([{"attribute": 2, "name": "colour", "ticks": ["no reason"]}], len(tiny_model.attributes))
    save(tmp_path, tiny_model, reviewed(tiny_model.attributes, said))
    numbers = run("--attributes", str(tmp_path / "attributes.json"))
    (row,) = numbers["marked"]
    assert (row["index"], row["names"]) == (tiny_model.attributes[2].index, ["colour"])
    with pytest.raises(MethodError, match=r"attributes is .*nothing\.json, which is no file; the app's review sheet"):
        run("--attributes", str(tmp_path / "nothing.json"))


def test_a_mark_stays_with_the_model(model_folder, tmp_path):
    mark(model_folder)
    model = StylEx.from_pretrained(model_folder)
    assert [a.no_reason for a in model.attributes][:2] == [True, False]
    again = StylEx.from_pretrained(model.save_pretrained(tmp_path / "again"))
    assert [a.no_reason for a in again.attributes] == [a.no_reason for a in model.attributes]
    rows = json.loads((tmp_path / "again" / "attributes.json").read_text(encoding="utf-8"))["attributes"]
    assert ["no_reason" in row for row in rows[:2]] == [True, False]  # the others are as older versions know them
    rows[0]["no_reason"] = "yes"
    (tmp_path / "again" / "attributes.json").write_text(json.dumps({"attributes": rows}), encoding="utf-8")
    with pytest.raises(ValueError, match="attribute 0: no_reason is 'yes'; it must be true or false"):
        StylEx.from_pretrained(tmp_path / "again")


def test_groups_and_a_test_of_another_source_are_told(run, pictures, tmp_path):
    table = tmp_path / "groups.csv"
    files = sorted(p.relative_to(pictures).as_posix() for p in pictures.rglob("*.png"))
    table.write_text("\n".join(["file,group", *(f"{f},{'ab'[i % 2]}" for i, f in enumerate(files))]), encoding="utf-8")
    numbers = run("--no_reason", "[3]", "--test", str(pictures), "--groups", str(table))
    for when in ("before", "after"):
        told = numbers[when]["test"]
        assert told["n"] == 60
        assert told["worst_group"] == min(told["groups"][g]["accuracy"] for g in "ab")
    table.write_text("file,group\nplain/plain-0.png,a\n", encoding="utf-8")
    with pytest.raises(MethodError, match=r"groups\.csv lacks .*\.png; it needs a row for each picture"):
        run("--no_reason", "[3]", "--groups", str(table))


def test_what_cannot_be_repaired_is_said(run, model_folder, tiny_model, pictures, tmp_path):
    with pytest.raises(MethodError, match="no attribute is marked as no reason: write"):
        run()
    with pytest.raises(MethodError, match="no_reason is 9999; the searched coordinates are 0 to"):
        run("--no_reason", "[9999]")
    with pytest.raises(MethodError, match=r"strength is 2\.0; use a number above 0 and up to 1"):
        run("--strength", "2")
    flat = tmp_path / "flat"
    flat.mkdir()
    for i in range(20):
        Image.new("RGB", (16, 16), (9 * i, 80, 80)).save(flat / f"{i}.png")
    with pytest.raises(MethodError, match="has no labels, and a classifier learns from labels"):
        run("--no_reason", "[3]", "--data", str(flat))
    with pytest.raises(ClassifierError, match="a TorchScript file or a function, which cannot be trained on"):
        repair.check_repairable(wrap(lambda x: x.mean((2, 3))[:, :2], list(NAMES), 16))
    with pytest.raises(ClassifierError, match="are those of the wheel efficientnet-lite0, which stay as they are"):
        repair.check_repairable(adopt("wheel:efficientnet-lite0", resolution=64))
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "page.html").write_text("mine")
    with pytest.raises(OutputError, match=r"page\.html was not written by stylex"):
        run("--no_reason", "[3]")
