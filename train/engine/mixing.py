"""Style mixing: pictures that take some of their layers' styles from another one."""

from __future__ import annotations

import torch
from torch import Tensor

from stylex.stylespace import StyleSpace


def mixing(space: StyleSpace, code: Tensor, probs: Tensor) -> tuple[Tensor, Tensor]:
    """From a random layer on, the styles of another w (Karras et al. 2019, section 3.1); each keeps its own places.

    Returns:
        The latent [N, D+K] of those styles, and which coordinates come from it, [N, S] bool.
    """
    convs = [layer for layer in space.layers if layer.start < space.num_conv]
    first = convs[int(torch.randint(1, len(convs), ()))]
    mask = torch.zeros(space.size, dtype=torch.bool, device=code.device)
    for layer in space.layers:
        mask[layer.slice] = layer.resolution >= first.resolution and first.start <= layer.start < space.num_styles
    return torch.cat([code.roll(1, dims=0), probs], dim=1), mask.expand(len(code), -1)
