"""One picture and its flickers as a visitor sees and moves them, in a real Chromium."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect
from visiting import PATIENCE_MS, choose, choose_sample, looks, now, open_knobs, stands_still, stills, unfold

ROOT = Path(__file__).parents[2]


def test_the_first_screen_explains_a_sample(app_page: Page) -> None:
    expect(app_page.locator("#sx-answer h2")).to_contain_text("The classifier says")
    expect(app_page.locator("#sx-answer figure")).to_have_count(2)
    expect(app_page.locator("body")).to_contain_text("It explains the classifier, not the world")
    flickers = app_page.locator(".sx-flicker")
    assert 1 <= flickers.count() <= 5
    label = flickers.first.get_attribute("aria-label") or ""
    assert re.search(r"(plain|spotted) .+\s% before, .+\s% after", label), label
    # One of them is large, in a sentence, the others are small; the samples of every model are a click away.
    expect(flickers.first.locator(".sx-sentence")).to_have_text(
        re.compile(r"^[A-Z].+ takes it from .+\s% to .+\s% (plain|spotted)$")
    )
    expect(app_page.locator(".sx-card[data-open]")).to_have_count(1)
    shelf = ["the tiny one", *(ROOT / "checkpoints").glob("*/config.json")]
    assert {b.get_attribute("data-model") for b in app_page.locator("[data-model]").all()} == {
        str(n) for n in range(len(shelf))
    }
    missing = app_page.evaluate("[...document.querySelectorAll('main img')].filter(i => i.src && !i.alt).length")
    assert missing == 0


def test_a_flicker_moves_and_its_label_with_it(app_page: Page) -> None:
    assert looks(app_page, stills(app_page)) >= 2
    flicker = app_page.locator(".sx-flicker").first
    for frame in ("before", "after"):
        expect(flicker).to_have_attribute("data-frame", frame)


def test_a_flicker_never_flashes_faster_than_three_times_a_second(app_page: Page) -> None:
    app_page.evaluate(
        """() => {
            window.changes = [];
            new MutationObserver(() => window.changes.push(performance.now())).observe(
                document.querySelector('.sx-flicker'), { attributes: true, attributeFilter: ['data-frame'] });
        }"""
    )
    app_page.wait_for_timeout(3000)
    assert 2 <= app_page.evaluate("window.changes.length") <= 9


def test_pause_stops_one_flicker_or_all(app_page: Page) -> None:
    flicker = app_page.locator(".sx-flicker").first
    flicker.get_by_role("button", name="Pause").click()
    assert stands_still(app_page)
    flicker.get_by_role("button", name="Play").click()
    assert looks(app_page, stills(app_page)) >= 2
    app_page.get_by_role("button", name="Pause all").click()
    assert stands_still(app_page)


def test_a_still_can_be_chosen(app_page: Page) -> None:
    flicker = app_page.locator(".sx-flicker").first
    for frame in ("after", "where", "before"):
        flicker.get_by_role("button", name=frame).click()
        expect(flicker).to_have_attribute("data-frame", frame)
        expect(flicker.locator(f"img.{frame}")).to_be_visible()


def test_another_attribute_is_looked_at_closely(app_page: Page) -> None:
    card = app_page.locator(".sx-card").nth(1)
    app_page.get_by_role("button", name="Look at attribute 2").click()
    expect(card).to_have_attribute("data-open", "")
    expect(app_page.locator(".sx-card[data-open]")).to_have_count(1)
    expect(card.locator(".sx-sentence")).to_be_visible()
    card.get_by_role("button", name="Slide").click()
    split = card.get_by_label("Divider: before on its left, after on its right")
    split.fill("0")
    after = card.locator(".sx-stage").screenshot()
    split.fill("100")
    assert card.locator(".sx-stage").screenshot() != after
    card.get_by_role("button", name="before").click()  # and the divider is gone
    expect(split).to_be_hidden()
    whole = card.locator(".sx-stage").screenshot()
    card.get_by_role("button", name="Zoom to the change").click()
    assert card.locator(".sx-stage").screenshot() != whole
    card.get_by_role("button", name="Steps").click()
    steps = app_page.locator("#sx-stepped figcaption")
    expect(steps).to_have_count(5)
    for step, frame in ((0, "before"), (4, "after")):  # the way leads from one to the other
        expect(steps.nth(step)).to_have_text(card.locator(f"[data-show={frame}] .number").inner_text())


def test_a_painted_place_is_answered_and_a_key_asks_too(app_page: Page) -> None:
    unfold(app_page, "Ask about a place")
    canvas = app_page.get_by_label("The picture, to paint a place on")
    canvas.click(position={"x": 40, "y": 40})
    answer = app_page.locator("#sx-placed")
    expect(answer).to_contain_text(re.compile("of what it changes lies there|Nothing that changes"))
    first = canvas.locator("[data-on]").count()
    assert 1 < first < 30
    canvas.focus()
    for key in ("ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown"):
        app_page.keyboard.press(key)
    assert canvas.locator("[data-on]").count() > first  # with Shift it grows
    before = answer.inner_html()
    app_page.keyboard.press("Enter")
    expect(answer).not_to_have_js_property("innerHTML", before)


def test_under_reduced_motion_flickers_wait_for_play(browser: Browser, app_url: str) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(app_url)
    page.locator(".sx-flicker").first.wait_for(timeout=PATIENCE_MS)
    assert stands_still(page)
    page.get_by_role("button", name="Play all").click()
    assert looks(page, stills(page)) >= 2
    context.close()


def test_a_knob_changes_the_probability_and_they_add_up(app_page: Page) -> None:
    open_knobs(app_page)
    start = now(app_page)
    first = app_page.locator("#sx-knob-1 input[type=range]")
    first.fill("1")
    expect(app_page.locator("#sx-now")).not_to_have_text(start)
    # Turned to its end, a knob gives what its flicker says.
    after = app_page.locator(".sx-flicker [data-show=after] .number").first
    expect(app_page.locator("#sx-now")).to_have_text(after.inner_text())
    alone = now(app_page)
    app_page.locator("#sx-knob-2 input[type=range]").fill("1")
    expect(app_page.locator("#sx-now")).not_to_have_text(alone)
    app_page.get_by_role("button", name="Back to 0").click()
    expect(app_page.locator("#sx-now")).to_have_text(start)
    expect(first).to_have_value("0")


def test_a_knob_obeys_the_keyboard(app_page: Page) -> None:
    open_knobs(app_page)
    start = now(app_page)
    app_page.locator("#sx-knob-1 input[type=range]").focus()
    for _ in range(12):
        app_page.keyboard.press("ArrowRight")
    expect(app_page.locator("#sx-now")).not_to_have_text(start)


def test_another_sample_another_target_another_strategy(app_page: Page) -> None:
    heading = app_page.locator("#sx-flickers h2")
    picture = app_page.locator("#sx-answer img").first.get_attribute("src") or ""
    choose_sample(app_page, 2)
    expect(app_page.locator("#sx-answer img").first).not_to_have_attribute("src", picture)
    now_towards = app_page.locator("#sx-target input").input_value()
    name = "plain" if now_towards == "spotted" else "spotted"
    choose(app_page, "#sx-target", name)
    expect(heading).to_contain_text(name)
    unfold(app_page, "Ask in another way")
    app_page.get_by_label("one on top of the other").click()
    expect(app_page.locator("#sx-flickers")).to_contain_text(re.compile("on top of the ones before|No single"))


def test_a_flicker_can_be_saved_as_gif_and_everything_as_zip(app_page: Page) -> None:
    with app_page.expect_download() as saved:
        app_page.get_by_role("button", name="Save attribute 1 as GIF").click()
    with Image.open(saved.value.path()) as image:
        assert (image.format, image.n_frames) == ("GIF", 2)
    with app_page.expect_download() as saved:
        app_page.get_by_role("button", name="Download everything").click()
    with zipfile.ZipFile(saved.value.path()) as archive:
        assert {"explanation/explanation.json", "explanation/attribute-1.gif"} <= set(archive.namelist())


def test_the_divider_wipes_between_before_and_now_and_stays_where_it_is(app_page: Page) -> None:
    open_knobs(app_page)
    split = app_page.get_by_label("Divider: before on its left, now on its right")
    app_page.locator("#sx-knob-1 input[type=range]").fill("1.5")
    expect(app_page.locator("#sx-now")).not_to_have_text(
        app_page.locator(".sx-flicker [data-show=before] .number").first.inner_text()
    )
    pair = app_page.locator(".sx-pair")
    split.fill("0")
    after = pair.screenshot()
    split.fill("100")
    assert pair.screenshot() != after
    split.focus()
    app_page.keyboard.press("Home")
    app_page.keyboard.press("ArrowRight")
    alone = now(app_page)
    app_page.get_by_role("button", name="All to 1").click()
    expect(app_page.locator("#sx-now")).not_to_have_text(alone)
    expect(split).to_have_value("1")
