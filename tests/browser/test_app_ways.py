"""The ways through the page: models, links, uploads, tabs, phones, a Hub that is away; in a real Chromium."""

from __future__ import annotations

import re
import socket
import time
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from visiting import (
    PATIENCE_MS,
    choose,
    choose_sample,
    explain_the_classifier,
    looks,
    now,
    open_knobs,
    send,
    unfold,
)

RunApp = Callable[..., AbstractContextManager[str]]


def test_a_sample_of_another_model_brings_that_model(app_page: Page) -> None:
    app_page.get_by_role("button", name="sample picture 2 of leaves", exact=True).click()
    expect(app_page.locator("#sx-model input")).to_have_value("leaves")
    expect(app_page.locator(".sx-lead p")).to_contain_text("diseased from healthy")
    expect(app_page.locator("[data-sample][aria-pressed=true]")).to_have_attribute("data-sample", "1")
    expect(app_page.locator(".sx-card[data-open] .sx-sentence")).to_contain_text(re.compile("diseased|healthy"))


def test_an_uploaded_picture_is_explained(app_page: Page, pictures: Path) -> None:
    before = app_page.locator("#sx-answer img").first.get_attribute("src") or ""
    for name in ("spotted-0.png", "spotted-1.png"):  # and the box is ready for the next one
        send(app_page, pictures / "spotted" / name)
        expect(app_page.locator("#sx-answer img").first).not_to_have_attribute("src", before)
        before = app_page.locator("#sx-answer img").first.get_attribute("src") or ""
        app_page.locator("#sx-upload input[type=file]").wait_for(state="attached")
    assert app_page.locator(".sx-flicker").count() >= 1
    assert app_page.locator("[data-sample][aria-pressed=true]").count() == 0


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
