"""What a classifier is shown of a picture while it learns: the picture moved, recoloured and made grainy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from train.engine.augment import flip, jitter, zoom
from train.options.choices import Flips


@dataclass(frozen=True)
class Views:
    """How far pictures are changed; every one gets its own draw.

    Attributes:
        flips: none, horizontal or dihedral (mirrors and quarter turns).
        brightness, contrast, saturation: largest relative changes.
        hue: largest turn, as a share of the colour circle.
        zoom: largest relative change of size.
        turn: largest turn in degrees.
        translate: largest move, as a share of the side.
        noise: standard deviation of grain, in levels of 255.
    """

    flips: Flips = "horizontal"
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.05
    zoom: float = 0.2
    turn: float = 15.0
    translate: float = 0.1
    noise: float = 4.0


def augment(x: Tensor, views: Views) -> Tensor:
    """Pictures [N, 3, H, W] in [-1, 1], each as it might as well have been taken."""
    x = zoom(flip(x, views.flips), views.zoom, views.turn, views.translate)
    x = jitter(x, views.brightness, views.contrast, views.saturation, views.hue)
    grain = torch.rand(x.shape[0], 1, 1, 1, device=x.device) * (views.noise / 127.5)
    return (x + torch.randn_like(x) * grain).clamp(-1, 1)
