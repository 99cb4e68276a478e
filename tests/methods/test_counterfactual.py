"""Smallest changes worked out by hand, on a classifier that is a straight line."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stylex.methods.counterfactual import counterfactual
from stylex.methods.records import MethodError, log_odds

WEIGHT = torch.tensor([3.0, 4.0, 0.0])
WANTED = math.log(9)  # the log-odds of 0.9
LOW, HIGH = -torch.ones(3), torch.ones(3)


def judge(s: Tensor) -> Tensor:
    """Class 1 has the log-odds 3 s_0 + 4 s_1; it does not look at s_2."""
    line = s @ WEIGHT
    return torch.stack([torch.zeros_like(line), line], dim=1)


def test_the_smallest_change_of_a_straight_line_is_its_normal():
    found = counterfactual(judge, torch.zeros(1, 3), target=1)
    assert found.arrived.all()
    torch.testing.assert_close(found.delta[0], WANTED * WEIGHT / 25, rtol=0.02, atol=1e-6)
    assert 0.9 <= float(found.prob_after) < 0.91
    assert float(found.prob_before) == pytest.approx(0.5)
    assert int(found.coordinates) == 2
    assert float(found.distance) == pytest.approx(WANTED / 5, rel=0.02)


def test_a_coordinate_that_varies_more_moves_more():
    """In units of (1, 2) the slope is (3, 8), and the shortest way there is t (3, 8), so (3 t, 16 t) in s."""
    found = counterfactual(judge, torch.zeros(1, 3), 1, scale=torch.tensor([1.0, 2.0, 1.0]))
    torch.testing.assert_close(found.delta[0, 1] / found.delta[0, 0], torch.tensor(16 / 3), rtol=1e-3, atol=0)


def test_sparse_moves_the_steepest_coordinate_alone_while_it_can():
    found = counterfactual(judge, torch.zeros(1, 3), 1, low=LOW, high=HIGH, sparse=True)
    assert int(found.coordinates) == 1
    torch.testing.assert_close(found.delta[0], torch.tensor([0.0, WANTED / 4, 0.0]), rtol=0.02, atol=1e-6)


def test_sparse_takes_the_next_one_where_the_range_ends():
    """From log-odds -4 to 0.85 of 4.85 the steepest can give 4."""
    found = counterfactual(judge, torch.tensor([[0.0, -1.0, 5.0]]), 1, 0.7, low=LOW * 9, high=0 * HIGH, sparse=True)
    assert not found.arrived.any()  # both at 0 give 0.5
    found = counterfactual(
        judge, torch.tensor([[0.0, -1.0, 5.0]]), 1, 0.7, low=LOW, high=torch.ones(3) / 2, sparse=True
    )
    assert found.arrived.all()
    assert int(found.coordinates) == 1
    found = counterfactual(
        judge, torch.tensor([[0.0, -1.0, 5.0]]), 1, 0.95, low=LOW, high=torch.ones(3) / 2, sparse=True
    )
    assert found.arrived.all()
    assert int(found.coordinates) == 2
    assert float(found.z[0, 1]) == pytest.approx(0.5, rel=0.05)


def test_nothing_leaves_its_range_or_moves_that_is_not_free():
    z = torch.zeros(1, 3)
    found = counterfactual(judge, z, 1, free=torch.tensor([True, False, True]), low=LOW / 10, high=HIGH / 10)
    assert not found.arrived.any()
    torch.testing.assert_close(found.z, torch.tensor([[0.1, 0.0, 0.0]]))
    assert found.sentence(0, "cat") == "did not arrive: cat 0.500 → 0.574 after 1 steps"
    torch.testing.assert_close(z, torch.zeros(1, 3))


def test_each_picture_stops_by_itself_and_does_not_depend_on_the_others():
    z = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-3.0, 0.0, 0.0]])
    together = counterfactual(judge, z, 1)
    assert together.steps.tolist() == [0, 1, 4]  # no step is longer than 3 of log-odds
    torch.testing.assert_close(together.delta[0], torch.zeros(3))
    for n in range(3):
        torch.testing.assert_close(counterfactual(judge, z[n : n + 1], 1).z[0], together.z[n])
    assert together.path.shape == (6, 3, 3)
    torch.testing.assert_close(together.path[0], z)
    torch.testing.assert_close(together.path[-1], together.z)


def test_every_picture_has_a_target_of_its_own():
    found = counterfactual(judge, torch.zeros(2, 3), torch.tensor([0, 1]))
    torch.testing.assert_close(found.delta[0], -found.delta[1])


def test_a_slope_that_sums_to_zero_is_a_slope():
    """The published loop gave up when the sum of the gradient was 0."""

    def balance(s: Tensor) -> Tensor:
        line = s[:, 0] - s[:, 1]
        return torch.stack([torch.zeros_like(line), line], dim=1)

    found = counterfactual(balance, torch.zeros(1, 2), 1)
    assert found.arrived.all()
    torch.testing.assert_close(found.delta[0], torch.tensor([WANTED / 2, -WANTED / 2]), rtol=0.02, atol=0)


def test_where_the_probability_has_no_slope_the_log_odds_have_one():
    """At log-odds -300 the published loop's gradient of p is 0 in single precision."""
    found = counterfactual(judge, torch.tensor([[-100.0, 0.0, 0.0]]), 1, steps=120)
    assert found.arrived.all()


def test_flat_ground_ends_the_search_and_says_so():
    found = counterfactual(lambda s: 0 * judge(s), torch.zeros(2, 3), 1)
    assert not found.arrived.any()
    assert found.steps.tolist() == [0, 0]


def test_of_many_classes_the_target_has_to_beat_all_together():
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    p = logits.softmax(1)[:, 1]
    torch.testing.assert_close(log_odds(logits, 1), (p / (1 - p)).log())


@pytest.mark.parametrize("prob", [0.0, 1.0, 1.5, -1.0, math.nan])
def test_a_probability_that_nothing_reaches_is_refused(prob):
    with pytest.raises(MethodError, match=rf"prob is {prob}; use a probability between 0 and 1"):
        counterfactual(judge, torch.zeros(1, 3), 1, prob)


def test_what_cannot_be_asked_is_said():
    with pytest.raises(MethodError, match=r"passes no gradient .* attfind and the map occlusion need none"):
        counterfactual(lambda s: judge(s).detach(), torch.zeros(1, 3), 1)
    with pytest.raises(MethodError, match="no coordinate is free"):
        counterfactual(judge, torch.zeros(1, 3), 1, scale=torch.zeros(3))
    with pytest.raises(MethodError, match="needs the range"):
        counterfactual(judge, torch.zeros(1, 3), 1, sparse=True)
