"""What a classifier says of held-out pictures, and how sure it may be of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stylex.classifiers.classifier import Classifier
from train.data.pictures import to_float


def logits_of(classifier: Classifier, x: Tensor, batch_size: int = 256) -> Tensor:
    """[N, K] on the CPU, of uint8 pictures [N, 3, H, W]."""
    place = device_of(classifier)
    with torch.no_grad():
        return torch.cat([classifier(to_float(part).to(place)).cpu() for part in x.split(batch_size)])


def device_of(classifier: Classifier) -> torch.device:
    return next(classifier.parameters()).device


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the least cross-entropy on held-out logits [N, K] (Guo et al. 2017), found on a fine grid.

    Nobody can be surer than N pictures allow: the probability to reach is not 1 but (N + 1) / (N + K), Laplace's rule
    of succession. Without it a classifier that makes no mistake would become infinitely sure, and no picture could be
    drawn that changes its mind. One that has learnt its labels by heart and knows nothing of other pictures ends near
    an even guess, whatever it shouts.
    """
    n, classes = logits.shape
    grid = torch.logspace(-1, 2, 601)
    losses = torch.stack([F.cross_entropy(logits / t, labels, label_smoothing=classes / (n + classes)) for t in grid])
    return float(grid[losses.argmin()])
