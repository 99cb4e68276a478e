"""The search over a folder: what is stored is what every move really did, worked out once more by moving."""

from __future__ import annotations

import copy
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
from torch import Tensor

from stylex import ModelError, StylEx, metrics
from stylex.attfind.effects import REST, Attribute, effect_table
from stylex.attfind.shards import ShardError
from stylex.classifiers.classifier import wrap
from stylex.networks.config import ModelConfig
from stylex.networks.generator import Generator, Mapping
from stylex.stylespace import Direction, StyleStats, move
from train.data.pictures import load_pictures
from train.data.records import DataError
from train.find_attributes import main
from train.options.searching import Options
from train.search import choose
from train.search.in_memory import search
from train.search.jobs import prepare
from train.search.report_attributes import sufficiency_of
from train.search.searched import balanced, styles_of

NAMES = ["plain", "spotted"]


def options(**changes) -> Options:
    return Options(**{"model": "", "data": "", "images": 12, "count": 3, "candidates": 0, "batch_size": 8, **changes})


@pytest.fixture(scope="module")
def x(pictures) -> Tensor:
    found = load_pictures(pictures, 16)
    return found.x[balanced(found.labels, 12, seed=0)]


@pytest.fixture(scope="module")
def model(tiny_model) -> StylEx:
    model = copy.copy(tiny_model)
    model.attributes = []
    return model


@pytest.fixture(scope="module")
def attributes(model, x) -> list[Attribute]:
    return search(model, x, options())


@pytest.fixture
def find(model_folder, pictures) -> Callable[..., StylEx]:
    """The script on the tiny model's folder; what it made of it."""

    def run(**changes) -> StylEx:
        values = {"model": model_folder, "data": pictures, "images": 12, "count": 3, "report": False, "candidates": 0}
        values |= changes
        main([arg for name, value in values.items() for arg in (f"--{name}", str(value))])
        return StylEx.from_pretrained(model_folder)

    return run


def measured(model: StylEx, x: Tensor, a: Attribute) -> tuple[float, float, float, float]:
    """Mean change of the target's logit, of its probability, share that flips, share that a person sees."""
    rows = []
    for s in styles_of(model, x, batch_size=1).split(1):
        before, target = model.logits_of(s)[0], model.class_names.index(a.target)
        if int(before.argmax()) == target:
            continue
        moved = move(s, a.index, a.direction, model.stats)
        after = model.logits_of(moved)[0]
        rows.append(
            (
                float(after[target] - before[target]),
                float(after.softmax(0)[target] - before.softmax(0)[target]),
                float(after.argmax() == target),
                float(metrics.visible(model.synthesize(s), model.synthesize(moved))),
            )
        )
    return tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))


# The search.


def test_the_numbers_are_means_over_the_pictures_of_the_other_class(model, x, attributes):
    assert len(attributes) >= 4
    for a in attributes:
        logit, prob, flips, seen = measured(model, x, a)
        assert (a.layer, a.channel) == model.space.locate(a.index)
        assert (a.source, a.target) in (("plain", "spotted"), ("spotted", "plain"))
        assert a.delta_logit == pytest.approx(logit, abs=1e-3)
        assert a.delta_prob == pytest.approx(prob, abs=1e-3)
        assert a.images_share == pytest.approx(flips)
        assert a.visible_share == pytest.approx(seen)


def test_two_classes_share_one_list_walked_both_ways(attributes):
    towards = {name: [(a.index, a.direction) for a in attributes if a.target == name] for name in NAMES}
    assert towards["spotted"] == [(i, d.opposite) for i, d in towards["plain"]]
    assert [a.target for a in attributes] == NAMES * (len(attributes) // 2)
    assert len({i for i, _ in towards["plain"]}) == len(towards["plain"])


def test_how_many_copies_go_through_at_once_does_not_matter(model, x, attributes):
    found = search(model, x, options(batch_size=5))
    assert [(a.index, a.direction, a.target) for a in found] == [(a.index, a.direction, a.target) for a in attributes]


def test_only_what_people_see_is_kept(model, x, attributes, monkeypatch):
    everything = search(model, x, options(min_visible=0.0, count=8, explained=1e9))
    # Somebody with worse eyes: half of the moves are below what is seen.
    shares = [metrics.changed_share(*pictures(model, x, a)).median().item() for a in everything]
    monkeypatch.setattr(metrics, "VISIBLE_SHARE", sorted(shares)[len(shares) // 2])
    kept = search(model, x, options(min_visible=0.5, count=8, explained=1e9))
    assert 0 < len(kept) < len(everything)
    assert all(a.visible_share >= 0.5 for a in kept)
    monkeypatch.setattr(metrics, "VISIBLE_SHARE", 2.0)
    assert search(model, x, options(min_visible=0.5)) == []
    assert len(search(model, x, options(min_visible=0.0, count=8, explained=1e9))) == len(everything)


def pictures(model: StylEx, x: Tensor, a: Attribute) -> tuple[Tensor, Tensor]:
    s = styles_of(model, x, 64)
    s = s[model.logits_of(s).argmax(1) != model.class_names.index(a.target)]
    return model.synthesize(s), model.synthesize(move(s, a.index, a.direction, model.stats))


def test_enough_candidates_find_what_an_exhaustive_search_finds(model, x, attributes):
    found = search(model, x, options(candidates=2 * model.space.num_conv))
    assert [(a.index, a.direction, a.target) for a in found] == [(a.index, a.direction, a.target) for a in attributes]
    few = search(model, x, options(candidates=2, count=8, explained=1e9))
    assert 0 < len({a.index for a in few}) <= 4  # two for each class


def test_an_unstable_picture_is_not_searched_but_counted(model, x, attributes):
    """Its effects decide nothing; the numbers still say what a move did on every picture."""
    assert search(model, x, options(unstable_threshold=0.0, unstable_count=0)) == []
    effect = effect_table(model.logits_of, styles_of(model, x, 64), model.stats, num_searched=model.space.num_conv)
    large = (effect.abs() > 0.5).sum(dim=(1, 2, 3)).tolist()
    limit = sorted(large)[len(large) // 2]
    assert limit < max(large)
    found = search(model, x, options(unstable_threshold=0.5, unstable_count=limit, min_visible=0.0))
    assert found
    for a in found:
        assert a.delta_logit == pytest.approx(measured(model, x, a)[0], abs=1e-3)


def test_three_classes_are_searched_one_against_the_rest():
    names = ["blue", "green", "red"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig(16, 3, (8, 8, 8), (8, 8, 8), w_dim=8, z_dim=8, mapping_layers=2)
        classifier = wrap(lambda x: 20 * x.mean(dim=(2, 3)).flip(1), names, 16, mean=(0, 0, 0), std=(1, 1, 1))
        generator, mapping = Generator(config), Mapping(config)
        torch.nn.init.normal_(generator.affine.class_weight, std=2.0)
        latent = torch.cat([mapping(torch.randn(64, 8)), torch.eye(3).repeat(22, 1)[:64]], dim=1)
        model = StylEx(config, classifier, generator=generator, stats=StyleStats.of(generator.styles(latent).detach()))
        colours = torch.eye(3).repeat(6, 1) * 200 + torch.randint(0, 50, (18, 3))
    x = colours.to(torch.uint8)[:, :, None, None].expand(-1, -1, 16, 16)
    found = search(model, x, options(count=3, min_visible=0.0))
    assert {a.target for a in found} == set(names)
    assert {a.source for a in found} == {REST}
    for a in found:
        assert a.delta_logit == pytest.approx(measured(model, x, a)[0], abs=1e-3)
        assert a.delta_logit > 0


def test_pictures_of_one_decision_alone_are_refused(model, x):
    labels = model.logits_of(styles_of(model, x, 64)).argmax(1)
    assert set(labels.tolist()) == {0, 1}
    with pytest.raises(DataError, match="every reconstruction is plain to the classifier: there is nothing to compare"):
        search(model, x[labels == 0], options())


def test_the_chosen_pictures_take_turns():
    labels = torch.tensor([0] * 20 + [1] * 5 + [2] * 3)
    chosen = balanced(labels, 12, seed=0)
    assert len(set(chosen.tolist())) == 12
    assert labels[chosen].bincount().tolist() == [5, 4, 3]
    assert labels[balanced(labels, 9, seed=0)].bincount().tolist() == [3, 3, 3]
    assert sorted(balanced(labels, 99, seed=0).tolist()) == list(range(28))
    assert balanced(labels, 12, seed=0).tolist() == chosen.tolist()
    assert balanced(labels, 12, seed=1).tolist() != chosen.tolist()


# The script.


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
        (a.index, a.target) for a in search(before, searched, options())
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


def test_a_name_that_a_person_gave_survives_a_second_search(find, model_folder):
    find()
    path = model_folder / "attributes.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    rows["attributes"][0]["name"] = "dark spot"
    path.write_text(json.dumps(rows), encoding="utf-8")
    names = [a.name for a in find().attributes]
    assert names == ["dark spot"] + [None] * (len(names) - 1)


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
        plan = prepare(options(model=str(model_folder), data=str(data), effects=str(tmp_path / data.name / "fx")))[2][
            0
        ][0]
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
    assert lines[0].startswith(f"{a.source} → {a.target}  {a.layer} {a.channel} {a.direction.name.lower()}: logit ")
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


def test_ctrl_c_says_that_finished_shards_stay(unbroken, pictures, tmp_path):
    shutil.copytree(unbroken[0], tmp_path / "model")
    process = start(arguments(tmp_path / "model", pictures, tmp_path / "effects"))
    while process.poll() is None and not list(tmp_path.glob("effects/shard-*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
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
    find(min_visible=0.0, explained=1e9)

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
        found = find(**{"min_visible": 0.0, **changes}).attributes
        assert found
    kept = [a for a in found if a.target == "spotted"]
    assert 3 < len(kept) <= 8


def test_one_class_is_searched_and_the_other_is_left_alone(find):
    before = find(min_visible=0.0, explained=1e9).attributes
    after = find(min_visible=0.0, explained=1e9, target="spotted", source="plain", count=1).attributes
    assert [a.target for a in after] == ["spotted"] + ["plain"] * 3
    assert [a for a in after if a.target == "plain"] == [a for a in before if a.target == "plain"]


def test_the_discriminator_has_a_veto(model, x):
    free = search(model, x, options(min_visible=0.0, explained=1e9))
    lenient = search(model, x, options(min_visible=0.0, explained=1e9, discriminator=1e9))
    assert lenient == free
    # Every move changes the score a little, and every picture counts that has any effect at all.
    assert search(model, x, options(min_visible=0.0, discriminator=1e-6, effect_threshold=0.0)) == []


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
    found = find()
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
    monkeypatch.setattr(choose, "class_number", lambda name, names: 7 if name == "spotted" else names.index(name))
    with pytest.raises(DataError, match=r"calls none of \d+ reconstructions spotted; search more pictures"):
        find(target="plain", source="spotted")
    assert not Path(f"{model_folder}-effects").exists()


def test_with_few_moves_a_picture_that_half_of_them_change_is_unstable(model, x):
    """The notebook's 750 effects are more than a shortlist of two classes has."""
    assert search(model, x, options(candidates=2, unstable_threshold=0.0)) == []
    assert search(model, x, options(candidates=2, unstable_threshold=1e9))


def test_a_classifier_that_says_the_same_of_everything_is_named(model, x):
    constant = copy.copy(model)
    constant.classifier = wrap(lambda x: torch.zeros(len(x), 2) + torch.tensor([0.0, 1.0]), NAMES, 16)
    with pytest.raises(DataError, match=r"every reconstruction is spotted .* the classifier says the same of every"):
        search(constant, x, options())


def test_without_a_discriminator_there_is_no_veto(model, x):
    without = copy.copy(model)
    without.discriminator = None
    with pytest.raises(DataError, match="saved without its discriminator; use --discriminator 0"):
        search(without, x, options(discriminator=0.2))


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


def test_the_curve_is_that_of_moving_the_first_attributes_together(model, x):
    s = styles_of(model, x, 64)
    s = s[model.logits_of(s).argmax(1) == 0]
    moves = [(3, Direction.UP), (17, Direction.DOWN), (30, Direction.UP)]
    curve = sufficiency_of(model, s, 1, moves)
    assert [k for k, _ in curve] == [1, 2, 3]
    both = move(move(s, *moves[0], model.stats), *moves[1], model.stats)
    assert curve[1][1] == pytest.approx(float((model.logits_of(both).argmax(1) == 1).float().mean()))
