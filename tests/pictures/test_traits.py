"""What is said of drawn changes is what was drawn: each statement on pictures where it is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylex.pictures.names import Proposal, propose, propose_alone
from stylex.pictures.traits import lab, object_of, traits

SIDE = 32


def flat(*levels: int) -> Tensor:
    """A picture of one colour, [1, 3, SIDE, SIDE]."""
    return (torch.tensor(levels) / 127.5 - 1).view(1, 3, 1, 1).expand(1, 3, SIDE, SIDE).clone()


def disc(radius: float, column: float = 0.5, row: float = 0.5) -> Tensor:
    at = (torch.arange(SIDE) + 0.5) / SIDE
    return ((at - column) ** 2 + (at[:, None] - row) ** 2) ** 0.5 < radius


def paint(x: Tensor, where: Tensor, *levels: int) -> Tensor:
    return torch.where(where, flat(*levels), x)


LEAF = paint(flat(20, 20, 20), disc(0.3), 90, 140, 60)


def true_of(x: Tensor, y: Tensor) -> set[str]:
    return {t.text for t in traits(x, y) if bool(t.true)}


def test_lab_is_that_of_the_tables():
    """White, black and the reds, greens and blues of sRGB: values of the standard, to a tenth."""
    known = {
        (255, 255, 255): (100.0, 0.0, 0.0),
        (0, 0, 0): (0.0, 0.0, 0.0),
        (255, 0, 0): (53.2, 80.1, 67.2),
        (0, 255, 0): (87.7, -86.2, 83.2),
        (0, 0, 255): (32.3, 79.2, -107.9),
    }
    for levels, expected in known.items():
        assert lab(flat(*levels))[0, :, 0, 0].tolist() == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize(
    ("levels", "word"),
    [
        ((130, 190, 95), "lighter"),
        ((60, 95, 40), "darker"),
        ((118, 128, 112), "greyer"),
        ((140, 130, 40), "more yellow"),
        ((70, 100, 150), "bluer"),
        ((190, 70, 60), "redder"),
        ((100, 60, 20), "browner"),
    ],
)
def test_a_colour_has_its_word_and_not_the_opposite_one(levels, word):
    said = true_of(LEAF, paint(LEAF, disc(0.3), *levels))
    opposite = {"lighter": "darker", "darker": "lighter", "more yellow": "bluer", "bluer": "more yellow"}
    assert word in said
    assert opposite.get(word) not in said


def test_a_dimmed_colour_is_darker_and_nothing_else():
    """Half the light in linear terms, hue and saturation as they were."""
    said = true_of(LEAF, paint(LEAF, disc(0.3), 66, 103, 43))
    assert said & {"lighter", "darker", "greyer", "more yellow", "bluer", "redder", "greener", "more purple"} == {
        "darker"
    }


def test_small_marks_are_told_from_a_shade():
    leaf = paint(flat(20, 20, 20), disc(0.45), 90, 140, 60)
    spots = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    spots[8:26:5, 8:26:5] = True
    spotted = paint(leaf, spots, 40, 50, 30)
    assert {"more dark marks", "rougher"} <= true_of(leaf, spotted)
    assert {"fewer dark marks", "smoother"} <= true_of(spotted, leaf)
    assert not {"more dark marks", "more light marks"} & true_of(leaf, paint(leaf, disc(0.45), 60, 95, 40))


def test_the_object_grows_and_moves():
    assert "larger object" in true_of(LEAF, paint(LEAF, disc(0.36), 90, 140, 60))
    assert "smaller object" in true_of(LEAF, paint(flat(20, 20, 20), disc(0.24), 90, 140, 60))
    assert "moved right" in true_of(LEAF, paint(flat(20, 20, 20), disc(0.3, column=0.56), 90, 140, 60))
    assert "moved up" in true_of(LEAF, paint(flat(20, 20, 20), disc(0.3, row=0.44), 90, 140, 60))


def test_a_picture_without_a_background_of_one_colour_has_no_object():
    torch.manual_seed(0)
    noise = torch.rand(1, 3, SIDE, SIDE) * 2 - 1
    assert object_of(lab(LEAF))[1].tolist() == [True]
    assert object_of(lab(noise))[1].tolist() == [False]
    assert not {t for t in true_of(noise, noise.roll(6, dims=3)) if "object" in t or "outline" in t}


@pytest.mark.parametrize(
    ("where", "word"),
    [
        (disc(0.08, 0.35, 0.35), "at the top left"),
        (disc(0.1), "in the middle"),
        (disc(0.1), "within the outline"),
        (disc(0.31) & ~disc(0.27), "along the outline"),
        (~disc(0.4), "in the background"),
    ],
)
def test_where_it_changes(where, word):
    assert word in true_of(LEAF, paint(LEAF, where, 200, 60, 60))


def test_what_nobody_can_see_is_nothing():
    assert true_of(LEAF, LEAF) == set()
    assert true_of(LEAF, (LEAF + 0.004).clamp(-1, 1)) == set()


# From statements to a description.


def leaves(count: int) -> Tensor:
    """Leaves of several sizes and greens."""
    rows = [
        paint(flat(20, 20, 20), disc(0.2 + 0.02 * (n % 5)), 80 + 4 * (n % 7), 130 + 3 * (n % 4), 60)
        for n in range(count)
    ]
    return torch.cat(rows)


def darker(x: Tensor, rows: slice = slice(None)) -> Tensor:
    y = x.clone()
    y[rows] = torch.where(y[rows].mean(dim=1, keepdim=True) > -0.7, (y[rows] + 1) * 0.7 - 1, y[rows])
    return y


def test_a_description_is_chosen_on_some_pictures_and_checked_on_others():
    x, other = leaves(10), leaves(20)[10:]
    found = propose((x, darker(x)), (other, darker(other)))
    assert found.text.startswith("darker")
    assert found.holds == 1.0
    assert found.pictures == 10


def test_one_that_does_not_hold_on_the_others_is_none():
    """Darker on all that it is chosen on, on half of those that it is checked on: half is what it holds."""
    x, other = leaves(10), leaves(10)
    found = propose((x, darker(x)), (other, darker(other, slice(0, 5))))
    assert found == Proposal(None, 0.5, 10)


def test_what_goes_both_ways_has_no_word():
    x = leaves(10)
    y = darker(x)
    both = torch.cat([y[:5], x[5:]]), torch.cat([x[:5], y[5:]])  # darker on half, lighter on the other
    text = propose(both, both).text
    assert text is None or text.startswith("changed ")


def test_a_single_picture_has_a_description_of_its_own():
    x = leaves(1)
    assert propose_alone(x, darker(x)).pictures == 1
    assert propose_alone(x, darker(x)).text.startswith("darker")
    assert propose_alone(x, x) == Proposal(None, 0.0, 1)


def test_the_same_words_at_twice_the_size():
    small = LEAF, paint(LEAF, disc(0.36), 90, 140, 60)
    large = tuple(torch.nn.functional.interpolate(x, scale_factor=4, mode="nearest") for x in small)
    assert {"larger object", "along the outline"} <= true_of(*small) & true_of(*large)
