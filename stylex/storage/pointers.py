"""What stands in a clone instead of a large file until somebody fetches it. It is whole, and not damaged: say so."""

from __future__ import annotations

import os
import re
from pathlib import Path

HEAD = 200  # bytes; all of these are short texts
LFS = re.compile(rb"(\xef\xbb\xbf)?\s*version https?://(git-lfs\.github\.com|hawser\.github\.com|git-media\.io)/")
ANNEX = re.compile(rb"/annex/objects/\S+")


def stub(head: bytes) -> str | None:
    """What the first bytes of a file say, as the end of a sentence; None for a file that is itself."""
    if LFS.match(head):
        return "is a pointer of git-lfs and not the file itself; run `git lfs pull` where it was cloned"
    if ANNEX.match(head):
        return "is a pointer of git-annex and not the file itself; run `git annex get` where it was cloned"
    return None


def stub_at(path: str | os.PathLike[str]) -> str | None:
    """The same of a file; None, too, if there is none or it cannot be read."""
    path = Path(path)
    try:
        if path.is_symlink() and not path.exists():
            return stub(b"/annex/objects/x") if "/annex/objects/" in os.readlink(path).replace("\\", "/") else None
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return stub(file.read(HEAD))
    except (OSError, ValueError):
        return None
