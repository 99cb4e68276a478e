"""What an attribute is called, and what of that a file may say."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from stylex.pictures.names import NONE, Proposal, Titled, marked, told, words
from stylex.stylespace import Direction

SURE = Proposal("darker, at the rim", 0.9, 40)


def test_a_person_s_name_goes_before_a_proposal_and_needs_no_doubt():
    assert words("holes", SURE) == "holes"
    assert told("holes", SURE) == ""
    assert words(None, SURE) == "darker, at the rim"
    assert words(None, None) is None
    assert told(None, None) == ""


def test_on_a_picture_a_proposal_is_marked_as_one_and_no_place_stands_alone():
    assert marked("holes", SURE, "4x4/conv · 1 ↑") == "holes"
    assert marked(None, SURE, "4x4/conv · 1 ↑") == "proposed: darker, at the rim"
    assert marked(None, Proposal("darker", 1.0, 1), "4x4/conv · 1 ↑") == "on this picture: darker"
    for nothing in (None, Proposal(None, 0.3, 40)):
        assert marked(None, nothing, "4x4/conv · 1 ↑") == "no simple description (4x4/conv · 1 ↑)"


@pytest.mark.parametrize(
    ("name", "says"), [("holes", "holes (4x4/conv · 1 ↑)"), (None, "no simple description (4x4/conv · 1 ↑)")]
)
def test_in_a_list_the_place_stands_in_brackets_once(name, says):
    place = Titled()
    place.layer, place.channel, place.direction, place.name, place.proposal = "4x4/conv", 1, Direction.UP, name, None
    assert place.heading_and_place == says


def test_a_proposal_says_how_sure_it_is():
    assert told(None, SURE) == "proposed: holds on 90% of 40 held-out pictures"
    assert told(None, Proposal("darker", 1.0, 1)) == "measured on this picture alone"
    nothing = Proposal(None, 0.3, 40)
    assert words(None, nothing) == NONE
    assert told(None, nothing) == "nothing measured holds on enough of 40 held-out pictures"


def test_a_proposal_survives_its_file():
    for proposal in (SURE, Proposal(None, 0.0, 12)):
        assert Proposal.from_dict(asdict(proposal)) == proposal


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"text": 3}, "text of the proposal is 3; it must be a text or null"),
        ({"holds": 1.5}, "holds of the proposal is 1.5; it must be a share from 0 to 1"),
        ({"holds": float("nan")}, "holds of the proposal is nan"),
        ({"pictures": 0}, "pictures of the proposal is 0; it must be a whole number from 1"),
        ({"colour": "red"}, "it must be an object of holds, pictures, text"),
    ],
)
def test_a_broken_proposal_is_refused_by_what_is_wrong(change, says):
    with pytest.raises(ValueError, match=says):
        Proposal.from_dict({**asdict(SURE), **change})
