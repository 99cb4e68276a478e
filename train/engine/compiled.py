"""The networks of a training step through `torch.compile`."""

from __future__ import annotations

from collections.abc import Iterable

import torch._functorch.config
from torch import nn

# A GPU waits for the host to start thousands of small operations: a graph of them starts at once, and is ready within
# seconds. A processor waits for nobody, and may gain from fewer passes over its memory.
ON_GPU, ON_PROCESSOR = "cudagraphs", "inductor"
COMPILED = ("generator", "encoder", "discriminator")


def backend_for(device: torch.device) -> str:
    return ON_GPU if device.type == "cuda" else ON_PROCESSOR


def compile_networks(networks: Iterable[nn.Module], backend: str) -> None:
    """Compile networks in place: names of weights, averages and what `prepare` has put around them stay.

    Each is compiled at its first pass, once for each way it is called in.
    """
    # What a pass has kept is needed again: the balance of the losses goes back through the networks, and then the step.
    torch._functorch.config.donated_buffer = False
    # The noise is drawn as without, so that both train the same to rounding.
    options = {"fallback_random": True} if backend == ON_PROCESSOR else None
    for network in networks:
        network.compile(backend=backend, dynamic=False, options=options)


def begin_step(device: torch.device) -> None:
    """What the graphs of the last step returned is not needed any more, so that they may write over it; all of one
    step's stays, for the same network runs more than once in it."""
    if device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()
