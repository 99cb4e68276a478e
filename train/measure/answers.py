"""What people answered to the questions of a study, against its key."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stylex.metrics import bootstrap, wilson
from train.data.records import DataError

COLUMNS = ["participant", "seed", "item", "kind", "answer", "seconds"]
HARD = "hard to describe"
# Words that say nothing of what changes.
EMPTY = frozenset(["a", "an", "and", "the", "of", "in", "on", "at", "to", "is", "more", "less", "gets", "becomes"])
MISSED = 1  # catch trials that a person may get wrong
# What people answered right on the paper's own models of perceived gender and age (Lang et al. 2021, table of the user
# study), for comparison.
PUBLISHED = {"perceived gender": 0.96, "perceived age": 0.983}


@dataclass(frozen=True)
class Answer:
    """One row of a file: who, to which item, what."""

    person: str
    item: str
    answer: str


def read_answers(path: Path, key: Mapping[str, Any]) -> list[Answer]:
    """The answers in one file, practice left out.

    Raises:
        DataError: naming the file, the line and what is wrong with it.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); use a file that the page of the study has saved") from None
    if not rows or list(rows[0]) != COLUMNS:
        raise DataError(
            f"{path} has not the columns {', '.join(COLUMNS)}; use a file that the page of the study has saved"
        )
    found: dict[tuple[str, str], Answer] = {}
    for number, row in enumerate(rows, start=2):
        item = key.get(row["item"])
        if item is None:
            raise DataError(f"{path}, line {number}: item {row['item']!r} is not in the key; use the key of this study")
        if (who := (row["participant"], row["item"])) in found:
            raise DataError(f"{path}, line {number}: {who[0]} answered {who[1]} twice; keep one of the two")
        if item["kind"] != "practice":
            found[who] = Answer(row["participant"], row["item"], row["answer"])
    return list(found.values())


def score(answers: Sequence[Answer], key: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy of all and by attribute, and the words that most people used.

    People who get more than `MISSED` catch trials wrong are left out, and named.
    """
    wrong = Counter(a.person for a in answers if key[a.item]["kind"] == "catch" and a.answer != key[a.item]["right"])
    people = sorted({a.person for a in answers})
    careless = [p for p in people if wrong[p] > MISSED]
    kept = [a for a in answers if a.person not in careless]
    which = [a for a in kept if key[a.item]["kind"] == "which"]
    by_method: dict[str, list[Answer]] = defaultdict(list)
    by_attribute: dict[str, list[Answer]] = defaultdict(list)
    said: dict[str, list[Answer]] = defaultdict(list)
    for a in which:
        by_method[key[a.item]["method"]].append(a)
        by_attribute[key[a.item]["attribute"]].append(a)
    for a in kept:
        if key[a.item]["kind"] == "words":
            said[key[a.item]["attribute"]].append(a)
    return {
        "people": len(people) - len(careless),
        "left_out": careless,
        "accuracy": {method: _accuracy(found, key) for method, found in by_method.items()},
        "by_attribute": {name: _accuracy(found, key) for name, found in by_attribute.items()},
        "words": {name: modal([a.answer for a in found]) for name, found in said.items()},
        "published": PUBLISHED,
    }


def _accuracy(answers: Sequence[Answer], key: Mapping[str, Any]) -> dict[str, Any]:
    """The share answered right; its interval is by bootstrap over people, or Wilson's where that says nothing: of one
    person, or of answers that are all right or all wrong."""
    hits = torch.tensor([a.answer == key[a.item]["right"] for a in answers])
    share = float(hits.float().mean())
    numbers = {person: n for n, person in enumerate(dict.fromkeys(a.person for a in answers))}
    if len(numbers) > 1 and 0 < share < 1:
        interval = bootstrap(hits, torch.tensor([numbers[a.person] for a in answers]))
    else:
        interval = wilson(share, len(hits))
    return {"share": round(share, 4), "interval": [round(end, 4) for end in interval], "answers": len(hits)}


def modal(answers: Sequence[str]) -> dict[str, Any]:
    """The word that most people used, and by which share of them (the paper's measure); a word counts once a person."""
    counts: Counter[str] = Counter()
    for answer in answers:
        if answer != HARD:
            counts.update(sorted(set(re.findall(r"[^\W\d_]+", answer.lower())) - EMPTY))
    hard = sum(answer == HARD for answer in answers) / len(answers)
    word, count = counts.most_common(1)[0] if counts else (None, 0)
    return {
        "word": word,
        "share": round(count / len(answers), 4),
        "hard_to_describe": round(hard, 4),
        "said": list(answers),
    }


def told(found: Mapping[str, Any]) -> str:
    """The score as text."""

    def row(name: str, a: Mapping[str, Any]) -> str:
        return f"  {name}: {a['share']:.2f} ({a['interval'][0]:.2f} to {a['interval'][1]:.2f}, {a['answers']} answers)"

    left_out = f"; left out for catch trials: {', '.join(found['left_out'])}" if found["left_out"] else ""
    lines = [
        f"people: {found['people']}{left_out}",
        "which of two changes in the same way (chance 0.50):",
        *(row(name, a) for name, a in found["accuracy"].items()),
        *(f"  published, {name}: {share:.2f}" for name, share in found["published"].items()),
        "by attribute:",
        *(row(name, a) for name, a in found["by_attribute"].items()),
    ]
    if found["words"]:
        lines += ["the word that most used, and who found it hard to describe:"]
    for name, w in found["words"].items():
        lines.append(f"  {name}: {w['word'] or 'none'} {w['share']:.2f}, hard {w['hard_to_describe']:.2f}")
    return "\n".join(lines)
