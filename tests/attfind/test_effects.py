"""AttFind on a StylEx of two pixels, checked with a pencil, and against the published notebook's algorithm."""

from __future__ import annotations

import math
import re

import pytest
import torch
from oracle import in_float64

from stylex.attfind.effects import (
    REST,
    Attribute,
    effect_table,
    effects_of,
    fastest_width,
    first_that_fits,
    plain_edits,
    subset,
    subset_by_list,
    top_moves,
    towards,
)
from stylex.attfind.selection import select, select_two_class, unstable
from stylex.stylespace import Direction, StyleStats

UP, DOWN = Direction.UP, Direction.DOWN


def paint(s):  # "generator": coordinate 1 lights the left pixel, 2 the right; 0 is ignored
    return s[:, 1:]


def judge(image):  # "classifier": class 1 likes a bright left pixel, class 0 a dark one
    return torch.stack([-image[:, 0], image[:, 0]], dim=1)


def logits_of(s):
    return judge(paint(s))


def between(low: float, high: float, size: int = 3) -> StyleStats:
    ends = torch.full((size,), low), torch.full((size,), high)
    return StyleStats(*ends, s_mean=(ends[0] + ends[1]) / 2, s_std=torch.ones(size), count=8)


@pytest.fixture
def s() -> torch.Tensor:
    return torch.rand(8, 3, generator=torch.Generator().manual_seed(0))


# The effect table.


def test_effects_by_pencil():
    s = torch.tensor([[0.5, 0.25, 0.75]])
    effect = effect_table(logits_of, s, between(0.0, 1.0))
    assert effect.shape == (1, 2, 3, 2)
    assert effect[0, DOWN].tolist() == [[0, 0], [0.25, -0.25], [0, 0]]
    assert effect[0, UP].tolist() == [[0, 0], [-0.75, 0.75], [0, 0]]


def test_a_move_that_is_not_asked_for_is_not_made():
    s, asked = torch.tensor([[0.5, 0.25, 0.75]]), []

    def edits(index, value):
        asked.append((index.tolist(), value.tolist()))
        return plain_edits(logits_of)(s)(index, value)

    moves = torch.tensor([[True, True], [False, True]])
    effect = effects_of(edits, logits_of(s), s, between(0.0, 1.0), torch.tensor([1, 2]), moves=moves)
    assert asked == [([1, 2, 2], [0.0, 0.0, 1.0])]
    assert effect[DOWN].tolist() == [[0.25, -0.25], [0, 0]]
    assert effect[UP].tolist() == [[0, 0], [0, 0]]


def test_a_longer_shift_goes_beyond_the_range():
    s = torch.tensor([[0.5, 0.25, 0.75]])
    effect = effect_table(logits_of, s, between(0.0, 1.0), shift=2.0)
    assert effect[0, UP, 1].tolist() == [-1.5, 1.5]
    assert not effect_table(logits_of, s, between(0.0, 1.0), shift=0.0).any()


def test_finds_the_one_coordinate_the_classifier_reads(s):
    effect = effect_table(logits_of, s, between(0.0, 1.0))
    assert select(effect, target=1, count=10) == [(1, UP)]
    assert select(effect, target=0, count=10) == [(1, DOWN)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 1000])
def test_the_batch_size_does_not_matter(tiny_model, batch_size):
    s = tiny_model.sample(torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
    whole = effect_table(tiny_model.logits_of, s, tiny_model.stats)
    parts = effect_table(tiny_model.logits_of, s, tiny_model.stats, batch_size=batch_size)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_the_search_leaves_its_inputs_alone(s):
    range_ = between(0.0, 1.0)
    before, ends = s.clone(), (range_.s_min.clone(), range_.s_max.clone())
    effect = effect_table(logits_of, s, range_)
    table = effect.clone()
    select(effect, 1, 3)
    select_two_class(effect, torch.tensor([0, 1] * 4), 3)
    unstable(effect, 2, 0.0, 0)
    subset(logits_of, s[:1], range_, [(1, UP)], 1, 3)
    assert torch.equal(s, before)
    assert torch.equal(effect, table)
    assert torch.equal(range_.s_min, ends[0])
    assert torch.equal(range_.s_max, ends[1])


def test_a_picture_at_the_end_of_the_range_has_no_effect_and_costs_nothing():
    calls: list[int] = []

    def counted(s):
        calls.append(len(s))
        return logits_of(s)

    s = torch.tensor([[0.0, 1.0, 1.0]])
    effect = effect_table(counted, s, between(0.0, 1.0), batch_size=1)
    assert effect[0, UP, 1].tolist() == [0, 0]
    assert effect[0, DOWN, 1].tolist() == [1, -1]
    assert sum(calls) == 1 + 3  # the picture, and each coordinate in the one direction in which it can move


def test_only_the_searched_coordinates_move(s):
    conv_only = effect_table(logits_of, s, between(0.0, 1.0), num_searched=2)
    whole = effect_table(logits_of, s, between(0.0, 1.0))
    assert torch.equal(conv_only, whole[:, :, :2])
    chosen = effect_table(logits_of, s, between(0.0, 1.0), candidates=torch.tensor([2, 1]))
    assert torch.equal(chosen, whole[:, :, [2, 1]])


def test_no_pictures_is_an_error():
    with pytest.raises(ValueError, match="no pictures"):
        effect_table(logits_of, torch.zeros(0, 3), between(0.0, 1.0))


def test_the_progress_bar_sees_every_picture(s):
    seen = []

    def bar(pictures):
        for n in pictures:
            seen.append(n)
            yield n

    effect_table(logits_of, s, between(0.0, 1.0), progress=bar)
    assert seen == list(range(8))


# How wide a pass should be.


def test_the_width_is_the_one_with_the_cheapest_copies(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("stylex.attfind.effects.time.perf_counter", lambda: clock[0])

    def run(width):
        # 1, 1.125, 0.75 and 0.8 for each copy: a little slower may be chance.
        clock[0] += {8: 8.0, 16: 18.0, 32: 24.0, 64: 51.2}[width]

    assert fastest_width(run) == 32


@pytest.mark.parametrize("seconds", [1.02, 0.98])
def test_two_widths_that_are_hardly_faster_end_the_trial(monkeypatch, seconds):
    clock, tried = [0.0], []
    monkeypatch.setattr("stylex.attfind.effects.time.perf_counter", lambda: clock[0])

    def run(width):
        tried.append(width)
        clock[0] += seconds * width if width > 8 else width

    assert fastest_width(run) == 8
    assert set(tried) == {8, 16, 32}


def test_the_width_stops_where_memory_ends(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("stylex.attfind.effects.time.perf_counter", lambda: clock[0])

    def run(width):
        if width > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")
        clock[0] += 1.0

    assert fastest_width(run) == 16
    with pytest.raises(RuntimeError, match="shapes"):
        fastest_width(lambda width: (_ for _ in ()).throw(RuntimeError("shapes differ")))


def test_a_gpu_takes_the_first_width_that_fits():
    def run(width):
        if width > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert first_that_fits(run, (64, 16, 4)) == 16
    with pytest.raises(torch.OutOfMemoryError):
        first_that_fits(run, (64, 32))
    with pytest.raises(RuntimeError, match="shapes"):
        first_that_fits(lambda width: (_ for _ in ()).throw(RuntimeError("shapes differ")))


# One picture.


def test_top_moves_of_one_picture_name_each_coordinate_once():
    effect = torch.zeros(2, 3, 2)
    effect[UP, 0, 1], effect[DOWN, 0, 1] = 0.5, 0.4
    effect[DOWN, 2, 1] = 0.7
    effect[:, 1, 1] = -1.0
    assert top_moves(effect, 1, 5) == [(2, DOWN), (0, UP)]
    assert top_moves(effect, 1, 1) == [(2, DOWN)]


# Subset: one picture, moves on top of moves.


def test_subset_evaluates_each_move_on_top_of_the_moves_made():
    """Class 1 wants coordinates 0 and 1 alike, to either side: alone 2 is best, after 1 the best is 0."""

    def logits(s):
        return torch.stack([torch.full((len(s),), 1.9), 2 * s[:, 0] * s[:, 1] + 0.1 * s[:, 1] + 0.05 * s[:, 2]], dim=1)

    s = torch.zeros(1, 3)
    moves = [(0, UP), (1, UP), (2, UP)]
    # From zero, 0 alone gives 0 and 1 alone 0.1; then 0 adds 2 and flips, where 2 would have added 0.05.
    assert subset(logits, s, between(-1.0, 1.0), moves, target=1, count=3) == [(1, UP), (0, UP)]


def test_subset_stops_at_the_flip(s):
    picture = torch.tensor([[0.5, -0.5, 0.5]])
    assert subset(logits_of, picture, between(-1.0, 1.0), [(1, UP), (2, UP)], 1, 5) == [(1, UP)]
    assert subset(logits_of, -picture, between(-1.0, 1.0), [(1, UP), (2, UP)], 1, 5) == []  # is of class 1 already


def test_subset_stops_at_the_count_and_when_nothing_helps():
    def logits(s):
        return torch.stack([torch.full((len(s),), 10.0), s.sum(dim=1)], dim=1)

    s, range_ = torch.zeros(1, 3), between(-1.0, 1.0)
    moves = [(0, UP), (0, DOWN), (1, UP), (2, DOWN)]
    assert subset(logits, s, range_, moves, 1, 1) == [(0, UP)]
    assert subset(logits, s, range_, moves, 1, 5) == [(0, UP), (1, UP)]  # 2 DOWN would hurt, 0 has moved
    assert subset(logits, s, range_, [], 1, 5) == []


def test_subset_looks_at_the_lead_over_the_strongest_rival():
    """A move that lifts the target by 2 and a rival by 3 does not bring the decision nearer."""

    def logits(s):
        return torch.stack([1 + 0 * s[:, 0], 2 * s[:, 0] + 1.5 * s[:, 1], 3 * s[:, 0]], dim=1)

    s, range_ = torch.zeros(1, 2), between(-1.0, 1.0, size=2)
    assert subset(logits, s, range_, [(0, UP), (1, UP)], target=1, count=2) == [(1, UP)]


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_subset_does_not_depend_on_the_batch_size(tiny_model, batch_size):
    s = tiny_model.sample(torch.tensor([[0.9, 0.1]]))
    target = 1 - int(tiny_model.logits_of(s).argmax())
    moves = [(i, d) for i in range(tiny_model.space.num_conv) for d in Direction]
    found = subset(tiny_model.logits_of, s, tiny_model.stats, moves, target, 4, batch_size=batch_size)
    assert found == subset(tiny_model.logits_of, s, tiny_model.stats, moves, target, 4)
    assert found


def test_subset_with_fast_edits_is_the_same(tiny_model):
    s = tiny_model.sample(torch.tensor([[0.9, 0.1]]))
    target = 1 - int(tiny_model.logits_of(s).argmax())
    moves = [(i, d) for i in range(tiny_model.space.num_conv) for d in Direction]
    slow = subset(tiny_model.logits_of, s, tiny_model.stats, moves, target, 4)
    assert slow == subset(tiny_model.logits_of, s, tiny_model.stats, moves, target, 4, edits_of=tiny_model.edits_of(32))


def test_a_subset_by_the_class_list_takes_its_first_moves_until_the_flip():
    def logits(s):
        return torch.stack([torch.full((len(s),), 1.5), s.sum(dim=1)], dim=1)

    s, range_ = torch.zeros(1, 3), between(-1.0, 1.0)
    moves = [(1, UP), (0, DOWN), (2, UP), (0, UP)]
    assert subset_by_list(logits, s, range_, moves, 1, 9) == moves  # 1, 0, 1: does not flip before the fourth
    assert subset_by_list(logits, s, range_, moves, 1, 2) == moves[:2]
    assert subset_by_list(logits, s, range_, [(1, UP), (2, UP), (0, UP)], 1, 9) == [(1, UP), (2, UP)]
    assert subset_by_list(logits, s, range_, moves, 0, 9) == []


# The published notebook's algorithm, one coordinate at a time, as an oracle.


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_the_table_equals_the_notebook_s_in_float64(tiny_model, shift):
    s, _, slow = in_float64(tiny_model, shift)
    assert slow.abs().max() > 0.5  # there is something to compare
    searched = tiny_model.space.num_conv
    for edits_of in (None, tiny_model.edits_of()):
        fast = effect_table(
            tiny_model.logits_of, s, tiny_model.stats, num_searched=searched, shift=shift, edits_of=edits_of
        )
        torch.testing.assert_close(fast.double(), slow, rtol=0, atol=1e-4)


# The record.


ROW = {
    "index": 3,
    "layer": "4x4/conv",
    "channel": 3,
    "direction": "up",
    "source": "plain",
    "target": "spotted",
    "delta_logit": 1.5,
    "delta_prob": 0.25,
    "images_share": 0.5,
}


def test_an_attribute_survives_json():
    attribute = Attribute.from_dict({**ROW, "name": "a spot", "visible_share": 0.75})
    assert attribute.direction is UP
    assert Attribute.from_dict(attribute.to_dict()) == attribute
    assert Attribute.from_dict(ROW).name is None


def test_what_a_person_saw_survives_json_and_is_left_out_where_nobody_has_said_anything():
    attribute = Attribute.from_dict({**ROW, "marks": ["new", "known"], "no_reason": True})
    assert attribute.judged == {"name": None, "no_reason": True, "marks": ("new", "known")}
    assert Attribute.from_dict(attribute.to_dict()) == attribute
    assert not {"marks", "no_reason"} & Attribute.from_dict(ROW).to_dict().keys()
    for odd in ("known", ["seen"], ["known", "known"], [["known"]], None):
        with pytest.raises(ValueError, match=r"marks is .*; it must be a list of known, confounder, artefact, new"):
            Attribute.from_dict({**ROW, "marks": odd})


def test_a_file_from_before_there_were_proposals_loads_and_one_with_them_says_them():
    assert Attribute.from_dict(ROW).words is None
    proposal = {"text": "darker", "holds": 0.8, "pictures": 30}
    attribute = Attribute.from_dict({**ROW, "proposal": proposal})
    assert attribute.title == "darker"
    assert attribute.coordinate == "4x4/conv · 3 ↑"
    assert Attribute.from_dict(attribute.to_dict()) == attribute
    with pytest.raises(ValueError, match="holds of the proposal is 2; it must be a share from 0 to 1"):
        Attribute.from_dict({**ROW, "proposal": {**proposal, "holds": 2}})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"index": "3"}, "index is '3'; it must be a whole number"),
        ({"index": True}, "index is True"),
        ({"channel": 1.5}, "channel is 1.5"),
        ({"layer": 4}, "layer is 4; it must be a text"),
        ({"target": None}, "target is None"),
        ({"delta_prob": "big"}, "delta_prob is 'big'; it must be a number"),
        ({"delta_logit": math.nan}, "delta_logit is nan"),
        ({"images_share": True}, "images_share is True"),
        ({"direction": "sideways"}, "direction is 'sideways'; it must be 'down' or 'up'"),
        ({"name": 7}, "name is 7; it must be a text"),
        ({"visible_share": "all"}, "visible_share is 'all'; it must be a number"),
        ({"colour": 1}, "key colour is unknown"),
    ],
)
def test_a_wrong_key_of_an_attribute_is_named(change, says):
    with pytest.raises(ValueError, match="^" + re.escape(says)):
        Attribute.from_dict({**ROW, **change})


def test_a_missing_key_of_an_attribute_is_named():
    with pytest.raises(ValueError, match="key layer is missing"):
        Attribute.from_dict({k: v for k, v in ROW.items() if k != "layer"})
    with pytest.raises(ValueError, match="must be an object"):
        Attribute.from_dict([])


def test_the_list_from_one_class_and_the_list_from_the_rest_are_never_mixed():
    def found(index: int, source: str) -> Attribute:
        return Attribute(index, "4x4/conv0", index, UP, source, "red", 1.0, 0.1, 0.1)

    listed = [found(1, REST), found(2, "green"), found(3, REST), found(4, "green")]
    assert [a.index for a in towards(listed, "green", "red")] == [2, 4]
    assert [a.index for a in towards(listed, "blue", "red")] == [1, 3]
    assert towards(listed, "red", "green") == []
