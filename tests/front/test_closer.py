"""A closer look shows what was really computed: on the photograph, and on the way there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from front import flicker_views
from front.closer import centre_of, odds, origin_of, overlays, steps
from front.links import Link
from front.trust import trust
from stylex.pictures.names import Proposal


@pytest.fixture(scope="module")
def picture(pictures):
    return pictures / "spotted" / "spotted-0.png"


@pytest.fixture(scope="module")
def explained(tiny_model, picture):
    return tiny_model.explain(picture, top_k=3)


def test_an_overlay_is_the_photograph_and_the_change_and_is_asked_again(tiny_model, explained):
    for a, laid in zip(explained.attributes, overlays(tiny_model, explained), strict=True):
        photograph, after, before = (
            np.asarray(image).astype(int) for image in (explained.source, a.image, explained.reconstruction)
        )
        assert np.array_equal(np.asarray(laid.image), np.clip(photograph + after - before, 0, 255))
        probs, of_edit = (tiny_model.classify(tiny_model.load_images([image]))[0] for image in (laid.image, a.image))
        aim = tiny_model.class_names.index(explained.target)
        assert laid.prob == pytest.approx(float(probs[aim]), abs=1e-5)
        assert laid.agrees == (int(probs.argmax()) == int(of_edit.argmax()))


def test_where_the_classifier_disagrees_the_overlay_is_hidden_and_that_is_said(tiny_model, explained):
    laid = [dataclasses.replace(one, agrees=False) for one in overlays(tiny_model, explained)]
    page = flicker_views.flickers(explained, Link(), laid, trust(tiny_model, explained, laid)[1])
    assert "class='laid'" not in page
    assert page.count("Laid on the photograph itself, the classifier decides otherwise.") == 3
    laid = [dataclasses.replace(one, agrees=True) for one in laid]
    page = flicker_views.flickers(explained, Link(), laid, trust(tiny_model, explained, laid)[1])
    assert page.count("class='laid'") == 3


@pytest.mark.parametrize("strategy", ["independent", "subset"])
def test_the_steps_lead_from_before_to_after(tiny_model, picture, strategy):
    e = tiny_model.explain(picture, top_k=2, strategy=strategy)
    for number, a in enumerate(e.attributes):
        shown = steps(tiny_model, e, number)
        assert shown[0][1] == pytest.approx(a.prob_before, abs=1e-4)
        assert shown[-1][1] == pytest.approx(a.prob_after, abs=1e-4)
        assert shown[-1][0].tobytes() == a.image.tobytes()


def test_a_zoom_brings_the_change_to_the_middle_as_far_as_it_can():
    before = Image.new("RGB", (16, 16))
    after = before.copy()
    after.paste((255, 255, 255), (12, 4, 14, 6))
    x, y = centre_of(before, after)
    assert (x, y) == (pytest.approx(13 / 16), pytest.approx(5 / 16))
    # What is held still at `origin` while everything doubles: a point p comes to 2 p - origin.
    assert 2 * y - origin_of(y) == pytest.approx(0.5)
    assert (origin_of(x), origin_of(0.1)) == (1.0, 0.0)
    assert centre_of(before, before) == (0.5, 0.5)


def test_odds_are_told_where_they_have_an_end():
    assert odds(0.5, 0.75) == pytest.approx(3)
    assert odds(0.0, 0.5) is odds(0.5, 1.0) is None


def test_an_attribute_is_called_by_a_person_then_by_what_was_measured_then_by_what_its_layer_draws(explained):
    a = dataclasses.replace(explained.attributes[0], name="brown spots", proposal=Proposal("darker", 0.9, 12))
    assert flicker_views.called(a) == "Brown spots"
    assert flicker_views.called(dataclasses.replace(a, name=None)) == "Darker"
    for proposal in (None, Proposal(None, 0.3, 12)):
        odd = dataclasses.replace(a, name=None, proposal=proposal, layer="16x16/conv0")
        assert flicker_views.called(odd) == "Something in the fine detail"
        assert flicker_views.called(dataclasses.replace(odd, layer="4x4/conv1")) == "Something in the larger parts"
