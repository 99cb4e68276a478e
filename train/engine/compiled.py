"""The networks of a training step through `torch.compile`."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from torch import nn

from stylex.networks.eye import ClassifierFeatures

if TYPE_CHECKING:
    from train.engine.loop import Trainer

BACKEND = "inductor"
COMPILED = ("generator", "encoder", "discriminator")


def compile_networks(trainer: Trainer, backend: str = BACKEND) -> None:
    """Compile generator, encoder, discriminator and the networks that judge, in place: names of weights, averages and
    what `prepare` has put around them stay. Each is compiled at its first pass, once for each way it is called in.

    R1 and the path lengths differentiate twice, which a compiled network cannot; `Trainer.in_full` goes by `forward`,
    which stays as it was. The mapping is too small to gain.
    """
    networks: list[nn.Module] = list(map(trainer.bare, COMPILED))
    # The same weights once more: who looks into the given one by hooks would find nothing once it is compiled.
    trainer.classifier = copy.copy(trainer.classifier)
    networks.append(trainer.classifier)
    if not isinstance(trainer.features, ClassifierFeatures):
        networks.append(trainer.features)
    # The noise is drawn as without, so that both train the same to rounding.
    options = {"fallback_random": True} if backend == BACKEND else None
    for network in networks:
        network.compile(backend=backend, dynamic=False, options=options)
