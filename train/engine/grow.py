"""A model of fewer pixels as the beginning of one of more, and one without places as that of one with them.

What a model draws and says stays as it is, for what is added changes nothing at first (Chen et al. 2016, "Net2Net:
Accelerating Learning via Knowledge Transfer", section 2; that the finer levels come later is from Karras et al. 2018,
"Progressive Growing of GANs"). So what takes many pictures to learn, what a class looks like, is learnt where pictures
are cheap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from stylex.networks.config import ModelConfig
from stylex.stylespace import StyleSpace


def grown(
    known: Mapping[str, Tensor], small: ModelConfig, fresh: Mapping[str, Tensor], config: ModelConfig
) -> dict[str, Tensor]:
    """The weights of a network of `config` that does what one of `small`, a lower resolution, does with `known`.

    Its picture is that of `small`, enlarged; what it reads in a picture is what `small` reads in it at half the side;
    places that `small` has not are said and not listened to. Where nothing follows from that, or from `known`, which
    may lack what reads other classes, it is as in `fresh`, a network of `config` as it is made.
    """
    more = len(config.channels) - len(small.channels)
    weights = dict(fresh)
    for name, value in known.items():
        weights[_moved(name, more)] = value
    if config.places and not small.places:
        for name in (n for n in fresh if n.startswith("synthesis.gates.")):
            weights[name] = torch.zeros_like(fresh[name])  # open everywhere alike
    if (last := f"layers.{config.mapping_layers - 1}") + ".weight" in known:
        for name in (f"{last}.weight", f"{last}.bias"):
            weights[name] = torch.cat([known[name], fresh[name][len(known[name]) :]])
    if "affine.w.weight" in known:
        _grow_rows(weights, known, fresh, StyleSpace(small.channels), StyleSpace(config.channels))
        for i in range(len(small.channels), len(config.channels)):
            weights[f"synthesis.to_rgb.{i}.conv.weight"] = torch.zeros_like(fresh[f"synthesis.to_rgb.{i}.conv.weight"])
    if "trunk.from_rgb.weight" in known:
        _grow_trunk(weights, known, fresh, config.trunk_channels[-more - 1 :][::-1])
    return weights


def _moved(name: str, more: int) -> str:
    """Levels of a trunk are counted from the picture on."""
    return re.sub(r"^trunk\.blocks\.(\d+)", lambda m: f"trunk.blocks.{int(m[1]) + more}", name)


def _grow_rows(
    weights: dict[str, Tensor],
    known: Mapping[str, Tensor],
    fresh: Mapping[str, Tensor],
    before: StyleSpace,
    after: StyleSpace,
) -> None:
    """Each style coordinate keeps what it follows, wherever it stands now."""
    for name in (n for n in known if n.startswith("affine.")):
        weights[name] = fresh[name].clone()
        for layer in before.layers:
            start = after.index(layer.name, 0)
            weights[name][start : start + layer.channels] = known[name][layer.slice]


def _grow_trunk(
    weights: dict[str, Tensor], known: Mapping[str, Tensor], fresh: Mapping[str, Tensor], sides: tuple[int, ...]
) -> None:
    """What the finest level saw is seen at the new finest, and handed down by levels whose other way is closed.

    `sides` are the channels from the new finest level to what was the finest.
    """
    for part in ("weight", "bias"):
        value = fresh[f"trunk.from_rgb.{part}"].clone()
        old = known[f"trunk.from_rgb.{part}"]
        value[: len(old)] = old
        weights[f"trunk.from_rgb.{part}"] = value
    for i, (finer, coarser) in enumerate(pairwise(sides)):
        block = f"trunk.blocks.{i}"
        for name in (f"{block}.conv1.weight", f"{block}.conv1.bias"):
            weights[name] = torch.zeros_like(fresh[name])
        # The equalised layer divides by the root of its fan-in, and halves the energy for the sum of both ways.
        straight = torch.eye(coarser, finer) * (2 * finer) ** 0.5
        weights[f"{block}.skip.weight"] = straight[:, :, None, None].to(fresh[f"{block}.skip.weight"])
