"""Descriptions are added to a model that has none, in its file and on its card, and nothing else of it changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from stylex import ModelError, StylEx
from stylex.storage.alike import called
from stylex.storage.card import model_card
from train.describe_attributes import main
from train.engine.revision import revision_of


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_model_gets_descriptions_and_keeps_its_names_and_weights(model_folder, pictures, capsys):
    path = model_folder / "attributes.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    rows["attributes"][0]["name"] = "dark spots"
    path.write_text(json.dumps(rows), encoding="utf-8")
    model = StylEx.from_pretrained(model_folder)
    (model_folder / "README.md").write_text(model_card(model.facts(), "me/model"), encoding="utf-8")
    before = digests(model_folder)
    main(["--model", str(model_folder), "--data", str(pictures), "--images", "20"])
    after = digests(model_folder)
    assert {name for name in after if after[name] != before.get(name)} == {"attributes.json", "README.md"}
    found = StylEx.from_pretrained(model_folder).attributes
    assert found[0].name == found[0].title == "dark spots"
    assert all(a.proposal is not None and a.proposal.pictures >= 1 for a in found)
    card = (model_folder / "README.md").read_text(encoding="utf-8")
    assert f"dark spots; *{found[0].proposal.text}" in card or "| dark spots |" in card
    for a in found[1:]:
        assert f"*{a.words}" in card
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(found)
    assert f"{found[1].coordinate}: {found[1].title} (" in said[1]


def test_the_words_of_what_is_not_told_apart_on_the_card_change_with_them(model_folder, pictures):
    model = StylEx.from_pretrained(model_folder)
    two = [a for a in model.attributes if a.target == model.attributes[0].target][:2]
    keys = [called(a.coordinate, a.source, a.target) for a in two]
    numbers = {"n": 10, "shift": 1.0, "revision": revision_of(model), "two_afc_alike": [[*keys, 0.5]]}
    (model_folder / "metrics.json").write_text(json.dumps(numbers), encoding="utf-8")
    card = model_folder / "README.md"
    card.write_text(model_card(model.facts(), "me/model", metrics=numbers), encoding="utf-8")
    main(["--model", str(model_folder), "--data", str(pictures), "--images", "8"])
    facts = StylEx.from_pretrained(model_folder).facts()
    assert card.read_text(encoding="utf-8") == model_card(facts, "me/model", metrics=numbers)
    assert "### Not told apart" in card.read_text(encoding="utf-8")


def test_an_edited_card_is_left_alone(model_folder, pictures):
    card = (model_folder / "README.md").read_text(encoding="utf-8")  # "# A tiny model for tests", which has no seal
    main(["--model", str(model_folder), "--data", str(pictures), "--images", "8"])
    assert (model_folder / "README.md").read_text(encoding="utf-8") == card


def test_a_model_without_attributes_is_told_what_to_do(model_folder, pictures):
    (model_folder / "attributes.json").write_text('{"attributes": []}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"has no attributes yet; run train/find_attributes.py on it first"):
        main(["--model", str(model_folder), "--data", str(pictures)])
