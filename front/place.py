"""A question about a place: which attributes change the picture there, and the classifier's answer with it.

Every coordinate that is worth moving is moved on the picture, once for all questions about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stylex import AttributeEdit, Direction, Explanation, StylEx
from stylex.attfind.edits import SingleEdits
from stylex.explain import attribute_edits, propose
from stylex.stylespace import move_together

# Cells on each side in which a place is said, and copies that go through the generator at once.
SIDE, AT_ONCE = 16, 32
# Attributes that are shown for a place.
SHOWN = 4


@dataclass(frozen=True)
class Reach:
    """What M single moves do to one picture.

    Attributes:
        moves: the M moves, each of them in the direction that raises the target more.
        rise: [M] change of the target's probability.
        change: [M, SIDE, SIDE] how much each changes the picture in each cell.
    """

    moves: list[tuple[int, Direction]]
    rise: Tensor
    change: Tensor

    def inside(self, cells: Tensor) -> Tensor:
        """[M] the share of each move's change that lies in the cells [SIDE, SIDE], true where they are meant."""
        total = self.change.sum(dim=(1, 2))
        return (self.change * cells).sum(dim=(1, 2)) / total.clamp(min=1e-9)


@dataclass(frozen=True)
class Found:
    """An attribute, and the share of its change that lies in the place that was asked about."""

    edit: AttributeEdit
    inside: float


@torch.no_grad()
def reach(model: StylEx, e: Explanation) -> Reach:
    """Of the class's attributes and the coordinates that promise most on the picture of an explanation."""
    assert model.stats is not None
    s, aim = e.s, model.class_names.index(e.target)
    index, _ = propose(model, s, aim)
    ends = torch.stack([model.stats.s_min, model.stats.s_max]).to(s)[:, index]  # [2, M]
    single = SingleEdits(model.generator.synthesis)
    picture, x = single(s), model.synthesize(s)
    start = model.classify(x)[0, aim]
    rise = torch.zeros(2, len(index))
    change = torch.zeros(2, len(index), SIDE, SIDE)
    for d, values in enumerate(ends):
        for part in single.batches(index, AT_ONCE):
            moved = picture(index[part], values[part]).clamp(-1, 1)
            rise[d, part] = (model.classify(moved)[:, aim] - start).cpu()
            change[d, part] = F.adaptive_avg_pool2d((moved - x).abs().amax(dim=1), SIDE).cpu()
    best = rise.argmax(dim=0)
    rows = torch.arange(len(index))
    moves = [(int(i), Direction(int(d))) for i, d in zip(index, best, strict=True)]
    return Reach(moves, rise[best, rows], change[best, rows])


def asked(model: StylEx, e: Explanation, reached: Reach, cells: Tensor, count: int = SHOWN) -> list[Found]:
    """The attributes that raise the target by what they change in the cells [SIDE, SIDE], best first.

    Ranked by the share of the change that lies inside, times what it does to the target.
    """
    assert model.stats is not None
    inside = reached.inside(cells)
    score = inside * reached.rise.clamp(min=0)
    best = [m for m in score.argsort(descending=True).tolist() if score[m] > 0][:count]
    if not best:
        return []
    moves = [reached.moves[m] for m in best]
    moved = torch.cat([move_together(e.s, [m], model.stats) for m in moves])
    edits = attribute_edits(model, moves, e.s, moved, model.class_names.index(e.target))
    return [Found(edit, float(inside[m])) for edit, m in zip(edits, best, strict=True)]


def cells_of(numbers: object) -> Tensor:
    """[SIDE, SIDE], true in the cells with these numbers, row by row from the upper left.

    Raises:
        ValueError: if nothing is painted, or something that is no cell.
    """
    if not isinstance(numbers, Sequence) or isinstance(numbers, str) or not 0 < len(numbers) <= SIDE**2:
        raise ValueError("nothing is painted; paint a place on the picture first")
    if not all(type(n) is int and 0 <= n < SIDE**2 for n in numbers):
        raise ValueError("there is no such place on the picture")
    cells = torch.zeros(SIDE**2, dtype=torch.bool)
    cells[torch.tensor(numbers)] = True
    return cells.view(SIDE, SIDE)
