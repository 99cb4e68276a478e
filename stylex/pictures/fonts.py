"""Fonts for names in any script: ours for what it can draw, one of the system's for the rest, and never a box.

Scripts whose letters join, stack, or run from the right need Raqm, which most builds of Pillow bring along. What no
font here can draw, or nobody can shape, is left out, and `undrawable` says so.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw, ImageFont, features

FONTS = Path(__file__).parent / "fonts"
OWN = FONTS / "DejaVuSans.ttf"
FOLDERS = {
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": (r"C:\Windows\Fonts", r"~\AppData\Local\Microsoft\Windows\Fonts"),
}.get(sys.platform, ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts"))
SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
PATIENCE_S = 10
MISSING = "…"

# Blocks of Unicode whose letters join, stack or run from the right: Hebrew, Arabic, India's, Thai, and their kin.
COMPLEX: tuple[tuple[int, int], ...] = (
    (0x0590, 0x08FF),
    (0x0900, 0x109F),
    (0x1780, 0x18AF),
    (0x1A20, 0x1BFF),
    (0xA840, 0xABFF),
    (0xFB1D, 0xFDFF),
    (0xFE70, 0xFEFC),
    (0x10800, 0x11FFF),
    (0x1E800, 0x1EFFF),
)
# What shapes its neighbours and has no picture of its own.
INVISIBLE = {0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0xFE00, 0xFE10), *range(0x1F3FB, 0x1F400)}


@dataclass(frozen=True)
class Run:
    """A piece of a line in one font; `font` is None for what no font can draw."""

    text: str
    font: tuple[Path, int] | None
    shaped: bool = False

    def face(self, size: int) -> ImageFont.FreeTypeFont:
        if self.font is None:
            return face_of(OWN, 0, size, False)
        return face_of(*self.font, size, self.shaped)

    @property
    def drawn(self) -> str:
        if self.font is None:
            return MISSING
        return self.text if self.shaped else "".join(c for c in self.text if ord(c) not in INVISIBLE)


@lru_cache(maxsize=128)
def face_of(path: Path, index: int, size: int, shaped: bool) -> ImageFont.FreeTypeFont:
    """A font at `size` pixels; but for scripts that need it, laid out without Raqm, alike on every machine."""
    engine = ImageFont.Layout.RAQM if shaped else ImageFont.Layout.BASIC
    return ImageFont.truetype(path, size, index=index, layout_engine=engine)


class Type:
    """A size of text, whatever script it is in."""

    def __init__(self, size: int) -> None:
        self.size = size

    def getlength(self, text: str) -> float:
        """Width of one line in pixels."""
        return sum(run.face(self.size).getlength(run.drawn) for run in runs(text))

    def getmetrics(self, texts: Iterable[str]) -> tuple[int, int]:
        """The largest ascent and descent of what these lines are drawn in."""
        faces = [face_of(OWN, 0, self.size, False), *(run.face(self.size) for text in texts for run in runs(text))]
        ascents, descents = zip(*(face.getmetrics() for face in faces), strict=True)
        return max(ascents), max(descents)

    def draw(self, draw: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, ink: tuple[int, int, int]) -> None:
        """One line from its left end on the baseline `xy`."""
        x, y = xy
        for run in runs(text):
            face = run.face(self.size)
            draw.text((x, y), run.drawn, ink, face, anchor="ls")
            x += face.getlength(run.drawn)


def undrawable(names: Iterable[str]) -> list[str]:
    """Those of some names of which a part can be drawn by no font here, in their order."""
    return [name for name in dict.fromkeys(names) if any(run.font is None for run in runs(name))]


@lru_cache(maxsize=1024)
def runs(text: str) -> tuple[Run, ...]:
    """A line in pieces of one font each, from left to right."""
    own = covered(OWN)
    if all(ord(c) in own and not is_complex(c) for c in text):
        return (Run(text, (OWN, 0)),)
    found: list[Run] = []
    for kind, letters in groupby(_kinds(text), key=lambda pair: pair[0]):
        piece = "".join(letter for _, letter in letters)
        if kind == "plain":
            found.append(Run(piece, (OWN, 0)))
            continue
        shaped = kind == "complex"
        font = font_for(_seen(piece)) if not shaped or features.check("raqm") else None
        if font is None and not shaped:  # of several scripts: each letter by itself
            each = ((font_for(_seen(letter)), letter) for letter in piece)
            same = groupby(each, key=lambda pair: pair[0])
            found += [Run("".join(letter for _, letter in pairs), font) for font, pairs in same]
        else:
            found.append(Run(piece, font, shaped))
    return tuple(found)


def _seen(piece: str) -> frozenset[int]:
    return frozenset(map(ord, piece)) - INVISIBLE


def _kinds(text: str) -> Iterator[tuple[str, str]]:
    """Each letter with how it is drawn: "plain", "foreign" (another font) or "complex" (shaped). Spaces and marks
    between two pieces of a kind belong to it, so that a name of two words keeps its order."""
    own, kinds = covered(OWN), []
    for letter in text:
        if is_complex(letter):
            kinds.append("complex")
        elif ord(letter) in INVISIBLE or unicodedata.combining(letter):
            kinds.append(kinds[-1] if kinds else "plain")
        elif ord(letter) in own:
            kinds.append("plain")
        else:
            kinds.append("foreign")
    for i, letter in enumerate(text):
        if letter == " " and 0 < i < len(text) - 1 and kinds[i - 1] == "complex" and kinds[i + 1] == "complex":
            kinds[i] = "complex"
    return zip(kinds, text, strict=True)


def is_complex(letter: str) -> bool:
    return any(low <= ord(letter) <= high for low, high in COMPLEX)


# Which font.


@lru_cache(maxsize=256)
def font_for(letters: frozenset[int]) -> tuple[Path, int] | None:
    """A font of ours or of the system that has all of some letters: plain ones without serifs first."""
    if not letters or letters <= covered(OWN):
        return OWN, 0
    for path, index in candidates(letters):
        if letters <= covered(path, index):
            try:  # some hold nothing but pictures of one size
                ImageFont.truetype(path, 20, index=index).getmask(chr(min(letters)))
            except (OSError, ValueError):
                continue
            return path, index
    return None


def candidates(letters: frozenset[int]) -> list[tuple[Path, int]]:
    """Fonts of the system, those first that suit a caption."""
    found = _by_fontconfig(letters) or [(path, 0) for path in _in_folders()]
    return sorted(found, key=lambda font: (_unsuited(font[0].name.lower()), font[1], str(font[0])))


def _unsuited(name: str) -> tuple[bool, ...]:
    odd = ("bold", "italic", "oblique", "thin", "light", "black", "condensed", "narrow")
    return any(word in name for word in odd), "serif" in name or "mono" in name, "sans" not in name


def _by_fontconfig(letters: frozenset[int]) -> list[tuple[Path, int]]:
    program = shutil.which("fc-list")
    if program is None:
        return []
    wanted = ":charset=" + " ".join(f"{letter:x}" for letter in sorted(letters))
    try:
        said = subprocess.run(
            [program, "--format=%{file}\t%{index}\n", wanted], capture_output=True, timeout=PATIENCE_S, check=True
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError):
        return []
    rows = (line.split("\t") for line in said.splitlines() if line.count("\t") == 1)
    # The upper half of an index names an instance of a variable font.
    return [(Path(file), int(index or 0) & 0xFFFF) for file, index in rows if Path(file).suffix.lower() in SUFFIXES]


@lru_cache(maxsize=1)
def _in_folders() -> list[Path]:
    roots = [Path(folder).expanduser() for folder in FOLDERS]
    return [path for root in roots if root.is_dir() for path in root.rglob("*") if path.suffix.lower() in SUFFIXES]


@lru_cache(maxsize=512)
def covered(path: Path, index: int = 0) -> frozenset[int]:
    """The letters that a font has pictures of: its table `cmap`. Nothing for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            start = 0
            if file.read(4) == b"ttcf":
                file.seek(8)
                (count,) = struct.unpack(">I", file.read(4))
                start = struct.unpack(f">{count}I", file.read(4 * count))[index]
            file.seek(start + 4)
            (tables,) = struct.unpack(">H", file.read(2))
            file.seek(start + 12)
            places = {row[:4]: row[8:] for row in (file.read(16) for _ in range(tables))}
            offset, length = struct.unpack(">II", places[b"cmap"])
            file.seek(offset)
            return _letters(file.read(length))
    except (OSError, struct.error, KeyError, IndexError, ValueError):
        return frozenset()


def _letters(table: bytes) -> frozenset[int]:
    """The letters of a `cmap`, in its two common forms: 12, and 4 for those of 16 bits."""
    (count,) = struct.unpack_from(">H", table, 2)
    starts = {struct.unpack_from(">I", table, 8 + 8 * i)[0] for i in range(count)}
    found: set[int] = set()
    for start in starts:
        (form,) = struct.unpack_from(">H", table, start)
        if form == 12:
            (groups,) = struct.unpack_from(">I", table, start + 12)
            for first, last, glyph in struct.iter_unpack(">III", table[start + 16 : start + 16 + 12 * groups]):
                found.update(range(first + (glyph == 0), last + 1))
        elif form == 4:
            double = struct.unpack_from(">H", table, start + 6)[0]
            half = double // 2

            def row(at: int, kind: str = "H", start: int = start, half: int = half) -> tuple[int, ...]:
                return struct.unpack_from(f">{half}{kind}", table, start + at)

            ends, firsts = row(14), row(16 + double)
            deltas, offsets = row(16 + 2 * double), row(16 + 3 * double)
            for n, (first, last) in enumerate(zip(firsts, ends, strict=True)):
                for letter in range(first, last + 1):
                    glyph = letter
                    if offsets[n]:
                        at = start + 16 + 3 * double + 2 * n + offsets[n] + 2 * (letter - first)
                        (glyph,) = struct.unpack_from(">H", table, at)
                        if glyph == 0:
                            continue
                    if (glyph + deltas[n]) & 0xFFFF:
                        found.add(letter)
    return frozenset(found - {0xFFFF})
