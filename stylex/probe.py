"""A linear layer on features that stand still: what can be read off them, and by whom.

It knows nothing about pictures; it sees features and labels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Of the squared weights on features of unit variance: enough that a few hundred rows of a thousand features are not
# learnt by heart.
DECAY = 1e-3
STEPS = 200  # of L-BFGS, at most
FOLDS = 5


def fit_linear(features: Tensor, labels: Tensor, classes: int, decay: float = DECAY) -> tuple[Tensor, Tensor]:
    """Weight [K, F] and bias [K] with the least cross-entropy on features [N, F], by L-BFGS from nothing.

    Features are brought to mean 0 and variance 1 on the way, so that `decay` means the same for all; the layer that is
    returned takes them as they are.
    """
    mean, std = features.mean(dim=0), features.std(dim=0, unbiased=False)
    std = torch.where(std > 1e-6, std, torch.ones_like(std))  # what never changes says nothing
    x = (features - mean) / std
    with torch.enable_grad():
        weight = torch.zeros(classes, x.shape[1], dtype=x.dtype, device=x.device, requires_grad=True)
        bias = torch.zeros(classes, dtype=x.dtype, device=x.device, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = F.cross_entropy(F.linear(x, weight, bias), labels) + decay * weight.square().sum()
            value.backward()
            return value

        optimizer.step(loss)
    weight = weight.detach() / std
    return weight, bias.detach() - weight @ mean


def probe_hits(features: Tensor, labels: Tensor, folds: int = FOLDS, seed: int = 0) -> Tensor:
    """The rows of [N, F] whose label a linear layer names that was fitted on the others, a fold at a time: [N] bool.

    Raises:
        ValueError: if there are fewer rows than folds.
    """
    if len(features) < folds:
        raise ValueError(f"{len(features)} rows cannot be cut into {folds} folds; use as many rows or more")
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed)).to(features.device)
    classes, hits = int(labels.max()) + 1, torch.zeros_like(labels, dtype=torch.bool)
    for held_out in order.tensor_split(folds):
        rest = torch.ones(len(features), dtype=torch.bool, device=features.device)
        rest[held_out] = False
        weight, bias = fit_linear(features[rest], labels[rest], classes)
        hits[held_out] = F.linear(features[held_out], weight, bias).argmax(1) == labels[held_out]
    return hits


def probe_accuracy(features: Tensor, labels: Tensor, folds: int = FOLDS, seed: int = 0) -> float:
    """The share of `probe_hits`."""
    return int(probe_hits(features, labels, folds, seed).sum()) / len(features)
