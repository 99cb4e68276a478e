"""Descriptions of a model's attributes, measured on some pictures and checked on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from tqdm import tqdm

from stylex.attfind.effects import REST, Attribute
from stylex.model import StylEx
from stylex.pictures.names import propose
from stylex.stylespace import move
from train.data.pictures import readable
from train.data.records import Source
from train.search.searched import Searched, balanced, styles_of

# Of each attribute: as many to choose the words by, and as many to check them on.
PICTURES = 40
# Of all: so many of either that there are mostly as many of each class.
LOOKED_AT = 120
BATCH = 32


def with_words(
    model: StylEx, attributes: Sequence[Attribute], data: Searched, names: Sequence[str], shift: float, seed: int
) -> list[Attribute]:
    """The attributes of a search, described by pictures that were searched and checked on the held-out part.

    Where all pictures or the held-out part were searched, the words are checked on the half of those searched that they
    were not chosen by.

    Args:
        names: of the pictures that were searched, the classes taking turns.
    """
    if data.held_out is not None and data.held_out.pictures:
        chosen_on = data.styles(names[:LOOKED_AT])
        checked_on = some_styles(model, data.held_out, LOOKED_AT, seed)
    else:
        s = data.styles(names[: 2 * LOOKED_AT])
        chosen_on, checked_on = s.tensor_split(2)
    return described(model, attributes, chosen_on, checked_on, shift)


def some_styles(model: StylEx, source: Source, count: int, seed: int = 0) -> Tensor:
    """s [n, S] of at most `count` pictures, as many of each class as there are."""
    labels = torch.tensor([p.label or 0 for p in source.pictures])
    chosen = [source.pictures[i] for i in balanced(labels, count, seed).tolist()]
    # Of these few a class may have none.
    found = readable(replace(source, pictures=chosen, class_names=None), model.resolution, "all")
    return styles_of(model, torch.cat([x for _, x in found]), BATCH)


@dataclass(frozen=True)
class Drawn:
    """Pictures as the generator draws them: s [N, S], x [N, 3, R, R], and the class of each [N]."""

    s: Tensor
    x: Tensor
    labels: Tensor


@torch.no_grad()
def drawn(model: StylEx, s: Tensor) -> Drawn:
    """From styles [N, S]."""
    x = torch.cat([model.synthesize(part) for part in s.split(BATCH)])
    return Drawn(s, x, torch.cat([model.logits(part) for part in x.split(BATCH)]).argmax(dim=1))


def described(
    model: StylEx, attributes: Sequence[Attribute], chosen_on: Tensor, checked_on: Tensor, shift: float = 1.0
) -> list[Attribute]:
    """The attributes, each with a proposal; one without pictures to measure it on stays as it is. Names stay.

    Args:
        chosen_on, checked_on: s [N, S] of pictures that the words are chosen by, and of others to check them on.
    """
    both = drawn(model, chosen_on), drawn(model, checked_on)
    found = []
    for a in tqdm(attributes, desc="descriptions", unit="attribute"):
        pairs = list(_pairs(model, a, both, shift))
        found.append(replace(a, proposal=propose(*pairs)) if len(pairs) == 2 else a)
    return found


@torch.no_grad()
def _pairs(model: StylEx, a: Attribute, both: Sequence[Drawn], shift: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Without and with the attribute, from either of two draws of pictures that has some of its classes."""
    assert model.stats is not None
    names = model.class_names
    for d in both:
        mine = d.labels != names.index(a.target) if a.source == REST else d.labels == names.index(a.source)
        rows = mine.nonzero().flatten()[:PICTURES]
        if len(rows):
            moved = move(d.s[rows], a.index, a.direction, model.stats, shift)
            yield d.x[rows], torch.cat([model.synthesize(part) for part in moved.split(BATCH)])
