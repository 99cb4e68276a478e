"""A grade says what was checked, and nothing of who was not asked."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from PIL import Image

import front.trust
from front.closer import Overlay
from front.trust import JUDGE, STRANGER, Check, Trust, judges, trust
from front.views import trust as drawn
from stylex.classifiers.stranger import Stranger


class Parrot(torch.nn.Module):
    """A judge that says what it is told to, in the order in which it is asked."""

    def __init__(self, *odds: float) -> None:
        super().__init__()
        self.odds = odds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        second = torch.tensor(self.odds[: len(x)])
        return torch.stack([torch.zeros(len(x)), second], dim=1)


@pytest.fixture(scope="module")
def explained(tiny_model, pictures):
    e = tiny_model.explain(pictures / "spotted" / "spotted-0.png", top_k=1)
    (a,) = e.attributes
    black = Image.new("RGB", a.before.size)  # as if the edit were on top of another
    up = dataclasses.replace(a, before=black, prob_before=0.2, prob_after=0.8, changed_share=0.2)
    return dataclasses.replace(e, target="spotted", attributes=[up])


def judged(model, *odds: float):
    """A copy of the model with a second judge who says these log-odds: of the picture, of its reconstruction, before an
    edit and after it."""
    model = copy.copy(model)
    model.judge = Parrot(*odds)
    return model


def laid(explained, agrees: bool) -> list[Overlay]:
    return [Overlay(explained.source, 0.5, agrees)]


def test_a_judge_who_goes_along_speaks_for_an_edit_and_one_who_does_not_against_it(tiny_model, explained):
    for odds, says, holds in (
        ((3.0, 3.0, -1.0, 1.0), "A second judge goes along: spotted 26.9 % → 73.1 %.", True),
        ((3.0, 3.0, 1.0, -1.0), "A second judge does not go along: spotted 73.1 % → 26.9 %.", False),
        ((3.0, 3.0, 0.0, 0.1), "A second judge does not go along: spotted 50.0 % → 52.5 %.", False),  # hardly moved
    ):
        _, (of_edit,) = trust(judged(tiny_model, *odds), explained, laid(explained, True))
        assert Check(says, holds) in of_edit.checks


def test_what_many_edits_begin_with_is_looked_at_once(tiny_model, explained):
    (a,) = explained.attributes
    edits = [dataclasses.replace(a, before=explained.reconstruction)] * 2
    model, sizes = judged(tiny_model, 3.0, 3.0, -3.0), []
    model.judge.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    many = dataclasses.replace(explained, attributes=edits)
    _, (one, other) = trust(model, many, 2 * laid(explained, True))
    assert sizes == [3]  # the picture, the reconstruction, and what both edits make of it
    assert one == other
    assert Check("A second judge does not go along: spotted 95.3 % → 4.7 %.", False) in one.checks


def test_the_picture_is_trusted_where_its_reconstruction_is_called_the_same(tiny_model, explained):
    of_picture, _ = trust(judged(tiny_model, 3.0, -3.0, 0.0, 0.0), explained, laid(explained, True))
    assert of_picture.checks[1] == Check("A second judge calls them spotted and plain.", False)
    of_picture, _ = trust(judged(tiny_model, 3.0, 3.0, 0.0, 0.0), explained, laid(explained, True))
    assert of_picture.checks[1] == Check("A second judge calls both spotted.", True)


def test_good_is_only_what_a_person_has_named_and_everybody_agrees_with(tiny_model, explained):
    model = judged(tiny_model, 3.0, 3.0, -1.0, 1.0)
    _, (unnamed,) = trust(model, explained, laid(explained, True))
    assert (unnamed.grade, unnamed.held, len(unnamed.checks)) == ("fair", 3, 4)
    named = dataclasses.replace(explained, attributes=[dataclasses.replace(explained.attributes[0], name="spots")])
    assert trust(model, named, laid(explained, True))[1][0].grade == "good"
    tiny = dataclasses.replace(explained, attributes=[dataclasses.replace(explained.attributes[0], changed_share=0.0)])
    assert trust(model, tiny, laid(explained, False))[1][0].grade == "weak"


def test_the_stranger_is_asked_where_its_eye_is_here(tiny_model, monkeypatch):
    model = copy.copy(tiny_model)
    assert set(judges(model)) == set()
    model.stranger = Stranger(model.class_names, torch.zeros(2, 1280), torch.tensor([0.0, 2.0]))
    monkeypatch.setattr(front.trust, "stranger_s_eye", lambda device: None)
    assert set(judges(model)) == set()

    class Eye:
        def embed(self, x):
            return torch.zeros(len(x), 1280)

    monkeypatch.setattr(front.trust, "stranger_s_eye", lambda device: Eye())
    model.judge = Parrot(0.0, 0.0)
    asked = judges(model)
    assert list(asked) == [JUDGE, STRANGER]
    assert asked[STRANGER](torch.zeros(3, 3, 16, 16)).argmax(dim=1).tolist() == [1, 1, 1]


def test_a_grade_is_drawn_with_its_reasons():
    page = drawn(Trust((Check("One <b>.", True), Check("Two.", False))))
    assert "data-grade='weak'" in page
    assert "1 of 2 checks hold" in page
    assert "<li class='holds'>One &lt;b&gt;.</li><li class='fails'>Two.</li>" in page
