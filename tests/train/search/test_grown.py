"""The script's lists of moves made together: what they flip, what is written down, and that shards do not matter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from stylex import StylEx
from stylex.attfind.shards import InMemory, Plan
from stylex.stylespace import Direction, StyleStats, move_together
from train.find_attributes import main
from train.search.grown import Job, alone, candidates_of, jobs_of, seen_more

UP, DOWN = Direction.UP, Direction.DOWN


def find(model_folder: Path, pictures: Path, **changes) -> StylEx:
    values = {"model": model_folder, "data": pictures, "images": 12, "count": 4, "report": False, "candidates": 12}
    values |= {"min_visible": 0.0, "certify": 0, "batch_size": 8, **changes}
    main([arg for name, value in values.items() for arg in (f"--{name}", str(value))])
    return StylEx.from_pretrained(model_folder)


def chosen(model: StylEx) -> list[tuple]:
    return [(a.index, a.direction, a.source, a.target) for a in model.attributes]


@pytest.fixture(scope="module")
def searched(tiny_model, pictures, tmp_path_factory) -> tuple[Path, StylEx]:
    """The folder, and its model with lists of the default rule."""
    folder = tiny_model.save_pretrained(tmp_path_factory.mktemp("grown") / "model")
    return folder, find(folder, pictures, shard_size=12)


def test_moves_are_made_together_by_default_and_the_file_says_so(searched):
    folder, model = searched
    assert model.attributes
    assert {a.rule for a in model.attributes} == {"together"}
    rows = json.loads((folder / "attributes.json").read_text(encoding="utf-8"))["attributes"]
    assert {row["rule"] for row in rows} == {"together"}


def test_one_shard_and_many_give_the_same_lists(searched, tiny_model, pictures, tmp_path, capsys):
    folder = tiny_model.save_pretrained(tmp_path / "model")
    found = find(folder, pictures, shard_size=5)
    assert len(list(tmp_path.glob("model-effects/*/shard-*"))) == 3
    assert chosen(found) == chosen(searched[1])
    # The means over the pictures are summed shard by shard, and may differ in their last digits.
    means = [a.delta_logit for a in searched[1].attributes]
    assert [a.delta_logit for a in found.attributes] == pytest.approx(means, abs=1e-4)
    # Two classes share a list, which is grown once.
    assert "1 list was grown with " in capsys.readouterr().err


def test_each_move_of_a_list_says_something_for_its_class_alone_and_more_on_top(searched, pictures):
    model = searched[1]
    assert all(a.delta_logit > 0 for a in model.attributes)
    x = model.load_images(sorted(pictures.rglob("*.png")))
    s = model.styles(model.encode(x))
    logits = model.logits_of(s)
    for target, name in enumerate(model.class_names):
        moves = [(a.index, a.direction) for a in model.attributes if a.target == name]
        others = s[logits.argmax(dim=1) != target]
        after = model.logits_of(move_together(others, moves, model.stats))
        assert float((after - model.logits_of(others))[:, target].mean()) > 0


# By pencil.


def test_a_list_walked_both_ways_is_grown_on_pictures_of_both_classes():
    stats = StyleStats(torch.zeros(2), torch.ones(2), torch.zeros(2), torch.ones(2), 4)
    plan = Plan("", [""] * 4, torch.arange(2), stats, 2, 1.0, 8, 4, torch.tensor([[True, False], [True, False]]))
    masks = [torch.tensor([True, False, True, False]), torch.tensor([False, True, False, True])]
    shares = [torch.tensor([[1.0, 0], [0.5, 0]]), torch.tensor([[0.8, 0], [0.6, 0]])]
    shown = [torch.ones(2, 2, dtype=torch.bool)] * 2
    stable = torch.tensor([True, True, True, False])
    (job,) = jobs_of(plan, [("rest", 0), ("rest", 1)], masks, shares, shown, stable, shared=True)
    assert job.rows.tolist() == [0, 1, 2]  # the last has no say
    assert job.target.tolist() == [0, 1, 0]
    assert job.mirrored.tolist() == [False, True, False]
    assert job.candidates == [(0, DOWN), (0, UP)]
    # DOWN is seen on all towards 0, and its opposite on 0.6 towards 1.
    assert job.weight.tolist() == pytest.approx([(1.0 + 0.8) / 2, (0.75 + 0.9) / 2])
    first, second = jobs_of(plan, [("rest", 0), ("rest", 1)], masks, shares, shown, stable, shared=False)
    assert (first.rows.tolist(), second.rows.tolist()) == ([0, 2], [1])
    assert not first.mirrored.any()


def test_what_moves_did_alone_is_read_from_the_table():
    effect = torch.zeros(3, 2, 2, 1)  # K, n, directions, M
    effect[0, 0, UP, 0], effect[1, 0, UP, 0], effect[1, 1, DOWN, 0] = 1.0, 3.0, -2.0
    logits = torch.tensor([[0.0, 0.0, 2.0], [5.0, 1.0, 0.0]])
    effects = InMemory({"effect": effect, "logits": logits})
    rows, target = torch.tensor([0, 1]), torch.tensor([0, 1])
    job = Job(rows > -1, rows, target, torch.tensor([False, True]), [(0, UP)], torch.ones(1))
    raised, led = alone(effects, job)
    # The second picture goes the other way.
    assert raised.tolist() == [[1.0], [-2.0]]
    # Class 0 is at 1 where class 1 is at 3, from 2 behind; class 1 is at -1 where class 0 stays at 5, from 4 behind.
    assert led.tolist() == [[-2.0 - -2.0], [-6.0 - -4.0]]


def test_what_is_seen_on_more_pictures_counts_for_more():
    assert seen_more(torch.tensor([[0.0], [1.0]]), [(0, DOWN), (0, UP)]).tolist() == [0.5, 1.0]


def test_what_was_not_moved_is_not_chosen():
    stats = StyleStats(torch.zeros(2), torch.ones(2), torch.zeros(2), torch.ones(2), 1)
    plan = Plan("", [""], torch.arange(2), stats, 2, 1.0, 8, 1, torch.tensor([[True, False], [False, True]]))
    assert candidates_of(plan, torch.tensor([[True, True], [True, False]])) == [(0, DOWN)]
