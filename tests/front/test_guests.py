"""Which models a visitor may bring, before any Hub is asked; tests/hub/test_guests.py asks one."""

from __future__ import annotations

import re

import pytest

from front import own_views
from front.guests import Guests, Rule, rules
from front.models import Shelf
from front.surroundings import Unfit


def test_a_rule_names_a_repository_or_all_of_an_owner():
    found = rules(" me/*, someone/stylex-leaves@v2 ,,you/a.b_c")
    assert found == [Rule("me", "*"), Rule("someone", "stylex-leaves", "v2"), Rule("you", "a.b_c")]
    assert rules("") == []
    allowed = Guests(found)
    assert [allowed.allows(name) for name in ("me/x", "someone/stylex-leaves", "you/a.b_c")] == [True] * 3
    assert not any(map(allowed.allows, ("you/axb_c", "someone/other", "me", "me/x/y", "mee/x", "me/x@v1", "")))


@pytest.mark.parametrize("setting", ["*", "*/*", "me/a*", "me", "me/*@v1", "../x", "me/..", "https://example.org/me/x"])
def test_a_rule_that_is_none_is_refused_when_the_app_starts(setting):
    with pytest.raises(Unfit, match=re.escape(f"STYLEX_ALLOW names {setting}; use repositories such as someone/")):
        rules(setting)


@pytest.mark.parametrize(
    ("setting", "name", "sentence"),
    [
        ("", "me/x", "this app shows no other models; run it at home with yours"),
        ("me/*", "you/x", "you/x is not among the models that may be shown here, which are me/*; run the app at home"),
        ("me/*", "<b>", "that is no name of a repository; use one such as someone/stylex-leaves"),
        ("me/*", "me/" + "x" * 200, "that is no name of a repository"),
        ("me/*", "me/../../etc", "that is no name of a repository"),
        ("me/*", "/etc/passwd", "that is no name of a repository"),
        ("me/*", "me/x\n", "that is no name of a repository"),
        ("front/*", "front/handlers", "front/handlers is the name of a folder here, and none of those is shown"),
    ],
)
def test_what_may_not_be_shown_is_refused_in_one_sentence_and_nobody_is_asked(setting, name, sentence, monkeypatch):
    def fetched(*args, **options):
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("front.guests.fetch", fetched)
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        Guests(rules(setting)).bring(name)


def test_a_shelf_without_guests_brings_none():
    with pytest.raises(ValueError, match="this app shows no other models"):
        Shelf([]).bring("me/x")


def test_the_page_says_what_may_be_brought_or_how_to_see_it_at_home():
    assert "python train/train.py --data PICTURES" in own_views.how([])
    page = own_views.how(rules("me/*,someone/stylex-leaves@v2"))
    assert "<code>me/*</code>, <code>someone/stylex-leaves</code>" in page
    assert "pip install" not in page
