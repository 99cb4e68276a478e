"""The page under a sub-path of somebody's web server: pictures, links and downloads, in a real Chromium."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect
from reverse_proxy import reverse_proxy

PATIENCE_MS = 60_000


def test_a_visitor_notices_nothing_of_the_sub_path(
    strict_page: Page,
    run_app: Callable[..., AbstractContextManager[str]],
    model_folder: Path,
    pictures: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(pictures / "plain", model_folder / "samples")
    settings = {"STYLEX_MODELS": str(model_folder), "HF_HUB_OFFLINE": "1", "http_proxy": "http://127.0.0.1:9"}
    missing: list[str] = []
    strict_page.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
    with (
        run_app(tmp_path, GRADIO_ROOT_PATH="/gradio", **settings) as url,
        reverse_proxy(urlsplit(url).port or 0, "/gradio", strips=False) as address,
    ):
        strict_page.goto(address)
        strict_page.locator("a.sx-copy").first.click()
        expect(strict_page).to_have_url(re.compile(f"^{address}/\\?.*sample=plain.*attr="), timeout=PATIENCE_MS)
        # Beside what somebody else has written into the address; and where the clipboard is closed, to be seen.
        strict_page.goto(f"{address}/?__theme=dark&model=nosuch")
        strict_page.add_init_script("navigator.clipboard.writeText = () => Promise.reject(new Error('closed'))")
        strict_page.reload()
        strict_page.locator("a.sx-copy").first.click()
        shown = strict_page.get_by_label("The link, to be copied")
        expect(shown).to_have_value(re.compile(f"^{address}/\\?model=(?!nosuch).*sample=plain.*&__theme=dark$"))
        expect(strict_page).to_have_url(shown.input_value())
        strict_page.reload()
        strict_page.locator("a.sx-copy").first.wait_for()
        assert strict_page.evaluate("document.body.classList.contains('dark')")
        strict_page.locator("#sx-upload input[type=file]").set_input_files(pictures / "spotted" / "spotted-1.png")
        expect(strict_page.locator("a.sx-copy[href*=sample]")).to_have_count(0, timeout=PATIENCE_MS)
        strict_page.locator("a.sx-copy").first.wait_for()
        with strict_page.expect_download(timeout=PATIENCE_MS) as download:
            strict_page.locator("#sx-zip").click()
        assert Path(download.value.path()).stat().st_size > 1000
        assert missing == []
        strict_page.close()
