"""What a visitor sees and does, in a real Chromium."""

from __future__ import annotations

import hashlib
import re
import socket
import time
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
RunApp = Callable[..., AbstractContextManager[str]]


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


def choose(page: Page, where: str, name: str) -> None:
    """An entry of a drop-down list, as a mouse chooses it."""
    page.locator(f"{where} input").click()
    page.get_by_role("option", name=name, exact=True).click()


def choose_sample(page: Page, number: int) -> None:
    """A sample of the first model, counted from 1."""
    page.locator(f"[data-model='0'][data-sample='{number - 1}']").click()


def unfold(page: Page, title: str) -> None:
    page.get_by_role("button", name=title).click()


def open_knobs(page: Page) -> None:
    unfold(page, "Turn them yourself")
    page.locator("#sx-now").wait_for()


def explain_the_classifier(page: Page) -> Locator:
    """The second tab, once something stands on it."""
    page.get_by_role("tab", name="The classifier").click()
    page.locator("#sx-survey h2").first.wait_for()
    return page.locator("#sx-survey")


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
    assert {b.get_attribute("data-model") for b in app_page.locator("[data-model]").all()} == set("0123")
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


def test_a_sample_of_another_model_brings_that_model(app_page: Page) -> None:
    app_page.get_by_role("button", name="sample picture 2 of leaves", exact=True).click()
    expect(app_page.locator("#sx-model input")).to_have_value("leaves")
    expect(app_page.locator(".sx-lead p")).to_contain_text("diseased from healthy")
    expect(app_page.locator("[data-sample][aria-pressed=true]")).to_have_attribute("data-sample", "1")
    expect(app_page.locator(".sx-card[data-open] .sx-sentence")).to_contain_text(re.compile("diseased|healthy"))


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


def test_another_model_can_be_chosen_and_everything_follows(app_page: Page) -> None:
    choose(app_page, "#sx-model", "leaves")
    expect(app_page.locator(".sx-lead p")).to_contain_text("diseased from healthy")
    expect(app_page.locator("#sx-flickers h2")).to_contain_text(re.compile("diseased|healthy"))
    expect(app_page.locator("[data-model='1']")).to_have_count(12)
    open_knobs(app_page)
    start = now(app_page)
    app_page.locator("#sx-knob-1 input[type=range]").fill("1")
    expect(app_page.locator("#sx-now")).not_to_have_text(start)


def test_a_model_can_be_chosen_with_the_keyboard(app_page: Page) -> None:
    app_page.get_by_label("Classifier").focus()
    app_page.keyboard.press("Control+a")
    app_page.keyboard.type("leaves-1")
    expect(app_page.get_by_role("option")).to_have_count(1)
    app_page.keyboard.press("Enter")
    expect(app_page.locator(".sx-lead p")).to_contain_text("diseased from healthy")


def test_a_link_brings_the_sample_the_target_and_the_attribute_back(app_page: Page) -> None:
    choose_sample(app_page, 2)
    expect(app_page.locator("a.sx-copy").nth(1)).to_have_attribute("href", re.compile("sample=1"))
    app_page.get_by_role("button", name="Look at attribute 2").click()
    app_page.get_by_role("link", name="Copy a link to attribute 2").click()
    expect(app_page).to_have_url(re.compile(r"\?model=.*&sample=1&target=.*&attr=\d+-(up|down)$"))
    label = app_page.locator(".sx-flicker").nth(1).get_attribute("aria-label") or ""
    app_page.reload()
    linked = app_page.locator("[data-linked]")
    expect(linked).to_have_attribute("aria-label", label)
    expect(linked).to_be_in_viewport()
    expect(app_page.locator("[data-sample][aria-pressed=true]")).to_have_attribute("data-sample", "1")


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


def test_another_method_is_chosen_and_all_are_compared(app_page: Page) -> None:
    unfold(app_page, "Ask in another way")
    choose(app_page, "#sx-method", "By chance, to compare with")
    expect(app_page.locator("#sx-flickers")).to_contain_text("chosen by chance")
    expect(app_page.locator("#sx-strategy")).to_be_hidden()
    expect(app_page.locator("a.sx-copy").first).to_have_attribute("href", re.compile("method=random"))
    app_page.get_by_role("tab", name="Compare").click()
    rows = app_page.locator("#sx-comparison .sx-method")
    expect(rows.filter(has=app_page.get_by_role("heading", name="random"))).to_contain_text("coordinates")
    assert rows.filter(has_text=re.compile("coordinates|No answer")).count() == rows.count() == 8
    target = app_page.locator("#sx-comparison h2").first.inner_text().removeprefix("Every method, asked for ")
    label = rows.locator(".sx-flicker").first.get_attribute("aria-label") or ""
    assert re.search(rf": {target} .+ before, .+ after$", label), label
    expect(app_page.locator("#sx-comparison figure").last).to_contain_text("where the shortest way changes")


def test_the_classifier_is_explained_between_two_classes(app_page: Page) -> None:
    survey = explain_the_classifier(app_page)
    expect(survey.locator("h2").first).to_have_text("From plain to spotted, and back")
    assert survey.locator(".sx-flicker").count() >= 1
    label = survey.locator(".sx-flicker").first.get_attribute("aria-label") or ""
    assert re.fullmatch(r"Sample 1 of (plain|spotted): (plain|spotted) .+ before, .+ after", label), label
    expect(survey).to_contain_text("Its limits")
    assert app_page.evaluate("[...document.querySelectorAll('#sx-survey img')].filter(i => !i.alt).length") == 0
    first = survey.locator(".sx-stills").first
    assert looks(app_page, first) >= 2
    survey.get_by_role("button", name="Pause all").click()
    assert any(looks(app_page, first) == 1 for _ in range(3))
    column = survey.locator(".sx-table tbody td:nth-child(3)")
    survey.get_by_role("button", name="flips to spotted").click()  # sorts, the largest first
    shares = [float(cell.get_attribute("data-value") or "nan") for cell in column.all()]
    assert shares == sorted(shares, reverse=True)
    expect(survey.locator(".sx-table th[aria-sort]")).to_have_text("flips to spotted")
    choose(app_page, "#sx-source", "spotted")  # the other class gives way
    expect(survey.locator("h2").first).to_have_text("From spotted to plain, and back")
    expect(app_page.locator("#sx-goal input")).to_have_value("plain")
    with app_page.expect_download() as saved:
        app_page.get_by_role("button", name="Download all numbers").click()
    with zipfile.ZipFile(saved.value.path()) as archive:
        assert "numbers/attributes.json" in archive.namelist()


def test_the_classifier_that_is_explained_is_the_one_that_is_chosen(app_page: Page) -> None:
    survey = explain_the_classifier(app_page)
    choose(app_page, "#sx-model", "leaves")
    expect(survey.locator("h2").first).to_have_text("From diseased to healthy, and back")
    expect(survey.get_by_role("img", name="sufficiency against the number of attributes")).to_be_visible()
    expect(survey).to_contain_text("Spots and holes are mostly not reconstructed")


def test_a_hub_that_never_answers_leaves_the_bundled_model_and_a_banner(
    strict_page: Page, run_app: RunApp, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes every connection and says nothing
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with run_app(tmp_path, STYLEX_MODELS="me/far-away", HF_ENDPOINT=address, HF_HUB_OFFLINE="0") as url:
            start = time.monotonic()
            strict_page.goto(url)
            expect(strict_page.locator("#sx-banner")).to_contain_text("me/far-away")
            expect(strict_page.locator("#sx-banner")).to_contain_text(re.compile("The Hub does not answer|is neither"))
            strict_page.locator(".sx-flicker").first.wait_for()
            print(f"the first screen after {time.monotonic() - start:.1f} s")
            expect(strict_page.locator(".sx-lead p")).to_contain_text("diseased from healthy")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scroll(browser: Browser, app_url: str, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, color_scheme=scheme
    )
    page = context.new_page()
    page.goto(app_url)
    page.locator(".sx-flicker").first.wait_for(timeout=PATIENCE_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    explain_the_classifier(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    levels = [int(n) for n in re.findall(r"\d+", paper)[:3]]
    assert (sum(levels) < 3 * 60) == (scheme == "dark"), paper
    context.close()
