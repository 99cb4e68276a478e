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
from .compare import Comparison, compare
from .explanation import AttributeEdit, Explanation, Method, MethodEdit, Strategy
from .methods.domain import Domain, mix
from .methods.records import Edit, Map, MethodError
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
from .versus import Versus, versus

__all__ = [
    "Attribute",
    "AttributeEdit",
    "Classifier",
    "ClassifierConfig",
    "ClassifierError",
    "Comparison",
    "ConfigError",
    "Direction",
    "Discriminator",
    "Domain",
    "Edit",
    "Encoder",
    "Explanation",
    "Generator",
    "HubError",
    "ImageError",
    "Map",
    "Mapping",
    "Method",
    "MethodEdit",
    "MethodError",
    "ModelConfig",
    "ModelError",
    "ProjectedDiscriminator",
    "Strategy",
    "StylEx",
    "StyleSpace",
    "StyleStats",
    "Versus",
    "__version__",
    "build",
    "compare",
    "effect_table",
    "load_classifier",
    "mix",
    "move",
    "move_together",
    "save_classifier",
    "select_one_vs_rest",
    "select_two_class",
    "subset",
    "versus",
    "wrap",
]
