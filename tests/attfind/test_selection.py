"""The rules by which moves are chosen from a table of effects: by pencil, and against the published algorithms."""

from __future__ import annotations

import pytest
import torch
from oracle import (
    algorithm_1,
    in_float64,
    notebook_discriminator,
    notebook_image_fraction,
    notebook_select,
    notebook_stable,
    notebook_two_class,
)

from stylex.attfind import selection
from stylex.attfind.effects import effect_table
from stylex.attfind.selection import (
    column,
    effects_on,
    pictures_by_distance,
    pictures_by_effect,
    rank_certainty,
    realistic,
    select,
    select_image_fraction,
    select_one_vs_one,
    select_one_vs_rest,
    select_two_class,
    unstable,
)
from stylex.stylespace import Direction

UP, DOWN = Direction.UP, Direction.DOWN


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


def test_one_vs_one_looks_at_the_pictures_of_one_class():
    effect = torch.zeros(3, 2, 4, 3)
    effect[0, UP, 1, 2], effect[1, DOWN, 3, 2] = 2.0, 1.5
    labels = torch.tensor([0, 1, 2])
    assert select_one_vs_one(effect, labels, 0, 2, 5) == [(1, UP)]
    assert select_one_vs_one(effect, labels, 1, 2, 5) == [(3, DOWN)]
    assert select_one_vs_one(effect, labels, 2, 0, 5) == []


def test_by_algorithm_1_one_strong_move_explains_a_picture_and_two_weak_ones_do_not():
    effect = table([[0.6, 0.5, 0.4]])
    assert select(effect, 1, 3, 1.0, rule="single") == [(0, UP), (1, UP), (2, UP)]
    assert select(effect, 1, 3, 0.55, rule="single") == [(0, UP)]
    assert select(effect, 1, 3, 0.6, rule="single") == [(0, UP), (1, UP), (2, UP)]  # 0.6 is not above 0.6


def test_by_algorithm_1_a_harmful_effect_counts():
    # The mean of coordinate 0 is -1.5, which by the notebook's rule would be 0.5.
    assert select(table([[1.0, 0.3], [-4.0, 0.3]]), 1, 2, 100.0, rule="single") == [(1, UP)]
    with pytest.raises(ValueError, match="rule is 'both'; use one of accumulated, single"):
        select(table([[1.0]]), 1, 1, rule="both")


def test_moves_that_change_many_pictures_come_first_by_image_fraction():
    effect = table([[0.3, 9.0, 0.1], [0.3, 0.0, 0.1], [0.0, 0.0, 0.1], [0.3, 0.0, 0.1]])
    assert select_image_fraction(effect, 1, 5) == [(0, UP), (1, UP)]
    assert select_image_fraction(effect, 1, 5, min_fraction=0.5) == [(0, UP)]
    assert select_image_fraction(effect, 1, 5, effect_threshold=0.05)[1] == (0, UP)  # 2 changes four of them a little
    assert select_image_fraction(effect, 1, 1) == [(0, UP)]
    assert select_image_fraction(effect[:0], 1, 5) == []


def test_a_veto_passes_a_move_over_and_its_opposite_too():
    effect = table([[0.3, 0.9, 0.1]])
    effect[0, DOWN, 1, 1] = 0.8
    asked = []

    def accept(position, direction, target):
        asked.append((position, direction, target))
        return position != 1

    assert select(effect, 1, 2, 100.0, accept=accept) == [(0, UP), (2, UP)]
    assert asked == [(1, UP, 1), (0, UP, 1), (2, UP, 1)]  # only what would have been chosen
    assert select_image_fraction(effect, 1, 2, accept=accept) == [(0, UP)]


def test_a_picture_that_almost_anything_changes_is_unstable():
    effect = torch.zeros(2, 2, 4, 2)
    effect[0] = -3.0  # 16 effects above 2 logits
    effect[1, UP, 0, 1] = 3.0
    assert unstable(effect, 2, 2.0, 15).tolist() == [True, False]
    assert unstable(effect, 2, 2.0, 16).tolist() == [False, False]
    assert unstable(effect, 2, 3.0, 0).tolist() == [False, False]  # 3 is not above 3


@pytest.mark.parametrize("rule", ["accumulated", "single"])
def test_to_leave_out_unstable_pictures_is_to_silence_them(rule):
    """The notebook sets their effects to zero and keeps them in its means."""
    effect = torch.randn(9, 2, 12, 2, generator=torch.Generator().manual_seed(1))
    calm = torch.tensor([True, True, False, True, False, True, True, True, True])
    silenced = effect * calm.view(-1, 1, 1, 1)
    labels = torch.tensor([0, 1, 1, 0, 0, 1, 0, 1, 1])
    for target in (0, 1):
        left_out = select_one_vs_rest(effect, labels, target, 6, rule=rule, rows=calm)
        assert left_out == select_one_vs_rest(silenced, labels, target, 6, rule=rule)
    assert select_two_class(effect, labels, 6, rule=rule, rows=calm) == select_two_class(silenced, labels, 6, rule=rule)


def test_the_discriminator_rejects_a_coordinate_by_its_worst_picture():
    effect = table([[0.5, 0.4], [0.5, 0.4], [0.1, 0.4]])
    asked = []

    def gap(rows, position, direction):
        asked.append((rows.tolist(), position, direction))
        return torch.where(rows == 1, 0.3, 0.0) if position == 0 else torch.full((len(rows),), 0.19)

    accept = realistic(effect, gap)
    assert select(effect, 1, 5, 100.0, accept=accept) == [(1, UP)]
    # Only pictures with an effect above 0.2 are judged, and a way that has none is not.
    assert asked == [([0, 1, 2], 1, UP), ([0, 1], 0, UP)]
    assert select(effect, 1, 5, 100.0, accept=realistic(effect, gap, pictures=1)) == [(1, UP), (0, UP)]
    assert realistic(effect, gap, rows=torch.tensor([True, False, True]))(0, UP, 1)


# Pictures to show.


def logits_with(gains: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    before = torch.zeros(len(gains), 2)
    after = before.clone()
    after[:, 1] = torch.tensor(gains)
    return before, after


def test_shown_are_the_pictures_with_the_strongest_effect():
    before, after = logits_with([1.5, 0.2, 3.0, 2.0, -1.0])
    assert pictures_by_effect(before, after, 1, 3, threshold=0.1) == [2, 3, 0]
    assert pictures_by_effect(before, after, 1, 9, threshold=0.3) == [2, 3, 0]  # sigmoid(1.5) - 0.5 is 0.318
    assert pictures_by_effect(before, after, 1, 9, threshold=0.33) == []  # two are too few to tell
    assert pictures_by_effect(before, after, 1, 1, threshold=0.33) == [2]


def test_with_a_seed_the_pictures_shown_are_drawn():
    before, after = logits_with([2.0 + 0.01 * i for i in range(40)])
    first = pictures_by_effect(before, after, 1, 5, seed=1)
    assert first == pictures_by_effect(before, after, 1, 5, seed=1)
    assert first != pictures_by_effect(before, after, 1, 5, seed=2)
    assert len(set(first)) == 5


def test_by_distance_the_longest_way_comes_first():
    before, after = logits_with([1.0, 1.0, 1.0, 0.1])
    distance = torch.tensor([1.0, 3.0, 2.0, 9.0])
    assert pictures_by_distance(before, after, distance, 1, 3) == [1, 2, 0]  # the farthest gains next to nothing


# Big tables, and doubt.


class Streamed:
    """A table that is never whole in memory, and counts how often it is read."""

    def __init__(self, effect: torch.Tensor, size: int) -> None:
        self.effect, self.size, self.read = effect, size, 0

    def of(self, target):
        self.read += 1
        yield from self.effect[..., target].split(self.size)


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("pool", [1, 3, 512])
@pytest.mark.parametrize("rule", ["accumulated", "single"])
def test_a_table_read_in_parts_gives_the_same_lists(monkeypatch, size, pool, rule):
    monkeypatch.setattr(selection, "POOL", pool)
    effect = torch.randn(10, 2, 15, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(10) % 3
    stream = Streamed(effect, size)
    ours = select_one_vs_rest(stream, labels, 2, 8, 1.5, rule=rule)
    oracle = notebook_select if rule == "accumulated" else algorithm_1
    assert ours == oracle(effect[labels != 2], 2, 8, 1.5)
    assert select_image_fraction(stream, 1, 4) == select_image_fraction(effect, 1, 4)
    assert torch.equal(unstable(stream, 3, 1.0, 20), unstable(effect, 3, 1.0, 20))
    assert torch.equal(column(stream, 1, 4), effect[:, :, 4, 1])
    mask = labels == 0
    assert torch.equal(torch.cat(list(effects_on(stream, 1, mask))), effect[mask][..., 1])


def test_two_readings_are_enough_where_the_best_moves_are_clear():
    effect = table([[0.01 * i for i in range(2000)]] * 3)
    stream = Streamed(effect, 2)
    assert select(stream, 1, 5, explained=1e6) == [(1999 - i, UP) for i in range(5)]
    assert stream.read == 2


def test_a_rank_is_certain_where_every_draw_agrees():
    effect = table([[0.9, 0.5, 0.0], [0.9, 0.5, 0.0], [0.9, 0.5, 0.0]])
    chosen = select(effect, 1, 3, 100.0)
    certainty = rank_certainty(lambda rows: select(effect[rows], 1, 3, 100.0), 3, chosen, rounds=20)
    assert certainty == [(1.0, 1, 1), (1.0, 2, 2)]


def test_a_move_that_one_picture_of_many_asks_for_is_uncertain():
    effect = table([[0.5, 0.0]] * 4 + [[0.0, 9.0]])
    chosen = select(effect, 1, 2, 100.0)
    (first, _, _), (second, low, high) = rank_certainty(
        lambda rows: select(effect[rows], 1, 2, 100.0), 5, chosen, rounds=200
    )
    assert first == pytest.approx(1 - (4 / 5) ** 5, abs=0.1)  # the one picture is drawn at all
    assert second > 0.95
    assert (low, high) == (1, 2)


# The published algorithms.


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_every_list_equals_the_published_algorithms_in_float64(tiny_model, shift):
    s, labels, slow = in_float64(tiny_model, shift)
    fast = effect_table(
        tiny_model.logits_of,
        s,
        tiny_model.stats,
        num_searched=tiny_model.space.num_conv,
        shift=shift,
        edits_of=tiny_model.edits_of(),
    )
    for explained in (0.2, 1.0, 100.0):
        for target in (0, 1):
            others = slow[labels != target]
            ours = select_one_vs_rest(fast, labels, target, 10, explained)
            assert ours == notebook_select(others, target, 10, explained)
            ours = select_one_vs_rest(fast, labels, target, 10, explained, rule="single")
            assert ours == algorithm_1(others, target, 10, explained)
        assert select_two_class(fast, labels, 8, explained) == notebook_two_class(slow, labels, 8, explained)
    for target in (0, 1):
        ours = select_image_fraction(fast, target, 8)
        assert ours == notebook_image_fraction(slow, target, 8, 0.2, 0.03)


@pytest.fixture(scope="module")
def many() -> tuple[torch.Tensor, torch.Tensor]:
    """A table of 24 pictures, 30 coordinates and four classes, of which three pictures are much shakier, and labels."""
    generator = torch.Generator().manual_seed(3)
    effect = torch.randn(24, 2, 30, 4, generator=generator) * 0.5
    effect[[2, 7, 8]] *= 6
    return effect, torch.arange(24) % 4


@pytest.mark.parametrize("explained", [0.5, 1.0, 100.0])
def test_with_many_classes_and_both_filters_every_list_is_the_published_one(many, explained):
    effect, labels = many
    silenced = notebook_stable(effect.double(), 2.0, 20)
    stable = ~unstable(effect, 4, 2.0, 20)
    assert (~stable).nonzero().flatten().tolist() == [2, 7, 8]
    assert not silenced[~stable].any()

    def gap(picture: int, coordinate: int, direction: int) -> float:
        return 0.3 if (picture + 3 * coordinate + direction) % 7 == 0 else 0.1

    def gaps(rows: torch.Tensor, position: int, direction: Direction) -> torch.Tensor:
        return torch.tensor([gap(i, position, int(direction)) for i in rows.tolist()])

    refused = 0
    for target in range(4):
        sources = [labels != target, *(labels == source for source in range(4) if source != target)]
        for n, rows in enumerate(sources):
            mine, numbers = silenced[rows], rows.nonzero().flatten().tolist()

            def may(coordinate: int, mine=mine, numbers=numbers, target=target) -> bool:
                real = notebook_discriminator(
                    mine, target, lambda i, *where: gap(numbers[i], *where), coordinate, pictures=3
                )
                nonlocal refused
                refused += not real
                return real

            accept = realistic(effect, gaps, rows=rows & stable, pictures=3)
            if n == 0:
                ours = select_one_vs_rest(effect, labels, target, 8, explained, rows=stable, accept=accept)
            else:
                source = int(labels[numbers[0]])
                ours = select_one_vs_one(effect, labels, source, target, 8, explained, rows=stable, accept=accept)
            assert ours == notebook_select(mine, target, 8, explained, may)
            calm = effect[rows & stable].double()
            ours = select_image_fraction(effect, target, 6, 0.4, rows=rows & stable)
            assert ours == notebook_image_fraction(calm, target, 6, 0.4, 0.03)
            ours = select(effect, target, 8, explained, rule="single", rows=rows & stable)
            assert ours == algorithm_1(calm, target, 8, explained)
    assert refused > 4


# The notebook's other faults.


def test_a_veto_on_coordinate_0_does_not_end_the_search():
    """The notebook breaks off there with a discriminator, as its guard against the argmax of nothing."""
    effect = table([[0.9, 0.5], [0.9, 0.5]])
    assert select(effect, 1, 2, 100.0, accept=lambda *_: True) == [(0, UP), (1, UP)]


def test_the_pictures_shown_are_those_that_the_move_changes_towards_the_target():
    """visualize_style swaps the names of before and after, and takes the absolute value: it shows harm as well."""
    before, after = logits_with([2.0, 2.1, 2.2, -4.0, -4.1, -4.2])
    assert pictures_by_effect(before, after, 1, 6) == [2, 1, 0]
    assert pictures_by_effect(after, before, 1, 6) == [5, 4, 3]
