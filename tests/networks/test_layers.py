"""Layers against slow references in float64, and numbers that follow from their definitions."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from stylex.networks.layers import (
    EqualConv2d,
    EqualLinear,
    ModulatedConv2d,
    Trunk,
    activate,
    blur,
    drawn,
    minibatch_std,
    upsample,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fused(conv: ModulatedConv2d, x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """Equations 1 and 3 of the StyleGAN2 paper, one picture at a time with its own weights."""
    out = []
    for one, style in zip(x, s, strict=True):
        weight = conv.weight.detach() / math.sqrt(conv.weight[0].numel())  # w, with the equalised gain
        weight = weight * style.view(1, -1, 1, 1)  # w' = s_i w
        if conv.demodulate:
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()  # w''
        if conv.up:
            big = F.conv_transpose2d(one[None], weight.transpose(0, 1), stride=2)  # [1, out, 2H + 1, 2W + 1]
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
            kernel = 4 * torch.outer(taps, taps) / taps.sum() ** 2
            padded = F.pad(big, (1, 1, 1, 1))
            y = torch.zeros(1, weight.shape[0], 2 * x.shape[2], 2 * x.shape[3], dtype=x.dtype)
            for i in range(4):
                for j in range(4):
                    y += kernel[i, j] * padded[:, :, i : i + y.shape[2], j : j + y.shape[3]]
        else:
            y = F.conv2d(one[None], weight, padding=conv.weight.shape[2] // 2)
        out.append(y)
    return torch.cat(out)


@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize(("kernel", "up"), [(1, False), (3, False), (3, True)])
def test_modulated_convolution_equals_one_with_weights_of_its_own_for_each_picture(kernel, demodulate, up):
    conv = ModulatedConv2d(5, 7, kernel, demodulate=demodulate, up=up).double()
    x, s = normal(3, 5, 6, 6), normal(3, 5, seed=1)
    s[0, 2] = 0  # a channel switched off
    y = conv(x, s)
    assert y.shape == ((3, 7, 12, 12) if up else (3, 7, 6, 6))
    # The sum of squares under the root is taken in fp32, whatever goes in.
    torch.testing.assert_close(y, fused(conv, x, s), rtol=1e-6, atol=1e-6)


def test_demodulation_takes_the_size_of_the_style_away():
    conv = ModulatedConv2d(6, 4, 3).double()
    x, s = normal(2, 6, 8, 8), normal(2, 6, seed=1)
    torch.testing.assert_close(conv(x, 100 * s), conv(x, s), rtol=1e-5, atol=1e-6)
    plain = ModulatedConv2d(6, 4, 3, demodulate=False).double()
    torch.testing.assert_close(plain(x, 100 * s), 100 * plain(x, s))


def test_demodulation_keeps_unit_variance():
    torch.manual_seed(0)
    y = ModulatedConv2d(64, 64, 3)(torch.randn(4, 64, 16, 16), torch.rand(4, 64) * 3)
    # One third of the border's inputs is padding; the middle is what the formula speaks of.
    assert y[:, :, 1:-1, 1:-1].std().item() == pytest.approx(1.0, abs=0.05)


def test_modulation_survives_half_precision():
    # 512 * 9 squares of styles of 100 add up to 46 million, where fp16 ends at 65,504.
    conv = ModulatedConv2d(512, 4, 3)
    y = conv(torch.ones(1, 512, 4, 4, dtype=torch.bfloat16), torch.full((1, 512), 100.0))
    assert y.dtype == torch.bfloat16
    assert torch.isfinite(y).all()


def test_blur_keeps_a_constant():
    x = torch.full((2, 3, 8, 8), 5.0)
    y = blur(x, pad=2)
    assert y.shape == (2, 3, 9, 9)
    torch.testing.assert_close(y[:, :, 2:-2, 2:-2], torch.full((2, 3, 5, 5), 5.0))


def test_blur_takes_no_number_from_the_host():
    """One such number keeps CUDA graphs away from every network that changes the size of a picture."""
    traced = make_fx(lambda x: blur(x, pad=2))(torch.zeros(1, 2, 4, 4))
    assert len(traced.graph.nodes) > 3
    assert not [node for node in traced.graph.nodes if "lift_fresh" in str(node.target)]


def test_blur_spreads_one_pixel_as_1_3_3_1():
    x = torch.zeros(1, 1, 7, 7)
    x[0, 0, 3, 3] = 64.0
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    torch.testing.assert_close(blur(x, pad=0)[0, 0], torch.outer(taps, taps))


def test_an_upsampling_convolution_keeps_a_constant():
    conv = ModulatedConv2d(1, 1, 3, demodulate=False, up=True)
    torch.nn.init.constant_(conv.weight, 3.0)  # nine taps, gain 1/3: each is 1, of which 9/4 meet a pixel on average
    y = conv(torch.ones(1, 1, 8, 8), torch.ones(1, 1))
    torch.testing.assert_close(y[:, :, 4:-4, 4:-4], torch.full((1, 1, 8, 8), 9.0))


def test_upsample_doubles_and_keeps_a_constant():
    x = torch.full((2, 3, 4, 4), -0.5)
    assert torch.equal(upsample(x), torch.full((2, 3, 8, 8), -0.5))


def test_equalised_layers_have_unit_weights_and_unit_output():
    torch.manual_seed(0)
    for layer, x in (
        (EqualLinear(400, 300), torch.randn(200, 400)),
        (EqualLinear(400, 300, lr_mul=0.01), torch.randn(200, 400)),
        (EqualConv2d(64, 64, 3), torch.randn(4, 64, 18, 18)),
    ):
        y = layer(x)
        inner = y if y.ndim == 2 else y[:, :, 1:-1, 1:-1]
        assert inner.std().item() == pytest.approx(1.0, abs=0.05)
    assert EqualLinear(400, 300).weight.std().item() == pytest.approx(1.0, abs=0.02)
    assert EqualLinear(400, 300, lr_mul=0.01).weight.std().item() == pytest.approx(100.0, abs=2)


def test_equalised_gains_by_pencil():
    linear = EqualLinear(4, 1, bias=2.0, lr_mul=0.5)
    torch.nn.init.constant_(linear.weight, 3.0)
    # weight 3 * 0.5 / sqrt(4) = 0.75, four times; the bias arrives as 2, though it is stored as 4.
    assert linear(torch.ones(1, 4)).item() == pytest.approx(4 * 0.75 + 2.0)
    assert linear.bias.item() == 4.0
    conv = EqualConv2d(4, 1, 3)
    torch.nn.init.constant_(conv.weight, 3.0)
    # weight 3 / sqrt(4 * 9) = 0.5 on 36 inputs
    assert conv(torch.ones(1, 4, 3, 3))[0, 0, 1, 1].item() == pytest.approx(18.0)


@pytest.mark.parametrize("side", [2, 64], ids=["more weights than pixels", "more pixels than weights"])
def test_an_active_convolution_is_a_convolution_and_the_activation_behind_it(side):
    conv = EqualConv2d(6, 5, 3, active=True, gain=0.5).double()
    torch.nn.init.normal_(conv.bias)
    x = normal(2, 6, side, side)
    plain = F.conv2d(x, conv.weight / math.sqrt(6 * 9), conv.bias, padding=1)
    torch.testing.assert_close(conv(x), 0.5 * activate(plain))


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_downsampling_convolution_halves_and_keeps_a_constant(kernel):
    conv = EqualConv2d(2, 3, kernel, bias=False, down=True)
    y = conv(torch.ones(1, 2, 16, 16))
    assert y.shape == (1, 3, 8, 8)
    expected = (conv.weight * conv.gain).sum(dim=(1, 2, 3))
    torch.testing.assert_close(y[0, :, 3, 3], expected)


def test_activation_keeps_the_second_moment():
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    assert activate(x).square().mean().item() == pytest.approx(1.04, abs=0.02)  # 2 * (1 + 0.2^2) / 2
    assert activate(torch.tensor(-1.0)).item() == pytest.approx(-0.2 * math.sqrt(2))


def test_the_trunk_ends_at_4x4():
    assert Trunk([5, 6, 7])(torch.zeros(2, 3, 16, 16)).shape == (2, 5, 4, 4)
    assert Trunk([5, 6])(torch.zeros(2, 3, 8, 8)).shape == (2, 5, 4, 4)


def test_minibatch_std_by_pencil():
    # Two pictures of 0 and 2: standard deviation 1 everywhere.
    x = torch.stack([torch.zeros(3, 4, 4), torch.full((3, 4, 4), 2.0)])
    y = minibatch_std(x)
    assert y.shape == (2, 4, 4, 4)
    assert torch.equal(y[:, :3], x)
    torch.testing.assert_close(y[:, 3], torch.ones(2, 4, 4))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 7, 8, 12])
def test_minibatch_std_takes_any_batch(n):
    y = minibatch_std(normal(n, 3, 4, 4))
    assert y.shape == (n, 4, 4, 4)
    assert torch.isfinite(y).all()


def test_minibatch_std_tells_each_picture_of_its_own_group():
    # Eight pictures make two groups, interleaved: 0, 2, 4, 6 alike, 1, 3, 5, 7 spread.
    x = torch.zeros(8, 1, 4, 4, dtype=torch.float64)
    x[1::4], x[3::4] = 3.0, -3.0
    spread = minibatch_std(x)[:, 1, 0, 0]
    torch.testing.assert_close(spread, torch.tensor([1e-4, 3.0] * 4, dtype=torch.float64), atol=1e-6, rtol=1e-6)


def test_a_network_begins_with_the_same_numbers_whether_or_not_its_shape_was_made_first():
    def begun() -> list[Tensor]:
        torch.manual_seed(5)
        return [EqualLinear(3, 4, lr_mul=0.01).weight.detach(), drawn(4, 3, times=0.3)]

    torch.manual_seed(5)
    expected = [torch.randn(4, 3) / 0.01, torch.randn(4, 3) * 0.3]
    assert all(torch.equal(a, b) for a, b in zip(begun(), expected, strict=True))
    with torch.device("meta"):
        assert [x.shape for x in begun()] == [(4, 3), (4, 3)]
