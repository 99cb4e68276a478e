"""Augmentation of whole batches [N, 3, H, W] in [-1, 1]: every picture gets its own draw, on any device.

All functions are differentiable in the picture, so the discriminator's gradient passes through them to the generator
(Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training").
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from stylex.steady import sampled
from train.options.choices import Flips


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    """One number for each picture, [N, 1, 1, 1]."""
    return torch.rand(x.shape[0], 1, 1, 1, device=x.device, dtype=x.dtype) * (high - low) + low


def flip(x: Tensor, flips: Flips) -> Tensor:
    """Mirror each picture or not; "dihedral" also turns it by quarters. Only where the class does not depend on it."""
    if flips == "none":
        return x
    x = torch.where(_uniform(x, 0, 1) < 0.5, x.flip(3), x)
    if flips == "dihedral":
        x = torch.where(_uniform(x, 0, 1) < 0.5, x.flip(2), x)
        x = torch.where(_uniform(x, 0, 1) < 0.5, x.transpose(2, 3), x)
    return x


def jitter(x: Tensor, brightness: float, contrast: float, saturation: float, hue: float) -> Tensor:
    """Change colour and light.

    The numbers are the largest relative changes; `hue` is the largest turn, as a share of the colour circle.
    """
    x = (x + 1) / 2
    x = x * _uniform(x, 1 - brightness, 1 + brightness)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - mean) * _uniform(x, 1 - contrast, 1 + contrast) + mean
    # Colour is what differs from the grey axis: saturation scales it, hue turns it around the axis (Rodrigues).
    grey = x.mean(dim=1, keepdim=True)
    colour = x - grey
    angle = _uniform(x, -hue, hue) * 2 * math.pi
    axis = x.new_full((1, 3, 1, 1), 1 / math.sqrt(3)).expand_as(colour)
    turned = colour * angle.cos() + torch.linalg.cross(axis, colour, dim=1) * angle.sin()
    x = grey + turned * _uniform(x, 1 - saturation, 1 + saturation)
    return (x * 2 - 1).clamp(-1, 1)


def zoom(x: Tensor, scale: float, turn: float, translate: float) -> Tensor:
    """Scale by up to `scale` in either sense, turn by up to `turn` degrees, move by up to `translate` of the side."""
    n = x.shape[0]
    size = torch.exp(_uniform(x, -math.log1p(scale), math.log1p(scale))).flatten()
    angle = _uniform(x, -turn, turn).flatten() * math.pi / 180
    cos, sin = angle.cos() * size, angle.sin() * size
    dx, dy = (_uniform(x, -2 * translate, 2 * translate).flatten() for _ in range(2))
    theta = torch.stack([cos, -sin, dx, sin, cos, dy], dim=1).view(n, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return sampled(x, grid)


def translate(x: Tensor, share: float = 0.125) -> Tensor:
    """Move each picture by up to `share` of its side in whole pixels, filling with its own border."""
    pad = max(1, round(x.shape[-1] * share))
    padded = F.pad(x, (pad, pad, pad, pad), mode="replicate")
    n, _, h, w = x.shape
    dy, dx = (torch.randint(0, 2 * pad + 1, (n, 1), device=x.device) for _ in range(2))
    rows = (dy + torch.arange(h, device=x.device)).view(n, 1, h, 1)
    cols = (dx + torch.arange(w, device=x.device)).view(n, 1, 1, w)
    picture = torch.arange(n, device=x.device).view(n, 1, 1, 1)
    channel = torch.arange(x.shape[1], device=x.device).view(1, -1, 1, 1)
    return padded[picture, channel, rows, cols]


def cutout(x: Tensor, share: float = 0.3) -> Tensor:
    """Grey out one square of `share` of the side in each picture."""
    n, _, h, w = x.shape
    size = max(1, round(h * share))
    top, left = (torch.randint(0, side - size + 1, (n, 1, 1), device=x.device) for side in (h, w))
    y = torch.arange(h, device=x.device).view(1, h, 1) - top
    z = torch.arange(w, device=x.device).view(1, 1, w) - left
    hole = (y >= 0) & (y < size) & (z >= 0) & (z < size)
    return x.masked_fill(hole.unsqueeze(1), 0.0)


def for_classifier(x: Tensor, strength: float) -> Tensor:
    """Zoomed, turned, moved and made grainy, at `strength` 1 as far as `train_classifier.py` goes by default.

    A class that survives this is drawn, not hidden in texture that only one classifier reads (Athalye et al. 2018,
    "Synthesizing Robust Adversarial Examples").
    """
    if strength == 0:
        return x
    x = zoom(x, 0.2 * strength, 15 * strength, 0.1 * strength)
    return (x + torch.randn_like(x) * (4 / 127.5 * strength)).clamp(-1, 1)


def for_discriminator(x: Tensor, strength: float | Tensor) -> Tensor:
    """Colour, place and hole, each for a share `strength` of the pictures. Applied to real and fake alike."""
    if not isinstance(strength, Tensor) and strength == 0:  # a tensor would have to be waited for
        return x

    def some(changed: Tensor) -> Tensor:
        return torch.where(_uniform(x, 0, 1) < strength, changed, x)

    x = some(jitter(x, brightness=0.2, contrast=0.2, saturation=0.3, hue=0.02))
    x = some(translate(x))
    return some(cutout(x))
