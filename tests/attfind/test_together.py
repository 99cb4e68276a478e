"""A list grown with its moves made together, by pencil: two pixels, and what is not the sum of single effects."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from stylex.attfind.effects import effect_table, lead, plain_edits
from stylex.attfind.selection import select
from stylex.attfind.together import Effort, Grown, Pictures, grow
from stylex.stylespace import Direction, StyleStats

UP, DOWN = Direction.UP, Direction.DOWN
# Coordinates from 0 to 1, all at 0 to begin with.
STATS = StyleStats(torch.zeros(4), torch.ones(4), torch.zeros(4), torch.ones(4), 2)


def saturated(s: Tensor) -> Tensor:
    """Coordinates 0 and 1 light the left pixel, which takes the brighter of the two; 2 the right; 3 neither.

    Class 1 needs 1.5 of light in all.
    """
    light = torch.maximum(s[:, 0], 0.9 * s[:, 1]) + 0.8 * s[:, 2]
    return torch.stack([torch.zeros_like(light), light - 1.5], dim=1)


def cancelling(s: Tensor) -> Tensor:
    """Coordinates 0 and 1 each light the pixel alone, and put it out together; 2 lights it a little less."""
    light = (s[:, 0] - s[:, 1]).abs() + 0.7 * s[:, 2]
    return torch.stack([torch.zeros_like(light), light - 1.5], dim=1)


def third(s: Tensor) -> Tensor:
    """Coordinate 0 raises class 1 by 2 logits, and class 2 by 3; coordinate 1 raises class 1 by 1.5 alone."""
    return torch.stack([torch.ones(len(s)), 2 * s[:, 0] + 1.5 * s[:, 1], 3 * s[:, 0]], dim=1)


def grown(logits_of, s: Tensor, count: int = 4, target: int = 1, moves=None, single=None, **options) -> Grown:
    """`grow` on pictures s towards one class, with all coordinates UP to choose from."""
    moves = [(i, UP) for i in range(s.shape[1])] if moves is None else moves
    table = effect_table(logits_of, s, STATS)
    before = logits_of(s)
    flat = torch.stack([table[:, d, i] for i, d in moves], dim=1)  # [n, C, K]
    alone = lead(before[:, None] + flat, target) - lead(before, target)[:, None]
    pictures = Pictures(s, torch.full((len(s),), target), torch.zeros(len(s), dtype=torch.bool), alone)
    return grow(logits_of, plain_edits(logits_of), pictures, moves, STATS, count, **options)


def test_of_two_moves_that_do_the_same_the_second_is_passed_over():
    """Alone they gain 1, 0.9 and 0.8; together the first and the third reach 1.8, the first and the second only 1."""
    s = torch.zeros(2, 4)
    by_sums = select(effect_table(saturated, s, STATS), 1, 4, explained=1.6)
    assert by_sums == [(0, UP), (1, UP)]
    assert not (saturated(torch.tensor([[1.0, 1, 0, 0]])).argmax(dim=1) == 1).any()
    found = grown(saturated, s, explained=0.0)
    assert found.chosen == [0, 2]
    assert found.flipped == [0.0, 1.0]


def test_of_two_moves_that_cancel_only_one_is_made():
    s = torch.zeros(3, 4)
    assert select(effect_table(cancelling, s, STATS), 1, 4, explained=1.5) == [(0, UP), (1, UP)]
    found = grown(cancelling, s, explained=0.0)
    assert found.chosen == [0, 2]
    assert found.flipped == [0.0, 1.0]


def test_what_raises_a_third_class_more_than_the_target_is_not_chosen():
    s = torch.zeros(2, 4)
    assert select(effect_table(third, s, STATS), 1, 1) == [(0, UP)]
    assert grown(third, s).chosen == [1]


def test_a_list_does_not_end_while_it_still_helps():
    """Sums reach a logit with the first move; the decision takes four."""
    weak = torch.tensor([1.0, 0.7, 0.5, 0.4])

    def logits_of(s: Tensor) -> Tensor:
        return torch.stack([torch.full((len(s),), 2.4), s @ weak], dim=1)

    s = torch.zeros(2, 4)
    assert select(effect_table(logits_of, s, STATS), 1, 4) == [(0, UP)]
    found = grown(logits_of, s)
    assert found.chosen == [0, 1, 2, 3]
    assert found.flipped == [0.0, 0.0, 0.0, 1.0]
    # Where nothing is left that helps it ends, however many may be chosen.
    assert grown(lambda s: logits_of(s.clone()[:, [0, 0, 0, 0]]), s, count=9).chosen == [0]


def test_it_ends_when_every_picture_leads_by_as_much_as_was_asked():
    s = torch.zeros(2, 4)
    strong = torch.tensor([3.0, 1.0, 1.0, 1.0])

    def logits_of(s: Tensor) -> Tensor:
        return torch.stack([torch.full((len(s),), 2.0), s @ strong], dim=1)

    assert grown(logits_of, s, explained=0.5).chosen == [0]
    assert grown(logits_of, s, explained=1.5).chosen == [0, 1]
    assert grown(logits_of, s, count=1, explained=9.0).chosen == [0]


def test_a_move_is_chosen_for_pictures_that_have_not_flipped_and_never_at_the_cost_of_those_that_have():
    """Coordinate 0 flips three pictures. For the last, 1 gains 2 and takes 3 from each of the others; 2 gains 1."""
    gains = torch.tensor([[4.0, -3, 0, 0], [4, -3, 0, 0], [4, -3, 0, 0], [0, 2, 1, 0]])

    def logits_of(s: Tensor) -> Tensor:
        # The last coordinate does nothing but say which picture it is.
        mine = gains[(s[:, 3] * 4).round().long().clamp(max=3)]
        return torch.stack([torch.full((len(s),), 2.5), (mine * s).sum(dim=1)], dim=1)

    s = torch.zeros(4, 4)
    s[:, 3] = torch.arange(4) / 4
    moves = [(i, UP) for i in range(3)]
    found = grown(logits_of, s, moves=moves)
    assert found.chosen == [0, 2]
    assert found.flipped == [0.75, 0.75]


def test_when_the_most_promising_moves_are_in_vain_the_next_are_tried():
    """Only one is tried at a time, and the gradient and the single effects promise most of what cancels."""

    def logits_of(s: Tensor) -> Tensor:
        light = (s[:, 0] - s[:, 1]).abs() + 0.3 * s[:, 2] + 0.2 * s[:, 3]
        return torch.stack([torch.zeros_like(light), light - 1.4], dim=1)

    s = torch.zeros(2, 4)
    found = grown(logits_of, s, explained=0.0, effort=Effort(tried=1))
    assert found.chosen == [0, 2, 3]
    assert found.flipped == [0.0, 0.0, 1.0]


def test_a_coordinate_moves_once():
    s = torch.full((2, 4), 0.5)

    def logits_of(s: Tensor) -> Tensor:  # both ends are better than the middle
        return torch.stack([torch.full((len(s),), 9.0), (s[:, 0] - 0.5).abs()], dim=1)

    assert grown(logits_of, s, moves=[(0, UP), (0, DOWN)]).chosen == [0]


def test_a_list_of_two_classes_is_walked_both_ways():
    """Towards class 1 up, towards class 0 down; coordinate 1 helps one way only, and harms the other as much."""

    def logits_of(s: Tensor) -> Tensor:
        light = 2 * s[:, 0] + s[:, 1].clamp(min=0.5) + s[:, 2]
        return torch.stack([3 - light, light - 2], dim=1)

    s = torch.tensor([[0.0, 0.5, 0.0, 0], [1.0, 0.5, 1.0, 0]])
    moves = [(i, UP) for i in range(4)]
    before, target = logits_of(s), torch.tensor([1, 0])
    assert before.argmax(dim=1).tolist() == [0, 1]
    pictures = Pictures(s, target, target == 0, torch.zeros(2, 4))
    found = grow(logits_of, plain_edits(logits_of), pictures, moves, STATS, 4)
    assert found.chosen == [0, 2]
    assert found.flipped == [0.5, 1.0]


def test_of_moves_that_help_alike_the_more_visible_one_is_made():
    s = torch.zeros(2, 4)

    def logits_of(s: Tensor) -> Tensor:
        return torch.stack([torch.full((len(s),), 0.5), s[:, 0] + 0.95 * s[:, 1]], dim=1)

    assert grown(logits_of, s, count=1).chosen == [0]
    assert grown(logits_of, s, count=1, weight=torch.tensor([0.75, 1.0, 1.0, 1.0])).chosen == [1]


def test_a_veto_is_asked_of_what_would_be_chosen_and_counts_both_ways():
    s, asked = torch.zeros(2, 4), []

    def accept(candidate: int) -> bool:
        asked.append(candidate)
        return candidate != 0

    moves = [(0, UP), (0, DOWN), (1, UP), (2, UP)]
    assert grown(saturated, s, moves=moves, explained=1.0, accept=accept).chosen == [2, 3]
    assert asked.count(0) == 1
    assert 1 not in asked


def random_logits(seed: int = 0):
    """A network of two layers: nothing adds up, but it is steep enough that lists have several moves."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(4, 16, generator=generator), torch.randn(16, 3, generator=generator)
    return lambda s: torch.tanh(3 * s @ first) @ second


def test_the_same_pictures_give_the_same_list():
    s = torch.rand(30, 4, generator=torch.Generator().manual_seed(1))
    moves = [(i, d) for i in range(4) for d in (UP, DOWN)]
    first = grown(random_logits(), s, moves=moves, explained=9.0, effort=Effort(sample=7, tried=3))
    again = grown(random_logits(), s, moves=moves, explained=9.0, effort=Effort(sample=7, tried=3))
    assert first == again
    assert first.chosen
    assert all(0 < share <= 1 for share in first.certain)


@pytest.mark.parametrize("seed", range(5))
def test_every_move_of_a_list_raises_the_mean_lead(seed):
    logits_of = random_logits(seed)
    s = torch.rand(30, 4, generator=torch.Generator().manual_seed(seed))
    moves = [(i, d) for i in range(4) for d in (UP, DOWN)]
    found = grown(logits_of, s, moves=moves, explained=1.0)
    mean = [lead(logits_of(s), 1).clamp(max=1).mean()]
    for candidate in found.chosen:
        index, direction = moves[candidate]
        s = s.clone()
        s[:, index] = float(direction)
        mean.append(lead(logits_of(s), 1).clamp(max=1).mean())
    assert all(after > before for before, after in pairwise(mean))


def test_passes_are_counted():
    """Two moves on two pictures: three candidates to try the first time, the right ones confirmed once or twice."""
    s = torch.zeros(2, 4)
    cost = grown(saturated, s, explained=0.0, moves=[(0, UP), (1, UP), (2, UP)]).cost
    assert cost.edits == 2 * 3 + 2 * 2
    assert cost.gradients == 2 * 2
    assert 2 + 2 * 2 <= cost.pictures <= 2 + 2 * 2 * 3
