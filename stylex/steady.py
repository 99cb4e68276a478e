"""What torch has no gradient for on a GPU that always sums in the same order, done once more by what has one.

Asked for by `--deterministic` alone: both ways are the same numbers to rounding, and these are slower.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def needed(x: Tensor) -> bool:
    return torch.are_deterministic_algorithms_enabled() and not x.is_cpu


def sampled(x: Tensor, grid: Tensor) -> Tensor:
    """x [N, C, H, W] at the places of grid [N, h, w, 2], bilinear, what lies outside like the border next to it."""
    if needed(x):
        return gathered(x, grid)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def gathered(x: Tensor, grid: Tensor) -> Tensor:
    """`sampled` by picking four pixels for each place."""
    n, c, h, w = x.shape
    sides = torch.tensor([w, h], device=x.device)
    places = (((grid + 1) * sides - 1) / 2).clamp(min=0).minimum(sides - 1.0)  # [N, h, w, 2], in pixels
    low = places.floor()
    weight, low = places - low, low.long()
    high = (low + 1).minimum(sides - 1)

    def pixels(column: Tensor, row: Tensor) -> Tensor:
        index = (row * w + column).reshape(n, 1, -1).expand(-1, c, -1)
        return x.flatten(2).gather(2, index).reshape(n, c, *grid.shape[1:3])

    right, down = weight[:, None, ..., 0], weight[:, None, ..., 1]
    rows = [
        pixels(low[..., 0], row).mul(1 - right) + pixels(high[..., 0], row).mul(right)
        for row in (low[..., 1], high[..., 1])
    ]
    return rows[0] * (1 - down) + rows[1] * down


def resized(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """x [N, C, H, W] as [N, C, *size], bilinear or bicubic; what is shrunk is filtered before, as Pillow does."""
    if needed(x):
        return multiplied(x, size, mode)
    return F.interpolate(x, size, mode=mode, antialias=True, align_corners=False)


def multiplied(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """`resized` as a product with two matrices, one for the rows and one for the columns: what becomes of a single
    bright pixel is a column of them."""

    @torch.no_grad()
    def weights(side: int, wanted: int) -> Tensor:
        one = torch.eye(side, device=x.device, dtype=x.dtype)[None, None]
        return F.interpolate(one, (wanted, side), mode=mode, antialias=True, align_corners=False)[0, 0]

    rows, columns = map(weights, x.shape[-2:], size)
    return rows @ x @ columns.T


def blur(x: Tensor, side: int, sigma: float) -> Tensor:
    """Gaussian, of an odd number of pixels a side; beyond its border a picture goes on as in a mirror."""
    if needed(x):
        return blurred_by_index(x, side, sigma)
    from torchvision.transforms.v2.functional import gaussian_blur  # two seconds that a script's --help can do without

    return gaussian_blur(x, [side, side], [sigma, sigma])


def blurred_by_index(x: Tensor, side: int, sigma: float) -> Tensor:
    """`blur` with the mirror as a choice of rows and columns."""
    half = side // 2
    for dim in (2, 3):
        last = x.shape[dim] - 1
        index = torch.arange(-half, last + half + 1, device=x.device).abs()
        x = x.index_select(dim, torch.where(index > last, 2 * last - index, index))
    taps = torch.arange(-half, half + 1, device=x.device, dtype=x.dtype)
    kernel = torch.softmax(-(taps / sigma).square() / 2, dim=0)
    return F.conv2d(x, torch.outer(kernel, kernel).expand(x.shape[1], 1, side, side), groups=x.shape[1])
