"""A review becomes files that the library reads, and whatever a visitor types stays a text in them."""

from __future__ import annotations

import csv
import json

import gradio as gr
import pytest

from front import review, review_views
from front.handlers.reviewing import Reviewing, key_of
from front.models import Exhibit, Shelf, Wish
from front.replies import plainly
from front.review import MAX_NAME, NO_REASON, TICKS, Said, plain, read_said, reviewed
from stylex import StylEx
from stylex.folder import read_attributes

EVIL = [
    "</textarea><script>alert(1)</script>",
    "' onfocus='alert(1)",
    '","no_reason":true,"x":"',
    "../../attributes.json",
    "=HYPERLINK(1)",
    "@SUM(1)",
    "line\nbreak\r\ttab\x00\x1b[31m",
    "right\u202eto left",
    "lone \ud800 half",
]


@pytest.fixture(scope="module")
def shown(tiny_model, pictures) -> Exhibit:
    samples = {p.stem: p for c in ("plain", "spotted") for p in sorted((pictures / c).glob("*.png"))[:5]}
    return Exhibit("one", tiny_model, samples)


@pytest.fixture
def reviewing(shown) -> Reviewing:
    return Reviewing(Shelf([Wish("one", ".", exhibit=shown)]))


def test_the_sheet_shows_every_attribute_of_a_pair_on_eight_pictures_those_of_the_class_first(shown, tiny_model):
    told = []
    found = review.sheet(tiny_model, list(shown.pictures.values()), "plain", "spotted", lambda *n: told.append(n))
    listed = [a for a in tiny_model.attributes if a.target == "spotted"]
    assert [seen.attribute for seen in found.seen] == listed
    assert all(tiny_model.attributes[seen.number] is seen.attribute for seen in found.seen)
    assert (found.count, told[-1]) == (8, (len(listed), len(listed)))
    assert found.before.size == found.seen[0].after.size == (4 * 16 + 3 * review.GAP, 2 * 16 + review.GAP)
    assert found.before.tobytes() != found.seen[0].after.tobytes()
    page = review_views.page(found, "one key")
    assert page.count("<fieldset") == len(listed)
    assert page.count("type='checkbox'") == len(TICKS) * len(listed)
    assert page.count("<img") == page.count(" alt='")


def test_a_review_is_an_attributes_json_of_the_model_with_what_was_said(tiny_model, tmp_path):
    said = [
        {"attribute": 1, "name": " brown  rim ", "ticks": ["no reason", "confounder"]},
        {"attribute": 0, "name": "", "ticks": ["new"]},
    ]
    found = reviewed(tiny_model.attributes, read_said(said, len(tiny_model.attributes)))
    review.save(tmp_path, tiny_model, found)
    read = read_attributes(tmp_path / "attributes.json", tiny_model.space, tiny_model.class_names)
    assert read == found
    assert (read[1].name, read[1].marks, read[1].no_reason) == ("brown rim", ("confounder",), True)
    assert (read[0].name, read[0].marks, read[0].no_reason) == (None, ("new",), False)
    assert read[2:] == tiny_model.attributes[2:]
    assert tiny_model.attributes[1].name is None  # the model itself is nobody's to change
    (row,) = (r for r in csv.DictReader((tmp_path / "review.csv").open(encoding="utf-8-sig")) if r["name"])
    assert (row["attribute"], row["name"], row["confounder"], row[NO_REASON], row["new"]) == (
        "1",
        "brown rim",
        "x",
        "x",
        "",
    )


@pytest.mark.parametrize("name", EVIL)
def test_whatever_is_typed_stays_one_line_of_text(name, tiny_model, tmp_path):
    found = reviewed(tiny_model.attributes, read_said([{"attribute": 0, "name": name}], 1))
    kept = found[0].name
    assert kept == plain(name)
    assert kept.isprintable()
    assert [path.name for path in review.save(tmp_path, tiny_model, found)] == ["attributes.json", "review.csv"]
    rows = json.loads((tmp_path / "attributes.json").read_text(encoding="utf-8"))["attributes"]
    assert (rows[0]["name"], "no_reason" in rows[0]) == (kept, False)
    (first, *_) = csv.DictReader((tmp_path / "review.csv").open(encoding="utf-8-sig", newline=""))
    assert first["name"] in (kept, f"'{kept}")
    assert first["name"][0] not in "=+-@"
    sheet = review.sheet(StylEx(tiny_model.config, tiny_model.classifier), [], "plain", "spotted")
    seen = review.Seen(0, found[0], review.tiled([_black()]))
    page = review_views.page(review.Sheet("plain", "spotted", seen.after, 1, [seen]), name)
    assert sheet.before is None
    assert "<script" not in page
    assert "onfocus='" not in page


def _black():
    from PIL import Image

    return Image.new("RGB", (4, 4))


def test_scripts_that_join_their_letters_keep_them():
    assert plain("\u0645\u06cc\u200c\u0631\u0648\u062f") == "\u0645\u06cc\u200c\u0631\u0648\u062f"
    assert plain("e\u0301") == "é"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("all", "A review is a list of at most 3 objects"),
        ([{}] * 4, "A review is a list of at most 3 objects"),
        ([{"attribute": 3}], "Entry 0: attribute is 3; use a whole number from 0 to 2"),
        ([{"attribute": True}], "attribute is True"),
        ([{"attribute": 1.0}], "attribute is 1.0"),
        ([None], "attribute is None"),
        ([{"attribute": 0, "name": 5}], "name is 5; use a text"),
        ([{"attribute": 0, "name": "x" * 81}], "the name has 81 characters; use at most 80"),
        ([{"attribute": 0, "ticks": ["evil"]}], "use a list of known, confounder, artefact, new, no reason"),
        ([{"attribute": 0, "ticks": "known"}], "use a list of known"),
        ([{"attribute": 0, "ticks": [["known"]]}], "use a list of known"),
        ([{"attribute": 0}, {"attribute": 0}], "named twice"),
    ],
)
def test_a_review_that_is_none_is_refused_in_one_sentence(said, sentence):
    with pytest.raises(gr.Error) as error, plainly():
        read_said(said, 3)
    assert sentence in error.value.message


def test_what_is_typed_is_bounded_before_it_is_kept():
    assert read_said([{"attribute": 0, "name": "x" * MAX_NAME}], 1) == [Said(0, "x" * MAX_NAME)]


def test_only_the_sheet_of_the_model_that_is_shown_is_saved(reviewing, shown, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    sent = {"review": key_of(shown), "said": [{"attribute": 0, "name": "rim", "ticks": []}]}
    assert reviewing.save_review("one", gr.EventData(None, sent)).endswith("review.zip")
    for odd in ({**sent, "review": "two 0"}, {}, None, [0]):
        with pytest.raises(gr.Error, match="of another model"):
            reviewing.save_review("one", gr.EventData(None, odd))


def test_a_sheet_is_laid_once_and_follows_the_pair(reviewing):
    laid, page = reviewing.show_sheet("one", "plain", "spotted")
    assert laid == ("one", "plain", "spotted")
    assert reviewing.show_sheet("one", "plain", "spotted", laid) == gr.skip()
    assert reviewing.show_sheet_again(False, "one", "spotted", "plain", laid) == gr.skip()
    laid, other = reviewing.show_sheet_again(True, "one", "spotted", "plain", laid)
    assert laid == ("one", "spotted", "plain")
    assert other != page
    assert reviewing.show_sheet("one", "of another", "model")[0] == ("one", "plain", "spotted")
