"""The networks with weights of ours, and the eye that is lent to them."""

from .component import Component
from .config import ModelConfig
from .discriminator import DISCRIMINATORS
from .encoder import Encoder
from .generator import Generator, Mapping

NAMES = ("generator", "encoder", "mapping", "discriminator")  # each the folder that the network is saved in


def kinds(config: ModelConfig) -> dict[str, type[Component]]:
    """The class of each network of a model of this configuration."""
    found = (Generator, Encoder, Mapping, DISCRIMINATORS[config.discriminator])
    return dict(zip(NAMES, found, strict=True))
