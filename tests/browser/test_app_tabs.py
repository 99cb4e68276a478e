"""A review, two classifiers, a model of the visitor's own, and the page inside of another's; in a real Chromium."""

from __future__ import annotations

import csv
import io
import json
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hub.server import Hub
from playwright.sync_api import Browser, Page, expect
from visiting import PATIENCE_MS, choose, explain_the_classifier, unfold

from stylex.model import StylEx


def test_a_review_is_typed_kept_and_taken_home(app_page: Page) -> None:
    explain_the_classifier(app_page)
    unfold(app_page, "Review these attributes")
    forms = app_page.locator("#sx-sheet fieldset")
    first, name = forms.first, "<img src=x onerror=alert(1)> rim"
    first.get_by_label("What you see").fill(name)
    first.get_by_label("no reason").check()
    status = app_page.locator("#sx-sheet [role=status]")
    expect(status).to_have_text("You have said something of 1 attribute.")
    # Another pair is in the same review, and what was said of this one is still there afterwards.
    choose(app_page, "#sx-source", "spotted")
    expect(first.get_by_label("What you see")).to_have_value("")
    first.get_by_label("confounder").focus()
    app_page.keyboard.press("Space")
    expect(status).to_have_text("You have said something of 2 attributes.")
    app_page.reload()
    explain_the_classifier(app_page)
    unfold(app_page, "Review these attributes")
    expect(first.get_by_label("What you see")).to_have_value(name)
    expect(first.get_by_label("no reason")).to_be_checked()
    with app_page.expect_download() as saved:
        app_page.get_by_role("button", name="Download the review").click()
    with zipfile.ZipFile(saved.value.path()) as archive:
        rows = json.loads(archive.read("review/attributes.json"))["attributes"]
        table = list(csv.DictReader(io.StringIO(archive.read("review/review.csv").decode("utf-8-sig"))))
    assert [(row["name"], row["no_reason"]) for row in rows if row.get("no_reason")] == [(name, True)]
    assert sorted(bool(row.get("marks")) for row in rows)[-2:] == [False, True]
    assert [row["name"] for row in table if row["no reason"]] == [name]
    app_page.get_by_role("button", name="Forget what I said").click()
    expect(first.get_by_label("What you see")).to_have_value("")
    expect(status).to_have_text("")


def test_two_classifiers_are_compared_and_another_model_has_others(app_page: Page) -> None:
    app_page.get_by_role("tab", name="Two classifiers").click()
    duel = app_page.locator("#sx-duel")
    expect(duel).to_contain_text("Where they disagree")
    expect(duel).to_contain_text(re.compile(r"They agree on \d+ of the 6 pictures"))
    assert duel.locator(".sx-duel").count() >= 1
    unfolded = duel.get_by_text(re.compile(r"All \d+ changes that were tried"))
    unfolded.click()
    expect(duel.locator("table")).to_be_visible()
    choose(app_page, "#sx-model", "cats_dogs")
    expect(duel).to_contain_text("There is no second classifier of these classes here")
    expect(app_page.locator("#sx-rival")).to_be_hidden()


def test_a_visitor_brings_a_model_of_their_own_and_only_one_that_is_allowed(
    app_page: Page, tiny_model: StylEx, hub: Hub
) -> None:
    tiny_model.push_to_hub("me/tiny")
    unfold(app_page, "A model of your own")
    expect(app_page.locator("#sx-own")).to_contain_text("Name a public repository of the Hub")
    repository = app_page.get_by_label("Repository")
    repository.fill("you/tiny")
    repository.press("Enter")
    expect(app_page.get_by_text("you/tiny is not among the models that may be shown here")).to_be_visible()
    repository.fill("me/tiny")
    app_page.get_by_role("button", name="Show it").click()
    expect(app_page.locator("#sx-brought")).to_contain_text("me/tiny is here")
    expect(app_page.locator("#sx-model input")).to_have_value("me/tiny")
    app_page.locator("#sx-upload").wait_for()


class Another(BaseHTTPRequestHandler):
    """A page of another site."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


def test_in_a_frame_of_another_s_page_the_link_is_shown_to_be_copied(browser: Browser, app_url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    frame = f"<iframe src='{app_url}/?__theme=dark&from=host' style='width:1200px;height:800px'></iframe>"
    host = ThreadingHTTPServer(("127.0.0.1", 0), type("Host", (Another,), {"body": frame.encode()}))
    threading.Thread(target=host.serve_forever, daemon=True).start()
    page.goto(f"http://localhost:{host.server_port}")
    inner = page.frame_locator("iframe")
    inner.locator("a.sx-copy").first.click()
    shown = inner.get_by_label("The link, to be copied")
    expect(shown).to_have_value(re.compile(rf"^{app_url}/\?model=.*&__theme=dark&from=host$"))
    inner.get_by_role("button", name="Look at attribute 2").click()
    expect(inner.locator(".sx-card").nth(1)).to_have_attribute("data-open", "")
    inner.locator("[data-model='0'][data-sample='1']").click()
    expect(inner.locator("a.sx-copy").first).to_have_attribute("href", re.compile("sample=1"))
    context.close()
    host.shutdown()
    host.server_close()
