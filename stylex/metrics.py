"""How good a StylEx is, as pure functions; `train/evaluate.py` puts the numbers together."""

from __future__ import annotations

from statistics import NormalDist

import torch
from torch import Tensor

# An edit is visible on a picture if more than VISIBLE_SHARE of its pixels change by more than VISIBLE_LEVELS of 255.
VISIBLE_LEVELS = 16
VISIBLE_SHARE = 0.01

CONFIDENCE = 0.95


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


def kid(real: Tensor, fake: Tensor) -> float:
    """Kernel Inception Distance's estimator on any features [N, F], [M, F]: squared MMD with the cubic kernel.

    Unbiased, so it means something for a few hundred pictures where FID does not (Binkowski et al. 2018, "Demystifying
    MMD GANs", section 4). Here the features are EfficientNet-Lite0's, so the number compares only with our own.
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.t() / a.shape[1] + 1) ** 3

    real, fake = real.double(), fake.double()
    n, m = len(real), len(fake)
    within_real = (kernel(real, real).sum() - kernel(real, real).diagonal().sum()) / (n * (n - 1))
    within_fake = (kernel(fake, fake).sum() - kernel(fake, fake).diagonal().sum()) / (m * (m - 1))
    return float(within_real + within_fake - 2 * kernel(real, fake).mean())
