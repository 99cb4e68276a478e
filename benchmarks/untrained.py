"""A model that took no training, for what takes as long with one that did."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from stylex.classifiers.classifier import ClassifierConfig, build
from stylex.model import StylEx
from stylex.networks.config import ModelConfig
from stylex.stylespace import StyleStats

KNOWN = 32  # pictures at least, over which the coordinates vary


@dataclass(frozen=True)
class Untrained:
    """A model of a preset with random weights and two classes, and styles [N, S] of random pictures."""

    model: StylEx
    s: Tensor
    stats: StyleStats

    @classmethod
    def of(cls, resolution: int, pictures: int, device: str = "cpu") -> Untrained:
        torch.manual_seed(0)
        config = ModelConfig.preset(resolution, 2)
        model = StylEx(config, build(ClassifierConfig(("a", "b"), resolution)))
        torch.nn.init.normal_(model.generator.affine.class_weight)  # zero before training: no two classes would differ
        latent = torch.randn(max(pictures, KNOWN), config.latent_dim)
        latent[:, config.code_dim :] = torch.rand(len(latent), 1).repeat(1, 2).sub(torch.tensor([0.0, 1.0])).abs()
        s = model.to(device).styles(latent.to(device))
        return cls(model, s[:pictures], StyleStats.of(s))
