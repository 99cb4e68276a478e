"""Which moves a search tries, and how many of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from stylex.attfind.effects import fastest_width, first_that_fits
from stylex.attfind.screening import shortlist, total_promise
from stylex.model import StylEx
from stylex.stylespace import StyleStats
from train.options.searching import Options

# Gradients are taken on this many pictures at most: the list of what is worth moving is one for all pictures.
SCREENED = 1000


def differentiable(model: StylEx) -> Callable[[Tensor], Tensor]:
    """`model.logits_of`, with gradients flowing through it."""
    return lambda s: model.classifier(model.generator.synthesis(s, noise="const").clamp(-1, 1))


def moves_of(model: StylEx, parts: Iterable[Tensor], stats: StyleStats, o: Options) -> tuple[Tensor, Tensor | None]:
    """The coordinates to move [M], and which way [2, M], of a `Plan`.

    Args:
        parts: styles [n, S], read only where gradients have to be taken.
    """
    searched = model.space.num_conv
    if not o.candidates:
        return torch.arange(searched), None
    total = total_promise(differentiable(model), parts, stats, len(model.class_names), searched, o.shift)
    kept = shortlist(total, o.candidates)
    candidates = kept.any(dim=0).nonzero().flatten()
    return candidates, kept[:, candidates]


def width_of(model: StylEx, s: Tensor, o: Options) -> int:
    """How many copies of s [1, S] go through the generator at once."""
    if o.batch_size:
        return o.batch_size

    def run(width: int) -> None:
        first = torch.zeros(width, dtype=torch.long, device=s.device)
        model.edits_of(width, visible=True)(s)(first, s[0, :1].expand(width)).cpu()

    return first_that_fits(run) if s.is_cuda else fastest_width(run)
