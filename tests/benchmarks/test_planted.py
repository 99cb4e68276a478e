"""A planted scenario from the drawing to the page, in far too few steps of training for anything to be found."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from small import SMALL, command_line

from benchmarks.planting.pictures import part_of
from stylex.methods import maps
from train import train_classifier
from train.data.pictures import load_pictures, to_float
from train.options.command import parse

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def planted(monkeypatch):
    """`benchmarks/planted.py` on few pictures, its scripts in this process, which spares the starts of torch."""
    spec = importlib.util.spec_from_file_location("benchmarks_planted", ROOT / "benchmarks" / "planted.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.started = []

    def run(script: str, *args: str) -> None:
        module.started.append(script)
        importlib.import_module(f"train.{script.removesuffix('.py')}").main(list(args))

    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "CONFIG", "train/configs/ablations.yaml")
    monkeypatch.setattr(module, "SEARCH", {**module.SEARCH, "images": 4, "candidates": 5, "batch_size": 8})
    monkeypatch.setattr(module, "BAR", -math.inf)
    for name, few in (("ASKED", 2), ("TRUE_ON", 4), ("KNOWN", 12)):
        monkeypatch.setattr(module, name, few)
    for name, scenario in module.SCENARIOS.items():
        few = {"epochs": 1, "width": 4, "blocks": 1}
        changed = {"count": 40, "learning": {**scenario.learning, **few}, "search": {"min_visible": 0}}
        monkeypatch.setitem(module.SCENARIOS, name, dataclasses.replace(scenario, **changed))
    return module


def arguments(folder: Path, scenarios: str) -> list[str]:
    small = command_line(**{**SMALL, "perceptual": "efficientnet", "total_kimg": 0.008, "decay_kimg": 0})
    asked = ["--scenarios", scenarios, "--seeds", "1", "--side", "32", "--reader-steps", "2"]
    places = ["--output", str(folder / "runs"), "--json", str(folder / "planted.json"), "--docs", str(folder)]
    return [*asked, *places, *small]


def test_a_scenario_is_drawn_trained_searched_measured_and_written_down_once(planted, tmp_path, capsys):
    place = tmp_path / "Of mine"
    place.mkdir()
    (place / "proof.md").write_text("# Proof\n", encoding="utf-8")
    args = arguments(place, "code")
    numbers = planted.main(args)
    assert planted.started == ["train.py"]
    assert json.loads((place / "planted.json").read_text(encoding="utf-8")) == numbers
    row = numbers["scenarios"]["code"]
    assert row["seeds"] == 1
    assert row["causes"] == {"red": ["hue"], "blue": ["hue"]}  # whatever the generator draws
    assert row["accuracy"] == 1.0
    assert len(row["methods"]) == 10
    for found in row["methods"].values():
        assert {"recall_at_5", "false_causes", "purity", "rank_correlation", "place"} <= found.keys()
    assert numbers["sham_alarms"] is None
    page = (place / "proof.md").read_text(encoding="utf-8")
    assert page.startswith("# Proof\n")
    assert "| code | 1 | 8 | hue |" in page
    assert "| GANalyze |" in page
    assert (place / "proof" / "code.webp").is_file()

    planted.main(args)
    assert len(planted.started) == 1
    assert (place / "proof.md").read_text(encoding="utf-8") == page

    # Another seed, of a run that is not here.
    kept = place / "proof" / "runs.json"
    runs = json.loads(kept.read_text(encoding="utf-8"))
    kept.write_text(json.dumps({**runs, "code-3": {**runs["code-0"], "accuracy": 0.5}}), encoding="utf-8")
    both = planted.main(args)["scenarios"]["code"]
    assert (both["seeds"], both["accuracy"]) == (2, 0.75)
    assert json.loads(kept.read_text(encoding="utf-8"))["code-0"] == runs["code-0"]
    assert planted.runs_of(tmp_path / "none", 64, place) == {}  # of another size


def test_a_part_of_the_pictures_comes_with_what_it_was_drawn_from(planted, tmp_path):
    planted.plant(planted.SCENARIOS["code"], 0, 32, tmp_path)
    val = part_of(tmp_path, "val", ("red", "blue"))
    train_part = part_of(tmp_path, "train", ("red", "blue"))
    assert len(val.names) + len(train_part.names) == 40
    assert not set(val.names) & set(train_part.names)
    pictures = load_pictures(tmp_path / "pictures", 32, "val", ["red", "blue"])
    at = [pictures.names.index(name) for name in val.names]
    assert torch.equal(val.x(), to_float(pictures.x[at]))


@pytest.mark.parametrize("name", ["code", "single", "shortcut", "or", "xor", "pixels", "suppressor", "five", "sham"])
def test_the_options_of_a_scenario_exist(planted, name):
    scenario = planted.SCENARIOS[name]
    learning = {"data": "d", "output": "o", **planted.LEARNING, **scenario.learning}
    parse(train_classifier.Options, "", planted.spelled(learning))
    searching = {"model": "m", "data": "d", **planted.SEARCH, **scenario.search}
    parse(planted.find_attributes.Options, "", planted.spelled(searching))


def test_several_seeds_are_a_row_of_means_and_every_claim_of_the_sham_an_alarm(planted):
    def run(purity: float | None, claims: int, cause: str) -> dict:
        method = {"recall_at_5": 1.0, "false_causes": 1, "purity": purity, "rank_correlation": None, "claims": claims}
        method |= {"place": None, "intervals": {**dict.fromkeys(method), "place": None, "purity": [0.25, 0.75]}}
        classes = {"heads": {"causes": [cause] if cause else []}}
        drawn = dict.fromkeys(planted.NAMES, 0.5)
        numbers = {
            "accuracy": 0.5,
            "trained_on": 10_000,
            "classes": classes,
            "drawn": drawn,
            "drawn_intervals": {name: [0.375, 0.5] for name in planted.NAMES},
            "place_by_chance": None,
            "place_grad_cam": 0.25,
        }
        return {**numbers, "methods": {"AttFind": method}}

    row = planted.together([run(0.5, 2, "hue"), run(None, 1, "bar"), run(0.8, 0, "")])
    assert row["seeds"] == 3
    assert row["causes"] == {"heads": ["hue", "bar"]}
    assert (row["methods"]["AttFind"]["purity"], row["methods"]["AttFind"]["claims"]) == (0.65, 1.0)
    assert planted.sham_alarms({"sham": row}) == {"AttFind": 1.0}
    assert (
        "| sham | 3 | 10,000 | hue<br>bar | 0.50<br>0.50 | 1 | 1 | 0.65 (0.50 to 0.80) | – | – | – |"
        in planted.scenario_table({"sham": row})
    )
    alone = planted.together([run(0.5, 2, "hue")])
    assert (
        "| 1 | 10,000 | hue | 0.50&nbsp;(0.38&nbsp;to&nbsp;0.50) | 1 | 1 | 0.50 (0.25 to 0.75) |"
        in planted.scenario_table({"or": alone})
    )
    assert "| Grad-CAM | – | – | – | – | – | 0.25 |" in planted.method_table(row)


def test_what_cannot_be_done_is_refused_in_one_sentence(planted, tmp_path, capsys):
    for args, said in (
        (["--scenarios", "code,sorcery"], "there is no scenario sorcery; choose of code, single"),
        (["--seeds", "0"], "--seeds is 0; use 1 or more"),
        (["--first-seed", "98"], "--first-seed is 98, of 5 runs; use seeds from 0 to 99"),
        (["--output", str(ROOT / "README.md")], "cannot be written"),
    ):
        with pytest.raises(SystemExit):
            planted.main(args)
        assert said in capsys.readouterr().err


def test_a_missing_captum_is_said_before_the_work_begins(planted, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(planted, "find_spec", lambda _: None)
    with pytest.raises(SystemExit):
        planted.main(["--output", str(tmp_path)])
    assert maps.NO_CAPTUM in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_reader_that_reads_badly_is_not_believed(planted, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(planted, "BAR", 0.95)
    with pytest.raises(SystemExit):
        planted.main(["--output", str(tmp_path), "--side", "32", "--reader-steps", "1", "--scenarios", "code"])
    assert "and 0.95 is needed" in capsys.readouterr().err
