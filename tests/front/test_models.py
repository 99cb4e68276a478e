"""The shelf of models: how they are called, in which order they come, and what a broken one does. No network."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from front.models import ORDER, Exhibit, Shelf, Wish, in_order, spread, wishes
from stylex import ModelError
from stylex.classifiers.classifier import wrap

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bundled(model_folder, tmp_path) -> Path:
    """Two models, and a folder that is none."""
    for name in ("leaves", "hands"):
        shutil.copytree(model_folder, tmp_path / "checkpoints" / name)
    (tmp_path / "checkpoints" / "notes").mkdir()
    return tmp_path / "checkpoints"


def test_every_bundled_model_is_shown_by_the_name_of_its_folder(bundled):
    shelf = Shelf(wishes("", bundled))
    shelf.fill()
    assert shelf.names() == ["leaves", "hands"]
    assert shelf.get().name == shelf.get("").name == "leaves"
    assert shelf.get("leaves").model.class_names == ["plain", "spotted"]
    assert (shelf.news(), shelf.is_waiting) == ([], False)


def test_named_models_come_first_and_none_comes_twice(bundled, model_folder):
    found = wishes(f" {bundled / 'leaves'}, me/a, me/a@v2,{model_folder},,me/a", bundled)
    mine = f"{model_folder.parent.name}/{model_folder.name}"
    assert [wish.name for wish in found] == ["leaves", "me/a", "me/a@v2", mine, "hands"]
    assert [(wish.source, wish.revision) for wish in found[1:3]] == [("me/a", None), ("me/a", "v2")]
    assert [wish.is_remote for wish in found] == [False, True, True, False, False]


def test_a_model_that_is_not_on_the_shelf_cannot_be_had(bundled, model_folder):
    shelf = Shelf(wishes("", bundled))
    shelf.fill()
    for name in (str(model_folder), "../model", "me/a", "checkpoints/leaves"):
        with pytest.raises(ValueError, match=r"there is no model .* choose one of leaves, hands"):
            shelf.get(name)


def test_a_broken_model_hides_no_other_and_its_path_is_not_told(bundled, capsys):
    (bundled / "hands" / "config.json").write_text("{", encoding="utf-8")
    shelf = Shelf(wishes("", bundled))
    shelf.fill()
    assert shelf.names() == ["leaves"]
    assert shelf.news() == ["hands cannot be shown: the log of the app says why. Meanwhile you see leaves."]
    assert "hands cannot be shown: " + str(bundled / "hands" / "config.json") in capsys.readouterr().err


def test_a_model_without_its_classifier_is_shown_with_the_one_that_the_environment_names(
    bundled, tiny_model, tmp_path, monkeypatch
):
    model = copy.copy(tiny_model)
    network = tiny_model.classifier.network
    model.classifier = wrap(network, ["plain", "spotted"], 16, mean=(0.5,) * 3, std=(0.5,) * 3)
    model.save_pretrained(bundled / "mine")
    (bundled / "mine" / "README.md").unlink()
    monkeypatch.setitem(sys.modules, "mine_to_show", SimpleNamespace(network=network))
    shelf = Shelf(wishes("", bundled))
    shelf.fill()
    assert shelf.names() == ["leaves", "hands"]
    monkeypatch.setenv("STYLEX_CLASSIFIER", "mine_to_show:network")
    shelf = Shelf(wishes("", bundled))
    shelf.fill()
    assert shelf.names() == ["leaves", "hands", "mine"]  # the others keep their own


def test_no_model_at_all_is_an_error(bundled, tmp_path):
    with pytest.raises(ModelError, match="there is no model to show"):
        Shelf(wishes("", tmp_path / "nothing")).fill()
    for name in ("leaves", "hands"):
        (bundled / name / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"hands/config\.json is not valid JSON"):
        Shelf(wishes("", bundled)).fill()


def test_samples_and_numbers_are_those_beside_the_model(model_folder, pictures):
    shutil.copytree(pictures / "spotted", model_folder / "samples")
    (model_folder / "metrics.json").write_text('{"n": 3}', encoding="utf-8")
    shown = Exhibit.read("mine", model_folder)
    assert len(shown.pictures) == 30
    assert all(path.stem == name for name, path in shown.pictures.items())
    assert shown.metrics == {"n": 3}
    assert {path.name for path in shown.papers} == {"README.md", "attributes.json", "metrics.json", "config.json"}


def test_few_of_many_pictures_are_from_all_over_the_list():
    assert spread(range(5), 5) == [0, 1, 2, 3, 4]
    assert spread(range(100), 4) == [0, 25, 50, 75]


def test_a_model_on_its_way_is_said_to_be_and_then_a_silent_hub_is(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    wish = Wish("me/a@v2", "me/a", "v2")
    shelf = Shelf([wish])
    assert shelf.is_waiting
    assert shelf.news()[0].startswith("Fetching me/a@v2 from the Hub: 0.0 MB so far.")
    wish.since -= 5
    assert shelf.news()[0].startswith("The Hub does not answer; me/a@v2 will be here if it does.")
    blobs = tmp_path / "models--me--a" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "half.incomplete").write_bytes(bytes(1_500_000))
    assert shelf.news()[0].startswith("Fetching me/a@v2 from the Hub: 1.5 MB so far.")


def test_samples_come_in_the_order_that_lies_beside_them_and_what_it_leaves_out_at_the_end(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in "abcd"]
    assert in_order(paths) == paths
    (tmp_path / "order.json").write_text('{"order": ["c", "gone", "a"]}')
    assert [path.stem for path in in_order(paths)] == ["c", "a", "b", "d"]
    (tmp_path / "order.json").write_text('{"order": "cab"}')  # of a stranger
    assert in_order(paths) == paths
    assert in_order([]) == []


@pytest.mark.parametrize("samples", sorted(ROOT.glob("checkpoints/*/samples")), ids=lambda path: path.parent.name)
def test_every_bundled_sample_has_its_place_in_the_order(samples):
    order = json.loads((samples / ORDER).read_text(encoding="utf-8"))["order"]
    assert sorted(order) == sorted(path.stem for path in samples.glob("*.png"))
