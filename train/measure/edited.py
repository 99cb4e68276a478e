"""The edit that it takes on single pictures: how far it has to go, how few pixels decide, and whether it is still the
same picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from stylex import metrics
from stylex.model import StylEx
from stylex.networks.eye import EfficientNetLite1
from stylex.stylespace import Direction, move_together
from train.measure.interventions import searched_alike
from train.measure.redrawn import Redrawn

EDITED = 100  # pictures, each with one class that it is not
LIST = 10  # attributes that are moved together, at most
STEPS = 8  # halvings after the tenths: a shift is known to a thousandth of the range
Moves = Sequence[tuple[int, Direction]]


@torch.no_grad()
def edited(of: Redrawn, eye: EfficientNetLite1) -> dict[str, Tensor]:
    """Of at most `EDITED` pictures, each with one other class: [n] for each name.

    flip_shift: the least shift at which the first `LIST` attributes together make it the decision, infinite where they
    do not up to `shift`. For the rest a picture is edited by as few of them as flip it, or else by all: cout, see
    `metrics.cout`; identity_distance, how far the edit is from its picture in EfficientNet-Lite1 features;
    identity_nearest_other, how far from the nearest other of these pictures; identity_kept, whether its own is nearer.
    Nothing if no picture has an attribute towards its class.
    """
    model, labels, classes = of.model, of.labels, len(of.model.class_names)
    rows = of.shuffled()[:EDITED]
    aims = torch.full_like(labels, -1)
    aims[rows] = (labels[rows] + 1 + torch.arange(len(rows)) % (classes - 1)) % classes  # every other class in turn
    found: dict[str, list[Tensor]] = {"flip_shift": [], "cout": []}
    asked, edits = [], []
    for target in tqdm(range(classes), desc="edits"):
        for listed, part in searched_alike(model, labels, target, of.batch_size):
            mine, moves = part[aims[part] == target], listed[:LIST]
            if not len(mine) or not moves:
                continue
            here, before = of.at(mine)
            after = model.synthesize(fewest(model, here, moves, target, of.shift))
            found["flip_shift"].append(flip_shift(model, here, moves, target, of.shift))
            goal = torch.full((len(mine),), target, device=model.device)
            found["cout"].append(metrics.cout(model.classify, before, after, labels[mine].to(model.device), goal).cpu())
            asked.append(mine)
            edits.append(after.cpu())
    if not asked:
        return {}
    own = torch.cat(asked)
    apart = distances(eye, torch.cat(edits), of.x_rec[own], of.batch_size, model.device)  # [n, n]
    distance = apart.diagonal().clone()
    numbers = {name: torch.cat(values) for name, values in found.items()} | {"identity_distance": distance}
    if len(own) > 1:
        other = apart.fill_diagonal_(torch.inf).amin(dim=1)
        numbers |= {"identity_nearest_other": other, "identity_kept": distance < other}
    return numbers


def fewest(model: StylEx, s: Tensor, moves: Moves, target: int, shift: float) -> Tensor:
    """Each of s [n, S] with as few of the first moves as make the target the decision; all of them if none do."""
    assert model.stats is not None
    result, open_ = s.clone(), torch.ones(len(s), dtype=torch.bool, device=s.device)
    for k in range(1, len(moves) + 1):
        result[open_] = move_together(s[open_], moves[:k], model.stats, shift)
        rows = open_.nonzero().flatten()
        open_[rows] = model.logits_of(result[rows]).argmax(1) != target
        if not open_.any():
            break
    return result


def flip_shift(model: StylEx, s: Tensor, moves: Moves, target: int, shift: float) -> Tensor:
    """The least shift at which moves made together make the target the decision of each of s [n, S]: to a tenth of
    `shift` by trying all, and then by halving; infinite where none does."""

    def flips(at: Tensor) -> Tensor:
        assert model.stats is not None
        whole = move_together(s, moves, model.stats, 1.0)
        return model.logits_of(s + at[:, None].to(s) * (whole - s)).argmax(1).cpu() == target

    high = torch.full((len(s),), torch.inf)
    for tenth in range(10, 0, -1):
        at = torch.full((len(s),), shift * tenth / 10)
        high = torch.where(flips(at), at, high)
    known = high.isfinite()
    low = torch.where(known, high - shift / 10, 0)
    for _ in range(STEPS):
        middle = torch.where(known, (low + high) / 2, 0)
        there = flips(middle)
        high, low = torch.where(known & there, middle, high), torch.where(known & ~there, middle, low)
    return high


def distances(eye: EfficientNetLite1, x: Tensor, others: Tensor, batch_size: int, device: torch.device) -> Tensor:
    """How far apart pictures look: [n, m], the root of `losses.perceptual`."""
    seen = [torch.cat([eye.flat(p.to(device)).cpu() for p in pictures.split(batch_size)]) for pictures in (x, others)]
    return torch.cdist(seen[0], seen[1])
