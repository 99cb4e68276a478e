"""What changes between two pictures, measured as plain statements: each true or not of every pair.

Pairs are x, y [N, 3, H, W] in [-1, 1], without and with an edit. A statement has a strength [N]: at 1 a person could
say it, above that more so, below it is not true. Lengths are in shares of a side, so that any resolution does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Kind = Literal["light", "colour", "texture", "shape", "place"]

SEEN = 3.0  # CIELAB units; a little above a difference that is just noticed
SEEN_SHARE = 0.01  # of the pixels have to change by that, or nothing is true of a pair
ALIGNED = 0.6  # share of the change that goes one way, for that way to be its name
TEXTURE = 1.25  # ratio of fine contrast
MARKS = 0.75  # CIELAB lightness by which small dark or light marks grow, on average over what changes
GROWN = 1.06  # ratio of areas, widths and heights
OUTLINE = 1.15  # ratio of outline² / area
MOVED = 0.025  # of the side
# Hues of CIELAB in degrees by the word for becoming more like it, and how far from one a colour may be: they overlap.
WINDOW = 35.0
HUES = {
    "redder": 30.0,
    "more orange": 62.0,
    "more yellow": 95.0,
    "greener": 140.0,
    "more turquoise": 200.0,
    "bluer": 275.0,
    "more purple": 325.0,
}


@dataclass(frozen=True)
class Trait:
    """One statement, and how strongly it is true of each pair: [N], from 1 on it is."""

    text: str
    kind: Kind
    strength: Tensor

    @property
    def true(self) -> Tensor:
        return self.strength >= 1


def traits(x: Tensor, y: Tensor) -> list[Trait]:
    """Every statement that is tried, in a fixed order."""
    a, b = lab(x), lab(y)
    change = (b - a).square().sum(dim=1).sqrt()  # [N, H, W]
    changed = change >= SEEN
    seen = changed.float().mean(dim=(1, 2)) >= SEEN_SHARE
    weight = change * changed
    found = [*_colours(a, b, weight), *_textures(a[:, 0], b[:, 0], changed), *_shapes(a, b), *_places(a, weight)]
    return [Trait(t.text, t.kind, torch.where(seen, t.strength, 0)) for t in found]


def lab(x: Tensor) -> Tensor:
    """sRGB in [-1, 1] -> CIELAB of the white D65 (IEC 61966-2-1, CIE 1976): L from 0 to 100, a and b around 0."""
    rgb = (x.float().clamp(-1, 1) + 1) / 2
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    to_xyz = torch.tensor(matrix, device=x.device)
    xyz = torch.einsum("ij,njhw->nihw", to_xyz / to_xyz.sum(dim=1, keepdim=True), linear)
    f = torch.where(xyz > (6 / 29) ** 3, xyz.clamp(min=1e-6) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return torch.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], dim=1)


# Colour.


def _colours(a: Tensor, b: Tensor, weight: Tensor) -> Iterator[Trait]:
    """Lighter or darker; and what becomes of the colour beyond that: greyer, or nearer to a hue.

    A colour that is only dimmed keeps its hue and its saturation, so what it would be when dimmed alone is what the new
    one is compared with.
    """
    dimmed = (b[:, :1].clamp(min=5) / a[:, :1].clamp(min=5)).clamp(0.3, 3)
    tint = b[:, 1:] - a[:, 1:] * dimmed
    light, lightness = _mean((b - a)[:, :1], weight)[:, 0], _mean((b - a)[:, :1].abs(), weight)[:, 0]
    red, yellow = _mean(tint, weight).unbind(dim=1)
    hue = _mean(tint.norm(dim=1, keepdim=True), weight)[:, 0]
    fades = _mean((a[:, 1:] * dimmed).norm(dim=1, keepdim=True) - b[:, 1:].norm(dim=1, keepdim=True), weight)[:, 0]
    lighter, darker, greyer = _one_way(light, lightness), _one_way(-light, lightness), _one_way(fades, hue)
    yield Trait("lighter", "light", lighter)
    yield Trait("darker", "light", darker)
    yield Trait("greyer", "colour", greyer)
    after = _mean(b[:, 1:], weight)
    becomes, way = torch.atan2(after[:, 1], after[:, 0]), torch.atan2(yellow, red)
    much = torch.where(greyer >= 1, 0, _one_way(torch.hypot(red, yellow), hue))
    for word, degrees in HUES.items():
        # A colour is named by what it becomes: a green that turns to olive is more yellow, though red was added.
        apart = torch.rad2deg(_angle(becomes - math.radians(degrees)))
        nearer = torch.cos(way - math.radians(degrees)) > 0.05
        strength = torch.where((apart <= WINDOW) & nearer, much, 0)
        if word == "more orange":
            brown = torch.minimum(strength, darker)
            yield Trait("browner", "colour", brown)  # the word for a dark orange
            strength = torch.where(brown >= 1, 0, strength)
        yield Trait(word, "colour", strength)


def _angle(radians: Tensor) -> Tensor:
    """Between 0 and pi, whichever way around."""
    return torch.atan2(radians.sin(), radians.cos()).abs()


def _one_way(value: Tensor, of: Tensor) -> Tensor:
    """The strength of what is seen, and is most of what it is a part of."""
    share = value / of.clamp(min=1e-6) / ALIGNED
    return torch.where(share >= 1, value / SEEN, torch.minimum(value / SEEN, share))


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """[N, C, H, W], weighted [N, H, W] -> [N, C]."""
    total = weight.sum(dim=(1, 2)).clamp(min=1e-6)
    return (values * weight[:, None]).sum(dim=(2, 3)) / total[:, None]


# Texture.


def _textures(a: Tensor, b: Tensor, changed: Tensor) -> Iterator[Trait]:
    """Fine contrast, and small marks darker or lighter than what is around them, where the picture changes."""
    side = a.shape[-1]
    here = _grown(changed.float(), max(1, side // 32))

    def mean(values: Tensor) -> Tensor:
        return (values * here).sum(dim=(1, 2)) / here.sum(dim=(1, 2)).clamp(min=1)

    ratio = (mean((b - _smooth(b)).abs()) + 0.5) / (mean((a - _smooth(a)).abs()) + 0.5)
    more = ratio.log() / math.log(TEXTURE)
    dark, light = (mean(f(b) - f(a)) for f in (_dark_marks, _light_marks))
    yield Trait("more dark marks", "texture", torch.minimum(dark / MARKS, _ahead(dark, light)))
    yield Trait("fewer dark marks", "texture", torch.minimum(-dark / MARKS, _ahead(-dark, -light)))
    yield Trait("more light marks", "texture", torch.minimum(light / MARKS, _ahead(light, dark)))
    yield Trait("fewer light marks", "texture", torch.minimum(-light / MARKS, _ahead(-light, -dark)))
    yield Trait("rougher", "texture", more)
    yield Trait("smoother", "texture", -more)


def _ahead(this: Tensor, other: Tensor) -> Tensor:
    """From 1 on, this is at least twice the other."""
    return torch.where(this > 0, this / (2 * other.clamp(min=0)).clamp(min=1e-6), 0)


def _smooth(x: Tensor) -> Tensor:
    """Over about a twelfth of the side."""
    r = max(1, x.shape[-1] // 24)
    return F.avg_pool2d(F.pad(x[:, None], (r, r, r, r), "replicate"), 2 * r + 1, stride=1)[:, 0]


def _grown(x: Tensor, r: int) -> Tensor:
    return F.max_pool2d(x[:, None], 2 * r + 1, stride=1, padding=r)[:, 0]


def _shrunk(x: Tensor, r: int) -> Tensor:
    return -_grown(-x, r)


def _dark_marks(x: Tensor) -> Tensor:
    """How much darker than a place without small marks: closing minus picture (the black top-hat)."""
    r = max(1, x.shape[-1] // 32)
    return _shrunk(_grown(x, r), r) - x


def _light_marks(x: Tensor) -> Tensor:
    return _dark_marks(-x)


# Size and shape of what stands before the background.


def object_of(a: Tensor, like: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The object of each picture a [N, 3, H, W] in CIELAB: what differs from the colour along the picture's border.

    Args:
        like: the picture whose border to take; none for its own.

    Returns:
        [N, H, W] bool, and [N] bool whether it can be told apart: the border is of one colour, and the object neither a
        speck nor almost everything.
    """
    source = a if like is None else like
    side = source.shape[-1]
    ring = torch.ones(side, side, dtype=torch.bool, device=a.device)
    r = max(1, side // 16)
    ring[r:-r, r:-r] = False
    border = source[:, :, ring]  # [N, 3, P]
    middle = border.median(dim=2).values
    spread = (border - middle[..., None]).square().sum(dim=1).sqrt().median(dim=1).values
    far = (3 * spread).clamp(min=12)
    distance = (a - middle[..., None, None]).square().sum(dim=1).sqrt()
    mask = distance > far[:, None, None]
    mask = F.avg_pool2d(mask[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0.5  # without single pixels
    share = mask.float().mean(dim=(1, 2))
    return mask, (spread < 12) & (share > 0.08) & (share < 0.85)


def _shapes(a: Tensor, b: Tensor) -> Iterator[Trait]:
    before, clear = object_of(a)
    after, still = object_of(b, like=a)
    known = clear & still

    def grows(this: Tensor, that: Tensor, at: float) -> Tensor:
        return torch.where(known, (this.clamp(min=1e-6) / that.clamp(min=1e-6)).log() / math.log(at), 0)

    def both(text: str, other: str, strength: Tensor) -> Iterator[Trait]:
        yield Trait(text, "shape", strength)
        yield Trait(other, "shape", -strength)

    yield from both("larger object", "smaller object", grows(_area(after), _area(before), GROWN))
    (x0, y0), (x1, y1) = _centre(before), _centre(after)
    (w0, h0), (w1, h1) = _extent(before), _extent(after)
    yield from both("wider object", "narrower object", grows(w1 / h1, w0 / h0, GROWN))
    yield from both("ragged outline", "rounder outline", grows(_raggedness(after), _raggedness(before), OUTLINE))
    yield from both("moved right", "moved left", torch.where(known, (x1 - x0) / MOVED, 0))
    yield from both("moved down", "moved up", torch.where(known, (y1 - y0) / MOVED, 0))


def _area(mask: Tensor) -> Tensor:
    return mask.float().mean(dim=(1, 2))


def _centre(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row in shares of the side."""
    m, at = mask.float(), torch.linspace(0, 1, mask.shape[-1], device=mask.device)
    total = m.sum(dim=(1, 2)).clamp(min=1)
    return (m * at).sum(dim=(1, 2)) / total, (m * at[:, None]).sum(dim=(1, 2)) / total


def _extent(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Spread over columns and rows: the standard deviation, in shares of the side."""
    m, at = mask.float(), torch.linspace(0, 1, mask.shape[-1], device=mask.device)
    total, (x, y) = m.sum(dim=(1, 2)).clamp(min=1), _centre(mask)
    columns = (m * (at - x[:, None, None]) ** 2).sum(dim=(1, 2)) / total
    rows = (m * (at[:, None] - y[:, None, None]) ** 2).sum(dim=(1, 2)) / total
    return columns.sqrt().clamp(min=1e-3), rows.sqrt().clamp(min=1e-3)


def _raggedness(mask: Tensor) -> Tensor:
    """Outline² / area, of pixels on the outline."""
    inside = _shrunk(mask.float(), 1)
    return (mask.float() - inside).sum(dim=(1, 2)).square() / mask.float().sum(dim=(1, 2)).clamp(min=1)


# Place.


def _places(a: Tensor, weight: Tensor) -> Iterator[Trait]:
    """Where most of the change is; the narrow places before the wide."""
    side = weight.shape[-1]
    energy = weight / weight.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    at = (torch.arange(side, device=a.device) + 0.5) / side
    column, row = at.expand(side, side), at[:, None].expand(side, side)

    def within(mask: Tensor) -> Tensor:
        return (energy * mask).sum(dim=(1, 2))

    for high, vertical in (("top", row < 0.5), ("bottom", row >= 0.5)):
        for wide, horizontal in (("left", column < 0.5), ("right", column >= 0.5)):
            yield Trait(f"at the {high} {wide}", "place", within(vertical & horizontal) / 0.6)
    middle = (column - 0.5).abs().maximum((row - 0.5).abs()) < 0.25
    yield Trait("in the middle", "place", within(middle) / 0.6)
    yield Trait("near the border", "place", within((column - 0.5).abs().maximum((row - 0.5).abs()) > 0.375) / 0.65)
    for text, half in (
        ("at the top", row < 0.5),
        ("at the bottom", row >= 0.5),
        ("on the left", column < 0.5),
        ("on the right", column >= 0.5),
    ):
        yield Trait(text, "place", within(half) / 0.75)
    mask, known = object_of(a)
    r = max(1, side // 24)
    rim = (_grown(mask.float(), r) - _shrunk(mask.float(), r)) > 0
    inside = mask & ~rim
    outside = ~mask & ~rim

    def mostly(part: Tensor) -> Tensor:
        """Most of the change, and clearly more of it than of the object, its rim and what is around."""
        share, dense = within(part), within(part) / part.float().mean(dim=(1, 2)).clamp(min=1e-3)
        of = (mask | rim).float().mean(dim=(1, 2)).clamp(min=1e-3)  # evenly over the object and its rim: 1 / of
        return torch.where(known, torch.minimum(share / 0.5, dense * of / 1.3), 0)

    yield Trait("along the outline", "place", mostly(rim))
    yield Trait("within the outline", "place", mostly(inside))
    yield Trait("in the background", "place", torch.where(known, within(outside) / 0.6, 0))
    yield Trait("all over", "place", (weight > 0).float().mean(dim=(1, 2)) / 0.6)
