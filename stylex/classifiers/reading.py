"""How a classifier reads a picture: its size, the part of it, the order of the channels. Pure functions."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..steady import resized

# Grey has one number of mean and std where the network has one channel, and three where it has three equal ones.
Colours = Literal["rgb", "bgr", "grey"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]
Size = tuple[int, int]  # height, width
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as of Pillow's convert("L")


def sized(x: Tensor, size: Size, resize: Size | None, interpolation: Interpolation) -> Tensor:
    """x [N, 3, H, W] in [-1, 1] -> [N, 3, *size]: brought to `resize` (or to `size`), of which the middle is read.

    What is shrunk is filtered before, as Pillow does; and as there, nothing comes out brighter than white.
    """
    whole = resize or size
    if x.shape[-2:] != whole:
        if interpolation == "nearest":
            x = F.interpolate(x, whole, mode="nearest-exact")
        else:
            x = resized(x, whole, interpolation)
            x = x.clamp(-1, 1) if interpolation == "bicubic" else x
    top, left = (round((a - b) / 2) for a, b in zip(whole, size, strict=True))
    return x[..., top : top + size[0], left : left + size[1]] if resize else x


def coloured(x: Tensor, colours: Colours, channels: int) -> Tensor:
    """x [N, 3, H, W] -> [N, channels, H, W]."""
    if colours == "bgr":
        return x.flip(1)
    if colours == "grey":
        weights = torch.tensor(LUMA, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
        return (x * weights).sum(dim=1, keepdim=True).expand(-1, channels, -1, -1)
    return x


def before_crop(size: Size, share: float) -> Size | None:
    """To what a picture is brought so that `size` is this share of its sides; None for all of it."""
    if share == 1:
        return None
    height, width = (math.floor(side / share + 1e-6) for side in size)
    return height, width
