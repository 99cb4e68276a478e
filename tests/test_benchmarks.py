"""The benchmarks run on any model, and what they write is what they measured."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small import SMALL, command_line

from benchmarks.untrained import Untrained
from stylex.pictures.images import to_pil
from stylex.storage.outputs import OutputError
from stylex.stylespace import StyleStats
from train import train
from train.data.records import DataError
from train.engine.compiled import compile_networks
from train.options.command import parse

ROOT = Path(__file__).resolve().parents[1]


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the types of their fields
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("given", [True, False], ids=["pictures of a folder", "pictures of the model's own"])
def test_attfind_is_timed_and_compared_with_one_coordinate_at_a_time(model_folder, pictures, tmp_path, given, capsys):
    args = ["--model", str(model_folder), "--pictures", "4", "--sample", "5", "--keep", "1000"]
    args += ["--json", str(tmp_path / "attfind.json"), *(["--data", str(pictures)] if given else [])]
    numbers = load("attfind").main(args)
    assert json.loads((tmp_path / "attfind.json").read_text(encoding="utf-8")) == numbers
    assert numbers["moves"] == 2 * 40 * 4
    assert numbers["timed_one_at_a_time"] == 20
    assert numbers["largest_difference"] < 1e-4
    # A shortlist of everything misses nothing.
    assert (numbers["recall_at_20"], numbers["recall_per_picture"], numbers["same_top_10"]) == (1.0, 1.0, 1.0)
    assert numbers["exact_speedup"] == pytest.approx(numbers["one_at_a_time_s"] / numbers["exact_s"])
    assert numbers["screened_speedup"] > 0
    assert "| one at a time | 320 |" in capsys.readouterr().out


def test_a_preset_is_timed_without_a_model_and_has_a_row_of_its_own(tiny_model, tmp_path, monkeypatch):
    attfind = load("attfind")
    s = torch.randn(2, tiny_model.space.size)
    drawn = Untrained(tiny_model, s, StyleStats.of(s))
    monkeypatch.setattr(attfind.Untrained, "of", lambda *asked: drawn)
    for _ in range(2):  # the second takes the place of the first
        attfind.main(["--resolution", "64", "--pictures", "2", "--sample", "3", "--docs", str(tmp_path)])
    page = (tmp_path / "speed.md").read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith("| 64 |"))
    assert row.count("|") == attfind.HEAD.count("|")


def test_ranking_is_timed_on_a_table_of_many_shards():
    args = ["--classes", "3", "--pictures", "10", "--coordinates", "400", "--shard-size", "4"]
    numbers = load("ranking").main(args)
    effect, seen, styles, logits = 2 * 400 * 3, 2 * 400, 400, 3
    assert numbers["table_mb_a_picture"] * 1e6 == pytest.approx(4 * (effect + seen + styles + logits), rel=0.2)
    assert min(numbers["unstable_ms_a_picture"], numbers["list_ms_a_picture"], numbers["peak_mb"]) > 0


MEASURED = {
    "retrieval": 0.96,
    "agreement": 1.0,
    "l1": 0.05,
    "sufficiency": {"10": 0.93},
    "second_sufficiency": {"10": 0.9},
    "visibility": 0.95,
}


def test_the_recipe_of_the_readme_is_started_as_it_stands_and_timed(tmp_path, monkeypatch, capsys):
    recipe, started = load("recipe"), []

    def start(words: list[str], log: Path) -> dict:
        started.append(words)
        if "train/evaluate.py" in words:
            place = Path(words[words.index("--output") + 1])
            place.parent.mkdir(parents=True)
            place.write_text(json.dumps(MEASURED), encoding="utf-8")
        rows = [(1.5, {"val/retrieval": 0.9}), (2.0, {"val/retrieval": 0.97}), (3.0, {"val/retrieval": 0.98})]
        return {"minutes": 4.0, "reports": rows if log.name == "log.jsonl" else []}

    monkeypatch.setattr(recipe, "start", start)
    data = tmp_path / "birds"
    args = ["--data", str(data), "--output", str(tmp_path / "runs"), "--docs", str(tmp_path)]
    numbers = recipe.main([*args, "--json", str(tmp_path / "recipe.json")])
    assert json.loads((tmp_path / "recipe.json").read_text(encoding="utf-8")) == numbers
    assert (numbers["minutes"], numbers["minutes_to_retrieval"], numbers["minutes_to_sufficiency"]) == (16.0, 6.0, 12.0)
    assert (numbers["retrieval"], numbers["sufficiency_at_10"]) == (0.96, 0.93)
    scripts = [next(word for word in words if word.startswith("train/")) for words in started]
    assert scripts == [f"train/{name}.py" for name in recipe.STEPS]
    for words in started:
        assert words[0] == sys.executable
        assert words[words.index("--data") + 1] == str(data)
        assert not [word for word in words if word.startswith("runs/")]
    assert "| 0.93 | 0.9 |" in capsys.readouterr().out


def test_a_release_is_one_row_and_the_rows_of_others_stay(tmp_path):
    recipe = load("recipe")
    numbers = {"minutes": 9.0, "minutes_to_retrieval": None, "minutes_to_sufficiency": 8.0, "retrieval": 0.9}
    numbers |= {"sufficiency_at_10": 0.93, "minutes_by_step": dict.fromkeys(recipe.STEPS.values(), 2.0)}
    row = recipe.row("birds", numbers | {"metrics": MEASURED})
    assert "| not reached | 8.0 |" in row
    older = row.replace(recipe.__version__, "0.0.9")
    before = recipe.table("", [older, row.replace("9.0", "11.0"), recipe.row("fish", numbers | {"metrics": MEASURED})])
    lines = recipe.table(before, [row]).splitlines()[2:]
    assert lines[0] == older
    assert lines[-1] == row
    assert len(lines) == 3


def test_a_recipe_that_is_begun_already_is_no_beginning(tmp_path, capsys):
    (tmp_path / "runs" / "birds").mkdir(parents=True)
    with pytest.raises(SystemExit):
        load("recipe").main(["--data", str(tmp_path / "birds"), "--output", str(tmp_path / "runs")])
    assert "the recipe begins from nothing" in capsys.readouterr().err


def test_reports_are_stamped_as_they_come_and_a_command_that_fails_ends_it(tmp_path):
    start = load("recipe").start
    log = tmp_path / "log.jsonl"
    said = f"open({str(log)!r}, 'a').write('{{\"n\": 1}}\\n')"
    ran = start([sys.executable, "-c", said], log)
    ((minutes, report),) = ran["reports"]
    assert report == {"n": 1}
    assert 0 < minutes <= ran["minutes"] < 1
    with pytest.raises(SystemExit, match="failed; what it said stands above"):
        start([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "none")


def test_what_a_recipe_has_started_ends_with_it(tmp_path, monkeypatch):
    recipe, begun, awake = load("recipe"), tmp_path / "begun", time.sleep
    part = str(begun.with_suffix(".part"))
    child = "import os, subprocess; p = subprocess.Popen(['sleep', '60']); "
    child += f"open({part!r}, 'w').write(str(p.pid)); os.rename({part!r}, {str(begun)!r}); p.wait()"
    monkeypatch.setattr(recipe.time, "sleep", lambda s: sys.exit() if begun.exists() else awake(s))
    with pytest.raises(SystemExit):
        recipe.start([sys.executable, "-c", child], tmp_path / "none")
    state = Path(f"/proc/{begun.read_text(encoding='utf-8')}/stat")
    for _ in range(100):  # a signal takes its time
        with contextlib.suppress(OSError):
            if " Z " not in state.read_text(encoding="utf-8"):
                awake(0.1)
                continue
        return
    pytest.fail("it is still running")


def test_the_memory_of_a_step_is_measured_beside_what_is_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    memory, found = load("memory"), []
    values = {**SMALL, "discriminator": "projected", "path_weight": 0.0}
    small = [word for n, v in values.items() if n not in ("resolution", "batch_size") for word in (f"--{n}", str(v))]
    for what in ("training", "recomputed", "search"):
        words = ["--child", "--what", what, "--resolution", "32", "--batches", "4", "--keep", "3"]
        row = memory.main([*words, "--json", str(tmp_path / f"{what}.json"), *small])
        assert json.loads((tmp_path / f"{what}.json").read_text(encoding="utf-8")) == row
        assert 0 < row["start_mb"] <= row["peak_memory_mb"]
        found.append({"what": what} | row)
    plain, recomputed, search = found
    assert recomputed["counted_mb"] < plain["counted_mb"]
    assert search["width"] == 64
    measured = tmp_path / "measured.json"
    measured.write_text(json.dumps({"runs": [*found, {"what": "training", "resolution": 64, "error": "failed"}]}))
    memory.main(["--measured", str(measured), "--docs", str(tmp_path)])
    _, table, _ = importlib.import_module("benchmarks.page").read(tmp_path / "speed.md", "memory", "memory")
    lines = table.splitlines()
    assert lines[2].startswith("| 32 | training, float32 | 4 | ")
    assert lines[4].startswith("| 32 | search |  | ")
    assert len(lines) == 5  # what failed is no row
    assert len({line.count("|") for line in lines}) == 1


def test_every_row_of_the_memory_has_a_process_of_its_own():
    memory = load("memory")
    o = argparse.Namespace(resolution=[64, 32], what=["training", "recomputed", "search"], batches=None)
    assert [" ".join(words) for words in memory.rows(o)] == [
        f"{what} --resolution {px}{f' --batches {batch}' if batch else ''}"
        for px in (64, 32)
        for what, batch in (("training", 4), ("training", 16), ("recomputed", 16), ("search", 0))
    ]


def test_another_form_of_a_layer_draws_the_same_before_it_is_timed(tmp_path, monkeypatch):
    layers = load("layers")
    monkeypatch.setattr(layers, "REPEATS", 1)
    rows = layers.main(["--channels", "8", "6", "5", "--pictures", "2", "--precision", "no", "--docs", str(tmp_path)])
    assert [row["layer"] for row in rows[:3]] == ["4x4, 8 to 8", "4x4 to 8x8, 8 to 6", "8x8 to 16x16, 6 to 5"]
    assert {row["form"] for row in rows[3:]} == {"copy with a border"}
    assert all(row["both"][0] > 0 for row in rows)
    assert "| 8x8 to 16x16, 6 to 5 | blur folded in | " in (tmp_path / "speed.md").read_text(encoding="utf-8")
    monkeypatch.setattr(layers, "folded", lambda layer, x: 1.01 * layers.as_it_is(layer, x))
    with pytest.raises(AssertionError):
        layers.compare((8, 6), 2, torch.float32)


def test_how_the_search_grows_is_a_row_for_each_number_of_pictures(tmp_path):
    scaling = load("scaling")
    args = ["--resolution", "32", "--pictures", "2", "4", "--keep", "3", "--every", "256", "--docs", str(tmp_path)]
    (run,) = scaling.main([*args, "--json", str(tmp_path / "scaling.json")])["runs"]
    two, four = (run["pictures"][n] for n in (2, 4))
    assert 0 < two["moves_s"] < four["moves_s"]
    assert 2 <= run["moves"] <= 2 * 2 * 3  # both ways of three moves for each of two classes
    assert run["exact_ms_a_move"] > 0
    text = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert text.count("| 32 | 768 |") == 2
    scaling.main(args)
    assert (tmp_path / "speed.md").read_text(encoding="utf-8").count("| 32 | 768 |") == 2


def test_processes_share_the_shards_of_a_plan(monkeypatch):
    scaling = load("scaling")
    done: list[tuple[int, int]] = []

    def together(folder: Path, resolution: int, pictures: int, count: int, threads: int) -> float:
        """In this process, one after the other, which spares the starts of torch."""
        (folder / "go").touch()
        for part in range(count):
            row = scaling.compute(folder, resolution, pictures, (part, count))
            assert row["began"] < row["ended"]
        plan = scaling.shards.read_plan(folder, scaling.KEY)
        assert scaling.shards.missing(plan, folder) == []
        done.append((count, threads))
        return 6.0 / count if count > 1 else 5.0 / threads + 1.0

    monkeypatch.setattr(scaling, "together", together)
    found = scaling.shared(32, pictures=4, keep=2, processes=2, rounds=1)
    assert done == [(1, 1), (2, 1), (1, 2)]
    assert found["efficiency"] == 1.0
    assert scaling.line_of_shared(found, "here").startswith(
        f"| 32 | 4 | {found['moves']} | 6.0 | 2 | 3.0 | 1.00 | 3.5 |"
    )


def test_a_table_goes_between_its_marks_and_what_stands_around_it_stays(tmp_path):
    page = importlib.import_module("benchmarks.page")
    document = tmp_path / "speed.md"
    document.write_text("# Speed\n\nBefore.\n", encoding="utf-8")
    page.write(document, "numbers", "training", "| a |")
    document.write_text(document.read_text(encoding="utf-8") + "After.\n", encoding="utf-8")
    page.write(document, "numbers", "training", "| b |")
    before, table, after = page.read(document, "numbers", "training")
    assert (before, table, after) == ("# Speed\n\nBefore.\n\n", "| b |", "\nAfter.\n")
    page.write(document, "others", "training", "| c |")
    text = document.read_text(encoding="utf-8")
    assert text.index("| b |") < text.index("After.") < text.index("| c |")
    cut = text.replace("<!-- end of numbers -->", "")
    document.write_text(cut, encoding="utf-8")
    with pytest.raises(OutputError, match="put it back, or name other --docs"):
        page.write(document, "numbers", "training", "| c |")


def test_rows_of_a_table_are_measured_anew_and_the_others_stay(tmp_path):
    page = importlib.import_module("benchmarks.page")
    document = tmp_path / "speed.md"
    for rows in (["| 128 | a | 1 |", "| 64 | a | 2 |"], ["| 64 | a | 3 |", "| 64 | b | 4 |"]):
        page.put_rows(document, "numbers", "training", "| px | what | n |", rows, cells=2)
    _, table, _ = page.read(document, "numbers", "training")
    lines = ["| px | what | n |", "| --- | --- | --- |", "| 64 | a | 3 |", "| 64 | b | 4 |", "| 128 | a | 1 |"]
    assert table.splitlines() == lines


def test_a_row_of_the_ablations_is_trained_searched_measured_and_written_down_once(
    classifier_folder, pictures, tmp_path, monkeypatch
):
    ablations = load("ablations")
    started = []

    def run(script: str, *args: str) -> float:
        """In this process, which spares three starts of torch."""
        started.append(script)
        try:
            importlib.import_module(f"train.{script.removesuffix('.py')}").main(list(args))
        except DataError as error:  # four steps of training: every picture may be of one class
            raise subprocess.CalledProcessError(1, script) from error
        return 0.5

    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr(ablations, "run", run)
    monkeypatch.setattr(ablations, "SEARCH", {"images": 4, "min_visible": 0, "report": "false"})
    small = command_line(**{**SMALL, "total_kimg": 0.016})
    args = ["--data", str(pictures), "--classifier", str(classifier_folder), "--output", str(tmp_path / "runs")]
    args += ["--docs", str(tmp_path), *small, "--rows"]
    done = ablations.main([*args, "base"])
    assert started == ["train.py", "find_attributes.py", "evaluate.py"]
    page = (tmp_path / "ablations.md").read_text(encoding="utf-8")
    assert f"| {done['base']['l1']:g} |" in page
    assert f"`{ablations.command(ablations.ROWS[0])}`" in page
    assert (tmp_path / "ablations" / "base.webp").is_file()

    # What a person writes around the rows stays.
    (tmp_path / "ablations.md").write_text("What follows.\n" + page + "\nMy doubts.\n", encoding="utf-8")
    ablations.main([*args, "base"])
    assert (tmp_path / "ablations.md").read_text(encoding="utf-8") == "What follows.\n" + page + "\nMy doubts.\n"
    assert len(started) == 3


@pytest.mark.parametrize("row", [row.name for row in load("ablations").ROWS])
def test_the_options_of_a_row_exist(row):
    ablations = load("ablations")
    (row,) = [r for r in ablations.ROWS if r.name == row]
    options = parse(train.Options, "", ["--config", str(ROOT / ablations.CONFIG), *ablations.spelled(row.changes)])
    for name, value in row.changes.items():
        assert getattr(options, name) == value


def test_the_app_is_started_asked_and_crowded_as_browsers_do_it(tiny_model, tmp_path, capsys):
    folder = tiny_model.save_pretrained(tmp_path / "model")
    (folder / "samples").mkdir()
    for n, x in enumerate(tiny_model.synthesize(tiny_model.sample(torch.tensor([[0.9, 0.1]]).repeat(2, 1), seed=1))):
        to_pil(x).save(folder / "samples" / f"{n}.png")
    args = ["--model", str(folder), "--data", str(folder / "samples"), "--json", str(tmp_path / "app.json")]
    numbers = load("app").main([*args, "--knobs", "10", "--uploads", "2", "--visitors", "4"])
    assert json.loads((tmp_path / "app.json").read_text(encoding="utf-8")) == numbers
    assert 0 < numbers["start_s"] < numbers["first_explanation_s"]
    assert 0 < numbers["knob_p50_ms"] <= numbers["knob_p95_ms"]
    assert numbers["upload_to_explanation_s"] > 0
    assert (numbers["visitors"], numbers["visitors_errors"]) == (4, 0)
    assert numbers["visitors_told_their_place"] == 4
    assert (numbers["leavers"], numbers["after_leavers_waiting"]) == (2, 0)
    assert "| 4 visitors at once: errors | 0 | 0 |" in capsys.readouterr().out


def test_a_percentile_is_one_of_the_values():
    percentile = load("app").percentile
    assert [percentile([3.0, 1.0, 2.0, 4.0], p) for p in (0.25, 0.5, 0.95)] == [1.0, 2.0, 4.0]


# Every lazy part of a step comes round within two steps.
LITTLE_TRAINING = ["--resolution", "32", "--channels", "[8,8,8,8]", "--trunk_channels", "[8,8,8,8]", "--w_dim", "8"]
LITTLE_TRAINING += ["--batch_size", "2", "--perceptual", "classifier", "--mixed_precision", "no", "--augment", "0.5"]
LITTLE_TRAINING += ["--w_every", "2", "--r1_every", "2", "--path_every", "2", "--path_weight", "1"]


def test_a_training_step_is_timed_whole_and_in_parts(tmp_path, capsys):
    args = [*LITTLE_TRAINING, "--rounds", "1", "--threads", "1", "--device", "cpu", "--discriminator", "stylegan2"]
    numbers = load("training").main([*args, "--json", str(tmp_path / "training.json")])
    assert json.loads((tmp_path / "training.json").read_text(encoding="utf-8")) == numbers
    run = numbers["runs"]["32"]
    assert numbers["images_per_second"] == {"32": run["images_per_second"]}
    assert numbers["peak_share"] == {"32": run["peak_share"]}
    assert 0 < run["peak_share"] < 1
    assert run["peak_memory_mb"] > 100
    assert (run["steps"], run["cycle"], run["threads"]) == (2, 2, 1)
    parts = run["parts"]
    # Nothing is counted twice, and nothing is left out.
    whole = 1e3 * run["batch_size"] / run["images_per_second"]
    assert sum(part["ms_per_step"] for part in parts.values()) == pytest.approx(whole)
    assert {"data", "augmentation", "optimisers", "moving averages", "R1", "path length", "rest"} < set(parts)
    for name in ("classifier", "generator", "encoder", "discriminator", "discriminator, for the generator"):
        assert parts[name]["gflop_per_step"] > 0
    for name in ("generator", "discriminator"):
        # Backwards there are two products for each one forwards: towards the input and towards the weights.
        ratio = parts[f"{name}, backward"]["gflop_per_step"] / parts[name]["gflop_per_step"]
        assert 1.7 < ratio < 2.1
    assert "| discriminator, backward |" in capsys.readouterr().out


def test_compiled_networks_are_timed_in_turns_with_the_others(tmp_path, capsys, monkeypatch):
    """In this process, and traced only, which spares the C++ compiler."""
    training = load("training")
    monkeypatch.setattr(
        "train.engine.trainer.compile_networks", lambda networks, _: compile_networks(networks, "eager")
    )
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    torch.compiler.reset()
    run = training.compiled_in_turns([*LITTLE_TRAINING, "--compile"], joint=True, rounds=1)
    torch.compiler.reset()
    assert run["speedup"] == pytest.approx(run["images_per_second"] / run["uncompiled_images_per_second"])
    assert run["compile_processor_s"] > 0
    assert (run["steps"], run["rounds"]) == (2, 1)
    monkeypatch.setattr(training.subprocess, "run", lambda command: write_numbers(command, run))
    numbers = training.main([*LITTLE_TRAINING, "--compile", "--json", str(tmp_path / "compiled.json")])
    assert json.loads((tmp_path / "compiled.json").read_text(encoding="utf-8")) == numbers
    assert "pictures a second compiled" in capsys.readouterr().out


def write_numbers(command: list[str], run: dict) -> subprocess.CompletedProcess:
    """As the process of one size would have."""
    *_, file = [b for a, b in itertools.pairwise(command) if a == "--json"]
    Path(file).write_text(json.dumps(run), encoding="utf-8")
    return subprocess.CompletedProcess(command, 0)


def test_time_is_booked_to_the_part_that_was_named_last():
    clock = iter([10.0, 11.0, 15.0, 16.0])
    timeline = load("training").Timeline(lambda: next(clock))
    for part in ("generator", "rest", "generator"):
        timeline.to(part)
    assert dict(timeline.spent) == {"rest": 2.0, "generator": 4.0}


def test_an_option_that_training_does_not_know_is_refused_before_anything_is_timed(capsys):
    with pytest.raises(SystemExit):
        load("training").main(["--batchsize", "8"])
    assert "--batchsize" in capsys.readouterr().err


def test_the_other_trainer_says_how_to_install_it(capsys):
    if importlib.util.find_spec("stylegan2_pytorch"):
        pytest.skip("it is installed")
    with pytest.raises(SystemExit):
        load("training").main(["--against", "lucidrains"])
    assert "pip install --no-deps" in capsys.readouterr().err


def test_every_method_has_a_row_of_the_same_numbers(model_folder, pictures, tmp_path, capsys):
    args = ["--model", str(model_folder), "--data", str(pictures), "--pictures", "4", "--stranger-pictures", "0"]
    numbers = load("methods").main([*args, "--json", str(tmp_path / "methods.json")])
    assert json.loads((tmp_path / "methods.json").read_text(encoding="utf-8")) == numbers
    rows = {row["name"]: row for row in numbers["methods"]}
    assert len(rows) == 9
    for row in rows.values():
        assert {"flips", "coordinates", "changed_share", "cout", "seconds", "passes"} <= row.keys()
        assert 0 <= row["flips"] <= 1
        assert -1 <= row["cout"] <= 1
    few, shortest = rows["counterfactual, fewest coordinates"], rows["counterfactual, shortest way"]
    assert few["coordinates"] < shortest["coordinates"]
    assert few["arrived"] == shortest["arrived"] == few["flips"] == 1.0
    assert "| random, 10 coordinates |" in capsys.readouterr().out
