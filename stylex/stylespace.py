"""StyleSpace: every style coordinate of the generator as one flat vector, and what it means to move one.

Convolution coordinates come first, then those of toRGB, and last the places of a generator that has them. The order is
computed from the generator's channels and never written down, so `locate` and `index` are right for every resolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

PLACES, SIDE = "places", 8  # name of the tail of s, and the side of its maps


class Direction(IntEnum):
    """Which end of its range a coordinate moves to."""

    DOWN = 0
    UP = 1

    @property
    def opposite(self) -> Direction:
        return Direction(1 - self)

    @property
    def arrow(self) -> str:
        return "↓↑"[self]


def coordinate(layer: str, channel: int, direction: Direction) -> str:
    """A move of one coordinate, for people to read."""
    return f"{layer} · {channel} {direction.arrow}"


@dataclass(frozen=True)
class StyleLayer:
    """A run of coordinates: what scales the input channels of one layer, or the map of places."""

    name: str
    resolution: int
    start: int
    channels: int

    @property
    def slice(self) -> slice:
        return slice(self.start, self.start + self.channels)


class StyleSpace:
    """Flat index <-> (layer, channel) for a generator with `channels` feature maps at 4x4, 8x8, ...

    Of the `size` coordinates the first `num_conv` belong to convolutions and are searched; with those of toRGB they
    are the `num_styles` that follow from w and the class; the rest are places, which come from the picture as they are.
    """

    def __init__(self, channels: Sequence[int], places: int = 0) -> None:
        sizes = [4 * 2**i for i in range(len(channels))]
        rows = [("4x4/conv", 4, channels[0])]
        for below, here, size in zip(channels, channels[1:], sizes[1:], strict=False):
            rows += [(f"{size}x{size}/conv0", size, below), (f"{size}x{size}/conv1", size, here)]
        self.num_conv = sum(c for _, _, c in rows)
        rows += [(f"{size}x{size}/torgb", size, c) for size, c in zip(sizes, channels, strict=True)]
        self.num_styles = sum(c for _, _, c in rows)
        if places:
            rows.append((PLACES, SIDE, places * SIDE**2))
        self.layers: list[StyleLayer] = []
        self.size = 0
        for name, size, count in rows:
            self.layers.append(StyleLayer(name, size, self.size, count))
            self.size += count
        self._by_name = {layer.name: layer for layer in self.layers}

    def locate(self, index: int) -> tuple[str, int]:
        """Flat index -> (layer name, channel).

        Raises:
            IndexError: if `index` is not in [0, size).
        """
        if not 0 <= index < self.size:
            raise IndexError(f"style coordinate {index} does not exist; this generator has 0 to {self.size - 1}")
        layer = next(layer for layer in self.layers if index < layer.start + layer.channels)
        return layer.name, index - layer.start

    def index(self, layer: str, channel: int) -> int:
        """(layer name, channel) -> flat index.

        Raises:
            KeyError: if there is no such layer.
            IndexError: if the layer has no such channel.
        """
        if layer not in self._by_name:
            raise KeyError(f"no layer {layer!r}; this generator has {', '.join(self._by_name)}")
        found = self._by_name[layer]
        if not 0 <= channel < found.channels:
            raise IndexError(f"{layer} has channels 0 to {found.channels - 1}, not {channel}")
        return found.start + channel


@dataclass(frozen=True)
class StyleStats:
    """How the coordinates vary over the training pictures: each [S], and over how many pictures."""

    s_min: Tensor
    s_max: Tensor
    s_mean: Tensor
    s_std: Tensor
    count: int

    @classmethod
    def of(cls, s: Tensor) -> StyleStats:
        """Statistics of `s` [N, S]."""
        return cls(s.amin(0), s.amax(0), s.mean(0), s.std(0, unbiased=False), s.shape[0])

    @classmethod
    def over(cls, parts: Iterable[Tensor]) -> StyleStats:
        """Statistics of styles that come a few pictures at a time, [n, S]."""
        low = high = total = squares = None
        count = 0
        for s in parts:
            exact = s.double()
            low = s.amin(0) if low is None else torch.minimum(low, s.amin(0))
            high = s.amax(0) if high is None else torch.maximum(high, s.amax(0))
            total = exact.sum(0) if total is None else total + exact.sum(0)
            squares = exact.square().sum(0) if squares is None else squares + exact.square().sum(0)
            count += len(s)
        if low is None or high is None or total is None or squares is None:
            raise ValueError("there are no pictures to take statistics of")
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        return cls(low, high, mean.float(), std.float(), count)


def move(
    s: Tensor, index: int | Tensor, direction: Direction | Tensor, stats: StyleStats, shift: float = 1.0
) -> Tensor:
    """Move one coordinate of each row towards one end of its range.

    s'_i = s_i + shift * (end_i - s_i): 0 stays, 1 arrives at the end, more leaves the range (method of the published
    notebook).

    Args:
        s: [N, S]; not changed.
        index: one coordinate for all rows, or [N] one for each row.
        direction: DOWN towards `s_min`, UP towards `s_max`; one, or [N].
        shift: how far.

    Returns:
        [N, S], a copy.
    """
    rows = torch.arange(s.shape[0], device=s.device)
    index = torch.as_tensor(index, device=s.device).expand(s.shape[0])
    up = torch.as_tensor(direction, device=s.device).expand(s.shape[0]) == Direction.UP
    end = torch.where(up, stats.s_max.to(s)[index], stats.s_min.to(s)[index])
    moved = s.clone()
    moved[rows, index] += shift * (end - s[rows, index])
    return moved


def move_together(s: Tensor, moves: Sequence[tuple[int, Direction]], stats: StyleStats, shift: float = 1.0) -> Tensor:
    """Move several coordinates of every row at once; where one is named twice, the first wins. [N, S] -> [N, S]."""
    first: dict[int, Direction] = {}
    for index, direction in moves:
        first.setdefault(int(index), direction)
    moved = s.clone()
    for index, direction in first.items():
        end = (stats.s_max if direction == Direction.UP else stats.s_min)[index].to(s)
        moved[:, index] += shift * (end - s[:, index])
    return moved


def outside(s: Tensor, stats: StyleStats, searched: int) -> float:
    """The share of the first `searched` coordinates of s [N, S] that lie where none of the pictures has them."""
    beyond = (s < stats.s_min.to(s)) | (s > stats.s_max.to(s))
    return float(beyond[:, :searched].float().mean())
