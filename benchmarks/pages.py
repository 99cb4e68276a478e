"""Tables in documents: a script writes between its marks, a person around them."""

from __future__ import annotations

from pathlib import Path

from stylex.storage.outputs import OutputError


def put_between(page: Path, name: str, script: str, text: str) -> None:
    """Write a text between the marks of `name` on a page, which gets them at its end if it has none.

    Raises:
        OutputError: if the second mark is gone, and with it where a person's text goes on.
    """
    start, end = f"<!-- {name}: written by {script} -->", f"<!-- end of {name} -->"
    whole = page.read_text(encoding="utf-8") if page.exists() else ""
    if start not in whole:
        whole += f"\n{start}\n{end}\n"
    before, _, rest = whole.partition(start)
    if end not in rest:
        raise OutputError(f"{page} has {start} and no {end} behind it; put it back, or name other --docs")
    page.write_text(f"{before}{start}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
