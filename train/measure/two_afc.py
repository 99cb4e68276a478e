"""A machine takes the paper's study: of two edits, which is the one that was shown before?

The study of Lang et al. 2021 shows a person two pictures with one attribute changed, and asks which of two others, A or
B, changes in the same way. The machine answers by the nearest neighbour among changes of EfficientNet-Lite1 features.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from stylex.attfind.effects import REST, Attribute
from stylex.networks.eye import EfficientNetLite1
from stylex.storage import alike
from stylex.stylespace import move
from train.measure.redrawn import Redrawn

QUESTIONS = 500
PICTURES = 8  # edited with each attribute
TOP = 10  # attributes of each list
# Two attributes are told apart if more of so many questions about them are answered right; by chance half are.
EACH, APART = 60, 0.75


@dataclass(frozen=True)
class Answers:
    """hits [Q] bool, and the number of the attribute that each question is about: [Q]."""

    hits: Tensor
    shown: Tensor

    def by_attribute(self) -> dict[int, float]:
        asked, right = Counter(self.shown.tolist()), Counter(self.shown[self.hits].tolist())
        return {a: right[a] / n for a, n in sorted(asked.items())}


class Questions:
    """Questions about attributes, of pictures drawn at random.

    Args:
        changes: of each attribute [n, F], what it does to features of n pictures, 3 or more to be asked about.
        rivals: of each attribute the numbers of those that it has to be told from.
    """

    def __init__(self, changes: Sequence[Tensor], rivals: Sequence[Sequence[int]], seed: int = 0) -> None:
        self.unit = [F.normalize(c, dim=1) for c in changes]
        self.rivals = {
            i: [j for j in rivals[i] if j != i and len(changes[j])] if len(own) >= 3 else []
            for i, own in enumerate(changes)
        }
        self.generator = torch.Generator().manual_seed(seed)

    def _draw(self, count: int, of: int) -> list[int]:
        return torch.randperm(of, generator=self.generator)[:count].tolist()

    def right(self, shown: int, other: int) -> bool:
        """Whether one question is answered right: two changes by `shown`, then one more by it and one by `other`."""
        own, wrong = self.unit[shown], self.unit[other]
        first, second, again = self._draw(3, len(own))
        left = own[[first, second]]
        return bool((left @ own[again]).max() > (left @ wrong[self._draw(1, len(wrong))[0]]).max())

    def ask(self, questions: int = QUESTIONS) -> Answers:
        """About all attributes in turn, each against a rival at random."""
        able = [i for i, rivals in self.rivals.items() if rivals]
        hits, shown = [], []
        for q in range(questions if able else 0):
            a = able[q % len(able)]
            hits.append(self.right(a, self.rivals[a][self._draw(1, len(self.rivals[a]))[0]]))
            shown.append(a)
        return Answers(torch.tensor(hits, dtype=torch.bool), torch.tensor(shown, dtype=torch.long))

    def alike(self, questions: int = EACH) -> list[tuple[int, int, float]]:
        """Pairs of rivals that are not told apart, the one with the lower number first, and the share answered right of
        as many questions about either; the worst first."""
        pairs = {(min(a, b), max(a, b)) for a, rivals in self.rivals.items() for b in rivals if self.rivals[b]}
        found = []
        for a, b in sorted(pairs):
            hits = [self.right(*((a, b) if q % 2 else (b, a))) for q in range(questions)]
            if (share := sum(hits) / questions) <= APART:
                found.append((a, b, share))
        return sorted(found, key=lambda row: (row[2], row[:2]))


@torch.no_grad()
def two_afc(of: Redrawn, eye: EfficientNetLite1) -> tuple[list[Attribute], Questions]:
    """The first `TOP` attributes of each list, and questions about them.

    Rivals are those of the same list: the same classes, another attribute.
    """
    model, labels = of.model, of.labels
    lists: dict[tuple[str, str], list[Attribute]] = defaultdict(list)
    for a in model.attributes:
        lists[a.source, a.target].append(a)
    attributes = [a for found in lists.values() for a in found[:TOP]]
    order = of.shuffled()
    seen: dict[int, Tensor] = {}  # by the number of the picture
    changes = []
    for a in tqdm(attributes, desc="2AFC"):
        target = model.class_names.index(a.target)
        mine = labels != target if a.source == REST else labels == model.class_names.index(a.source)
        rows = order[mine[order]][:PICTURES]
        if new := [i for i in rows.tolist() if i not in seen]:
            seen |= dict(zip(new, eye.embed(of.x_rec[new].to(model.device)).cpu(), strict=True))
        if not len(rows):
            changes.append(torch.zeros(0, 1))
            continue
        here = of.s[rows].to(model.device)
        after = eye.embed(model.synthesize(move(here, a.index, a.direction, of.stats, of.shift)))
        changes.append(after.cpu() - torch.stack([seen[i] for i in rows.tolist()]))
    rivals = [[j for j, b in enumerate(attributes) if (b.source, b.target) == (a.source, a.target)] for a in attributes]
    return attributes, Questions(changes, rivals, of.seed)


def called(a: Attribute) -> str:
    """An attribute as a key of metrics.json, see `alike.called`."""
    return alike.called(a.coordinate, a.source, a.target)
