"""The report is one page that asks for nothing, says what it was given, and can be stopped."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from stylex.attfind.effects import Attribute
from stylex.attfind.report import Entry, Flicker, colour, report
from stylex.stylespace import Direction


def attribute(name: str | None = None, **changes) -> Attribute:
    values = {
        "index": 7,
        "layer": "8x8/conv1",
        "channel": 3,
        "direction": Direction.UP,
        "source": "sick",
        "target": "well",
        "delta_logit": 1.25,
        "delta_prob": 0.2,
        "images_share": 0.4,
        "visible_share": 0.75,
        "delta_logit_std": 0.5,
        "name": name,
    }
    return Attribute(**{**values, **changes})


@pytest.fixture
def page() -> str:
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("green", "brown")]
    flicker = Flicker(*pictures, prob_before=0.1, prob_after=0.6)
    entries = [
        Entry(attribute("<b>spots</b> & holes"), [0.5, 1.0, 2.0], (0.98, 1, 2), [flicker, flicker]),
        Entry(attribute(index=8, visible_share=None, delta_logit_std=None), [0.0], (0.0, 0, 0), []),
        Entry(attribute(source="well", target="sick"), [], (1.0, 1, 1), [flicker]),
    ]
    curves = {"sick → well": [(1, 0.4), (2, 0.75)], "well → sick": [(1, 0.25)]}
    return report("Leaves", entries, curves, ["250 pictures"])


def test_every_curve_has_a_colour_of_its_own():
    assert len({colour(i) for i in range(300)}) == 300


class Page(HTMLParser):
    """The tags of a page, checked to be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_asks_for_nothing(page):
    parsed = Page(page)
    assert parsed.open == []
    assert not [tag for tag, _ in parsed.tags if tag in ("script", "link", "iframe")]
    sources = [attrs["src"] for _, attrs in parsed.tags if "src" in attrs]
    assert len(sources) == 6
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in page
    assert "url(" not in page


def test_every_picture_has_words(page):
    parsed = Page(page)
    assert all(attrs.get("alt") for tag, attrs in parsed.tags if tag == "img")
    assert all(attrs.get("aria-label") for tag, attrs in parsed.tags if tag == "svg")


def test_the_flicker_is_slow_and_stops_for_those_who_ask(page):
    seconds = float(re.search(r"animation: flicker ([\d.]+)s", page)[1])
    assert 2 / seconds <= 3  # changes of frame in a second
    assert "prefers-reduced-motion" in page
    assert "#still:checked" in page


def test_what_was_measured_is_said(page):
    assert "+1.25 ± 0.50" in page
    assert "+20.0 points" in page
    assert "10.0 % → 60.0 %" in page
    assert "98.0 % of draws, rank 1 to 2" in page
    assert "0.0 % of draws, never" in page
    assert "not measured" in page
    assert "250 pictures" in page
    assert page.count("<h2>sick → well</h2>") == page.count("<h2>well → sick</h2>") == 1
    assert "<title>2: 75%</title>" in page


def test_a_name_that_a_person_gave_is_text_and_not_markup(page):
    assert "&lt;b&gt;spots&lt;/b&gt; &amp; holes" in page
    assert "<b>" not in page
    assert "8x8/conv1 · 3 ↑" in page  # where nobody has given one


def test_a_report_of_nothing_is_still_a_page():
    assert Page(report("Nothing", [], {}, [])).open == []
