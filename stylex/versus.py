"""Two classifiers on one generator: where they disagree, and which change moves the one and not the other."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from . import metrics
from .classifiers.classifier import Classifier, ClassifierError
from .explain import Explainable, at_once, promise
from .methods.records import MethodError
from .neighbours import stats_of
from .pictures.images import to_pil
from .pictures.render import change_map, grid, probability
from .storage.files import write_json
from .storage.outputs import filling
from .stylespace import Direction, coordinate, move

# Moves that are tried, shared evenly among the classes, half of them what each classifier asks for.
TRIED = 40
# Rows of the sheet.
SHOWN = 6
FILES = ("classifiers.png", "disagree.png", "classifiers.json")


@dataclass(frozen=True)
class Moved:
    """What one move does to both classifiers.

    Means over the pictures that each of them calls another class than `target`: the change of the target's probability,
    and the share whose decision becomes it; None where a classifier calls them all `target` already. `visible` is the
    share of the pictures on which a person sees the move; `name` is what the model's list calls it, and `asked_by` says
    whose list or gradient it came from.
    """

    index: int
    layer: str
    channel: int
    direction: Direction
    target: str
    name: str | None
    delta_prob: tuple[float | None, float | None]
    flips: tuple[float | None, float | None]
    visible: float
    asked_by: str

    @property
    def title(self) -> str:
        where = coordinate(self.layer, self.channel, self.direction)
        return f"{self.name} ({where})" if self.name else where

    @property
    def gap(self) -> float:
        """How much more it moves the first than the second; negative if less."""
        first, second = (value or 0.0 for value in self.delta_prob)
        return first - second

    def to_dict(self) -> dict[str, Any]:
        row = {**vars(self), "direction": self.direction.name.lower()}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in row.items()}


@dataclass(frozen=True)
class Versus:
    """What two classifiers say of N pictures, their reconstructions, and moves of these.

    Attributes:
        names: of the two, for a reader.
        class_names: of both.
        files: names of the pictures.
        x, x_rec: [N, 3, R, R].
        probs, probs_rec: [2, N, K] of the photographs and of the reconstructions.
        moved: those that move one more than the other first.
        examples: of the first `SHOWN` moves, the picture's number, and before and after as pictures, with the target's
            probabilities by both, ((before, after), (before, after)).
    """

    names: tuple[str, str]
    class_names: list[str]
    files: Sequence[str]
    x: Tensor
    x_rec: Tensor
    probs: Tensor
    probs_rec: Tensor
    moved: Sequence[Moved]
    examples: Sequence[tuple[int, Image.Image, Image.Image, tuple[tuple[float, float], tuple[float, float]]]]

    @property
    def disagree(self) -> list[int]:
        """Numbers of the photographs that they call differently, those of which they are surest first."""
        first, second = self.probs.argmax(dim=2)
        sure = self.probs.amax(dim=2).amin(dim=0)
        rows = (first != second).nonzero().flatten()
        return rows[sure[rows].argsort(descending=True)].tolist()

    def to_dict(self) -> dict[str, Any]:
        said = self.probs.argmax(dim=2), self.probs_rec.argmax(dim=2)
        return {
            "first": self.names[0],
            "second": self.names[1],
            "class_names": self.class_names,
            "n": len(self.files),
            "agree": float((said[0][0] == said[0][1]).float().mean()),
            "agree_on_reconstructions": float((said[1][0] == said[1][1]).float().mean()),
            "disagree": [
                {
                    "file": self.files[n],
                    "first": dict(zip(self.class_names, self.probs[0, n].tolist(), strict=True)),
                    "second": dict(zip(self.class_names, self.probs[1, n].tolist(), strict=True)),
                }
                for n in self.disagree
            ],
            "moves": [row.to_dict() for row in self.moved],
        }

    def sheet(self) -> Image.Image:
        """The moves that tell them apart most, each on one picture."""
        rows: list[list[Image.Image | None]] = []
        titles = []
        for row, (_, before, after, said) in zip(self.moved, self.examples, strict=False):
            rows.append([before, after, change_map(before, after)])
            lines = [f"{n}: {probability(p)} → {probability(q)}" for n, (p, q) in zip(self.names, said, strict=True)]
            titles.append("\n".join([f"{row.title}, {row.target}", *lines]))
        return grid(rows, ["reconstruction", "changed", "where"], titles)

    def disagreements(self) -> Image.Image:
        """Photographs that they call differently, with their reconstructions."""
        chosen = self.disagree[:SHOWN]
        titles = ["\n".join(f"{name}: {self._called(k, n)}" for k, name in enumerate(self.names)) for n in chosen]
        return grid(
            [[to_pil(self.x[n]), to_pil(self.x_rec[n])] for n in chosen], ["photograph", "reconstruction"], titles
        )

    def _called(self, which: int, n: int) -> str:
        best = int(self.probs[which, n].argmax())
        return f"{self.class_names[best]} {probability(float(self.probs[which, n, best]))}"

    def save(self, folder: str | Path) -> Path:
        """Write classifiers.png, the moves; disagree.png, unless they agree on every photograph; and classifiers.json.

        Raises:
            OutputError: if the folder cannot be written, or holds another file of one of these names, which stays.
        """
        folder = Path(folder)
        with filling(folder, replaces=r"disagree\.png", option="folder") as aside:
            self.sheet().save(aside / "classifiers.png")
            if self.disagree:
                self.disagreements().save(aside / "disagree.png")
            write_json(aside / "classifiers.json", self.to_dict())
        return folder


def with_classifier(model: Explainable, classifier: Classifier) -> Any:
    """The same model, explained by another classifier of the same classes, in any order.

    Raises:
        ClassifierError: naming the classes that differ.
    """
    own, theirs = model.class_names, classifier.class_names
    if sorted(own) != sorted(theirs):
        raise ClassifierError(
            f"the classes are {', '.join(theirs)}, those of the model {', '.join(own)}; two classifiers can be "
            "compared that name the same"
        )
    other = copy.copy(model)
    other.classifier = classifier.to(model.device)
    return other


@torch.no_grad()
def versus(
    model: Explainable,
    classifier: Classifier,
    x: Tensor,
    files: Sequence[str] | None = None,
    names: tuple[str, str] = ("model", "other"),
    tried: int = TRIED,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Versus:
    """Ask the model's classifier and another one about pictures x [N, 3, R, R] and what the generator makes of them.

    Both judge the same reconstructions: those that the model makes with its own classifier's probabilities. Moves are
    the model's attributes, and what the gradient of each promises most.

    Args:
        files: what the pictures are called.
        names: what a reader calls the two.
        tried: how many moves, all in all.
        progress: called with the number of moves made so far and of all of them.

    Raises:
        ClassifierError: if the other one names other classes.
        ModelError: if the model has no style statistics yet.
    """
    stats, class_names = stats_of(model), model.class_names
    other = with_classifier(model, classifier)
    order = torch.tensor([classifier.class_names.index(name) for name in class_names], device=model.device)
    s = torch.cat([model.styles(model.encode(part)) for part in x.split(at_once(model))])

    def both(pictures: Tensor) -> Tensor:
        """Probabilities [2, N, K], the classes in the model's order."""
        parts = [(model.classify(p), other.classify(p)[:, order]) for p in pictures.split(at_once(model))]
        return torch.stack([torch.cat(side) for side in zip(*parts, strict=True)])

    def drawn(styles: Tensor) -> Tensor:
        return torch.cat([model.synthesize(part) for part in styles.split(at_once(model))])

    x_rec = drawn(s)
    probs, probs_rec = both(x), both(x_rec)
    answers = probs_rec.argmax(dim=2)
    rows, shown = [], []
    each = max(1, tried // (2 * len(class_names)))
    asked: list[tuple[int, int, Direction, str]] = []
    for target in range(len(class_names)):
        open_to = s[answers[0] != target], s[answers[1] != target]
        moves = _asked(model, other, open_to, (target, int(order[target])), each)
        asked += [(target, index, direction, by) for (index, direction), by in moves.items()]
    for done, (target, index, direction, by) in enumerate(asked, start=1):
        name = class_names[target]
        after = drawn(move(s, index, direction, stats))
        change = both(after)
        layer, channel = model.space.locate(index)
        given = next((a.words for a in model.attributes if (a.index, a.direction) == (index, direction)), None)
        deltas, flips = [], []
        for k in range(2):
            open_ = answers[k] != target
            delta = (change[k, :, target] - probs_rec[k, :, target])[open_]
            deltas.append(float(delta.mean()) if len(delta) else None)
            flips.append(float((change[k].argmax(dim=1) == target)[open_].float().mean()) if len(delta) else None)
        visible = float((metrics.changed_share(x_rec, after) >= metrics.VISIBLE_SHARE).float().mean())
        row = Moved(
            index, layer, channel, direction, name, given, (deltas[0], deltas[1]), (flips[0], flips[1]), visible, by
        )
        each_gap = (change[0] - probs_rec[0] - change[1] + probs_rec[1])[:, target]
        n = int((each_gap * (1 if row.gap >= 0 else -1)).argmax())
        said = [(float(probs_rec[k, n, target]), float(change[k, n, target])) for k in range(2)]
        rows.append(row)
        shown.append((n, to_pil(x_rec[n]), to_pil(after[n]), (said[0], said[1])))
        progress(done, len(asked))
    ranked = sorted(range(len(rows)), key=lambda i: -abs(rows[i].gap))
    examples: Any = [shown[i] for i in ranked[:SHOWN]]
    called = list(files) if files is not None else [str(n) for n in range(len(x))]
    return Versus(names, class_names, called, x, x_rec, probs, probs_rec, [rows[i] for i in ranked], examples)


def _asked(
    model: Explainable, other: Explainable, s: tuple[Tensor, Tensor], target: tuple[int, int], count: int
) -> dict[tuple[int, Direction], str]:
    """Moves towards a class, and who asks for each: `count` by the model's list and gradient, `count` by the other's.

    Args:
        s: [N, S] the pictures that each of them calls another class.
        target: the class's number for each of them.
    """

    def by_gradient(which: int) -> list[tuple[int, Direction]]:
        if not len(s[which]):
            return []
        try:
            promised = promise((model, other)[which], s[which], target[which]).mean(dim=0)  # [2, M]
        except MethodError:  # no gradient: the list has to do
            return []
        best = promised.flatten().argsort(descending=True)[:count].tolist()
        return [(flat % promised.shape[1], Direction(flat // promised.shape[1])) for flat in best]

    name = model.class_names[target[0]]
    listed = [(a.index, a.direction) for a in model.attributes if a.target == name]
    first = list(dict.fromkeys([*listed, *by_gradient(0)]))[:count]
    second = by_gradient(1)
    by = dict.fromkeys(first, "first")
    return by | {move_: "both" if move_ in by else "second" for move_ in second}
