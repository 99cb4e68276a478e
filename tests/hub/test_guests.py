"""Models that visitors bring, by the real client from a Hub: bounded, without the app's token, told in one sentence."""

from __future__ import annotations

import copy

import pytest

from front import guests
from front.guests import Guests, rules
from front.handlers.screen import Screen
from front.models import Exhibit, Shelf, Wish
from stylex.classifiers.classifier import wrap


def refused(held: Guests, name: str) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the sentence is what is tested)
        held.bring(name)
    said = str(error.value)
    for leak in ("\n", "/tmp", "models--", "Traceback"):
        assert leak not in said
    return said


def test_a_model_that_is_allowed_is_shown_to_whoever_names_it(hub, pushed, tiny_model):
    shelf = Shelf([Wish("one", ".", exhibit=Exhibit("one", tiny_model, {}))], Guests(rules("me/*")))
    screen = Screen(shelf)
    choice, said = screen.bring_model(" me/tiny ")
    assert (choice["choices"], choice["value"]) == (["one", "me/tiny"], "me/tiny")
    assert said == "<p>me/tiny is here, and is shown above; it tells plain from spotted.</p>"
    assert shelf.get("me/tiny").model.class_names == ["plain", "spotted"]
    assert shelf.names() == ["one"]  # others do not see it
    asked = len(hub.log)
    shelf.bring("me/tiny")
    assert len(hub.log) == asked


def test_it_stays_as_it_was_when_it_was_first_brought(hub, pushed):
    held = Guests(rules("me/*"), most=1)
    first = held.bring("me/tiny")
    hub.put("me/tiny", "config.json", b"{}")
    held._held.clear()
    assert held.bring("me/tiny").model.card == first.model.card


def test_few_are_held_and_the_one_that_nobody_looks_at_makes_way(hub, tiny_model):
    for name in "abc":
        tiny_model.push_to_hub(f"me/{name}")
    held = Guests(rules("me/*"), most=2)
    held.bring("me/a")
    held.bring("me/b")
    assert held.get("me/a") is not None  # looked at again
    held.bring("me/c")
    assert [held.get(f"me/{name}") is not None for name in "abc"] == [True, False, True]


def test_a_repository_is_pinned_where_the_host_pins_it(hub, pushed):
    commit = hub.repo(pushed).history()[0].oid
    hub.put(pushed, "config.json", b"{}")
    assert Guests(rules(f"me/tiny@{commit}")).bring("me/tiny").model.resolution == 16
    assert refused(Guests(rules("me/tiny")), "me/tiny").startswith(
        "me/tiny is no StylEx that can be shown here: config"
    )


def test_what_only_the_app_s_token_can_see_is_not_there(hub, tiny_model):
    tiny_model.push_to_hub("me/secret", private=True)
    assert hub.repo("me/secret").private
    sentence = "the Hub shows nobody a repository {}; check the name, and that it is neither private nor gated"
    for name in ("me/secret", "me/nothing"):
        assert refused(Guests(rules("me/*")), name) == sentence.format(name)


def test_what_is_no_stylex_is_said_to_be_none(hub):
    hub.create("me/other")
    hub.put("me/other", "README.md", b"# Another model\n")
    assert refused(Guests(rules("me/*")), "me/other") == (
        "me/other is no StylEx that can be shown here: config.json is missing; a model folder needs it (see "
        "`StylEx.save_pretrained`)"
    )


def test_too_large_a_model_is_refused_before_it_is_fetched(hub, pushed, monkeypatch):
    monkeypatch.setattr(guests, "MAX_MB", 0)
    assert "more than 0 is not downloaded" in refused(Guests(rules("me/*")), "me/tiny")
    assert hub.count("GET /me/tiny/resolve") == 0
    monkeypatch.setattr(guests, "MAX_MB", 100)
    monkeypatch.setattr(guests, "MAX_RESOLUTION", 8)
    assert "draws 16 pixels on a side" in refused(Guests(rules("me/*")), "me/tiny")


def test_a_model_that_takes_long_is_said_to_be_on_its_way_and_comes(hub, pushed):
    hub.fails("GET /api/models/me/tiny", "slow", seconds=1.0)
    held = Guests(rules("me/*"))
    with pytest.raises(ValueError, match="me/tiny is on its way, 0 MB so far; ask again in a minute"):
        held.bring("me/tiny", patience=0.1)
    with pytest.raises(ValueError, match="another model is on its way at the moment"):
        held.bring("me/other")
    assert held.bring("me/tiny").name == "me/tiny"


def test_a_hub_that_is_away_is_said_to_be(hub, pushed, impatient):
    hub.stop()
    assert "the Hub" in refused(Guests(rules("me/*")), "me/tiny")


def test_no_program_of_the_host_is_run_for_a_stranger_s_model(hub, tiny_model, tmp_path, monkeypatch):
    model = copy.copy(tiny_model)
    model.classifier = wrap(tiny_model.classifier.network, ["plain", "spotted"], 16, mean=(0.5,) * 3, std=(0.5,) * 3)
    folder = model.save_pretrained(tmp_path / "model")
    hub.create("me/program")
    for path in folder.rglob("*"):
        if path.is_file():
            hub.put("me/program", path.relative_to(folder).as_posix(), path.read_bytes())
    monkeypatch.setenv("STYLEX_CLASSIFIER", "os:abort")
    assert "only whoever trained it has it" in refused(Guests(rules("me/*")), "me/program")
