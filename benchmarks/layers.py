"""Other forms of the layers of generator and eye, which give the same: are they faster?

    python benchmarks/layers.py --docs docs

Each layer of a configuration is timed as it is and in another form, in turns, forwards and both ways, by the processor
time of this process: the doubling of the side as one convolution, into whose kernel the blur is folded, with four times
the outputs, one for each pixel of two by two (Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution");
and the layer at 4x4 as a product of matrices. The eye's layers that halve the side, which are padded on one side only,
are timed with a copy that has that border. Before it is timed, a form has to give the same to rounding.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import page
from benchmarks.output import ready
from benchmarks.page import line
from stylex.classifiers.lite import Folded, Lite
from stylex.networks.layers import ModulatedConv2d
from stylex.storage.outputs import OutputError, check_place, put_json
from stylex.terminal import print_anything

Form = Callable[[Tensor], Tensor]
CHANNELS = (192, 192, 160, 64, 32)  # of train/configs/laptop.yaml, whose pictures a step these are, too
PICTURES = 4
EYE = 96  # pixels of the side that the eye sees
REPEATS = 10
HEAD = (
    "| layer | another form | as it is, ms | in that form, ms | times as long "
    "| both ways: as it is, ms | in that form, ms | times as long |"
)


def as_it_is(layer: ModulatedConv2d, x: Tensor) -> Tensor:
    return layer.modulated(x, x.new_ones(x.shape[:2]).float())


def folded(layer: ModulatedConv2d, x: Tensor) -> Tensor:
    """A transposed convolution of stride 2 and the blur behind it, as one convolution of stride 1."""
    out, inside = layer.weight.shape[:2]
    # Both in a row are a kernel of 6x6 on every second pixel: for each pixel of two by two, 3x3 of its taps.
    wide = (layer.weight.flatten(2) @ blurred_taps()).reshape(out, inside, 6, 6)
    kernels = [wide[:, :, 1 - row :: 2, 1 - column :: 2] for row in (0, 1) for column in (0, 1)]
    weight = torch.stack(kernels, dim=1).reshape(4 * out, inside, 3, 3)
    return F.pixel_shuffle(F.conv2d(x * layer.gain, weight.to(x.dtype), padding=1), 2)


@cache
def blurred_taps() -> Tensor:
    """[9, 36] what becomes of each tap of a 3x3 kernel that the blur goes over."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    one = torch.eye(9).reshape(9, 1, 3, 3)
    return F.conv_transpose2d(one, (torch.outer(taps, taps) / 16)[None, None]).flip(2, 3).flatten(1)


def multiplied(layer: ModulatedConv2d, x: Tensor) -> Tensor:
    """A convolution as a product of matrices, each pixel with what it sees as a row."""
    n, _, height, width = x.shape
    seen = F.unfold(x * layer.gain, 3, padding=1).transpose(1, 2)  # [N, H * W, 9 * in]
    y = seen @ layer.weight.flatten(1).t().to(x.dtype)
    return y.transpose(1, 2).reshape(n, -1, height, width)


def bordered(layer: Folded, x: Tensor) -> Tensor:
    """A convolution that halves the side, on a copy with a border, as TensorFlow pads it."""
    less = layer.padding - 1
    x = F.pad(x, (less, layer.padding, less, layer.padding))
    return layer.clip(F.conv2d(x, layer.weight, layer.bias, 2, groups=layer.groups))


class Layer(NamedTuple):
    """What a layer is called, what it reads, and the two forms."""

    name: str
    channels: int
    side: int
    dtype: torch.dtype
    plain: Form
    called: str
    other: Form


def layers(channels: tuple[int, ...], dtype: torch.dtype) -> Iterator[Layer]:
    """Those of the generator, then those of the eye, which sees in single precision."""
    first = ModulatedConv2d(channels[0], channels[0], 3)
    name, other = f"4x4, {channels[0]} to {channels[0]}", partial(multiplied, first)
    yield Layer(name, channels[0], 4, dtype, partial(as_it_is, first), "product of matrices", other)
    for i, (below, here) in enumerate(pairwise(channels)):
        layer, side = ModulatedConv2d(below, here, 3, up=True), 4 * 2**i
        name = f"{side}x{side} to {2 * side}x{2 * side}, {below} to {here}"
        yield Layer(name, below, side, dtype, partial(as_it_is, layer), "blur folded in", partial(folded, layer))
    side = EYE // 2
    for block in Lite().requires_grad_(False).blocks:
        if block.halves:
            halving, wide = block.depthwise, block.depthwise.groups
            name = f"the eye's {side}x{side} to {side // 2}x{side // 2}, {wide}"
            yield Layer(name, wide, side, torch.float32, halving, "copy with a border", partial(bordered, halving))
            side //= 2


def timed(x: Tensor, plain: Form, other: Form, *, back: bool) -> tuple[float, float]:
    """Milliseconds of processor time of two forms, the medians of `REPEATS` turns."""

    def once(form: Form) -> float:
        begun = time.process_time()
        y = form(x)
        if back:
            y.backward(torch.ones_like(y))
        return (time.process_time() - begun) * 1000

    once(plain), once(other)  # what is built at the first call
    turns = [(once(plain), once(other)) for _ in range(REPEATS)]
    return statistics.median(a for a, _ in turns), statistics.median(b for _, b in turns)


def compare(channels: tuple[int, ...], pictures: int, dtype: torch.dtype) -> list[dict[str, Any]]:
    """A row for each layer.

    Raises:
        AssertionError: if a form gives something else.
    """
    rows = []
    for layer in layers(channels, dtype):
        shape = (pictures, layer.channels, layer.side, layer.side)
        x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(layer.other(x), layer.plain(x), rtol=1e-3, atol=1e-4)
        x = x.to(layer.dtype).requires_grad_()
        forwards, both = (timed(x, layer.plain, layer.other, back=back) for back in (False, True))
        rows.append({"layer": layer.name, "form": layer.called, "forwards": forwards, "both": both})
    return rows


def table(rows: list[dict[str, Any]], about: str) -> str:
    lines = [about, "", HEAD, "| --- | --- |" + " ---: |" * 6]
    for row in rows:
        cells = [f"{v:.2f}" for way in ("forwards", "both") for v in (*row[way], row[way][1] / row[way][0])]
        lines.append(line([row["layer"], row["form"], *cells]))
    return "\n".join(lines)


def main(args: list[str] | None = None) -> list[dict[str, Any]]:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, nargs="+", default=list(CHANNELS), help="of the generator, from 4x4 up")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="a step (default %(default)s)")
    parser.add_argument("--precision", choices=("bf16", "no"), default="bf16", help="default %(default)s")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--docs", type=Path, help="folder whose speed.md is written")
    o = parser.parse_args(args)
    ready(parser, o.json)
    try:
        if o.docs:
            check_place(o.docs, "--docs")
            page.read(o.docs / "speed.md", "forms of a layer", "layers")
    except OutputError as error:
        parser.error(str(error))
    torch.manual_seed(0)
    torch.set_num_threads(1)
    dtype = torch.bfloat16 if o.precision == "bf16" else torch.float32
    rows = compare(tuple(o.channels), o.pictures, dtype)
    spoken = str(dtype).removeprefix("torch.")
    text = table(rows, f"{o.pictures} pictures a step, {spoken}; {page.machine()}; {page.today()}.")
    print(text)
    if o.json:
        put_json(o.json, {"layers": rows}, option="--json")
    if o.docs:
        page.write(o.docs / "speed.md", "forms of a layer", "layers", text)
    return rows


if __name__ == "__main__":
    main()
