"""What is taken from pictures, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.measure import removals


@pytest.fixture
def x() -> Tensor:
    """Two squares of 16 px on black: a red one to the left, a bright grey one in the middle with a white pixel."""
    x = torch.full((2, 3, 16, 16), -1.0)
    x[0, 0, 4:12, 0:8] = 0.5
    x[1, :, 4:12, 4:12] = 0.2
    x[1, :, 8, 8] = 1.0
    return x


def test_the_object_is_what_is_brighter_than_the_ground(x):
    inside = removals.object_of(x)
    assert inside.sum(dim=(1, 2, 3)).tolist() == [64, 64]
    assert inside[0, 0, 4, 0]
    assert not inside[0, 0, 4, 8]


def test_every_removal_keeps_shape_and_range_and_takes_one_thing(x):
    given = x.clone()
    for name, remove in removals.REMOVALS.items():
        left = remove(x)
        assert left.shape == x.shape, name
        assert -1 <= left.min() <= left.max() <= 1, name
        assert torch.equal(left, x) == (name == "as they are")
    assert torch.equal(x, given)


def test_without_colour_all_channels_are_alike(x):
    grey = removals.without_colour(x)
    assert (grey[:, 0] == grey[:, 2]).all()
    torch.testing.assert_close(grey[1], x[1])


def test_in_one_tone_all_have_the_mean_that_is_usual(x):
    toned, (mean, _) = removals.in_one_tone(x), removals.level(x)
    after, _ = removals.level(toned)
    torch.testing.assert_close(after[1], mean.mean(dim=0), atol=0.05, rtol=0)
    assert (toned[0][:, 0, 0] == -1).all()  # the ground stays


def test_the_middle_alone_has_the_same_outline_whatever_is_around_it(x):
    alone, circle = removals.middle_alone(x), removals.disc(x)[0, 0]
    assert (alone[:, :, ~circle] == -1).all()
    assert torch.equal(alone[:, :, circle], x[:, :, circle])
    without = removals.without_middle(x)
    assert torch.equal(without[:, :, ~circle], x[:, :, ~circle])
    torch.testing.assert_close(without[1, :, 8, 8], removals.level(x)[0][1, :, 0, 0])


def test_an_outline_says_where_and_no_more(x):
    outline = removals.outline_alone(x)
    assert torch.equal(removals.object_of(outline), removals.object_of(x))
    assert len(outline[:, 0][removals.object_of(x)[:, 0]].unique()) == 1


def test_squeezed_pictures_stay_in_the_middle():
    white = removals.narrower(torch.ones(1, 3, 20, 20))
    assert (white[0, 0] > 0).sum(dim=1).tolist() == [17] * 20
    assert (white[0, 0, :, 0] == -1).all()


def test_cues_are_numbers_that_tell_what_they_are_named_after(x):
    for name, numbers in removals.CUES.items():
        found = numbers(x)
        assert found.ndim == 2, name
        assert len(found) == 2, name
        assert torch.isfinite(found).all(), name
    assert removals.tone_numbers(x)[0].tolist() == pytest.approx([0.5, -1, -1, 0, 0, 0])
    assert removals.outline_numbers(x).sum(dim=1).tolist() == [64, 64]
    still = torch.zeros(1, 3, 16, 16)
    assert removals.sharpness_numbers(still).tolist() == [[0, 0, 0]]
    assert (removals.sharpness_numbers(x)[1] > 0.05).all()
