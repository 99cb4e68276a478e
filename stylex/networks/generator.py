"""Mapping z -> w and places, affine layers latent -> s, synthesis s -> picture."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..stylespace import SIDE, StyleSpace
from .component import Component
from .config import ModelConfig
from .layers import GAIN, SLOPE, EqualLinear, ModulatedConv2d, activate, recomputed, upsample
from .places import WIDEST_INPUT, Gate

Noise = Literal["const", "random", "none"]


def split_latent(latent: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor, Tensor]:
    """latent [N, D+T+K] -> w [N, D], places t [N, T], probabilities [N, K]."""
    w, t, probs = latent.split([config.w_dim, config.place_dim, config.num_classes], dim=1)
    return w, t, probs


class Mapping(Component):
    """z [N, Z] ~ N(0, I) -> w ⊕ t [N, D+T], as the encoder's.

    Karras et al. 2019, "A Style-Based Generator Architecture for GANs"; places are its last layer's, too.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        widths = [config.z_dim] + [config.w_dim] * (config.mapping_layers - 1) + [config.code_dim]
        self.layers = nn.ModuleList(EqualLinear(a, b, lr_mul=0.01) for a, b in pairwise(widths))

    def forward(self, z: Tensor) -> Tensor:
        x = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.layers[:-1]:
            x = activate(layer(x))
        w, t = self.layers[-1](x).tensor_split([self.config.w_dim], dim=1)
        return torch.cat([activate(w), t.tanh()], dim=1)


class StyledLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int, resolution: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, out_channels, 3, up=up)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(1, 1, resolution, resolution))
        self.noise_const: Tensor

    def forward(self, x: Tensor, s: Tensor, noise: Noise) -> Tensor:
        y = self.conv.modulated(x, s)
        # Demodulation, bias and the gain of the activation in one pass over the pixels.
        scale = (self.conv.demodulation(s) * GAIN)[:, :, None, None].to(y.dtype)
        x = torch.addcmul((self.bias * GAIN)[:, None, None].to(y.dtype), y, scale)
        if noise != "none":
            grain = torch.randn_like(y[:, :1]) if noise == "random" else self.noise_const.to(y.dtype)
            x += grain * (self.noise_strength * GAIN).to(y.dtype)
        return F.leaky_relu_(x, SLOPE)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to three channels, not demodulated."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, 3, 1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        return self.conv(x, s) + self.bias[:, None, None].to(x.dtype)


class Synthesis(nn.Module):
    """s [N, S] -> picture [N, 3, R, R], not clamped. With the noise off or constant it is a pure function of s.

    With `recompute` its levels keep nothing for the backward pass: see `layers.recomputed`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.recompute = False
        self.space = StyleSpace(config.channels, config.places)
        self.places = config.places
        self.const = nn.Parameter(torch.randn(1, config.channels[0], 4, 4))
        layers = [StyledLayer(config.channels[0], config.channels[0], 4)]
        reads = [(config.channels[0], 4)]  # channels and side of each layer's input
        for i, (below, here) in enumerate(zip(config.channels, config.channels[1:], strict=False)):
            layers += [StyledLayer(below, here, 8 * 2**i, up=True), StyledLayer(here, here, 8 * 2**i)]
            reads += [(below, 4 * 2**i), (here, 8 * 2**i)]
        self.layers = nn.ModuleList(layers)
        self.to_rgb = nn.ModuleList(ToRGB(c) for c in config.channels)
        gated = [(c, side) for c, side in reads if config.places and side <= WIDEST_INPUT]
        self.gates = nn.ModuleList(Gate(config.places, c, side) for c, side in gated)

    def forward(self, s: Tensor, noise: Noise = "const") -> Tensor:
        conv, rgb, t = self.parts(s)
        x = self.const.expand(s.shape[0], -1, -1, -1)
        x = self.layers[0](self.gated(0, x, t), conv[0], noise)
        picture = self.to_rgb[0](x, rgb[0])
        for i in range(1, len(self.to_rgb)):
            styles = conv[2 * i - 1], conv[2 * i], rgb[i]
            x, picture = recomputed(self.recompute, self.level, i, x, picture, t, styles, noise)
        return picture.float()

    def level(
        self, i: int, x: Tensor, picture: Tensor, t: Tensor, styles: tuple[Tensor, Tensor, Tensor], noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """The i-th doubling of the side, of features x [N, C, H, W] and of the picture so far [N, 3, H, W], by the
        styles of its two convolutions and of its toRGB."""
        for n, s in zip((2 * i - 1, 2 * i), styles, strict=False):
            x = self.layers[n](self.gated(n, x, t), s, noise)
        return x, upsample(picture) + self.to_rgb[i](x, styles[2])

    def parts(self, s: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """s [N, S] -> the styles of each convolution, those of each toRGB, and the places t [N, P, 8, 8]."""
        styles = [s[:, layer.slice] for layer in self.space.layers]
        rest = len(self.layers)
        t = s[:, self.space.num_styles :].reshape(len(s), self.places, SIDE, SIDE)
        return styles[:rest], styles[rest : rest + len(self.to_rgb)], t

    def gated(self, n: int, x: Tensor, t: Tensor) -> Tensor:
        """The input x [N, C, H, W] of layer n, each channel louder where its gate is open."""
        return x * self.gates[n](t).to(x.dtype) if n < len(self.gates) else x


class Affine(nn.Module):
    """w ⊕ probs [N, D+K] -> every style coordinate [N, S], one affine function each.

    The columns of w and of the probabilities are scaled by their own fan-in, and the latter start at zero: a handful of
    probabilities beside hundreds of w would otherwise need tens of thousands of steps to be heard, and until then
    nothing but chance would tie a coordinate to the class.
    """

    def __init__(self, config: ModelConfig, size: int) -> None:
        super().__init__()
        self.w = EqualLinear(config.w_dim, size, bias=1.0)
        self.class_weight = nn.Parameter(torch.zeros(size, config.num_classes))

    def forward(self, w: Tensor, probs: Tensor) -> Tensor:
        return self.w(w) + probs @ self.class_weight.t()


class Generator(Component):
    """latent [N, D+T+K] = w ⊕ t ⊕ probs -> s [N, S] -> picture [N, 3, R, R].

    Lang et al. 2021 concatenate the classifier's probabilities to w. Places t, if the model has them, stand between the
    two and pass to the end of s unchanged.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.synthesis = Synthesis(config)
        self.space = self.synthesis.space
        self.affine = Affine(config, self.space.num_styles)

    def styles(self, latent: Tensor) -> Tensor:
        """[N, D+T+K] -> [N, S], in fp32 whatever the surroundings: half precision would round the coordinates."""
        with torch.autocast(latent.device.type, enabled=False):
            w, t, probs = split_latent(latent.float(), self.config)
            return torch.cat([self.affine(w, probs), t], dim=1)

    def forward(self, latent: Tensor, mix: tuple[Tensor, Tensor] | None = None, noise: Noise = "random") -> Tensor:
        """Picture of `latent`.

        Args:
            latent: [N, D+T+K].
            mix: a second latent [N, D+T+K] and a mask [N, S]: the coordinates it marks are taken from the second one.
            noise: "random" for training, "const" for explanations.

        Returns:
            [N, 3, R, R], not clamped.
        """
        s = self.styles(latent)
        if mix is not None:
            s = torch.where(mix[1], self.styles(mix[0]), s)
        return self.synthesis(s, noise)
