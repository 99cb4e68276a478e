"""What `--deterministic` computes in another way is the same picture and the same gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylex.steady import blur, blurred_by_index, gathered, multiplied, needed, resized, sampled
from train.engine.device import no_such_way


def alike(one: Callable[[Tensor], Tensor], other: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Values, and gradients of a sum in which every place counts differently."""
    found = []
    for function in (one, other):
        own = x.clone().requires_grad_()
        y = function(own)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        found.append((y.detach(), own.grad))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.fixture
def x() -> Tensor:
    return torch.rand(2, 3, 10, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_pictures_are_sampled_alike_inside_at_the_border_and_outside(x):
    rule = torch.Generator().manual_seed(1)
    grid = torch.rand(2, 7, 9, 2, generator=rule) * 3 - 1.5
    grid[0, 0, :4] = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    alike(lambda p: gathered(p, grid), lambda p: sampled(p, grid), x)
    theta = torch.eye(2, 3).expand(2, 2, 3)
    whole = F.affine_grid(theta, [2, 3, 10, 12], align_corners=False)
    torch.testing.assert_close(gathered(x, whole), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("side", "sigma"), [(5, 1.0), (9, 2.0), (3, 0.1)])
def test_pictures_are_blurred_alike(x, side, sigma):
    alike(lambda p: blurred_by_index(p, side, sigma), lambda p: blur(p, side, sigma), x)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(4, 5), (16, 30), (10, 7)])
def test_pictures_are_brought_to_a_size_alike(x, size, mode):
    alike(lambda p: multiplied(p, size, mode), lambda p: resized(p, size, mode), x)


def test_a_processor_needs_none(x):
    assert not needed(x)
    torch.use_deterministic_algorithms(True)
    try:
        assert not needed(x)
        assert needed(torch.empty(1, device="meta"))
    finally:
        torch.use_deterministic_algorithms(False)


def test_what_torch_refuses_is_one_sentence():
    refused = RuntimeError(
        "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set "
        "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this operation"
    )
    said = no_such_way(refused)
    assert said.startswith("grid_sampler_2d_backward_cuda cannot be computed with the same bits each time")
    assert said.endswith("leave it out, or use a classifier and --perceptual that do without")
    assert no_such_way(RuntimeError("out of memory")) is None
