"""The classifier as a whole: every number is that of the model, and the page says what it does not know."""

from __future__ import annotations

import dataclasses
import math
import shutil

import pytest
import torch

from front import survey_views
from front.survey import limits_of, measured_curves, survey, worst
from stylex.attfind.effects import REST
from stylex.pictures.images import to_pil
from stylex.stylespace import Direction, move


@pytest.fixture(scope="module")
def samples(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    probs = torch.tensor([[0.95, 0.05], [0.05, 0.95]]).repeat(6, 1)
    for n, x in enumerate(tiny_model.synthesize(tiny_model.sample(probs, seed=2))):
        to_pil(x).save(folder / f"{n}.png")
    return sorted(folder.glob("*.png"))


@pytest.fixture(scope="module")
def found(tiny_model, samples):
    return survey(tiny_model, samples, "plain", "spotted")


def test_every_shot_is_the_picture_really_moved_there_and_back(tiny_model, samples, found):
    assert [row.attribute for row in found.rows] == [a for a in tiny_model.attributes if a.target == "spotted"]
    s = tiny_model.styles(tiny_model.encode(tiny_model.load_images(samples)))
    labels = tiny_model.logits_of(s).argmax(dim=1)
    for row in found.rows:
        a = row.attribute
        for way, label, direction in ((row.there, 0, a.direction), (row.back, 1, Direction(1 - a.direction))):
            mine = s[labels == label][: len(way.shots)]
            assert len(way.shots) == min(4, int((labels == label).sum()))
            after = tiny_model.logits_of(move(mine, a.index, direction, tiny_model.stats)).softmax(dim=1)
            assert [shot.prob_after for shot in way.shots] == pytest.approx(after[:, 1 - label].tolist(), abs=1e-5)
            assert [shot.flipped for shot in way.shots] == (after.argmax(dim=1) == 1 - label).tolist()
    assert any(row.there.shots or row.back.shots for row in found.rows)


def test_progress_is_told_in_pictures_and_ends_with_all_of_them(tiny_model, samples):
    told = []
    survey(tiny_model, samples, "plain", "spotted", progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 0


def test_attributes_searched_on_all_other_classes_are_of_every_pair(tiny_model, monkeypatch):
    rest = dataclasses.replace(tiny_model.attributes[0], source=REST)
    monkeypatch.setattr(tiny_model, "attributes", [rest])
    pair = ("plain", "spotted") if rest.target == "spotted" else ("spotted", "plain")
    assert [row.attribute for row in survey(tiny_model, [], *pair).rows] == [rest]
    assert survey(tiny_model, [], *pair[::-1]).rows == []


def test_the_measured_curve_is_shown_and_only_what_is_a_share():
    metrics = {"sufficiency": {"1": 0.4, "10": 1.0, "2": 0.9}, "second_sufficiency": {"1": "much"}}
    assert measured_curves(metrics, 5) == {"this classifier": [(1, 0.4), (2, 0.9)]}
    for odd in (None, {}, {"sufficiency": 3}, {"sufficiency": {"one": 1}}, {"sufficiency": {"1": math.nan, "2": 7}}):
        assert measured_curves(odd, 5) == {}


def test_without_measurements_the_samples_are_counted_and_the_page_says_how_few(found):
    if found.curves:
        (line,) = found.curves.values()
        assert [k for k, _ in line] == list(range(1, len(found.rows) + 1))
        assert "too few for more than a hint" in survey_views.curve(found)


def test_the_limits_are_those_of_the_card_without_its_markdown():
    card = "# A\n\n## Limits and misuse\n\n- One `thing`,\n  and *more*.\n- [Two](http://x.y)\n\nThree.\n\n"
    assert limits_of(card + "## Citation\n- no\n") == ["One thing, and more.", "Two", "Three."]
    assert limits_of("# A card\n") == limits_of(None) == []
    assert "says nothing of them" in survey_views.limits(None)


def test_the_page_is_escaped_and_every_picture_has_words(tiny_model, found):
    evil = "<img src=x onerror=alert(1)>'"
    rows = [
        dataclasses.replace(
            row,
            attribute=dataclasses.replace(row.attribute, name=evil),
            there=dataclasses.replace(row.there, source=evil, target=evil),
        )
        for row in found.rows
    ]
    odd = dataclasses.replace(found, source=evil, target=evil, rows=rows, curves={evil: [(1, 0.5)]}, counted_on=evil)
    text = survey_views.page(odd, f"## Limits\n\n{evil}\n", {"n": evil, "agreement": evil}, 2)
    assert "onerror" in text
    assert "<img src=x" not in text
    assert "alert(1)>'" not in text
    assert text.count("<img") == text.count(" alt='")


def test_the_table_holds_the_numbers_that_it_shows(found):
    page = survey_views.table(found)
    assert page.count("<tr>") == 1 + len(found.rows)
    for row in found.rows:
        assert f"data-value='{row.attribute.images_share:.6f}'" in page
    alone = [dataclasses.replace(row, back=dataclasses.replace(row.back, found=None)) for row in found.rows]
    assert survey_views.table(dataclasses.replace(found, rows=alone)).count("data-value=''>–") >= len(found.rows)


def test_the_worst_samples_come_with_what_would_make_them_right(tiny_model, samples, tmp_path):
    assert worst(tiny_model, samples) == []  # their names say no class
    for n, path in enumerate(samples[:6]):
        shutil.copy(path, tmp_path / f"{'plain' if n % 2 else 'spotted'}-{n}.png")
    labelled = sorted(tmp_path.glob("*.png"))
    missed = worst(tiny_model, labelled)
    assert len(missed) == 4
    called = tiny_model.classify(tiny_model.load_images(labelled))
    least = min(
        float(p[tiny_model.class_names.index(path.stem[:-2])]) for p, path in zip(called, labelled, strict=True)
    )
    first = missed[0]
    assert first.called != first.label or first.prob == pytest.approx(least, abs=1e-5)
    for miss in missed:
        assert (miss.after is not None) <= (miss.called != miss.label)
        if miss.after is not None:
            after = tiny_model.classify(tiny_model.load_images([miss.after]))[0]
            assert float(after[tiny_model.class_names.index(miss.label)]) == pytest.approx(miss.prob_after, abs=2e-2)
    assert any(miss.after is not None for miss in missed)


def test_a_pair_without_attributes_is_said_to_be_one(found):
    assert "AttFind kept no attribute" in survey_views.attributes(dataclasses.replace(found, rows=[]), 2)


def test_numbers_of_a_stranger_that_are_none_are_left_out():
    assert "agreement" not in survey_views.measured({"n": 3, "agreement": None})
    assert "0.9709" in survey_views.measured({"n": 344, "agreement": 0.9709})
