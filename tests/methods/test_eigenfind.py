"""Directions and shares worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylex.methods.eigenfind import affine_weight, eigen_directions, find_directions
from stylex.methods.records import MethodError

# s follows w: coordinate 0 three times w_1, coordinate 1 twice w_0, coordinate 2 (toRGB) w_1.
WEIGHT = torch.tensor([[0.0, 3.0], [2.0, 0.0], [0.0, 1.0]])


def judge(s: Tensor) -> Tensor:
    """Class 1 likes coordinate 0."""
    return torch.stack([torch.zeros(len(s)), s[:, 0]], dim=1)


def test_the_affine_weight_is_read_off_a_straight_map_without_its_bias_and_class():
    def styles_of(latent: Tensor) -> Tensor:  # w ⊕ probs
        return latent[:, :2] @ WEIGHT.t() + latent[:, 2:] @ torch.ones(2, 3) + 7

    torch.testing.assert_close(affine_weight(styles_of, 4, 2), WEIGHT)


def test_directions_are_the_singular_vectors_of_the_searched_rows_strongest_first():
    first, second = eigen_directions(WEIGHT, searched=2, count=2)
    torch.testing.assert_close(first.abs(), torch.tensor([3.0, 0.0, 1.0]))  # of w_1, and toRGB follows along
    torch.testing.assert_close(second.abs(), torch.tensor([0.0, 2.0, 0.0]))
    assert len(eigen_directions(WEIGHT, 2, count=20)) == 2


def test_the_direction_that_the_classifier_reads_explains_what_it_reaches():
    s = torch.tensor([[-1.0, 0, 0], [-2.0, 0, 0], [-9.0, 0, 0], [4.0, 0, 0]])
    directions = torch.tensor([[0.0, 1, 0], [1.0, 0, 0]])
    found = find_directions(judge, s, directions, target=1, degree=3, screened=0)
    (edit,) = found.edits  # the other one changes nothing
    assert edit.found["direction"] == 1
    assert edit.found["sign"] == 1
    assert edit.found["explains"] == pytest.approx(2 / 3)  # -1 and -2 arrive, -9 does not, 4 is of the class already
    assert found.explained == pytest.approx(2 / 3)
    torch.testing.assert_close(edit.delta, torch.tensor([3.0, 0, 0]))
    assert found.passes == 4 + 2 * 2 * 3 + 3


def test_the_rise_is_one_of_probabilities():
    """The published page printed sigmoid(logit + Δp)."""
    found = find_directions(judge, torch.tensor([[-1.0, 0, 0]]), torch.eye(3)[:1], 1, degree=3)
    expected = torch.tensor([2.0, -1.0]).sigmoid()
    assert found.edits[0].found["delta_prob"] == pytest.approx(float(expected[0] - expected[1]))


def test_a_direction_that_raises_the_class_both_ways_is_inconsistent():
    def curved(s: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(s)), s[:, 0].square() + 0.1 * s[:, 1] - 5], dim=1)

    found = find_directions(curved, torch.zeros(4, 3), torch.eye(3)[:2], 1, degree=3)
    assert found.inconsistent == [0]
    assert [edit.found["direction"] for edit in found.edits] == [1]


def test_more_than_two_classes_are_not_taken_for_two():
    """The published search knew two outputs; a third that is stronger keeps the decision."""

    def three(s: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(s)), s[:, 0], s[:, 1]], dim=1)

    s = torch.tensor([[-1.0, 0, 0], [-1.0, 9, 0]])
    found = find_directions(three, s, torch.eye(3)[:1], target=1, degree=3)
    assert found.explained == 0.5


def test_a_picture_is_explained_once_by_the_first_direction_that_reaches_it():
    def both(s: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(s)), 2 * s[:, 0] + s[:, 1] - 1], dim=1)

    found = find_directions(both, torch.zeros(2, 3), torch.eye(3)[:2], 1, degree=3)
    assert [edit.found["explains"] for edit in found.edits] == [1.0, 0.0]
    assert found.explained == 1.0


def test_screening_on_some_pictures_measures_the_kept_ones_on_all():
    s = torch.cat([-torch.rand(60, 1, generator=torch.Generator().manual_seed(0)), torch.zeros(60, 2)], dim=1)
    exact = find_directions(judge, s, torch.eye(3), 1, degree=0.5, screened=0)
    screened = find_directions(judge, s, torch.eye(3), 1, degree=0.5, screened=10)
    assert screened.edits[0].found == exact.edits[0].found
    assert screened.explained == exact.explained
    assert screened.passes < exact.passes


def test_no_coordinate_is_pushed_out_of_its_range_or_pulled_into_it():
    seen = []

    def watched(s: Tensor) -> Tensor:
        seen.append(s)
        return judge(s)

    start = torch.tensor([[-5.0, 0, 0]])
    find_directions(watched, start, torch.eye(3)[:1], 1, degree=9, low=-torch.ones(3), high=torch.ones(3))
    assert torch.cat(seen)[:, 0].tolist() == [-5.0, 1.0, -5.0, 1.0]


def test_pictures_that_are_all_of_the_class_have_no_direction_towards_it():
    with pytest.raises(MethodError, match="bring pictures of another class"):
        find_directions(judge, torch.ones(3, 3), torch.eye(3), 1)
