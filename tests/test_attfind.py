"""AttFind on a StylEx of two pixels, checked with a pencil, and against the published notebook's algorithm."""

from __future__ import annotations

import copy
import math
import re

import pytest
import torch

from stylex.attfind import (
    Attribute,
    effect_table,
    filter_unstable,
    select,
    select_one_vs_rest,
    select_two_class,
    subset,
    top_moves,
)
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
    filter_unstable(effect, 0.0, 0)
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


# Selection.


def table(rows: list[list[float]], target: int = 1) -> torch.Tensor:
    """[N, 2, M, 2] from rows [N][M] of effects on the target's logit when a coordinate goes UP."""
    up = torch.tensor(rows)
    effect = torch.zeros(len(up), 2, up.shape[1], 2)
    effect[:, UP, :, target] = up
    return effect


def test_the_greedy_choice_by_pencil():
    # Coordinate 2 has the best mean (0.9) and explains pictures 0 and 1; on picture 2 alone, 0 beats 1.
    effect = table([[0.1, 1.0, 1.2], [0.1, 1.0, 1.2], [0.6, 0.0, 0.3]])
    assert select(effect, 1, 3, explained=1.0) == [(2, UP), (0, UP)]
    # With nothing ever explained it is the order of the means: 0.9, 0.667, 0.267.
    assert select(effect, 1, 3, explained=100.0) == [(2, UP), (1, UP), (0, UP)]


def test_effects_add_up_until_a_picture_is_explained():
    effect = table([[0.6, 0.5, 0.4]])
    assert select(effect, 1, 3, explained=1.0) == [(0, UP), (1, UP)]
    assert select(effect, 1, 3, explained=1.2) == [(0, UP), (1, UP), (2, UP)]


def test_a_harmful_effect_counts_as_none():
    # Mean -1.5 for coordinate 0, but clipped at zero it is 0.5, more than the 0.3 of coordinate 1.
    effect = table([[1.0, 0.3], [-4.0, 0.3]])
    assert select(effect, 1, 1, explained=100.0) == [(0, UP)]


def test_stops_when_all_is_explained():
    effect = table([[2.0, 1.5], [2.0, 1.5]])
    assert select(effect, 1, 10) == [(0, UP)]


def test_stops_when_nothing_helps():
    assert select(table([[0.0, -1.0], [0.0, -2.0]]), 1, 10) == []
    # Picture 1 cannot be helped: its moves are not drawn at random from what is left.
    assert select(table([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), 1, 10) == [(0, UP)]


def test_coordinate_0_is_never_chosen_for_want_of_anything():
    """The notebook takes the mean over no pictures, and the largest of NaN is number 0, again and again."""
    effect = table([[0.0, 0.0, 3.0], [0.0, 0.0, 3.0]])
    assert select(effect, 1, 10) == [(2, UP)]
    assert select(effect[:0], 1, 10) == []


def test_a_coordinate_is_chosen_once_and_in_its_better_direction():
    """Both ways cannot be moved together; the notebook chooses both."""
    effect = torch.zeros(2, 2, 1, 2)
    effect[0, UP, 0, 1], effect[1, DOWN, 0, 1] = 0.3, 0.4
    assert select(effect, 1, 10) == [(0, DOWN)]


def test_count_is_the_most_that_is_chosen():
    effect = table([[0.1, 0.2, 0.3, 0.4]])
    assert select(effect, 1, 2) == [(3, UP), (2, UP)]
    assert select(effect, 1, 0) == []


def test_one_vs_rest_looks_at_the_pictures_of_other_classes():
    effect = table([[9.0, 0.0], [0.0, 0.5]])
    labels = torch.tensor([1, 0])  # the first is of the target class already
    assert select_one_vs_rest(effect, labels, 1, 5) == [(1, UP)]
    assert select_one_vs_rest(effect, torch.tensor([1, 1]), 1, 5) == []


def test_one_vs_rest_of_many_classes():
    effect = torch.zeros(3, 2, 4, 3)
    effect[0, UP, 1, 2] = 2.0
    effect[1, DOWN, 3, 2] = 1.5
    effect[2, UP, 0, 2] = 9.0
    labels = torch.tensor([0, 1, 2])
    assert select_one_vs_rest(effect, labels, 2, 5) == [(1, UP), (3, DOWN)]
    assert select_one_vs_rest(effect, labels, 0, 5) == []


def test_the_two_class_list_by_pencil():
    """Coordinates 0 and 1 are found towards class 0, 1 and 2 towards class 1; 1 is listed once.

    Scores over both pictures, effect on class 0 of the move plus effect on class 1 of its opposite:
    coordinate 0 UP: 0.8/2 + 0.1/2 = 0.45; 1 DOWN: 0.5/2 + 0.9/2 = 0.7; 2 UP (turned around): 0 + 1.6/2 = 0.8.
    """
    effect = torch.zeros(2, 2, 3, 2)
    labels = torch.tensor([1, 0])
    effect[0, UP, 0, 0], effect[0, DOWN, 1, 0] = 0.8, 0.5  # picture 0, of class 1, on its way to 0
    effect[1, UP, 1, 1], effect[1, DOWN, 2, 1], effect[1, DOWN, 0, 1] = 0.9, 1.6, 0.1  # picture 1, of class 0
    found = select_two_class(effect, labels, 8, explained=100.0)
    assert found == [(2, UP), (1, DOWN), (0, UP)]
    assert select_two_class(effect, labels, 2, explained=100.0) == found[:2]


def test_the_two_class_list_leaves_out_what_does_more_harm_than_good():
    """Coordinate 0 UP helps the one picture on its way to class 0 by 0.3, its opposite costs the other 0.5."""
    effect = torch.zeros(2, 2, 2, 2)
    effect[0, UP, 0, 0], effect[1, DOWN, 0, 1], effect[0, UP, 1, 0] = 0.3, -0.5, 0.1
    assert select_two_class(effect, torch.tensor([1, 0]), 5) == [(1, UP)]


def test_the_two_class_list_of_pictures_of_one_class_still_works():
    effect = table([[0.5, 0.7]])
    assert select_two_class(effect, torch.tensor([0]), 5, explained=100.0) == [(1, DOWN), (0, DOWN)]


def test_unstable_pictures_are_silenced_in_a_copy():
    effect = torch.zeros(2, 2, 4, 2)
    effect[0] = -3.0  # 16 effects above 2 logits
    effect[1, UP, 0, 1] = 3.0
    calm = filter_unstable(effect, threshold=2.0, max_count=15)
    assert not calm[0].any()
    assert torch.equal(calm[1], effect[1])
    assert torch.equal(filter_unstable(effect, threshold=2.0, max_count=16), effect)
    assert torch.equal(filter_unstable(effect, threshold=3.0, max_count=0), effect)  # 3 is not above 3


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


# The published notebook's algorithm, one coordinate at a time, as an oracle.


def notebook_table(logits_of, s, s_min, s_max, shift) -> torch.Tensor:
    """style_change_effect: one forward pass for every picture, direction and coordinate."""
    n, k = s.shape
    effect = torch.zeros(n, 2, k, logits_of(s[:1]).shape[1], dtype=torch.float64)
    for i in range(n):
        base = logits_of(s[i : i + 1])[0]
        for d, end in enumerate((s_min, s_max)):
            for j in range(k):
                moved = s[i : i + 1].clone()
                moved[0, j] = moved[0, j] + shift * (end[j] - moved[0, j])
                effect[i, d, j] = logits_of(moved)[0] - base
    return effect


def notebook_select(effect, target: int, count: int, max_image_effect: float) -> list[tuple[int, int]]:
    """find_significant_styles without a discriminator, with Python numbers, until its means are of nothing.

    One difference is meant: a coordinate that was chosen one way is not chosen the other way.
    """
    n, _, k, _ = effect.shape
    pos = [[max(0.0, float(v)) for v in row] for row in effect[..., target].reshape(n, 2 * k)]
    acc, out = [0.0] * n, []
    while len(out) < count:
        open_ = [i for i in range(n) if acc[i] < max_image_effect]
        if not open_:
            break
        means = [sum(pos[i][f] for i in open_) / len(open_) for f in range(2 * k)]
        nxt = max(range(2 * k), key=means.__getitem__)
        if means[nxt] <= 0:
            break
        out.append((nxt % k, nxt // k))
        for i in range(n):
            acc[i] += pos[i][nxt]
            pos[i][nxt % k] = pos[i][nxt % k + k] = 0.0
    return out


def notebook_two_class(effect, labels, count: int, max_image_effect: float) -> list[tuple[int, int]]:
    """Cell 12: both searches, class 1's turned around and without doubles, ranked over all pictures.

    One difference is meant: what does more harm than good is left out.
    """
    n = len(effect)
    to_0 = notebook_select(effect[labels == 1], 0, count, max_image_effect)
    to_1 = notebook_select(effect[labels == 0], 1, count, max_image_effect)
    known = {j for j, _ in to_0}
    union = to_0 + [(j, 1 - d) for j, d in to_1 if j not in known]
    scores = [sum(float(effect[i, d, j, 0]) + float(effect[i, 1 - d, j, 1]) for i in range(n)) / n for j, d in union]
    order = sorted(range(len(union)), key=lambda u: -scores[u])
    return [union[u] for u in order if scores[u] > 0][:count]


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_table_and_selections_equal_the_notebook_s_algorithm_in_float64(tiny_model, shift):
    model, searched = tiny_model, tiny_model.space.num_conv
    probs = torch.linspace(0.05, 0.95, 12)
    s = model.sample(torch.stack([probs, 1 - probs], dim=1), seed=5)
    fast = effect_table(model.logits_of, s, model.stats, num_searched=searched, shift=shift)

    # A float64 copy of the same generator; the classifier reads fp32, as it always does.
    synthesis = copy.deepcopy(model.generator.synthesis).double()
    s_min, s_max = model.stats.s_min.double(), model.stats.s_max.double()
    slow = []
    for picture in s.double().split(1):
        rgb = picture[:, searched:]

        def slow_logits(conv: torch.Tensor, rgb: torch.Tensor = rgb) -> torch.Tensor:
            with torch.no_grad():
                return model.classifier(synthesis(torch.cat([conv, rgb], dim=1)).clamp(-1, 1)).double()

        slow.append(notebook_table(slow_logits, picture[:, :searched], s_min, s_max, shift))
    slow = torch.cat(slow)
    assert fast.abs().max() > 0.5  # there is something to compare
    torch.testing.assert_close(fast.double(), slow, rtol=0, atol=1e-4)

    labels = model.logits_of(s).argmax(dim=1)
    assert 0 < int(labels.sum()) < len(labels)
    for explained in (0.2, 1.0, 100.0):
        for target in (0, 1):
            ours = select_one_vs_rest(fast, labels, target, 10, explained)
            assert ours == notebook_select(slow[labels != target], target, 10, explained)
        assert select_two_class(fast, labels, 8, explained) == notebook_two_class(slow, labels, 8, explained)


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
