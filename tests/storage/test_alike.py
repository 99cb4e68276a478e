"""Of what cannot be told apart the strongest is kept, and what goes was compared with it."""

from __future__ import annotations

from typing import Any

from stylex.storage.alike import Group, called, goes_for, groups


def attribute(name: str, delta_logit: float) -> dict[str, Any]:
    return {"coordinate": name, "source": "a", "target": "b", "delta_logit": delta_logit}


def key(name: str) -> str:
    return called(name, "a", "b")


def alike(*pairs: tuple[str, str, float]) -> dict[str, Any]:
    return {"two_afc_alike": [[key(one), key(other), share] for one, other, share in pairs]}


def test_the_strongest_is_kept_wherever_it_is_in_the_list():
    listed = [attribute("weak", 0.5), attribute("strong", 2.0), attribute("alone", 3.0), attribute("middle", 1.0)]
    found = groups(alike(("weak", "strong", 0.6), ("strong", "middle", 0.4)), listed)
    assert found == [Group(key("strong"), ((key("middle"), 0.4), (key("weak"), 0.6)))]
    assert goes_for(found) == {key("middle"): key("strong"), key("weak"): key("strong")}


def test_being_alike_is_not_handed_on():
    """The third is like the second, which has gone; of the first it was told apart."""
    listed = [attribute(name, 3 - n) for n, name in enumerate(("first", "second", "third"))]
    assert groups(alike(("first", "second", 0.5), ("second", "third", 0.3)), listed) == [
        Group(key("first"), ((key("second"), 0.5),))
    ]


def test_one_goes_for_the_kept_one_that_it_is_least_told_from_and_the_worst_group_is_first():
    listed = [attribute(name, 9 - n) for n, name in enumerate(("p", "q", "r", "s", "t"))]
    found = groups(alike(("p", "r", 0.7), ("q", "r", 0.3), ("p", "s", 0.5), ("s", "t", 0.1)), listed)
    assert found == [Group(key("q"), ((key("r"), 0.3),)), Group(key("p"), ((key("s"), 0.5),))]


def test_without_the_measurement_nothing_goes():
    assert groups(None, [attribute("a", 1.0)]) == groups({"n": 10}, [attribute("a", 1.0)]) == []
    assert groups(alike(("gone", "too", 0.3)), [attribute("a", 1.0)]) == []
