"""The networks that are trained, and what moves them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.optim import Adam

from stylex.model import StylEx
from stylex.networks.config import ModelConfig
from stylex.networks.discriminator import Discriminator
from stylex.networks.encoder import Encoder
from stylex.networks.generator import Generator, Mapping

NETWORKS = ("generator", "mapping", "encoder", "discriminator")
AVERAGED = ("generator", "mapping", "encoder")
# The weights that mean something for the classes of one model alone.
READS_CLASSES = {"generator": {"affine.class_weight"}, "discriminator": {"out.weight", "out.bias"}}


def build(
    config: ModelConfig, device: torch.device, class_names: list[str], init: StylEx | None = None
) -> dict[str, Any]:
    """All of `NETWORKS`, with random weights or those of `init`.

    Of an `init` with other classes than `class_names` all is taken but what reads them.
    """
    built: dict[str, Any] = {
        "generator": Generator(config),
        "mapping": Mapping(config),
        "encoder": Encoder(config),
        "discriminator": Discriminator(config),
    }
    for name, network in built.items():
        if init is not None and getattr(init, name) is not None:
            weights = getattr(init, name).state_dict()
            if init.class_names != class_names:
                weights |= {k: v for k, v in network.state_dict().items() if k in READS_CLASSES.get(name, ())}
            network.load_state_dict(weights)
        network.to(device, memory_format=torch.channels_last)
    return built


def optimizers(built: dict[str, Any], rate: float, encoder_rate: float) -> tuple[Adam, Adam]:
    """One for generator, mapping and encoder, which learns at a rate of its own, and one for the discriminator."""
    adam = partial(Adam, betas=(0.0, 0.99), fused=True)
    groups = [
        {"params": built["generator"].parameters(), "lr": rate},
        {"params": built["mapping"].parameters(), "lr": rate},
        {"params": built["encoder"].parameters(), "lr": encoder_rate},
    ]
    return adam(groups, lr=rate), adam(built["discriminator"].parameters(), lr=rate)
