"""Pictures from which one thing is taken that may go along with their class, and that thing alone, as numbers.

Who still names the class without a thing did not need it; where a linear layer names it from that thing alone, anybody
could have gone by it. Each function takes all pictures x [N, 3, H, W] in [-1, 1] at once, because some things are
replaced by what is usual among them. What is brighter than a dark ground is the *object*; without such a ground that is
the whole picture. Lengths are shares of half a side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

DARK = 24 / 127.5 - 1  # the brightest channel of the ground, at most
LUMA = (0.299, 0.587, 0.114)
INNER = 0.7  # radius of what is the middle
FINE = 1 / 12  # standard deviation of the blur that takes the fine structure
NARROW = 0.85  # of the width
COARSE = 16  # side of an outline as numbers


def object_of(x: Tensor) -> Tensor:
    """Where the object is, [N, 1, H, W] bool."""
    return x.amax(dim=1, keepdim=True) > DARK


def disc(x: Tensor, radius: float = INNER) -> Tensor:
    """The middle of each picture, [1, 1, H, W] bool."""
    height, width = x.shape[-2:]
    down = torch.linspace(-1, 1, height, device=x.device)[:, None]
    right = torch.linspace(-1, 1, width, device=x.device)
    return (down.square() + right.square() <= radius**2)[None, None]


def level(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over each object, [N, 3, 1, 1] each."""
    inside = object_of(x).to(x)
    count = inside.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    mean = (x * inside).sum(dim=(2, 3), keepdim=True) / count
    spread = ((x - mean).square() * inside).sum(dim=(2, 3), keepdim=True) / count
    return mean, spread.sqrt()


def as_they_are(x: Tensor) -> Tensor:
    return x


def without_colour(x: Tensor) -> Tensor:
    grey = (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    return grey.expand_as(x)


def in_one_tone(x: Tensor) -> Tensor:
    """Every object with the mean and spread of each channel that are usual among them."""
    mean, spread = level(x)
    return in_tone(x, mean.mean(dim=0), spread.mean(dim=0))


def in_tone(x: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """Every object with this mean and spread of each channel, [3, 1, 1] each."""
    own_mean, own_spread = level(x)
    toned = (x - own_mean) / own_spread.clamp(min=1e-3) * spread + mean
    return torch.where(object_of(x), toned.clamp(-1, 1), x)


def without_fine(x: Tensor) -> Tensor:
    """Blurred."""
    sigma = FINE * min(x.shape[-2:]) / 2
    return gaussian_blur(x, [2 * math.ceil(3 * sigma) + 1] * 2, [sigma] * 2).clamp(-1, 1)


def narrower(x: Tensor) -> Tensor:
    """Squeezed to NARROW of the width, and dark beside that."""
    width = round(NARROW * x.shape[-1])
    squeezed = F.interpolate(x, size=(x.shape[-2], width), mode="bilinear", antialias=True)
    left = (x.shape[-1] - width) // 2
    return F.pad(squeezed.clamp(-1, 1), (left, x.shape[-1] - width - left), value=-1.0)


def middle_alone(x: Tensor) -> Tensor:
    """Dark outside of the middle: every picture has the same outline."""
    return torch.where(disc(x), x, -1.0)


def without_middle(x: Tensor) -> Tensor:
    """The middle filled with the object's own mean colour."""
    return torch.where(disc(x) & object_of(x), level(x)[0], x)


def outline_alone(x: Tensor) -> Tensor:
    """Every object filled with the colour that is usual among them."""
    return torch.where(object_of(x), level(x)[0].mean(dim=0), x)


# What each leaves, as a table says it.
REMOVALS: dict[str, Callable[[Tensor], Tensor]] = {
    "as they are": as_they_are,
    "without colour": without_colour,
    "all in one tone: the same mean and contrast of each channel": in_one_tone,
    "without fine structure": without_fine,
    f"squeezed to {100 * NARROW:.0f} % of their width": narrower,
    "the middle alone, so without an outline": middle_alone,
    "without the middle": without_middle,
    "the outline alone, in one colour": outline_alone,
}


# The thing alone, as numbers [N, F] for a linear layer.


def tone_numbers(x: Tensor) -> Tensor:
    """Mean and spread of each channel: six."""
    return torch.cat(level(x), dim=1).flatten(1)


def outline_numbers(x: Tensor) -> Tensor:
    """Which share of each of COARSE² cells the object covers."""
    return F.adaptive_avg_pool2d(object_of(x).to(x), COARSE).flatten(1)


def sharpness_numbers(x: Tensor) -> Tensor:
    """How strong fine structure is in each channel: three."""
    return (x - without_fine(x)).square().mean(dim=(2, 3)).sqrt()


CUES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean and contrast of each channel": tone_numbers,
    "the outline": outline_numbers,
    "sharpness of each channel": sharpness_numbers,
}
