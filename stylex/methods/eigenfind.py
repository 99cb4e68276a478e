"""EigenFind: directions of the affine weights, searched in minutes (Atad et al., "CheXplaining in Style").

The right singular vectors of the weights that turn w into style coordinates (Shen and Zhou 2021, "Closed-Form
Factorization of Latent Semantics in GANs") are directions in w. A few dozen passes per picture show which of them raise
a class, where AttFind asks about every coordinate; the price is that one direction moves all coordinates at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .records import Edit, LogitsOf, MethodError, StylesOf

# The published settings: how far along a direction, how many directions are tried, and how many are kept.
DEGREE, TRIED, KEPT = 5.0, 20, 8
# Pictures on which all directions are tried; the kept ones are then measured on all pictures.
SCREENED = 50


def affine_weight(styles_of: StylesOf, latent_dim: int, w_dim: int, device: torch.device | str = "cpu") -> Tensor:
    """The matrix [S, D] of a straight map latent -> s that belongs to w, the first D of the latent."""
    basis = torch.eye(w_dim, latent_dim, device=device)
    with torch.no_grad():
        return (styles_of(basis) - styles_of(torch.zeros_like(basis[:1]))).t()


def eigen_directions(weight: Tensor, searched: int, count: int = TRIED) -> Tensor:
    """The changes of s [count, S] that a step of length 1 along each singular vector of w makes, strongest first.

    Args:
        weight: [S, D] of the affine layers.
        searched: how many coordinates from the front decide on the vectors (the conv coordinates); the others follow
            along, as they do when w moves.
    """
    vectors = torch.linalg.svd(weight[:searched].double(), full_matrices=False).Vh[:count]
    return (weight.double() @ vectors.t()).t().to(weight)


@dataclass(frozen=True)
class EigenFound:
    """What the search found.

    Attributes:
        edits: best first; `found` holds the direction's number and sign, the mean rise of the target's probability, and
            the share of pictures that it explains beside those before it.
        explained: share of the pictures that all of them together explain.
        inconsistent: numbers of the directions that raise the class both ways.
        passes: pictures sent through the generator.
    """

    edits: list[Edit]
    explained: float
    inconsistent: list[int]
    passes: int


@torch.no_grad()
def find_directions(
    logits_of: LogitsOf,
    s: Tensor,
    directions: Tensor,
    target: int,
    *,
    degree: float = DEGREE,
    kept: int = KEPT,
    screened: int = SCREENED,
    low: Tensor | None = None,
    high: Tensor | None = None,
    batch_size: int = 64,
) -> EigenFound:
    """Rank directions by how far they raise a class, and count the pictures whose decision they change.

    Pictures that are of the class already are left out. A direction that raises it whichever way it is followed says
    nothing and is dropped. In the order of their mean rise, each direction then explains the pictures that become
    `target` and that none before it has explained.

    Args:
        logits_of: s [B, S] -> logits [B, K], with the noise off or constant.
        s: [N, S] the pictures.
        directions: [E, S], what a step of length 1 does.
        degree: how long the step is.
        kept: how many directions at most.
        screened: see `SCREENED`; 0 tries every direction on all pictures.
        low, high: [S] an end for every coordinate; None lets them go as far as the step takes them.

    Raises:
        MethodError: if no picture is of another class.
    """
    logits = _batched(logits_of, s, batch_size)
    rest = logits.argmax(dim=1) != target
    if not rest.any():
        raise MethodError("the classifier gives every picture the target already; bring pictures of another class")
    s, before = s[rest], logits[rest].softmax(dim=1)[:, target]

    def rise(moved: Tensor) -> tuple[Tensor, Tensor]:
        """How much the probability of the target rises, and whether it becomes the decision: [n], [n]."""
        after = _batched(logits_of, moved, batch_size)
        return after.softmax(dim=1)[:, target], after.argmax(dim=1) == target

    def along(e: int, sign: int, base: Tensor) -> Tensor:
        moved = base + sign * degree * directions[e]
        # One that starts outside of its range is not pulled back into it.
        if low is not None:
            moved = torch.maximum(moved, torch.minimum(low.to(base), base))
        if high is not None:
            moved = torch.minimum(moved, torch.maximum(high.to(base), base))
        return moved

    first = s[: screened or len(s)]
    passes = len(logits)
    means: dict[tuple[int, int], float] = {}
    for e in range(len(directions)):
        for sign in (1, -1):
            means[e, sign] = float((rise(along(e, sign, first))[0] - before[: len(first)]).mean())
            passes += len(first)
    inconsistent = [e for e in range(len(directions)) if means[e, 1] > 0 and means[e, -1] > 0]
    best = sorted((k for k, v in means.items() if v > 0 and k[0] not in inconsistent), key=lambda k: -means[k])[:kept]
    rows = []
    for e, sign in best:
        moved = along(e, sign, s)
        after, flips = rise(moved)
        passes += len(s)
        rows.append((float((after - before).mean()), e, sign, flips, (moved - s).mean(dim=0)))
    rows.sort(key=lambda row: -row[0])

    left = torch.ones(len(s), dtype=torch.bool, device=s.device)
    edits = []
    for mean, e, sign, flips, _ in rows:
        new = flips & left
        left &= ~flips
        found = {"direction": e, "sign": sign, "delta_prob": mean, "explains": float(new.float().mean())}
        name = f"eigen-direction {e} {'+' if sign > 0 else '−'}"
        edits.append(Edit(sign * degree * directions[e], name, "eigenfind", found))
    return EigenFound(edits, 1 - float(left.float().mean()), inconsistent, passes)


def _batched(logits_of: LogitsOf, s: Tensor, batch_size: int) -> Tensor:
    return torch.cat([logits_of(part) for part in s.split(batch_size)])
