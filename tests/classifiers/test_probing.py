"""Preprocessings of torchvision, timm and transformers are read as they are, or refused; compared with the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stylex.classifiers.classifier import Classifier, ClassifierConfig
from stylex.classifiers.probing import Reading, Unlike, measured

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLAIN = ((0.0,) * 3, (1.0,) * 3)
HALF = ((0.5,) * 3, (0.5,) * 3)


def of_transformers(kind: str, **options: Any) -> Callable[[Image.Image], torch.Tensor]:
    transformers = pytest.importorskip("transformers")
    processor = getattr(transformers, kind)(**options)
    return lambda picture: torch.as_tensor(processor(picture, return_tensors="pt")["pixel_values"])[0]


def of_timm(**options: Any) -> Callable[[Image.Image], torch.Tensor]:
    timm = pytest.importorskip("timm")
    cfg = timm.data.resolve_data_config(pretrained_cfg={"input_size": (3, 32, 32), **options})
    return timm.data.create_transform(**cfg)


def of_torchvision(**options: Any) -> Callable[[Image.Image], torch.Tensor]:
    from torchvision.transforms._presets import ImageClassification

    return ImageClassification(**options)


SQUARE = {"height": 32, "width": 32}
SAME: dict[str, tuple[Callable[[], Callable], Reading]] = {
    "ViT without normalisation": (
        lambda: of_transformers("ViTImageProcessor", size=SQUARE, do_normalize=False),
        Reading((32, 32), None, "bilinear", "rgb", *PLAIN),
    ),
    "ViT with levels": (
        lambda: of_transformers("ViTImageProcessor", size=SQUARE, do_normalize=False, do_rescale=False),
        Reading((32, 32), None, "bilinear", "rgb", (0.0,) * 3, (0.00392157,) * 3),
    ),
    "ViT with another factor": (
        lambda: of_transformers("ViTImageProcessor", size=SQUARE, do_normalize=False, rescale_factor=1 / 127.5),
        Reading((32, 32), None, "bilinear", "rgb", (0.0,) * 3, (0.5,) * 3),
    ),
    "ViT oblong": (
        lambda: of_transformers("ViTImageProcessor", size={"height": 32, "width": 48}, resample=3),
        Reading((32, 48), None, "bicubic", "rgb", *HALF),
    ),
    "ViT nearest": (
        lambda: of_transformers("ViTImageProcessor", size=SQUARE, resample=0),
        Reading((32, 32), None, "nearest", "rgb", *HALF),
    ),
    "no size": (
        lambda: of_transformers("ViTImageProcessor", do_resize=False),
        Reading(None, None, "bilinear", "rgb", *HALF),
    ),
    "ConvNeXt cuts though it says no crop": (
        lambda: of_transformers("ConvNextImageProcessor", size={"shortest_edge": 32}),
        Reading((32, 32), (36, 36), "bicubic", "rgb", *HALF),
    ),
    "MobileViT reads blue first": (
        lambda: of_transformers("MobileViTImageProcessor", size={"shortest_edge": 48}, crop_size=SQUARE),
        Reading((32, 32), (48, 48), "bicubic", "bgr", *PLAIN),
    ),
    "EfficientNet divides twice": (
        lambda: of_transformers("EfficientNetImageProcessor", size=SQUARE),
        Reading((32, 32), None, "bicubic", "rgb", (0.5,) * 3, (0.25,) * 3),
    ),
    "EfficientNet with an offset": (
        lambda: of_transformers(
            "EfficientNetImageProcessor", size=SQUARE, rescale_factor=1 / 127.5, rescale_offset=True, include_top=False
        ),
        Reading((32, 32), None, "bicubic", "rgb", (0.75,) * 3, (0.25,) * 3),
    ),
    "timm as it is": (lambda: of_timm(), Reading((32, 32), (36, 36), "bicubic", "rgb", *IMAGENET)),
    "timm squashed": (
        lambda: of_timm(crop_mode="squash", crop_pct=0.8, interpolation="bilinear"),
        Reading((32, 32), (40, 40), "bilinear", "rgb", *IMAGENET),
    ),
    "timm oblong": (
        lambda: of_timm(input_size=(3, 32, 48), crop_pct=1.0, mean=(0.5,) * 3, std=(0.5,) * 3),
        Reading((32, 48), (48, 48), "bicubic", "rgb", *HALF),
    ),
    "torchvision": (
        lambda: of_torchvision(crop_size=32, resize_size=40),
        Reading((32, 32), (40, 40), "bilinear", "rgb", *IMAGENET),
    ),
    "grey in three channels": (
        lambda: lambda picture: of_torchvision(crop_size=32, resize_size=40)(picture.convert("L").convert("RGB")),
        Reading((32, 32), (40, 40), "bilinear", "grey", *IMAGENET),
    ),
    "grey in one": (
        lambda: (
            lambda picture: of_transformers("ViTImageProcessor", size=SQUARE, image_mean=[0.25], image_std=[0.5])(
                picture.convert("L")
            )
        ),
        Reading((32, 32), None, "bilinear", "grey", (0.25,), (0.5,)),
    ),
}


@pytest.mark.parametrize("kind", SAME)
def test_what_a_library_does_to_a_picture_is_measured_and_done_here(kind):
    make, expected = SAME[kind]
    process = make()
    assert measured(process) == expected
    size = expected.size or (64, 64)
    seen: list[torch.Tensor] = []
    reading = {"mean": expected.mean, "std": expected.std, "colours": expected.colours}
    config = ClassifierConfig(
        ("a", "b"), size, "callable", interpolation=expected.interpolation, resize=expected.resize, **reading
    )
    classifier = Classifier(lambda x: seen.append(x) or x.mean(dim=(2, 3))[:, [0, -1]], config)
    for side in (64, 90) if expected.size else (64,):
        picture = Image.effect_mandelbrot((side, side), (-2, -1.5, 1, 1.5), 40).convert("RGB")
        picture = Image.merge("RGB", [picture.getchannel(0), picture.getchannel(1).rotate(90), picture.getchannel(2)])
        classifier(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1)
        levels = (seen[-1][0] - process(picture)) * torch.tensor(expected.std).view(-1, 1, 1) * 255
        assert levels.abs().mean() < 1.5


UNLIKE: dict[str, tuple[Callable[[], Callable], str]] = {
    "a kernel that is not ours": (
        lambda: of_timm(interpolation="lanczos", input_size=(3, 64, 64)),
        "a picture comes out otherwise than brought to 73 x 73, of which 64 x 64 are cut",
    ),
    "a cut that does not grow with the picture": (
        lambda: of_transformers("BitImageProcessor", do_resize=False, crop_size=SQUARE),
        "it cuts a number of pixels out of the middle that is the same for pictures of every size",
    ),
    "a cut that is larger than the picture": (
        lambda: of_transformers("BitImageProcessor", size={"shortest_edge": 24}, crop_size=SQUARE),
        "a picture of one colour comes out in several",
    ),
    "no pixels at all": (
        lambda: of_transformers("ImageGPTImageProcessor", clusters=[[0.0, 0, 0], [1, 1, 1.0]]),
        "it fails on a square picture in RGB",
    ),
    "a mirror": (
        lambda: lambda p: of_torchvision(crop_size=32, resize_size=40)(p).flip(2),
        "mirrored, turned or empty",
    ),
    "a negative": (
        lambda: lambda p: -of_torchvision(crop_size=32, resize_size=40)(p),
        "white does not come out larger",
    ),
    "other channels": (
        lambda: lambda p: of_torchvision(crop_size=32, resize_size=40)(p)[[1, 0, 2]],
        "the channels come out mixed in another way",
    ),
    "a contrast of its own": (
        lambda: lambda p: of_torchvision(crop_size=32, resize_size=40, mean=PLAIN[0], std=PLAIN[1])(p) ** 2,
        "of 255 levels apart",
    ),
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_what_cannot_be_done_here_is_refused(kind):
    make, says = UNLIKE[kind]
    with pytest.raises(Unlike, match=says):
        measured(make())
