"""The frozen networks that look at pictures in training."""

from __future__ import annotations

from torch import nn

from stylex.classifiers.classifier import Classifier
from stylex.networks.config import ModelConfig
from stylex.networks.discriminator import ProjectedDiscriminator
from stylex.networks.eye import EfficientNetLite0, Perceptual, perceptual_features


def eyes(kind: Perceptual, classifier: Classifier, config: ModelConfig) -> tuple[nn.Module, EfficientNetLite0 | None]:
    """The network of the perceptual loss, and the one that a projected discriminator looks through, if it is one.

    One and the same if the loss asks an EfficientNet: then a picture is read once.
    """
    if config.discriminator != "projected":
        return perceptual_features(kind, classifier), None
    eye = EfficientNetLite0(ProjectedDiscriminator.SIDE)
    return (eye if kind == "efficientnet" else perceptual_features(kind, classifier)), eye
