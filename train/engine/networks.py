"""The networks that are trained, and what moves them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Adam

from stylex.model import StylEx
from stylex.networks import kinds
from stylex.networks.config import ModelConfig
from stylex.networks.generator import Synthesis
from stylex.networks.layers import Trunk
from train.engine.grow import grown

NETWORKS = ("generator", "mapping", "encoder", "discriminator")
AVERAGED = ("generator", "mapping", "encoder")
# How the names of weights begin that mean something for the classes of one model alone.
READS_CLASSES = {"generator": "affine.class_weight", "discriminator": "out."}


def build(
    config: ModelConfig, device: torch.device, class_names: list[str], init: StylEx | None = None
) -> dict[str, Any]:
    """All of `NETWORKS`, with random weights or those of `init`, grown to the shapes of `config`.

    Of an `init` with other classes than `class_names` all is taken but what reads them; and no discriminator of another
    kind.
    """
    kind = kinds(config)
    built: dict[str, Any] = {name: kind[name](config) for name in NETWORKS}
    for name, network in built.items():
        known = getattr(init, name, None)
        if init is not None and isinstance(known, kind[name]):
            weights, fresh = known.state_dict(), network.state_dict()
            if init.class_names != class_names and name in READS_CLASSES:
                weights = {k: v for k, v in weights.items() if not k.startswith(READS_CLASSES[name])}
            if (init.resolution, init.config.places) != (config.resolution, config.places):
                weights = grown(weights, init.config, fresh, config)
            network.load_state_dict({**fresh, **weights})
        network.to(device, memory_format=torch.channels_last)
    return built


def optimizers(built: dict[str, Any], rate: float, encoder_rate: float, rate_d: float) -> tuple[Adam, Adam]:
    """One for generator, mapping and encoder, which learns at a rate of its own, and one for the discriminator."""
    adam = partial(Adam, betas=(0.0, 0.99), fused=True)
    groups = [
        {"params": built["generator"].parameters(), "lr": rate},
        {"params": built["mapping"].parameters(), "lr": rate},
        {"params": built["encoder"].parameters(), "lr": encoder_rate},
    ]
    return adam(groups, lr=rate), adam(built["discriminator"].parameters(), lr=rate_d)


def recompute_levels(networks: Iterable[nn.Module]) -> None:
    """From now on, keep nothing of their levels for the backward pass, see `layers.recomputed`."""
    for part in (part for network in networks for part in network.modules()):
        if isinstance(part, (Synthesis, Trunk)):
            part.recompute = True
