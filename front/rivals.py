"""Who a model's classifier can be compared with: its judge, the other models' classifiers, and those of the host."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from front.models import Exhibit, Shelf, spread
from stylex import Classifier, ClassifierError, ModelError, Versus, load_classifier, versus

JUDGE = "judge"
# Changes that are tried, and sample pictures that both are asked about.
TRIED, PICTURES = 24, 12


@dataclass(frozen=True)
class Rival:
    """Another classifier of the same classes: the name that it goes by for programs, and what it is in words."""

    name: str
    says: str
    classifier: Classifier


def rivals(shelf: Shelf, shown: Exhibit) -> dict[str, Rival]:
    """By name; the model's own judge first."""
    own = sorted(shown.model.class_names)
    return {rival.name: rival for rival in _all(shelf, shown) if sorted(rival.classifier.class_names) == own}


def _all(shelf: Shelf, shown: Exhibit) -> Iterator[Rival]:
    if shown.model.judge is not None:
        yield Rival(JUDGE, "its own second judge", shown.model.judge)
    for name, classifier in shelf.classifiers.items():
        yield Rival(name, name, classifier)
    for other in shelf.exhibits().values():
        if other.name == shown.name:
            continue
        yield Rival(other.name, f"the classifier of {other.name}", other.model.classifier)
        if other.model.judge is not None:
            yield Rival(f"{other.name}/{JUDGE}", f"the second judge of {other.name}", other.model.judge)


def classifiers(setting: str) -> dict[str, Classifier]:
    """Those of a setting such as "runs/mine-classifier,runs/leaves-repaired": folders, each by the end of its path.

    One that cannot be read is left out, with a warning in the log.
    """
    found = {}
    for text in (part.strip() for part in setting.split(",")):
        if not text:
            continue
        try:
            found["/".join(Path(text).resolve().parts[-2:])] = load_classifier(text)
        except (ClassifierError, ModelError) as error:
            print(f"warning: STYLEX_CLASSIFIERS names {text}, which cannot be compared with: {error}", file=sys.stderr)
    return found


def against(
    shelf: Shelf,
    shown: Exhibit,
    name: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Versus:
    """The classifier of a model and another one on the model's sample pictures.

    Raises:
        ValueError: if there is no such other one.
    """
    known = rivals(shelf, shown)
    if name not in known:
        instead = f"choose one of {', '.join(known)}" if known else "none is here for these classes"
        raise ValueError(f"there is no second classifier {name!r} for {shown.name}; {instead}")
    files = spread(list(shown.pictures), PICTURES)
    if not files:
        raise ValueError(f"{shown.name} has no sample pictures to ask them about")
    x = shown.model.load_images([shown.pictures[file] for file in files])
    called = (f"the classifier of {shown.name}", known[name].says)
    return versus(shown.model, known[name].classifier, x, files, called, TRIED, progress)
