"""What a visitor sees and does, in a real Chromium."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)


def looks(page: Page, element: Locator, count: int = 12, gap_ms: int = 150) -> int:
    """How many different pictures `element` shows over more than two frames."""
    seen = set()
    for _ in range(count):
        seen.add(hashlib.sha256(element.screenshot(animations="allow")).hexdigest())
        page.wait_for_timeout(gap_ms)
    return len(seen)


def stands_still(page: Page) -> bool:
    """Whether the first flicker rests, once the page has come to rest: what moves never does."""
    return any(looks(page, stills(page)) == 1 for _ in range(3))


def stills(page: Page) -> Locator:
    return page.locator(".sx-stills").first


def now(page: Page) -> str:
    return page.locator("#sx-now").inner_text()


def send(page: Page, path: Path) -> None:
    page.locator("#sx-upload input[type=file]").set_input_files(path)


def test_the_first_screen_explains_a_sample(app_page: Page) -> None:
    expect(app_page.locator("#sx-answer h2")).to_contain_text("The classifier says")
    expect(app_page.locator("#sx-answer figure")).to_have_count(2)
    expect(app_page.locator("body")).to_contain_text("It explains the classifier, not the world")
    flickers = app_page.locator(".sx-flicker")
    assert 1 <= flickers.count() <= 5
    label = flickers.first.get_attribute("aria-label") or ""
    assert re.search(r"(plain|spotted) .+\s% before, .+\s% after", label), label
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
    start = now(app_page)
    app_page.locator("#sx-knob-1 input[type=range]").focus()
    for _ in range(12):
        app_page.keyboard.press("ArrowRight")
    expect(app_page.locator("#sx-now")).not_to_have_text(start)


def test_another_sample_another_target_another_strategy(app_page: Page) -> None:
    heading = app_page.locator("#sx-flickers h2")
    picture = app_page.locator("#sx-answer img").first.get_attribute("src") or ""
    app_page.get_by_role("button", name="sample picture 2").click()
    expect(app_page.locator("#sx-answer img").first).not_to_have_attribute("src", picture)
    target = app_page.locator("#sx-target input:not(:checked)").first
    name = target.get_attribute("value") or ""
    target.click()
    expect(heading).to_contain_text(name)
    app_page.get_by_label("one on top of the other").click()
    expect(app_page.locator("#sx-flickers")).to_contain_text(re.compile("on top of the ones before|No single"))


def test_an_uploaded_picture_is_explained(app_page: Page, pictures: Path) -> None:
    before = app_page.locator("#sx-answer img").first.get_attribute("src") or ""
    for name in ("spotted-0.png", "spotted-1.png"):  # and the box is ready for the next one
        send(app_page, pictures / "spotted" / name)
        expect(app_page.locator("#sx-answer img").first).not_to_have_attribute("src", before)
        before = app_page.locator("#sx-answer img").first.get_attribute("src") or ""
        app_page.locator("#sx-upload input[type=file]").wait_for(state="attached")
    assert app_page.locator(".sx-flicker").count() >= 1
    assert app_page.locator("[data-sample][aria-pressed=true]").count() == 0


def test_a_flicker_can_be_saved_as_gif_and_everything_as_zip(app_page: Page) -> None:
    with app_page.expect_download() as saved:
        app_page.get_by_role("button", name="Save attribute 1 as GIF").click()
    with Image.open(saved.value.path()) as image:
        assert (image.format, image.n_frames) == ("GIF", 2)
    with app_page.expect_download() as saved:
        app_page.get_by_role("button", name="Download everything").click()
    with zipfile.ZipFile(saved.value.path()) as archive:
        assert {"explanation/explanation.json", "explanation/attribute-1.gif"} <= set(archive.namelist())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scroll(browser: Browser, app_url: str, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, color_scheme=scheme
    )
    page = context.new_page()
    page.goto(app_url)
    page.locator(".sx-flicker").first.wait_for(timeout=PATIENCE_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    levels = [int(n) for n in re.findall(r"\d+", paper)[:3]]
    assert (sum(levels) < 3 * 60) == (scheme == "dark"), paper
    context.close()
