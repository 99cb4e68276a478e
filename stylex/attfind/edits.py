"""Many pictures that differ from one in a single style coordinate, for the price of the layers above it.

What a change cannot reach is computed once per picture: what comes into each layer, what the layer makes of it, and the
picture so far. Above the edited layer all edits share their styles, so modulation and demodulation go into the weights
and a layer is one ordinary convolution for the whole batch. Gates follow from the places alone, so they scale a layer's
input x alike for all edits. The edited layer is linear in its style up to the demodulation: a new value of coordinate j
changes its output by a rank-one term, and the demodulation is done anew,

    y' = y + (s'_j - s_j) (w_j * x_j)        d'_o = (Σ_i s'_i² Σ w_oi² + ε)^-1/2

It is `Synthesis` with the sums in another order, and the tests hold it to that.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks.generator import StyledLayer, Synthesis, ToRGB
from ..networks.layers import GAIN, SLOPE, blur, upsample

EPSILON = 1e-8  # of `layers.ModulatedConv2d`


class SingleEdits:
    """Edits for all pictures of one generator, with constant noise: `SingleEdits(synthesis)(s)(index, value)`.

    Reads the weights once; make a new one after they change.
    """

    def __init__(self, synthesis: Synthesis) -> None:
        self.synthesis, self.space, self.const = synthesis, synthesis.space, synthesis.const.detach()
        with torch.no_grad():
            # A processor likes its convolutions channels last; in single precision a GPU does not.
            order = torch.contiguous_format if self.const.is_cuda else torch.channels_last
            self.layers = [_Layer(layer, order) for layer in synthesis.layers if isinstance(layer, StyledLayer)]
            rgbs = [rgb for rgb in synthesis.to_rgb if isinstance(rgb, ToRGB)]
            self.rgb = [(rgb.conv.weight * rgb.conv.gain, rgb.bias.detach()) for rgb in rgbs]

    @torch.no_grad()
    def __call__(self, s: Tensor) -> EditsOfOne:
        """Styles s [1, S] of one picture -> its edits."""
        return EditsOfOne(self, s)

    def batches(self, index: Tensor, width: int) -> Iterator[Tensor]:
        """Positions in `index` [B], at most `width` at a time and those of one layer together."""
        for layer in self.space.layers[: len(self.layers)]:
            inside = (index >= layer.start) & (index < layer.start + layer.channels)
            if inside.any():
                yield from inside.nonzero().flatten().split(width)


def filled(part: Tensor, width: int) -> Tensor:
    """Positions [n <= width], the last one repeated until there are `width`. A GPU prepares for each number of copies
    that no pass had before, which takes longer than many passes: so generator and classifier see one number only."""
    return torch.cat([part, part[-1:].expand(width - len(part))])


class EditsOfOne:
    """Pictures of s with one coordinate changed: (index [B], value [B]) -> [B, 3, R, R], not clamped.

    The B coordinates belong to one convolution layer; `SingleEdits.batches` sorts them.
    """

    def __init__(self, edits: SingleEdits, s: Tensor) -> None:
        self.edits = edits
        conv, rgb, t = edits.synthesis.parts(s)
        self.styles = conv
        self.gates = [gate(t) for gate in edits.synthesis.gates]  # alike for all edits, for none moves a place
        self.weights = [layer.baked(style) for layer, style in zip(edits.layers, conv, strict=True)]
        self.rgb_weights = [w * style[:, :, None, None] for (w, _), style in zip(edits.rgb, rgb, strict=True)]
        self.inputs: list[Tensor] = []  # of each layer [1, in, H, W], gated and not modulated
        self.linear: list[Tensor] = []  # each layer's output before demodulation, as `_Layer.rows`
        self.below: list[Tensor | None] = []  # the picture [1, 3, H, W] under each toRGB
        x: Tensor = edits.const
        picture: Tensor | None = None
        for n, layer in enumerate(edits.layers):
            x = self._gated(n, x)
            self.inputs.append(x)
            self.linear.append(layer.rows(x, conv[n]))
            x = layer(x, self.weights[n])
            if n % 2 == 0:
                self.below.append(None if picture is None else upsample(picture))
                picture = self._rgb(n // 2, x, self.below[-1])

    def _gated(self, n: int, x: Tensor) -> Tensor:
        return x * self.gates[n] if n < len(self.gates) else x

    def _rgb(self, level: int, x: Tensor, below: Tensor | None) -> Tensor:
        own = F.conv2d(x, self.rgb_weights[level], self.edits.rgb[level][1])
        return own if below is None else own + below

    @torch.no_grad()
    def __call__(self, index: Tensor, value: Tensor) -> Tensor:
        first = next(
            n for n, layer in enumerate(self.edits.space.layers) if int(index[0]) < layer.start + layer.channels
        )
        channel = index - self.edits.space.layers[first].start
        x = self.edits.layers[first].edited(self.inputs[first], self.linear[first], self.styles[first], channel, value)
        picture: Tensor | None = None
        for n in range(first, len(self.edits.layers)):
            if n > first:
                x = self.edits.layers[n](self._gated(n, x), self.weights[n])
            if n % 2 == 0:
                below = self.below[n // 2] if picture is None else upsample(picture)
                picture = self._rgb(n // 2, x, below)
        assert picture is not None
        return picture.float()


class _Layer:
    """A `StyledLayer` taken apart, its maps in a memory format."""

    def __init__(self, layer: StyledLayer, order: torch.memory_format) -> None:
        self.up, self.order = layer.conv.up, order
        self.weight = layer.conv.weight * layer.conv.gain  # [out, in, 3, 3]
        self.energy = self.weight.square().sum(dim=(2, 3)).t()  # [in, out]
        offset = layer.noise_const * layer.noise_strength + layer.bias[:, None, None]
        self.offset = (offset * GAIN).contiguous(memory_format=order)  # [1, out, H, W]

    def baked(self, style: Tensor) -> Tensor:
        """The kernel for one style [1, in], with its demodulation and the gain of the activation in it."""
        scale = torch.rsqrt(style.square() @ self.energy + EPSILON) * GAIN  # [1, out]
        weight = self.weight * style[:, :, None, None] * scale.view(-1, 1, 1, 1)
        return weight.transpose(0, 1) if self.up else weight.contiguous(memory_format=self.order)

    def __call__(self, x: Tensor, baked: Tensor) -> Tensor:
        """x [B, in, H, W] -> the activated output [B, out, H or 2H, W or 2W]."""
        if self.up:
            y = blur(F.conv_transpose2d(x, baked, stride=2), pad=1, gain=4.0)
        else:
            y = F.conv2d(x, baked, padding=1)
        return F.leaky_relu_(y.add_(self.offset), SLOPE)

    def rows(self, x: Tensor, style: Tensor) -> Tensor:
        """The layer's linear output, one row for each pixel of its input: [H * W, out].

        A layer that doubles the size has the four pixels that lie on one input pixel side by side: [H * W, 4 * out].
        """
        x = x * style[:, :, None, None]
        if not self.up:
            return F.conv2d(x, self.weight, padding=1)[0].flatten(1).t()
        y = blur(F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2), pad=1, gain=4.0)
        out, h, w = y.shape[1], x.shape[2], x.shape[3]
        return y.view(out, h, 2, w, 2).permute(1, 3, 2, 4, 0).reshape(h * w, 4 * out)

    def taps(self, channel: Tensor) -> Tensor:
        """What each of the 3x3 neighbours in the input channels [B] adds to a row of `rows`: [B, 9, out or 4 * out]."""
        weight = self.weight[:, channel].transpose(0, 1)  # [B, out, 3, 3]
        count, out = weight.shape[:2]
        if not self.up:
            return weight.reshape(count, out, 9).transpose(1, 2)
        # The answer to one bright pixel in the middle of 3x3 is 6x6: for each of the four phases (r, q) a 3x3 kernel,
        # turned around because it tells where a pixel goes, not where it comes from.
        spot = weight.new_zeros(1, 1, 3, 3)
        spot[..., 1, 1] = 1
        answer = blur(F.conv_transpose2d(spot, weight.reshape(1, -1, 3, 3), stride=2), pad=1, gain=4.0)
        phases = answer.view(count, out, 3, 2, 3, 2).flip(2, 4)  # [B, out, u, r, v, q]
        return phases.permute(0, 2, 4, 3, 5, 1).reshape(count, 9, 4 * out)

    def edited(self, x: Tensor, rows: Tensor, style: Tensor, channel: Tensor, value: Tensor) -> Tensor:
        """The activated output with channel b scaled by value b instead, for each of [B]: [B, out, ...]."""
        count, (h, w), out = len(channel), x.shape[2:], self.weight.shape[0]
        seen = F.unfold(x[0, channel].unsqueeze(1), 3, padding=1).transpose(1, 2)  # [B, H * W, 9]
        taps = self.taps(channel) * (value - style[0, channel])[:, None, None]
        y = torch.baddbmm(rows.expand(count, -1, -1), seen, taps)
        styles = style.repeat(count, 1)
        styles[torch.arange(count, device=style.device), channel] = value
        scale = torch.rsqrt(styles.square() @ self.energy + EPSILON) * GAIN  # [B, out]
        if self.up:
            y = y.view(count, h, w, 2, 2, out).permute(0, 1, 3, 2, 4, 5).reshape(count, 2 * h, 2 * w, out)
        y = y.view(count, *self.offset.shape[2:], out).permute(0, 3, 1, 2).contiguous(memory_format=self.order)
        return F.leaky_relu_(torch.addcmul(self.offset, y, scale[:, :, None, None]), SLOPE)
