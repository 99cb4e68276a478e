"""Every odd file, sent in a real Chromium: it is explained or refused in one sentence, and the page goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from odd_files import BAD, FINE
from PIL import Image
from playwright.sync_api import Browser, Page, expect

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def open_page(browser: Browser, app_url: str) -> Iterator[Page]:
    """One visitor who sends all of them."""
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(PATIENCE_MS)
    page.goto(app_url)
    page.locator(".sx-flicker").first.wait_for()
    yield page
    context.close()
    assert not errors


def send(page: Page, path: Path) -> None:
    page.locator("#sx-upload input[type=file]").set_input_files(path)


def photograph(page: Page) -> str:
    """The picture that is explained now."""
    return page.locator("#sx-answer img").first.get_attribute("src") or ""


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gives_one_sentence_and_the_explanation_stays(open_page: Page, name: str, tmp_path: Path) -> None:
    content, sentence = BAD[name]
    toast, before = open_page.get_by_test_id("toast-body"), photograph(open_page)
    (tmp_path / name).write_bytes(content)
    send(open_page, tmp_path / name)
    expect(toast).to_contain_text(sentence, timeout=PATIENCE_MS)
    expect(toast).to_have_count(1)
    assert "Traceback" not in open_page.content()
    open_page.get_by_test_id("toast-close").click()
    expect(toast).to_have_count(0)
    assert photograph(open_page) == before
    expect(open_page.locator(".sx-flicker").first).to_be_visible()


@pytest.mark.parametrize("name", [name for name in FINE if "/" not in name])
def test_an_odd_picture_is_explained(open_page: Page, name: str, tmp_path: Path) -> None:
    answer = open_page.locator("#sx-answer img").first
    (tmp_path / name).write_bytes(FINE[name])
    # A picture like none of them first, so that a change can be seen.
    Image.new("RGB", (32, 32), (250, 10, 250)).save(tmp_path / "o.png")
    for sent in (tmp_path / "o.png", tmp_path / name):
        before = photograph(open_page)
        send(open_page, sent)
        expect(answer).not_to_have_attribute("src", before, timeout=PATIENCE_MS)
    expect(open_page.get_by_test_id("toast-body")).to_have_count(0)
