"""The review sheet: what a person says of a model's attributes, and the files that this becomes.

Whatever is said comes from a visitor, so it is bounded, and nothing of it is more than text where it ends up.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from front.survey import sampled
from stylex import StylEx
from stylex.attfind.effects import MARKS, Attribute, towards
from stylex.folder import write_attributes
from stylex.pictures.images import to_pil
from stylex.stylespace import move

# The last of the ticks is a field of its own in attributes.json.
NO_REASON = "no reason"
TICKS = (*MARKS, NO_REASON)
MAX_NAME = 80
# Pictures on which each attribute is shown, in rows of so many; and attributes of a pair.
PICTURES, COLUMNS, MOST = 8, 4, 20
SIDE, GAP = 128, 3
# Of what cannot be seen, a name keeps the joiners that some scripts are written with.
JOINERS = "\u200c\u200d"
# A cell that begins so is a formula to a spreadsheet.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Said:
    """What a person says of attribute `number` of a model, counted from 0; a name of None takes the old one away."""

    number: int
    name: str | None
    ticks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seen:
    """An attribute, its number in the model, and the pictures of the sheet with it changed, as one picture."""

    number: int
    attribute: Attribute
    after: Image.Image


@dataclass(frozen=True)
class Sheet:
    """The attributes of a pair of classes; `before` is the pictures as they are, `count` how many."""

    source: str
    target: str
    before: Image.Image | None
    count: int
    seen: list[Seen]


# What is shown.


@torch.no_grad()
def sheet(
    model: StylEx,
    pictures: Sequence[Path],
    source: str,
    target: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sheet:
    """Each attribute that moves pictures of `source` to `target`, on the same eight samples.

    Args:
        pictures: samples; those that the classifier calls `source` come first, those it calls `target` last.
        progress: called with the number of attributes drawn so far and of all of them.
    """
    listed = towards(model.attributes, source, target)
    wanted = [(n, a) for n, a in enumerate(model.attributes) if a in listed][:MOST]
    s = sampled(model, pictures)
    if not wanted or not len(s):
        return Sheet(source, target, None, 0, [])
    assert model.stats is not None
    probs = model.logits_of(s).softmax(dim=1)
    called = probs.argmax(dim=1)
    first = (called == model.class_names.index(source)).float() - (called == model.class_names.index(target)).float()
    s = s[first.argsort(descending=True, stable=True)[:PICTURES]]
    seen = []
    for n, a in wanted:
        seen.append(
            Seen(n, a, tiled([to_pil(x) for x in model.synthesize(move(s, a.index, a.direction, model.stats))]))
        )
        progress(len(seen), len(wanted))
    return Sheet(source, target, tiled([to_pil(x) for x in model.synthesize(s)]), len(s), seen)


def tiled(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size in rows, with nothing between them."""
    side = min(SIDE, images[0].width)
    rows = -(-len(images) // COLUMNS)
    whole = Image.new("RGBA", (COLUMNS * (side + GAP) - GAP, rows * (side + GAP) - GAP), (0, 0, 0, 0))
    for n, image in enumerate(images):
        image = image if image.width == side else image.resize((side, side), Image.Resampling.BICUBIC)
        whole.paste(image, (n % COLUMNS * (side + GAP), n // COLUMNS * (side + GAP)))
    return whole


def digest(attributes: Sequence[Attribute]) -> str:
    """What tells one list of attributes from another, whatever a person has said of them."""
    places = [(a.index, int(a.direction), a.source, a.target) for a in attributes]
    return hashlib.sha256(json.dumps(places).encode()).hexdigest()[:12]


# What is said.


def read_said(rows: Any, count: int) -> list[Said]:
    """What a visitor or a program sent: a list of {"attribute": number, "name": text, "ticks": [...]}.

    Args:
        count: attributes that the model has.

    Raises:
        ValueError: saying which entry is wrong.
    """
    if not isinstance(rows, list) or len(rows) > count:
        raise ValueError(f"a review is a list of at most {count} objects with attribute, name and ticks")
    found = []
    for n, row in enumerate(rows):
        row = row if isinstance(row, dict) else {}
        number, name, ticks = row.get("attribute"), row.get("name"), row.get("ticks", [])
        if type(number) is not int or not 0 <= number < count:
            raise ValueError(f"entry {n}: attribute is {_short(number)}; use a whole number from 0 to {count - 1}")
        if name is not None and not isinstance(name, str):
            raise ValueError(f"entry {n}: name is {_short(name)}; use a text")
        if not isinstance(ticks, list) or not all(isinstance(tick, str) and tick in TICKS for tick in ticks):
            raise ValueError(f"entry {n}: ticks is {_short(ticks)}; use a list of {', '.join(TICKS)}")
        if name is not None and len(name := plain(name)) > MAX_NAME:
            raise ValueError(f"entry {n}: the name has {len(name)} characters; use at most {MAX_NAME}")
        found.append(Said(number, name or None, tuple(tick for tick in TICKS if tick in ticks)))
    if len({said.number for said in found}) < len(found):
        raise ValueError("an attribute is named twice in this review; say everything of it in one entry")
    return found


def plain(name: str) -> str:
    """One line of characters that can be seen; what steers a terminal, a table or the direction of text is left out."""
    kept = (
        " " if c.isspace() or unicodedata.category(c) in ("Cc", "Zl", "Zp") else c
        for c in unicodedata.normalize("NFC", name)
        if c.isspace() or c in JOINERS or unicodedata.category(c) not in ("Cf", "Cs", "Cn", "Co")
    )
    return " ".join("".join(kept).split())


def reviewed(attributes: Sequence[Attribute], said: Sequence[Said]) -> list[Attribute]:
    """The attributes with what was said of them; of the others stays what was said before."""
    found = list(attributes)
    for one in said:
        marks = tuple(tick for tick in one.ticks if tick != NO_REASON)
        found[one.number] = replace(found[one.number], name=one.name, marks=marks, no_reason=NO_REASON in one.ticks)
    return found


# What it becomes.


def save(folder: Path, model: StylEx, attributes: Sequence[Attribute]) -> list[Path]:
    """Write attributes.json, as a model folder has it, and review.csv, for a spreadsheet, into a fresh folder."""
    write_attributes(folder, attributes, model.certificate)
    (folder / "review.csv").write_text(table(attributes), encoding="utf-8-sig", newline="")
    return [folder / "attributes.json", folder / "review.csv"]


def table(attributes: Sequence[Attribute]) -> str:
    """A row for each attribute, as CSV."""
    out = io.StringIO()
    write = csv.writer(out).writerow
    write(["attribute", "from", "to", "coordinate", "measured words", "name", *TICKS, "points", "flips"])
    for n, a in enumerate(attributes):
        words = "" if a.proposal is None else str(a.proposal)
        texts = [cell(text) for text in (a.source, a.target, a.coordinate, words, a.name or "")]
        ticked = {*a.marks, *([NO_REASON] if a.no_reason else [])}
        ticks = ["x" if tick in ticked else "" for tick in TICKS]
        write([n, *texts, *ticks, f"{100 * a.delta_prob:.1f}", f"{a.images_share:.3f}"])
    return out.getvalue()


def cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
