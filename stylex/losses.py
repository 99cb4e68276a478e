"""The losses of training as pure functions: tensors in, one number out.

Pictures are in [-1, 1]; the weights that go with these formulas live in `train/options/training.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_logistic(real: Tensor, fake: Tensor) -> Tensor:
    """mean softplus(-D(x)) + mean softplus(D(G)), from scores [N] (Goodfellow et al. 2014)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_nonsaturating(fake: Tensor) -> Tensor:
    """mean softplus(-D(G)), from scores [N] (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake).mean()


def discriminator_hinge(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """mean relu(1 - D(x)) + mean relu(1 + D(G)) for each head's scores [N, L], and the mean over heads.

    Lim and Ye 2017, "Geometric GAN", as Sauer et al. 2021 use it; a mean, so that its size does not depend on how many
    heads there are.
    """
    heads = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(heads).mean()


def generator_hinge(fake: Sequence[Tensor]) -> Tensor:
    """-mean D(G) for each head's scores [N, L], and the mean over heads."""
    return torch.stack([-f.mean() for f in fake]).mean()


def r1(scores: Tensor, x: Tensor) -> Tensor:
    """Mean over real pictures of |grad_x D(x)|^2.

    Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", equation 9, without its factor.

    Args:
        scores: [N], computed from `x` in full precision.
        x: [N, 3, H, W] that requires grad.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(picture: Tensor, latent: Tensor) -> Tensor:
    """|J^T y| for one random y per picture, [N] (Karras et al. 2020, section 3.2).

    Args:
        picture: [N, 3, H, W], computed from `latent`.
        latent: [N, L] that requires grad.
    """
    y = torch.randn_like(picture) / (picture.shape[2] * picture.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((picture * y).sum(), latent, create_graph=True)
    return gradient.square().sum(dim=1).sqrt()


def l1(x: Tensor, x_rec: Tensor) -> Tensor:
    """Mean absolute difference over pixels and channels, for each picture: [N]."""
    return (x - x_rec).abs().mean(dim=(1, 2, 3))


def laplacian(x: Tensor, x_rec: Tensor) -> Tensor:
    """Mean absolute difference of the bands of a Laplacian pyramid, down to 4x4 and what is left there, summed over
    bands, for each picture: [N].

    Burt and Adelson 1983, "The Laplacian Pyramid as a Compact Image Code", as a loss after Bojanowski et al. 2018,
    "Optimizing the Latent Space of Generative Networks"; halved by means here and doubled bilinearly. The rough tone of
    a place and the detail on it count apart, each as much as it is off.
    """
    rest = x - x_rec  # the pyramid of a difference is the difference of pyramids
    total = torch.zeros(len(rest), device=rest.device)
    while rest.shape[-1] > 4:
        half = F.avg_pool2d(rest, 2)
        band = rest - F.interpolate(half, rest.shape[-2:], mode="bilinear", align_corners=False)
        total, rest = total + band.abs().mean(dim=(1, 2, 3)), half
    return total + rest.abs().mean(dim=(1, 2, 3))


def perceptual(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Distance of two pictures in the features of a network, for each picture: [N].

    Sum over layers of the mean over positions of |a - b|^2 (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep
    Features", equation 1); the maps [N, C, h, w] come normalised from `stylex.networks.eye`.
    """
    total = torch.zeros(a[0].shape[0], device=a[0].device)
    for p, q in zip(a, b, strict=True):
        total = total + (p.float() - q.float()).square().sum(dim=1).mean(dim=(1, 2))
    return total


def classifier_kl(probs: Tensor, logits: Tensor) -> Tensor:
    """KL(p || q) = sum_k p_k (log p_k - log q_k) for each picture: [N], with q = softmax(logits).

    p is what the picture should be, q what the classifier says of the generated one. This way round the gradient in
    the logits is q - p: bounded, and alive where q is sure of the wrong class.
    """
    return (torch.xlogy(probs, probs) - probs * logits.log_softmax(dim=1)).sum(dim=1)


def class_sparsity(class_weight: Tensor) -> Tensor:
    """How much the style coordinates read of the class: sum over s and k of |W_sk - median_k W_sk| / sqrt(2).

    Its pull does not fade near zero, so coordinates that say little of the class end up saying nothing, and the few
    that remain are strong. Nor does it favour a coordinate that serves many classes: AttFind moves to the end of a
    range, where a single class can lie. Ours, not the paper's.

    Args:
        class_weight: [S, K].
    """
    # Only differences between classes count: the probabilities sum to one. From the median, a coordinate that one class
    # has to itself counts once. sqrt(2): two classes differ by sqrt(2) times their distance from the mean.
    # Sorted, for on a GPU torch's own median is none that `--deterministic` may use.
    middle = class_weight.sort(dim=1).values[:, (class_weight.shape[1] - 1) // 2, None]
    return (class_weight - middle).abs().sum() / 2**0.5
