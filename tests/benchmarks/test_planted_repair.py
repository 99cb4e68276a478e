"""A planted shortcut, marked, repaired and asked about in exact pictures."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from benchmarks import planted_repair
from benchmarks.planting.pictures import SEEDS_APART, part_of, plant
from benchmarks.planting.reader import LEARNT_FROM
from benchmarks.planting.scenarios import SCENARIOS, position
from benchmarks.planting.scenes import NAMES
from stylex import StyleStats
from stylex.storage.files import write_json
from stylex.stylespace import Direction


def by_the_bar(x: Tensor) -> Tensor:
    """Logits by how bright the left of the scale bar's line is, which a long bar reaches."""
    side = x.shape[-1]
    bright = x[:, :, round(0.91 * side), round(0.45 * side) : round(0.6 * side)].mean(dim=(1, 2))
    return torch.stack([-8 * bright, 8 * bright], dim=1)


def test_what_a_factor_moves_is_told_by_drawing_it_anew(tmp_path):
    plant(SCENARIOS["shortcut"], 0, 32, tmp_path, count=40)
    pictures = part_of(tmp_path, "train", ("low", "high"))
    assert planted_repair.moves_by(by_the_bar, pictures, "bar") > 0.3
    assert planted_repair.moves_by(by_the_bar, pictures, "core") < 0.02


def test_coordinates_that_change_the_shortcut_most_are_marked_once():
    stats = StyleStats(torch.zeros(3), torch.ones(3), torch.zeros(3), torch.ones(3), 9)
    moves = [(0, Direction.UP), (1, Direction.UP), (1, Direction.DOWN), (2, Direction.UP)]
    listed = [SimpleNamespace(index=index, direction=direction) for index, direction in moves]
    model = SimpleNamespace(attributes=listed, stats=stats, synthesize=lambda s: s)

    def read(s: Tensor) -> Tensor:  # coordinate 1 is the bar, 0 the core, 2 a little of both
        factors = torch.zeros(len(s), len(NAMES))
        factors[:, position("bar")] = s[:, 1] + 0.2 * s[:, 2]
        factors[:, position("core")] = s[:, 0] + 0.4 * s[:, 2]
        return factors

    assert planted_repair.marked(model, torch.full((4, 3), 0.5), read, "bar") == {1: 1.0}


def test_fair_pictures_are_of_no_scenario_and_no_reader():
    assert SEEDS_APART * planted_repair.FAIR_SEED + planted_repair.FAIR_COUNT < LEARNT_FROM


@pytest.fixture
def run(tiny_model, tmp_path, monkeypatch):
    """What benchmarks/planted.py leaves, with a model that nobody trained, and a reader of nothing but the ground."""
    planting = planted_repair.PLANTINGS["ground"]
    few = {name: dataclasses.replace(getattr(planting, name), count=40) for name in ("scenario", "fair")}
    monkeypatch.setitem(planted_repair.PLANTINGS, "ground", dataclasses.replace(planting, **few))
    for name, value in (("FAIR_COUNT", 20), ("ASKED", 4), ("LEARNT", 0.0)):
        monkeypatch.setattr(planted_repair, name, value)
    folder = tmp_path / "planted" / "16px" / "lure-0"
    plant(few["scenario"], 0, 16, folder)
    model = tiny_model.save_pretrained(folder / "run" / "model")
    for path in model.rglob("*.json"):
        text = path.read_text(encoding="utf-8").replace('"plain"', '"low"').replace('"spotted"', '"high"')
        path.write_text(text, encoding="utf-8")
    (folder / "classifier").mkdir()
    for done in ("classifier/metrics.json", "run/metrics.json", "searched.json"):
        write_json(folder / done, {"seconds": 1})

    def read(x: Tensor) -> Tensor:
        factors = torch.zeros(len(x), len(NAMES))
        factors[:, position("ground")] = x.mean(dim=(1, 2, 3))
        return factors

    monkeypatch.setattr(planted_repair, "reader_of", lambda *given: read)
    (tmp_path / "methods.md").write_text("# Methods\n", encoding="utf-8")
    return ["--output", str(tmp_path / "planted"), "--side", "16", "--epochs", "1", "--batch_size", "16"]


def test_both_classifiers_are_asked_and_the_table_is_written(run, tmp_path, capsys):
    more = ["--with_class", "true", "--agreement", "1"]
    found = planted_repair.main([*run, *more, "--json", str(tmp_path / "repair.json"), "--docs", str(tmp_path)])
    assert json.loads((tmp_path / "repair.json").read_text(encoding="utf-8")) == found
    assert found["marked"]
    assert found["before"]["test"]["n"] == 20
    assert found["before"]["test"]["groups"].keys() == {"agrees", "contradicts"}
    assert found["settings"]["epochs"] == 1
    assert found["settings"]["with_class"] is True
    folder = tmp_path / "planted" / "16px" / "lure-0"
    control = json.loads((folder / "control" / "repair.json").read_text(encoding="utf-8"))
    assert control["settings"] == found["settings"] | {"with_class": False, "agreement": 0.0, "strength": 0.001}
    assert control["after"] == found["control"] != found["after"]
    assert found["exact"].keys() == {"before", "after", "control"}
    text = (tmp_path / "methods.md").read_text(encoding="utf-8")
    assert "<!-- planted repair: written by benchmarks/planted_repair.py -->" in text
    assert "| right where the shortcut says nothing |" in text
    assert "| of these, where it contradicts |" in capsys.readouterr().out


def test_where_nothing_was_learnt_or_nothing_changes_the_shortcut_nothing_is_repaired(run, monkeypatch, capsys):
    sizes = torch.eye(len(NAMES))[:1]
    monkeypatch.setattr(planted_repair, "reader_of", lambda *given: lambda x: torch.rand(len(x), 1) * sizes)
    for least, says in (
        (0.0, "changes the ground most: there is none to mark"),
        (1.1, "has not learnt the ground, which"),
    ):
        monkeypatch.setattr(planted_repair, "LEARNT", least)
        with pytest.raises(SystemExit):
            planted_repair.main(run)
        assert says in capsys.readouterr().err


def test_the_label_follows_from_the_spots_and_mostly_goes_with_the_ground():
    planting = planted_repair.PLANTINGS["ground"]
    for scenario, agreement in ((planting.scenario, (0.9, 1.0)), (planting.fair, (0.4, 0.6))):
        factors, labels = scenario.sample(500, torch.Generator().manual_seed(0))
        assert torch.equal((factors[:, position("spots")] > 0.5).long(), labels)
        agrees = ((factors[:, position("ground")] > 0.5).long() == labels).float().mean()
        assert agreement[0] < agrees < agreement[1]
