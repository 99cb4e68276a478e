"""Words for a terminal or a file that cannot write all letters: nothing that is printed ends a program."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

# What we write, in the letters that every terminal has.
PLAIN = {
    "→": "->", "↑": "up", "↓": "down", "…": "...", "·": "-", "±": "+-", "×": "x", "≥": ">=", "≤": "<=",
    "–": "-", "—": "-", "−": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "\N{NARROW NO-BREAK SPACE}": " ",
}  # fmt: skip
NAME = "stylex-plain"


def print_anything() -> None:
    """From now on what the standard streams cannot write is written otherwise: "->" for an arrow, "e" for "é", and the
    code of a letter that has no likeness, such as \\u732b. Files are not concerned; they are always UTF-8.
    """
    codecs.register_error(NAME, plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=NAME)


def plainly(error: UnicodeError) -> tuple[str, int]:
    """For `codecs.register_error`: ASCII for what an encoding does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(letter: str) -> str:
    likeness = PLAIN.get(letter) or unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return likeness or letter.encode("ascii", "backslashreplace").decode()
