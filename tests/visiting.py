"""What tests of the page do as a visitor does it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

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
