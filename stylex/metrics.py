"""How good a StylEx is, as pure functions; `train/evaluate.py` puts the numbers together."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Literal

import torch
from torch import Tensor

# An edit is visible on a picture if more than VISIBLE_SHARE of its pixels change by more than VISIBLE_LEVELS of 255.
VISIBLE_LEVELS = 16
VISIBLE_SHARE = 0.01

CONFIDENCE = 0.95
DRAWS = 1000  # of the pictures, for an interval
Statistic = Literal["mean", "median"]

KID_SUBSETS = 100
KID_SIZE = 100  # of either kind; half of them where there are fewer than twice as many


def agreement(logits: Tensor, logits_rec: Tensor) -> Tensor:
    """Which pictures get the same class before and after reconstruction: [N] bool, from logits [N, K]."""
    return logits.argmax(1) == logits_rec.argmax(1)


def retrieval(features: Tensor, features_rec: Tensor) -> Tensor:
    """Which reconstructions are nearer to their own picture than to any other: [N] bool, from features [N, F]."""
    return torch.cdist(features_rec, features).argmin(dim=1) == torch.arange(len(features), device=features.device)


def changed_share(before: Tensor, after: Tensor, levels: int = VISIBLE_LEVELS) -> Tensor:
    """Share of pixels in which a channel changes by more than `levels` of 255: [N].

    From pictures [N, 3, H, W] in [-1, 1].
    """

    def to_levels(x: Tensor) -> Tensor:
        return ((x.clamp(-1, 1) + 1) * 127.5).round()

    return ((to_levels(after) - to_levels(before)).abs().amax(dim=1) > levels).float().mean(dim=(1, 2))


def visible(before: Tensor, after: Tensor) -> Tensor:
    """Which edits a person can see: [N] bool."""
    return changed_share(before, after) >= VISIBLE_SHARE


def diversity(before: Tensor, after: Tensor) -> Tensor:
    """How differently E edits change each picture: 1 minus the mean cosine between two of their change maps, [N] in
    [0, 1]. 0: all change the same pixels alike; 1: no two of them share one.

    Args:
        before: [N, 3, H, W].
        after: [E, N, 3, H, W], E at least 2.
    """
    maps = (after - before).abs().mean(dim=2).flatten(2)  # [E, N, H * W]
    unit = torch.nn.functional.normalize(maps, dim=2)
    cosine = torch.einsum("enp,fnp->nef", unit, unit)
    count = len(after)
    pairs = torch.triu_indices(count, count, 1, device=cosine.device)
    return 1 - cosine[:, pairs[0], pairs[1]].mean(dim=1)


def cout(
    probs_of: Callable[[Tensor], Tensor], before: Tensor, after: Tensor, source: Tensor, target: Tensor, steps: int = 20
) -> Tensor:
    """Counterfactual transition: whether the pixels that change most are those that decide, [N] in [-1, 1].

    The pixels of `after` are put into `before`, those that change most first, in `steps` equal portions; COUT is the
    area under the target's probability minus that under the source's, by the trapezoidal rule (Khorram and Fuxin 2022,
    "Cycle-Consistent Counterfactuals by Latent Transformations"). 1: the first pixels turn the decision; -1: none does.

    Args:
        probs_of: x [N, 3, H, W] in [-1, 1] -> probabilities [N, K].
        before, after: pictures [N, 3, H, W] without and with the edit.
        source, target: [N] classes.
    """
    n, _, height, width = before.shape
    change = (after - before).abs().mean(dim=1).flatten(1)  # [N, H * W]
    order = change.argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(height * width, device=order.device).expand(n, -1))
    lead = []
    for step in range(steps + 1):
        inserted = rank < step * height * width / steps
        x = torch.where(inserted.view(n, 1, height, width), after, before)
        probs = probs_of(x)
        lead.append((probs.gather(1, target[:, None]) - probs.gather(1, source[:, None]))[:, 0])
    curve = torch.stack(lead)  # [steps + 1, N]
    return (curve[1:] + curve[:-1]).mean(dim=0) / 2


def wilson(share: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Confidence interval of a share of n (Wilson 1927, "Probable Inference, the Law of Succession, and Statistical
    Inference"). Unlike the normal approximation it stays in [0, 1] and means something at 0 and at 1.

    Raises:
        ValueError: if `share` is not from 0 to 1, or n is below 1.
    """
    if not 0 <= share <= 1 or n < 1:
        raise ValueError(f"a share of {share!r} of {n!r} has no interval; use a share from 0 to 1 of at least 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(
    values: Tensor,
    pictures: Tensor | None = None,
    of: Statistic = "mean",
    rounds: int = DRAWS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the mean or median of numbers, over draws of the *pictures* they are of (Efron 1979,
    "Bootstrap Methods"): what was seen several times on one picture is drawn together, for it is not independent.

    Args:
        values: [P] numbers or hits.
        pictures: [P] the picture of each; None if each is of another.

    Raises:
        ValueError: if there is no number.
    """
    if not len(values):
        raise ValueError("no numbers have no interval; leave out what was not measured")
    values = values.double()
    pictures = torch.arange(len(values)) if pictures is None else pictures
    _, own = pictures.unique(return_inverse=True)
    count = int(own.max()) + 1
    draws = torch.randint(count, (rounds, count), generator=torch.Generator().manual_seed(seed))
    if of == "mean":
        sums = torch.zeros(count, dtype=torch.double).index_add_(0, own, values)
        weights = torch.zeros(count, dtype=torch.double).index_add_(0, own, torch.ones_like(values))
        found = sums[draws].sum(dim=1) / weights[draws].sum(dim=1)
    else:
        order = own.argsort(stable=True)
        first = torch.searchsorted(own[order], torch.arange(count))
        table = torch.full((count, int(own.bincount().max())), torch.nan, dtype=torch.double)
        table[own[order], torch.arange(len(own)) - first[own[order]]] = values[order]
        found = torch.stack([table[draw].flatten().nanmedian() for draw in draws])
    low, high = found.sort().values[[int((1 - confidence) / 2 * rounds), int((1 + confidence) / 2 * rounds) - 1]]
    return float(low), float(high)


def kid(real: Tensor, fake: Tensor, seed: int = 0) -> tuple[float, float]:
    """Kernel Inception Distance on any features [N, F], [M, F], and its spread: the squared MMD with the cubic kernel
    (a·b / F + 1)³ of equally many of either, unbiased; mean and standard deviation over `KID_SUBSETS` such draws.

    Unbiased, so it means something for a few hundred pictures where FID does not (Binkowski et al. 2018, "Demystifying
    MMD GANs", section 4; their features are Inception's and their subsets of 1,000). The number compares only with
    others of the same features.

    Raises:
        ValueError: if there are fewer than four of either.
    """
    if min(len(real), len(fake)) < 4:
        raise ValueError(f"{len(real)} and {len(fake)} pictures are too few for a KID; it needs four of either")
    size = min(KID_SIZE, len(real) // 2, len(fake) // 2)  # with all of them every draw would be the same
    generator = torch.Generator().manual_seed(seed)

    def draw(features: Tensor) -> Tensor:
        return features[torch.randperm(len(features), generator=generator)[:size].to(features.device)].double()

    draws = torch.tensor([_squared_mmd(draw(real), draw(fake)) for _ in range(KID_SUBSETS)])
    return draws.mean().item(), draws.std(unbiased=False).item()


def _squared_mmd(a: Tensor, b: Tensor) -> float:
    """Unbiased: pairs of one and the same row are left out."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.t() / x.shape[1] + 1) ** 3

    def within(x: Tensor) -> Tensor:
        k = kernel(x, x)
        return (k.sum() - k.diagonal().sum()) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2 * kernel(a, b).mean())


def donors(answers: Tensor, seed: int = 0) -> Tensor:
    """For each of N pictures another one, at random, of another class: indices [N], -1 where there is none.

    Args:
        answers: [N] the class of each.
    """
    order = torch.randperm(len(answers), generator=torch.Generator().manual_seed(seed))
    found = torch.full_like(answers, -1)
    for k in answers.unique():
        own, others = (answers == k).nonzero().flatten(), order[answers[order] != k]
        if len(others):
            found[own] = others[torch.arange(len(own)) % len(others)]
    return found
