"""How somebody's preprocessing reads a picture, found by trying it: the size, the part, the kernel, the colours.

Libraries have dozens of image processors, each with switches of its own. What almost all of them do to a square
picture is one thing: bring it to a size, cut out the middle, and change each channel by a factor and an offset. That is
measured here on a few drawn pictures, and compared on others. What does something else is refused, never approximated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .config import ClassifierError
from .reading import LUMA, Colours, Interpolation, Size, coloured, sized

Process = Callable[[Image.Image], Tensor]
# Sides of the drawn pictures: two, for what depends on the side of a picture is no size of the network.
SIDES = (256, 320)
COLOURS = {"black": (0, 0, 0), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
# Greatest mean difference to what the library makes of a picture in [0, 1]: a level and a half of 255, for it rounds.
SAME = 1.5 / 255
TOLERANCE = 0.02  # of a colour's factor: levels are rounded


class Unlike(ValueError):
    """A preprocessing that does more than `sized` and `coloured` can; the message says what."""


@dataclass(frozen=True)
class Reading:
    """What was measured; see `ClassifierConfig`. `size` is None where a picture keeps the size that it has."""

    size: Size | None
    resize: Size | None
    interpolation: Interpolation
    colours: Colours
    mean: tuple[float, ...]
    std: tuple[float, ...]


def measured(process: Process) -> Reading:
    """How `process`, from a square RGB picture to [C, h, w], reads it.

    Raises:
        Unlike: if it is not a size, a cut from the middle, and a factor and offset of each channel.
    """
    colours, mean, std = _colours(process)
    shapes = [_run(process, _plain(side, (0, 0, 0))).shape[-2:] for side in SIDES]
    if all(tuple(shape) == (side, side) for shape, side in zip(shapes, SIDES, strict=True)):
        return Reading(None, None, "bilinear", colours, mean, std)
    if shapes[0] != shapes[1]:
        raise Unlike(
            f"a picture of {SIDES[0]} px comes out as {list(shapes[0])}, one of {SIDES[1]} px as {list(shapes[1])}"
        )
    size = (int(shapes[0][0]), int(shapes[0][1]))

    def levels(picture: Image.Image) -> Tensor:
        """What it makes of a picture, back in [0, 1]."""
        scale, offset = (torch.tensor(v).view(-1, 1, 1) for v in (std, mean))
        return _run(process, picture) * scale + offset

    def ours(picture: Image.Image, resize: Size, interpolation: Interpolation) -> Tensor:
        x = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 127.5 - 1
        return (coloured(sized(x, size, resize, interpolation), colours, len(mean))[0] + 1) / 2

    ramps = {side: levels(_ramps(side)) for side in SIDES}
    rough = {side: levels(_rough(side)) for side in SIDES}
    rises = [_whole(ramp, colours) for ramp in ramps.values()]
    if any(abs(a - b) > 1 + 0.02 * a for a, b in zip(*rises, strict=True)):
        raise Unlike("it cuts a number of pixels out of the middle that is the same for pictures of every size")

    def off(resize: Size) -> float:
        side = SIDES[0]
        return _difference({side: ramps[side]}, lambda side: ours(_ramps(side), resize, "bilinear"))

    # The kernel hardly matters on a ramp, nor the last pixel of a size on noise: one after the other.
    heights, widths = (_around(rises[0][i], size[i]) for i in (0, 1))
    resize = min(((n, n) for n in heights if n >= max(size)), key=off, default=None)
    if resize is None or off(resize) > SAME:
        width = min(widths, key=lambda n: off((heights[len(heights) // 2], n)))
        resize = (min(heights, key=lambda n: off((n, width))), width)
    kernels: dict[Interpolation, float] = {
        kernel: _difference(rough, lambda side, kernel=kernel: ours(_rough(side), resize, kernel))  # type: ignore[misc]
        for kernel in get_args(Interpolation)
    }
    interpolation = min(kernels, key=kernels.__getitem__)
    apart = max(kernels[interpolation], _difference(ramps, lambda side: ours(_ramps(side), resize, interpolation)))
    if apart > SAME:
        raise Unlike(
            f"a picture comes out otherwise than brought to {resize[0]} x {resize[1]}, of which {size[0]} x {size[1]} "
            f"are cut out of the middle: {apart * 255:.1f} of 255 levels apart"
        )
    return Reading(size, None if resize == size else resize, interpolation, colours, mean, std)


def _run(process: Process, picture: Image.Image) -> Tensor:
    try:
        output = process(picture)
    except Exception as error:  # whatever a library does with a picture that it does not like
        raise Unlike(f"it fails on a square picture in RGB ({' '.join(str(error).split())[:150]})") from None
    if output.ndim != 3 or len(output) not in (1, 3):
        raise Unlike(f"a picture comes out with the shape {list(output.shape)}")
    return output.float()


def _colours(process: Process) -> tuple[Colours, tuple[float, ...], tuple[float, ...]]:
    """Order of the channels, mean and std, from pictures of one colour."""
    seen = {}
    for name, colour in COLOURS.items():
        output = _run(process, _plain(SIDES[0], colour))
        seen[name] = output.mean(dim=(1, 2))
        if (output - seen[name].view(-1, 1, 1)).abs().max() > 1e-3 * seen[name].abs().max().clamp(min=1e-3):
            raise Unlike("a picture of one colour comes out in several")
    black, factor = seen["black"], seen["white"] - seen["black"]
    if (factor <= 0).any():
        raise Unlike("white does not come out larger than black in every channel")
    share = torch.stack([(seen[name] - black) / factor for name in ("red", "green", "blue")], dim=1)  # [C, 3]
    expected: dict[Colours, Tensor] = {
        "rgb": torch.eye(3),
        "bgr": torch.eye(3).flip(0),
        "grey": torch.tensor(LUMA).expand(len(share), 3),
    }
    for colours, mixed in expected.items():
        if mixed.shape == share.shape and (share - mixed).abs().max() < TOLERANCE:
            return colours, _numbers(-black / factor), _numbers(1 / factor)
    raise Unlike("the channels come out mixed in another way than red, green and blue, their reverse, or grey")


def _numbers(values: Tensor) -> tuple[float, ...]:
    """As a person wrote them: single precision has seven digits."""
    return tuple(float(f"{v:.6g}") + 0.0 for v in values.tolist())


def _whole(ramp: Tensor, colours: Colours) -> tuple[float, float]:
    """Height and width of the whole picture, from how fast its ramps rise in the part that is left.

    Each rises by one over the whole picture; in grey, by as much as there is of it.
    """
    down, across, weights = ramp[-1], ramp[0], (1.0, 1.0)
    if colours == "bgr":
        down, across = across, down
    elif colours == "grey":
        red, green, blue = LUMA
        down, weights = across, (blue + green / 2, red + green / 2)
    rises = (_rise(down.mean(dim=1)), _rise(across.mean(dim=0)))
    if min(rises) <= 0:
        raise Unlike("a picture comes out mirrored, turned or empty")
    return weights[0] / rises[0], weights[1] / rises[1]


def _rise(line: Tensor) -> float:
    """Slope of a line [n] by each pixel, without what its ends do."""
    inner = line[2:-2] if len(line) >= 16 else line
    position = torch.arange(len(inner), dtype=torch.float32)
    position -= position.mean()
    return float((position * (inner - inner.mean())).sum() / (position**2).sum())


def _around(value: float, least: int) -> list[int]:
    middle = round(value)
    reach = 2 + round(value / 100)
    return [n for n in range(middle - reach, middle + reach + 1) if n >= least] or [least]


def _difference(theirs: dict[int, Tensor], ours: Callable[[int], Tensor]) -> float:
    return max(float((output - ours(side)).abs().mean()) for side, output in theirs.items())


def _plain(side: int, colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (side, side), colour)


def _ramps(side: int) -> Image.Image:
    """Red rises to the right, blue downwards, green along both."""
    rise = (np.arange(side) + 0.5) / side
    across, down = np.broadcast_to(rise, (side, side)), np.broadcast_to(rise[:, None], (side, side))
    return _drawn([across, (across + down) / 2, down])


def _rough(side: int) -> Image.Image:
    """Squares of a few pixels in all colours, the same on every machine."""
    y, x = np.mgrid[:side, :side] // 5
    return _drawn([(x * a + y * b + x * y * c) % 7 / 6 for a, b, c in ((3, 5, 1), (2, 3, 4), (6, 1, 2))])


def _drawn(channels: list[np.ndarray]) -> Image.Image:
    """From [0, 1]."""
    return Image.fromarray((np.stack(channels, axis=-1) * 255 + 0.5).astype(np.uint8))


def refused(where: str, error: Unlike) -> ClassifierError:
    """In one sentence, with the way out."""
    return ClassifierError(
        f"{where} reads pictures in a way that cannot be followed here: {error}. Give a function of yours instead, "
        "package.module:function, that returns a network which does this itself"
    )
