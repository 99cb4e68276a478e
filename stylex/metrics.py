"""How good a StylEx is, as pure functions; `train/evaluate.py` puts the numbers together."""

from __future__ import annotations

import torch
from torch import Tensor

# An edit is visible on a picture if more than VISIBLE_SHARE of its pixels change by more than VISIBLE_LEVELS of 255.
VISIBLE_LEVELS = 16
VISIBLE_SHARE = 0.01


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
