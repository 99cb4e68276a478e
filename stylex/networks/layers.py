"""Layers of the networks: equalised linear and convolution, modulated convolution, resampling, the reading trunk.

Equalised layers keep unit-variance weights and scale them when used (Karras et al. 2018, "Progressive Growing of GANs",
section 4.1), so one learning rate suits every layer. Modulation and demodulation are those of Karras et al. 2020,
"Analyzing and Improving the Image Quality of StyleGAN", section 2.2, in their unfused form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

T = TypeVar("T")

SLOPE, GAIN = 0.2, math.sqrt(2)  # of the activation


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the second moment of a unit normal."""
    return F.leaky_relu(x, SLOPE) * GAIN


def equalised(x: Tensor, weight: Tensor, gain: float) -> tuple[Tensor, Tensor]:
    """Input and weight of a linear map, the smaller of them times `gain`: which one carries it makes no difference to
    the output, but much to the time where 4x4 pixels meet hundreds of channels."""
    return (x, weight * gain) if weight.numel() < x.numel() else (x * gain, weight)


def drawn(*shape: int, times: float = 1.0) -> Tensor:
    """Normal numbers times a factor. Of a shape alone (device meta) there is nothing to multiply, and torch would load
    its compiler to do so, which takes longer than most models."""
    x = torch.randn(*shape)
    return x if x.is_meta else x.mul_(times)


class EqualLinear(nn.Module):
    """[N, in] -> [N, out]. `lr_mul` slows the layer down without changing its function at the start."""

    def __init__(self, in_features: int, out_features: int, *, bias: float = 0.0, lr_mul: float = 1.0) -> None:
        super().__init__()
        weight = torch.randn(out_features, in_features)
        if not weight.is_meta:  # see `drawn`
            weight /= lr_mul
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.full((out_features,), bias / lr_mul))
        self.gain, self.lr_mul = lr_mul / math.sqrt(in_features), lr_mul

    def forward(self, x: Tensor) -> Tensor:
        x, weight = equalised(x, self.weight, self.gain)
        return F.linear(x, weight, self.bias * self.lr_mul)


class EqualConv2d(nn.Module):
    """[N, in, H, W] -> [N, out, H, W]; with `down`, blurred and halved; with `active`, activated.

    Everything that scales the output, the gain of the activation too, goes into weights and bias: a pass over all
    pixels costs more than one over them. `gain` scales the output once more.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        bias: bool = True,
        down: bool = False,
        active: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.padding, self.down, self.active = kernel // 2, down, active
        self.scale = gain * GAIN if active else gain
        self.gain = self.scale / math.sqrt(in_channels * kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        if self.down:
            # A 1x1 kernel reads every second pixel, so the average of four is filter enough, and far cheaper.
            x = blur(x, pad=2) if self.padding else F.avg_pool2d(x, 2)
        x, weight = equalised(x, self.weight, self.gain)
        bias = None if self.bias is None else (self.bias * self.scale).to(x.dtype)
        padded = self.padding and not self.down
        y = F.conv2d(x, weight.to(x.dtype), bias, stride=2 if self.down and self.padding else 1, padding=int(padded))
        return F.leaky_relu_(y, SLOPE) if self.active else y


def blur(x: Tensor, pad: int, gain: float = 1.0) -> Tensor:
    """Low-pass with the outer product of [1, 3, 3, 1] / 8, as StyleGAN2 does around every change of size."""
    # Made where it is needed: a copy would stop the queue of a GPU, and a number from the host keeps CUDA graphs away.
    n = torch.arange(4, device=x.device, dtype=torch.float32)
    taps = 1 + n * (3 - n)
    kernel = (torch.outer(taps, taps) * (gain / 64)).to(x.dtype).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, padding=pad, groups=x.shape[1])


def upsample(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, 2H, 2W], the picture itself on its way to the next resolution."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def recomputed(recompute: bool, block: Callable[..., T], *inputs: Any) -> T:
    """`block(*inputs)`; if `recompute`, nothing that it computes waits for the backward pass, which computes it once
    more, with the same random numbers (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost")."""
    if recompute and torch.is_grad_enabled():
        from torch.utils.checkpoint import checkpoint  # brings along what takes a while to import

        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)


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
        y = self.modulated(x, s)
        return y * self.demodulation(s)[:, :, None, None].to(y.dtype) if self.demodulate else y

    def modulated(self, x: Tensor, s: Tensor) -> Tensor:
        """The output before demodulation. The equalising gain travels with the style, which is small."""
        x = x * (s * self.gain)[:, :, None, None].to(x.dtype)
        weight = self.weight.to(x.dtype)
        if self.up:
            return blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), pad=1, gain=4.0)
        return F.conv2d(x, weight, padding=self.padding)

    def demodulation(self, s: Tensor) -> Tensor:
        """The factors [N, out] that take the size of the style s [N, in] away again."""
        # In fp32: a sum of squares over the whole fan-in overflows half precision.
        energy = self.weight.float().square().sum(dim=(2, 3)).t()  # [in, out]
        return torch.rsqrt((s.float() * self.gain).square() @ energy + 1e-8)


class ResidualDown(nn.Module):
    """One level of the trunk: [N, C, H, W] -> [N, C', H/2, W/2]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = math.sqrt(0.5)  # so that the sum of both ways keeps its size
        self.conv0 = EqualConv2d(in_channels, in_channels, 3, active=True)
        self.conv1 = EqualConv2d(in_channels, out_channels, 3, down=True, active=True, gain=half)
        self.skip = EqualConv2d(in_channels, out_channels, 1, bias=False, down=True, gain=half)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x).add_(self.conv1(self.conv0(x)))


class Trunk(nn.Module):
    """Reads a picture [N, 3, R, R] down to [N, C, 4, 4]; shared design of encoder and discriminator.

    With `recompute` its levels keep nothing for the backward pass: see `recomputed`.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.recompute = False
        down = list(channels)[::-1]
        self.from_rgb = EqualConv2d(3, down[0], 1, active=True)
        self.blocks = nn.ModuleList(ResidualDown(a, b) for a, b in pairwise(down))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks[-1](self.to_8x8(x))

    def to_8x8(self, x: Tensor) -> Tensor:
        """All but the last level: [N, C', 8, 8], where it is still known where things are."""
        x = self.from_rgb(x)
        for block in self.blocks[:-1]:
            x = recomputed(self.recompute, block, x)
        return x


def minibatch_std(x: Tensor, group: int = 4) -> Tensor:
    """Append one map with the spread of the features over groups of pictures (Karras et al. 2018, section 3)."""
    n, c, h, w = x.shape
    group = next(g for g in range(min(group, n), 0, -1) if n % g == 0)
    y = x.float().reshape(group, n // group, c, h, w)
    variance = (y - y.mean(dim=0)).square().mean(dim=0)  # `var` over the first of many dimensions is ten times slower
    spread = torch.sqrt(variance + 1e-8).mean(dim=(1, 2, 3))  # [n / group]
    return torch.cat([x, spread.repeat(group).reshape(n, 1, 1, 1).expand(n, 1, h, w).to(x.dtype)], dim=1)
