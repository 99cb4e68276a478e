"""Layers of the networks: equalised linear and convolution, modulated convolution, resampling, the reading trunk.

Equalised layers keep unit-variance weights and scale them when used (Karras et al. 2018, "Progressive Growing of GANs",
section 4.1), so one learning rate suits every layer. Modulation and demodulation are those of Karras et al. 2020,
"Analyzing and Improving the Image Quality of StyleGAN", section 2.2, in their unfused form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the second moment of a unit normal."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


class EqualLinear(nn.Module):
    """[N, in] -> [N, out]. `lr_mul` slows the layer down without changing its function at the start."""

    def __init__(self, in_features: int, out_features: int, *, bias: float = 0.0, lr_mul: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_features,), bias / lr_mul))
        self.gain, self.lr_mul = lr_mul / math.sqrt(in_features), lr_mul

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.gain, self.bias * self.lr_mul)


class EqualConv2d(nn.Module):
    """[N, in, H, W] -> [N, out, H, W]; with `down`, blurred and halved."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, bias: bool = True, down: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.gain, self.padding, self.down = 1 / math.sqrt(in_channels * kernel**2), kernel // 2, down

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight * self.gain).to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if not self.down:
            return F.conv2d(x, weight, bias, padding=self.padding)
        if self.padding == 0:
            # A 1x1 kernel reads every second pixel, so the average of four is filter enough, and far cheaper.
            return F.conv2d(F.avg_pool2d(x, 2), weight, bias)
        return F.conv2d(blur(x, pad=2), weight, bias, stride=2)


def blur(x: Tensor, pad: int, gain: float = 1.0) -> Tensor:
    """Low-pass with the outer product of [1, 3, 3, 1] / 8, as StyleGAN2 does around every change of size."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device) / 8
    kernel = (torch.outer(taps, taps) * gain).to(x.dtype).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, padding=pad, groups=x.shape[1])


def upsample(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, 2H, 2W], the picture itself on its way to the next resolution."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class ModulatedConv2d(nn.Module):
    """A convolution whose input channels are scaled by a style.

    Scaling the input, one ordinary convolution with shared weights, scaling the output: the same algebra as a
    convolution with per-sample weights, but every sample of a batch shares one kernel call.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, demodulate: bool = True, up: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.gain, self.padding = 1 / math.sqrt(in_channels * kernel**2), kernel // 2
        self.demodulate, self.up = demodulate, up

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """x [N, in, H, W], s [N, in] -> [N, out, H or 2H, W or 2W]."""
        weight = self.weight * self.gain
        x = x * s[:, :, None, None].to(x.dtype)
        if self.up:
            x = F.conv_transpose2d(x, weight.transpose(0, 1).to(x.dtype), stride=2)
            x = blur(x, pad=1, gain=4.0)
        else:
            x = F.conv2d(x, weight.to(x.dtype), padding=self.padding)
        if self.demodulate:
            # In fp32: a sum of squares over the whole fan-in overflows half precision.
            norm = s.float().square() @ weight.float().square().sum(dim=(2, 3)).t()  # [N, out]
            x = x * torch.rsqrt(norm + 1e-8)[:, :, None, None].to(x.dtype)
        return x


class ResidualDown(nn.Module):
    """One level of the trunk: [N, C, H, W] -> [N, C', H/2, W/2]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = EqualConv2d(in_channels, in_channels, 3)
        self.conv1 = EqualConv2d(in_channels, out_channels, 3, down=True)
        self.skip = EqualConv2d(in_channels, out_channels, 1, bias=False, down=True)

    def forward(self, x: Tensor) -> Tensor:
        y = activate(self.conv1(activate(self.conv0(x))))
        return (y + self.skip(x)) * math.sqrt(0.5)


class Trunk(nn.Module):
    """Reads a picture [N, 3, R, R] down to [N, C, 4, 4]; shared design of encoder and discriminator."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        down = list(channels)[::-1]
        self.from_rgb = EqualConv2d(3, down[0], 1)
        self.blocks = nn.ModuleList(ResidualDown(a, b) for a, b in pairwise(down))

    def forward(self, x: Tensor) -> Tensor:
        x = activate(self.from_rgb(x))
        for block in self.blocks:
            x = block(x)
        return x


def minibatch_std(x: Tensor, group: int = 4) -> Tensor:
    """Append one map with the spread of the features over groups of pictures (Karras et al. 2018, section 3)."""
    n, c, h, w = x.shape
    group = next(g for g in range(min(group, n), 0, -1) if n % g == 0)
    y = x.float().reshape(group, n // group, c, h, w)
    spread = torch.sqrt(y.var(dim=0, unbiased=False) + 1e-8).mean(dim=(1, 2, 3))  # [n / group]
    return torch.cat([x, spread.repeat(group).reshape(n, 1, 1, 1).expand(n, 1, h, w).to(x.dtype)], dim=1)
