"""The model card: what is on it was measured, recorded or written by a person; an edit is kept."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from huggingface_hub import ModelCard
from small import tiny_classifier

from stylex import StylEx
from stylex.attfind.screening import Certificate
from stylex.storage.card import Facts, addressed, eval_results, model_card, read_about, with_attributes
from stylex.storage.files import ModelError, is_sealed

METRICS: dict[str, Any] = {
    "n": 300,
    "classifier_accuracy": 0.99,
    "agreement": 0.97,
    "retrieval": 0.5,
    "retrieval_among": 100,
    "l1": 0.0712,
    "kid": -0.0001,
    "sufficiency": {str(k): min(1.0, k / 10) for k in range(1, 21)},
    "second_sufficiency": {str(k): 0.5 for k in range(1, 21)},
    "second_sufficiency_among": 200,
    "visibility": 0.8,
    "shift": 1.0,
    "seed": 0,
    "revision": "0123456789ab",
}
ABOUT = """---
license: cc-by-sa-3.0
datasets: [me/leaves]
language: en
---

# Leaves, *closely*

Two sentences. And {{ 7 * 7 }} is no template.

## Data and licence

Photographs | of leaves.

## Limits

- Small.
"""
TRAINING = {"command": "train/train.py --data a|b", "hardware": "2 CPU cores", "time": "3 h 20 min"}


@pytest.fixture
def card(tiny_model) -> str:
    return model_card(
        tiny_model.facts(),
        "me/leaves",
        metrics=METRICS,
        training=TRAINING,
        about=ABOUT,
        pictures=[("attributes/1.gif", "plain → spotted 10 % → 90 %")],
    )


def test_everything_that_a_reader_needs_is_on_the_card(card, tiny_model):
    for text in (
        "# Leaves, *closely*",
        "Two sentences. And {{ 7 * 7 }} is no template.",
        'StylEx.from_pretrained("me/leaves")',
        'target="spotted"',
        "`ConvNet(width=8, blocks=1)` of stylex, which reads pictures of 16 px and names 2 classes: plain, spotted",
        "Photographs | of leaves.",
        "| command | `train/train.py --data a\\|b` |",
        "| hardware | 2 CPU cores |",
        "On 300 held-out pictures, shift 1.0, revision 0123456789ab:",
        "![plain → spotted 10 % → 90 %](attributes/1.gif)",
        "- Small.",
        "never a diagnosis",
        "@inproceedings{lang2021explaining,",
    ):
        assert text in card
    assert card.count("| spotted | plain | ") + card.count("| plain | spotted | ") == len(tiny_model.attributes) > 0
    assert "\n\n\n" not in card


def test_the_numbers_are_model_index_entries_that_the_client_reads_back(card):
    data = ModelCard(card).data
    assert (data.license, data.library_name, data.datasets, data.language) == (
        "cc-by-sa-3.0",
        "stylex",
        ["me/leaves"],
        "en",
    )
    results = {r.metric_type: r for r in data.eval_results}
    assert results["agreement"].metric_value == 0.97
    # Wilson by hand: (0.97 + 1.92/300 ± 1.96 √(0.97·0.03/300 + 0.96/300²)) / (1 + 3.84/300)
    assert results["agreement"].metric_args["interval"] == pytest.approx([0.9439, 0.9842], abs=1e-4)
    assert results["agreement"].metric_args["n"] == 300
    assert results["retrieval"].metric_args["n"] == 100
    assert results["second_sufficiency_at_10"].metric_args["n"] == 200
    assert results["sufficiency_at_10"].metric_value == 1.0
    assert results["l1"].metric_args is None
    assert {r.dataset_type for r in data.eval_results} == {"me/leaves"}
    assert "| pictures that keep their class when reconstructed | 0.97 | 0.944 to 0.984 |" in card
    assert "| mean absolute error of a pixel, of a range of 2 | 0.0712 |  |" in card


def test_a_number_that_was_not_measured_is_not_on_the_card():
    few = {"n": 10, "agreement": 0.9, "shift": 1.0, "revision": "0"}
    assert [r.metric_type for r in eval_results(few)] == ["agreement"]


def test_what_nobody_wrote_down_is_said_to_be_unknown(tiny_model):
    bare = StylEx(tiny_model.config, tiny_model.classifier)
    text = model_card(bare.facts(), "me/bare")
    for said in ("Not written down", "The command was not recorded", "Not yet. `train/evaluate.py`", "None yet."):
        assert said in text
    data = ModelCard(text).data
    assert data.license is None
    assert data.eval_results is None


def test_names_cannot_break_the_card(tiny_model):
    evil = copy.copy(tiny_model)
    evil.classifier = tiny_classifier(("a | b\n# c", '"---\nlicense: mit'))
    evil.attributes = []
    text = model_card(evil.facts(), "me/evil", metrics=METRICS)
    assert ModelCard(text).data.license is None
    assert 'target="\\"---\\nlicense: mit"' in text


def test_a_name_with_brackets_leaves_a_picture_s_link_whole(tiny_model):
    text = model_card(tiny_model.facts(), "me/leaves", pictures=[("1.gif", "dots] (more\nor less")])
    assert "![dots\\] (more or less](1.gif)" in text


def alike(*rows: tuple[str, str | None, float]) -> tuple[Facts, dict[str, Any]]:
    """Attributes (coordinate, name, logit), and numbers that say that none is told apart from its neighbour."""
    means = {"delta_prob": 0.1, "images_share": 0.5, "visible_share": None, "proposal": None, "words": None}
    listed = [
        {"coordinate": c, "name": name, "delta_logit": up, "source": "plain", "target": "spotted", **means}
        for c, name, up in rows
    ]
    keys = [f"{c}, plain → spotted" for c, _, _ in rows]
    pairs = [[keys[n], keys[n + 1], 0.3 + n / 100] for n in range(0, len(keys) - 1, 2)]
    classifier = {"architecture": "a", "library": "stylex", "arguments": {}, "resolution": 16}
    return Facts(("plain", "spotted"), 16, classifier, attributes=listed), {**METRICS, "two_afc_alike": pairs}


def test_what_is_not_told_apart_is_shown_in_words_with_what_is_kept_and_why_the_rest_goes():
    facts, metrics = alike(
        ("4x4/conv · 1 ↑", "dots", 0.5), ("4x4/conv · 2 ↓", "blots", 2.0), ("4x4/conv · 3 ↓", "hue", 1.0)
    )
    metrics["two_afc_alike"].append(["4x4/conv · 2 ↓, plain → spotted", "4x4/conv · 3 ↓, plain → spotted", 0.4])
    text = model_card(facts, "me/leaves", metrics=metrics)
    assert (
        "| plain | spotted | blots (4x4/conv · 2 ↓) | dots (4x4/conv · 1 ↑): 0.30<br>hue (4x4/conv · 3 ↓): 0.40 |"
        in text
    )
    assert "because they cannot be told apart from it" in text
    assert "Further groups" not in text
    assert "Not told apart" not in model_card(facts, "me/leaves", metrics=METRICS)


def test_of_many_groups_the_worst_ten_are_shown_and_the_rest_counted():
    facts, metrics = alike(*((f"4x4/conv · {n} ↑", None, 99.0 - n) for n in range(24)))
    text = model_card(facts, "me/leaves", metrics=metrics)
    assert text.count("| plain | spotted | not described (") == 10
    assert "not described (4x4/conv · 18 ↑) | not described (4x4/conv · 19 ↑): 0.48 |" in text
    assert "Further groups: 2; attributes that are dropped in them: 2." in text


def test_words_that_change_change_in_both_tables():
    facts, metrics = alike(("4x4/conv · 1 ↑", "dots", 0.5), ("4x4/conv · 2 ↓", "blots", 2.0))
    renamed, _ = alike(("4x4/conv · 1 ↑", "freckles", 0.5), ("4x4/conv · 2 ↓", "blots", 2.0))
    card = model_card(facts, "me/leaves", metrics=metrics)
    assert with_attributes(card, renamed, metrics) == model_card(renamed, "me/leaves", metrics=metrics)


def test_the_sections_of_about_are_those_of_the_card(tiny_model):
    front, title, intro, sections = read_about(ABOUT)
    assert front["datasets"] == ["me/leaves"]
    assert title == "Leaves, *closely*"
    assert intro.startswith("Two sentences.")
    assert sections == {"Data and licence": "Photographs | of leaves.", "Limits": "- Small."}
    with pytest.raises(ModelError, match="about has a section 'Prices'; the card takes Data and licence, Training, Li"):
        model_card(tiny_model.facts(), "me/x", about="## Prices\n\nFree.")
    with pytest.raises(ModelError, match="the front matter of about cannot be read"):
        model_card(tiny_model.facts(), "me/x", about="---\n- 1\n---\n")


def test_a_generated_card_is_addressed_to_the_repository_that_it_is_pushed_to(card):
    moved = addressed(card, "you/leaves")
    assert is_sealed(card)
    assert is_sealed(moved)
    assert 'StylEx.from_pretrained("you/leaves")' in moved
    assert addressed(moved, "me/leaves") == card
    edited = card.replace("Small", "Very small")
    assert addressed(edited, "you/leaves") == edited


def test_the_card_says_how_much_of_an_exhaustive_search_the_attributes_are(tiny_model):
    sure = copy.copy(tiny_model)
    sure.certificate = Certificate(10, 160, 0.995, 0.97, 1.0)
    says = "160 moves were tried, those that the gradient promised most of; on 10 pictures on which every move was, "
    assert says + "they held 99.5% of the twenty best" in model_card(sure.facts(), "me/leaves")
    assert "moves were tried" not in model_card(tiny_model.facts(), "me/leaves")
