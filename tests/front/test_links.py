"""A link brings back what it was made from, and nothing that a stranger wrote into it does harm."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from front.links import Link
from stylex import Direction


def read(link: str) -> Link:
    return Link.read(dict(parse_qsl(link.removeprefix("?"), keep_blank_values=True)))


@pytest.mark.parametrize(
    "link",
    [
        Link("leaves", "healthy-3", "diseased", "subset", (1221, Direction.DOWN)),
        Link("me/stylex-mine@v2", None, "a class & a half = ü", "independent", None),
        Link("hands", "0-1", "7", method="counterfactual"),
        Link(),
    ],
)
def test_a_link_comes_back_as_it_went(link):
    assert str(link).startswith("?")
    assert read(str(link)) == link


def test_a_link_can_point_at_an_attribute():
    link = Link("leaves", "healthy-3", "diseased")
    assert str(link.to(17, Direction.UP)) == "?model=leaves&sample=healthy-3&target=diseased&how=independent&attr=17-up"


@pytest.mark.parametrize("attribute", ["", "17", "17-left", "-1-up", "1e3-up", "17-up-", "9" * 30 + "-up"])
def test_what_cannot_be_understood_is_left_out(attribute):
    assert Link.read({"how": "magic", "method": "magic", "attr": attribute}) == Link()
