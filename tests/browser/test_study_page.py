"""The study in a real Chromium: a person answers by keys, by mouse and in words, and saves a file that scores."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from train.measure.answers import read_answers, score
from train.study import Options, Shown, page, questions_of


def test_a_person_answers_and_saves_a_file_that_scores(strict_page: Page, tmp_path: Path) -> None:
    def turns(number: int) -> Shown:
        after = ((255, 0, 0), (0, 0, 255))[number]
        pairs = [(Image.new("RGB", (8, 8), (n, n, n)), Image.new("RGB", (8, 8), after)) for n in range(100, 106)]
        return Shown("attfind", "well", f"attribute {number}", pairs)

    items, key = questions_of([turns(0), turns(1)], Options("m", "d", questions=4, words=1))
    (tmp_path / "study.html").write_text(page(items), encoding="utf-8")
    strict_page.goto((tmp_path / "study.html").as_uri() + "?person=ann")
    strict_page.keyboard.press("Enter")

    expect(strict_page.get_by_text("1 of 8, practice")).to_be_visible()
    right = next(item["right"] for item in items if item["kind"] == "practice")
    order = strict_page.evaluate("queue[0].options.map(o => o.id)")
    order = order[::-1] if strict_page.evaluate("queue[0].swap") else order
    strict_page.keyboard.press("ab"[1 - order.index(right)])
    expect(strict_page.get_by_text("Look again")).to_be_visible()
    strict_page.keyboard.press("ab"[order.index(right)])

    for n in range(6):  # four questions and two catch trials, answered right by what is seen
        expect(strict_page.get_by_text(f"{n + 2} of 8")).to_be_visible()
        alike = strict_page.evaluate(
            """() => {
                const seen = [...document.querySelectorAll('.after')].map(image => image.src);
                const [left, a, , b] = seen;  // by rows: an example, A, an example, B
                return a === left ? 0 : b === left ? 1 : -1;
            }"""
        )
        assert alike >= 0
        if n % 2:
            strict_page.keyboard.press("ab"[alike])
        else:
            strict_page.locator(".option").nth(alike).click()

    go = strict_page.get_by_role("button", name="Next")
    go.click()
    expect(strict_page.get_by_text("One to four words, or tick the box.")).to_be_visible()
    strict_page.locator("#words").fill("turns to a color")
    go.click()
    with strict_page.expect_download() as saved:
        strict_page.locator("#save").click()
    assert saved.value.suggested_filename == "answers-ann.csv"
    saved.value.save_as(tmp_path / "ann.csv")
    found = score(read_answers(tmp_path / "ann.csv", key), key)
    assert (found["people"], found["left_out"]) == (1, [])
    assert found["accuracy"]["attfind"]["share"] == 1.0
    assert [w["said"] for w in found["words"].values()] == [["turns to a color"]]
