"""The networks of a training step through `torch.compile`."""

from __future__ import annotations

from collections.abc import Iterable

import torch._functorch.config
from torch import nn

BACKEND = "inductor"
COMPILED = ("generator", "encoder", "discriminator")


def compile_networks(networks: Iterable[nn.Module], backend: str = BACKEND) -> None:
    """Compile networks in place: names of weights, averages and what `prepare` has put around them stay.

    Each is compiled at its first pass, once for each way it is called in.
    """
    # What a pass has kept is needed again: the balance of the losses goes back through the networks, and then the step.
    torch._functorch.config.donated_buffer = False
    # The noise is drawn as without, so that both train the same to rounding.
    options = {"fallback_random": True} if backend == BACKEND else None
    for network in networks:
        network.compile(backend=backend, dynamic=False, options=options)
