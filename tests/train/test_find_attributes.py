"""The search over a folder, as a person starts it: kept, shared, ranked anew, and reported."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from small import NAMES, search_options

from stylex import ModelError, StylEx, metrics
from stylex.attfind.shards import ShardError
from stylex.stylespace import StyleStats
from train.data.pictures import load_pictures
from train.data.records import DataError
from train.find_attributes import main
from train.options.searching import Options
from train.search import choose, question
from train.search.in_memory import search
from train.search.jobs import prepare
from train.search.searched import balanced, styles_of


@pytest.fixture
def find(model_folder, pictures) -> Callable[..., StylEx]:
    """The script on the tiny model's folder; what it made of it."""

    def run(**changes) -> StylEx:
        values = {"model": model_folder, "data": pictures, "images": 12, "count": 3, "report": False, "candidates": 0}
        values |= changes
        main([arg for name, value in values.items() for arg in (f"--{name}", str(value))])
        return StylEx.from_pretrained(model_folder)

    return run


def test_statistics_are_of_the_whole_part_and_attributes_of_the_chosen_pictures(find, model_folder, pictures):
    before = StylEx.from_pretrained(model_folder)
    after = find()
    train = load_pictures(pictures, 16, "train")
    expected = StyleStats.of(styles_of(before, train.x, 256))
    assert after.stats.count == len(train) < 60
    for name in ("s_min", "s_max", "s_mean", "s_std"):
        torch.testing.assert_close(getattr(after.stats, name), getattr(expected, name))
    before.stats, before.attributes = after.stats, []
    searched = train.x[balanced(train.labels, 12, seed=0)]
    assert [(a.index, a.target) for a in after.attributes] == [
        (a.index, a.target) for a in search(before, searched, search_options())
    ]


def test_statistics_are_of_every_picture_however_many_batches_they_take(find, pictures, monkeypatch):
    monkeypatch.setattr("train.search.searched.ENCODED", 4)
    assert find().stats.count == len(load_pictures(pictures, 16, "train"))


def test_a_search_writes_statistics_and_attributes_and_touches_nothing_else(find, model_folder):
    before = {p.relative_to(model_folder): p.read_bytes() for p in model_folder.rglob("*") if p.is_file()}
    find()
    after = {p.relative_to(model_folder): p.read_bytes() for p in model_folder.rglob("*") if p.is_file()}
    assert set(after) == set(before)
    changed = {str(p) for p in before if before[p] != after[p]}
    assert changed <= {"attributes.json", "style_stats.safetensors"}
    rows = json.loads(after[next(p for p in after if p.name == "attributes.json")])["attributes"]
    assert rows
    for row in rows:
        assert {"index", "layer", "channel", "direction", "source", "target", "delta_logit", "delta_prob"} <= set(row)
        assert {"images_share", "visible_share", "name"} <= set(row)


def test_the_same_search_writes_the_same_bytes(find, model_folder):
    find()
    first = (model_folder / "attributes.json").read_bytes()
    find()
    assert (model_folder / "attributes.json").read_bytes() == first


def test_what_a_person_said_survives_a_second_search(find, model_folder):
    find()
    path = model_folder / "attributes.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    rows["attributes"][0] |= {"name": "dark spot", "no_reason": True, "marks": ["confounder"]}
    path.write_text(json.dumps(rows), encoding="utf-8")
    first, *others = (a.judged for a in find().attributes)
    assert first == {"name": "dark spot", "no_reason": True, "marks": ("confounder",)}
    assert others == [{"name": None, "no_reason": False, "marks": ()}] * len(others)


def test_without_labels_the_classifier_s_answers_take_turns(find, model_folder, pictures, tmp_path):
    model, flat = StylEx.from_pretrained(model_folder), tmp_path / "flat"
    answers = {}
    for path in sorted(pictures.rglob("*.png")):
        answer = NAMES[int(model.classify(model.load_images([path])).argmax())]
        (tmp_path / "answered" / answer).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "answered" / answer)
        answers[path.name] = answer
    shutil.copytree(tmp_path / "answered" / "plain", flat)
    shutil.copytree(tmp_path / "answered" / "spotted", flat, dirs_exist_ok=True)
    found = {}
    for data in (flat, tmp_path / "answered"):
        plan = prepare(
            search_options(model=str(model_folder), data=str(data), effects=str(tmp_path / data.name / "fx"))
        )[2][0][0]
        found[data] = [answers[Path(name).name] for name in plan.pictures]
    assert len(set(answers.values())) == 2
    for chosen in found.values():
        assert abs(chosen.count("plain") - chosen.count("spotted")) == 0
    assert find(data=flat).attributes


def test_what_was_found_is_said(find, capsys):
    attributes = find().attributes
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(attributes)
    a = attributes[0]
    assert lines[0].startswith(f"{a.source} → {a.target}  {a.coordinate}: {a.words} ({a.doubt}); logit ")
    assert all(b.proposal is not None for b in attributes)
    assert f"flips {a.images_share:.0%}" in lines[0]


def test_another_folder_and_a_missing_model_are_refused(find, model_folder, make_pictures, tmp_path):
    folder = make_pictures(count=2)
    (folder / "plain").rename(folder / "striped")
    with pytest.raises(DataError, match="has the classes spotted, striped, the classifier plain, spotted; they"):
        find(data=folder)
    with pytest.raises(ModelError, match="nothing is neither a folder nor a repository name"):
        find(model=tmp_path / "nothing")


def test_a_model_on_the_hub_is_downloaded_first_for_attributes_are_written_into_its_folder(find):
    with pytest.raises(DataError, match="hf download someone/stylex-leaves --local-dir FOLDER"):
        find(model="someone/stylex-leaves")


# Kept, shared, and ranked anew.


ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "train" / "find_attributes.py")


def arguments(model_folder: Path, data: Path, effects: Path, **changes) -> list[str]:
    values = {"model": model_folder, "data": data, "effects": effects, "images": 40}
    values |= {"shard_size": 2, "batch_size": 8, "report": False}
    return [arg for name, value in {**values, **changes}.items() for arg in (f"--{name}", str(value))]


def start(args: list[str], *launcher: str) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, *launcher, SCRIPT, *args], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen) -> str:
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error.decode()
    return out.decode()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def unbroken(tiny_model, pictures, tmp_path_factory) -> tuple[Path, dict[str, bytes], dict[str, bytes]]:
    """A model folder, and the effects and the model folder after an undisturbed search on it."""
    folder = tmp_path_factory.mktemp("unbroken")
    tiny_model.save_pretrained(folder / "before")
    shutil.copytree(folder / "before", folder / "after")
    finish(start(arguments(folder / "after", pictures, folder / "effects")))
    return folder / "before", contents(folder / "effects"), contents(folder / "after")


def test_a_search_killed_and_run_again_ends_with_the_same_bits(unbroken, pictures, tmp_path):
    before, effects, after = unbroken
    shutil.copytree(before, tmp_path / "model")
    args = arguments(tmp_path / "model", pictures, tmp_path / "effects")
    process = start(args)
    while process.poll() is None and len(list(tmp_path.glob("effects/shard-*"))) < 3:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    done = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("effects/shard-*")}
    assert 3 <= len(done) < len(effects) - 1
    finish(start(args))
    assert all((tmp_path / "effects" / name).stat().st_mtime_ns == when for name, when in done.items())
    assert {k: v for k, v in contents(tmp_path / "effects").items() if not k.endswith(".part")} == effects
    assert contents(tmp_path / "model") == after


@pytest.mark.usefixtures("_ctrl_c_ends")
def test_ctrl_c_says_that_finished_shards_stay(unbroken, pictures, tmp_path):
    shutil.copytree(unbroken[0], tmp_path / "model")
    process = start(arguments(tmp_path / "model", pictures, tmp_path / "effects"))
    while process.poll() is None and not list(tmp_path.glob("effects/shard-*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGINT
    says = "stopped; the shards that are finished stay, and the same command goes on from there\n"
    assert error.decode().endswith(says)


def test_two_processes_of_a_launcher_write_what_one_writes(unbroken, pictures, tmp_path):
    before, effects, after = unbroken
    shutil.copytree(before, tmp_path / "model")
    args = arguments(tmp_path / "model", pictures, tmp_path / "effects")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    finish(start(args, *launcher))
    assert contents(tmp_path / "effects") == effects
    assert contents(tmp_path / "model") == after


def test_the_parts_of_a_job_array_write_what_one_process_writes(unbroken, pictures, tmp_path):
    before, effects, after = unbroken
    shutil.copytree(before, tmp_path / "model")
    for shard in ("2/3", "0/3", "1/3"):
        assert contents(tmp_path / "model") == contents(before)  # only the last one ranks
        main(arguments(tmp_path / "model", pictures, tmp_path / "effects", shard=shard))
    assert contents(tmp_path / "effects") == effects
    assert contents(tmp_path / "model") == after


@pytest.mark.parametrize("shard", ["1", "2/2", "a/b", "0/0"])
def test_a_part_that_does_not_exist_is_refused(find, shard):
    with pytest.raises(DataError, match=f"shard is '{shard}'; use i/n with i from 0 to n - 1"):
        find(shard=shard)


def test_ranking_anew_measures_nothing(find, monkeypatch):
    """But the words of what was not found before."""
    find(min_visible=0.0, explained=1e9)
    monkeypatch.setattr("train.find_attributes.with_words", lambda model, attributes, *rest: list(attributes))

    def generator(*args, **kwargs):
        raise AssertionError("the generator was asked")

    monkeypatch.setattr("stylex.model.StylEx.edits_of", generator)
    monkeypatch.setattr("stylex.networks.generator.Synthesis.forward", generator)
    for changes in (
        {"rule": "single", "explained": 100.0},
        {"rule": "image_fraction"},
        {"unstable_threshold": 0.5, "unstable_count": 100},
        {"min_visible": 0.9},
        {"count": 8, "target": "spotted", "explained": 1e9},
    ):
        found = find(**{"min_visible": 0.0, "rule": "accumulated", **changes}).attributes
        assert found
    kept = [a for a in found if a.target == "spotted"]
    assert 3 < len(kept) <= 8


def test_one_class_is_searched_and_the_other_is_left_alone(find):
    before = find(min_visible=0.0, explained=1e9).attributes
    after = find(min_visible=0.0, explained=1e9, target="spotted", source="plain", count=1).attributes
    assert [a.target for a in after] == ["spotted"] + ["plain"] * 3
    assert [a for a in after if a.target == "plain"] == [a for a in before if a.target == "plain"]


def test_effects_of_another_search_are_never_used(find, tmp_path):
    find(effects=tmp_path / "effects")
    with pytest.raises(ShardError, match="holds effects of another model or search"):
        find(effects=tmp_path / "effects", shift=0.5)
    with pytest.raises(ShardError, match="holds effects of another model or search"):
        find(effects=tmp_path / "effects", images=10)


def test_a_shard_cut_short_is_measured_again_and_said_so(find, tmp_path, capsys):
    first = find(effects=tmp_path / "effects").attributes
    path = sorted((tmp_path / "effects").glob("shard-*"))[0]
    path.write_bytes(path.read_bytes()[:-5])
    assert find(effects=tmp_path / "effects").attributes == first
    assert f"{path} is cut short or of another search; computing it again" in capsys.readouterr().err


def test_the_shortcut_says_what_it_missed(find, tmp_path, capsys):
    find(effects=tmp_path / "effects", candidates=10, certify=6)
    assert "same top 10 for" in capsys.readouterr().err
    doubt = json.loads((tmp_path / "effects" / "certificate.json").read_text(encoding="utf-8"))
    assert doubt["pictures"] == 6
    assert 20 <= doubt["moves"] <= 40  # ten for each class and their opposites
    assert 0 < doubt["recall_at_20"] <= 1


def test_a_search_is_screened_and_certified_unless_every_move_is_asked_for(find, tmp_path, capsys):
    assert Options(model="", data="").candidates > 0
    assert Options(model="", data="").certify == 10
    find(effects=tmp_path / "effects", candidates=15)
    doubt = json.loads((tmp_path / "effects" / "certificate.json").read_text(encoding="utf-8"))
    assert doubt["pictures"] == 10
    plan = safe_open(tmp_path / "effects" / "plan.safetensors", framework="pt")
    assert doubt["moves"] == int(plan.get_tensor("moves").sum())
    assert f"{doubt['moves']} of 80 moves were made" in capsys.readouterr().err
    # A shortlist of everything misses nothing, and is not checked.
    find(effects=tmp_path / "all", candidates=80)
    assert not (tmp_path / "all" / "certificate.json").exists()


# What cannot be searched.


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": "striped"}, "there is no class 'striped'; this classifier knows plain, spotted"),
        ({"target": "plain", "source": "striped"}, "there is no class 'striped'"),
        ({"source": "plain"}, "source needs a target"),
        ({"target": "plain", "source": "plain"}, "source and target are both plain"),
        ({"images": 0}, "images is 0; use 1 or more"),
        ({"count": 0}, "count is 0; use 1 or more"),
        ({"shard_size": 0}, "shard_size is 0; use 1 or more"),
        ({"candidates": -1}, "candidates is -1; use 0 or more"),
        ({"batch_size": -1}, "batch_size is -1; use 0 or more"),
        ({"explained": -1}, "explained is -1.0; use 0 or more"),
        ({"shift": 0}, "shift is 0.0; use 1 for the end of the range"),
        ({"min_visible": 2}, "min_visible is 2.0; use a share from 0 to 1"),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_a_sentence_before_anything_is_measured(
    find, model_folder, changes, says
):
    with pytest.raises(DataError, match=says):
        find(**changes)
    assert not Path(f"{model_folder}-effects").exists()


def test_where_no_move_can_be_seen_nothing_is_chosen_and_the_model_stays_as_it_was(find, model_folder, monkeypatch):
    before = (model_folder / "attributes.json").read_bytes()
    monkeypatch.setattr(metrics, "VISIBLE_SHARE", 2.0)
    with pytest.raises(DataError, match="towards plain: no move is seen on enough of its"):
        find()
    assert (model_folder / "attributes.json").read_bytes() == before


def test_pictures_of_one_decision_are_refused_before_anything_is_measured(find, model_folder, monkeypatch):
    monkeypatch.setattr(StylEx, "logits_of", lambda model, s: torch.tensor([[0.0, 1.0]]).repeat(len(s), 1))
    with pytest.raises(DataError, match="every reconstruction is spotted"):
        find()
    assert not Path(f"{model_folder}-effects").exists()


def test_a_class_without_an_attribute_is_named(find, capsys, monkeypatch):
    lists_of = choose.lists_of
    monkeypatch.setattr(choose, "lists_of", lambda *args: [lists_of(*args)[0], []])
    found = find(rule="accumulated")
    assert {a.target for a in found.attributes} == {"plain"}
    assert "warning: no attribute from rest towards spotted" in capsys.readouterr().err


def test_attributes_of_an_older_file_stay_beside_those_of_one_class(find, model_folder, capsys):
    """They do not say on how many pictures they are seen."""
    path = model_folder / "attributes.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    for row in values["attributes"]:
        del row["visible_share"]
    path.write_text(json.dumps(values), encoding="utf-8")
    find(target="plain")
    kept = [line for line in capsys.readouterr().out.splitlines() if "→ spotted" in line]
    assert kept
    assert all("visible" not in line for line in kept)


def test_names_that_training_on_has_left_are_no_list(find, model_folder):
    """They have no ranges, and their numbers are of other weights."""
    model = StylEx.from_pretrained(model_folder)
    model.stats, model.attributes = None, [dataclasses.replace(a, name="dark spots") for a in model.attributes]
    model.save_pretrained(model_folder)
    assert {a.target for a in find(target="plain").attributes} == {"plain"}


def test_a_search_from_a_class_that_no_picture_is_of_is_refused_before_the_search(find, model_folder, monkeypatch):
    monkeypatch.setattr(
        StylEx, "logits_of", lambda model, s: torch.eye(2)[torch.arange(len(s)) % 2] * torch.tensor([1.0, 0.5])
    )
    monkeypatch.setattr(question, "class_number", lambda name, names: 7 if name == "spotted" else names.index(name))
    with pytest.raises(DataError, match=r"calls none of \d+ reconstructions spotted; search more pictures"):
        find(target="plain", source="spotted")
    assert not Path(f"{model_folder}-effects").exists()


# The report.


def test_the_pictures_of_the_report_are_chosen_as_asked(find, tmp_path):
    effects, options = tmp_path / "effects", {"report": True, "min_visible": 0.0, "explained": 1e9, "images": 40}
    shown = set()
    for way in ("distance", "effect", "random"):
        find(effects=effects, shown=way, **options)
        page = (effects / "report.html").read_text(encoding="utf-8")
        shown.add(tuple(re.findall(r'src="data:image/png;base64,([^"]+)"', page)))
    assert len(shown) == 3


def test_the_report_shows_every_attribute_with_its_certainty(find, model_folder, tmp_path):
    effects = tmp_path / "effects"
    options = {"report": True, "min_visible": 0.0, "explained": 1e9, "candidates": 20}
    attributes = find(effects=effects, **options).attributes
    page = (effects / "report.html").read_text(encoding="utf-8")
    assert page.count("<section>") == len(attributes) == 6
    assert page.count("<polyline") == 2
    for a in attributes:
        assert f"{a.index} ({a.layer}, channel {a.channel}, {a.direction.name.lower()})" in page
    assert "recall@20 is" in page
    draws = [float(share) for share in re.findall(r"([\d.]+) % of draws", page)]
    assert len(draws) == 6
    assert max(draws) > 50
