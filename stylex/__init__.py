"""StylEx: see what an image classifier looks at. Everything a user imports comes from here."""

from .attfind.effects import Attribute, effect_table, subset
from .attfind.selection import select_one_vs_rest, select_two_class
from .classifiers.classifier import (
    Classifier,
    ClassifierConfig,
    ClassifierError,
    build,
    load_classifier,
    save_classifier,
    wrap,
)
from .explanation import AttributeEdit, Explanation, Strategy
from .model import StylEx
from .networks.config import ConfigError, ModelConfig
from .networks.discriminator import Discriminator, ProjectedDiscriminator
from .networks.encoder import Encoder
from .networks.generator import Generator, Mapping
from .pictures.images import ImageError
from .storage.files import ModelError
from .storage.hub import HubError
from .stylespace import Direction, StyleSpace, StyleStats, move, move_together
from .version import __version__

__all__ = [
    "Attribute",
    "AttributeEdit",
    "Classifier",
    "ClassifierConfig",
    "ClassifierError",
    "ConfigError",
    "Direction",
    "Discriminator",
    "Encoder",
    "Explanation",
    "Generator",
    "HubError",
    "ImageError",
    "Mapping",
    "ModelConfig",
    "ModelError",
    "ProjectedDiscriminator",
    "Strategy",
    "StylEx",
    "StyleSpace",
    "StyleStats",
    "__version__",
    "build",
    "effect_table",
    "load_classifier",
    "move",
    "move_together",
    "save_classifier",
    "select_one_vs_rest",
    "select_two_class",
    "subset",
    "wrap",
]
