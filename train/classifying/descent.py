"""Gradient descent on a classifier, half of each batch moved by an attack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylex.classifiers.classifier import Classifier


@dataclass(frozen=True)
class Descent:
    """How far, and how fast.

    Attributes:
        epochs: passes over the pictures.
        batch_size: pictures per step.
        learning_rate: highest rate of the one-cycle schedule.
        weight_decay: of AdamW.
        gradient_norm: at most.
        adversarial: half of each batch is moved by up to so many levels of 255 in the direction that hurts most
            (Wong et al. 2020, "Fast is better than free"), so that a change nobody sees cannot decide. 0: none is.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.02
    gradient_norm: float = 5.0
    adversarial: float = 4.0


def descend(
    classifier: Classifier,
    pictures: int,
    shown: Callable[[Tensor], tuple[Tensor, Tensor]],
    how: Descent,
    also: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[float]:
    """Train those weights of a classifier that want gradients; gives the last loss of each epoch, in eval mode.

    Args:
        pictures: how many there are; a batch that is not full is left out, if there are others.
        shown: numbers of pictures [n] -> the pictures [n, 3, H, W] in [-1, 1] and their labels [n], on the
            classifier's device.
        also: numbers of pictures [n] -> a loss that is added.
    """
    network = classifier.network
    assert isinstance(network, nn.Module)
    tuned = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(tuned, lr=how.learning_rate, weight_decay=how.weight_decay)
    steps = how.epochs * max(1, pictures // how.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, how.learning_rate, total_steps=max(steps, 2))
    for _ in range(how.epochs):
        for index in torch.randperm(pictures).split(how.batch_size):
            if len(index) < how.batch_size <= pictures:
                continue
            x, y = shown(index)
            if how.adversarial:
                half = len(x) // 2
                network.eval()
                x = torch.cat([attack(classifier, x[:half], y[:half], how.adversarial), x[half:]])
            network.train()
            loss = F.cross_entropy(classifier(x), y)
            if also is not None:
                loss = loss + also(index)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(tuned, how.gradient_norm)
            optimizer.step()
            schedule.step()
        network.eval()
        yield loss.item()


def attack(classifier: Classifier, x: Tensor, y: Tensor, levels: float) -> Tensor:
    """One step against the classifier from a random start inside the ball of `levels` of 255."""
    radius = levels / 127.5
    step = (torch.rand_like(x) * 2 - 1) * radius
    step.requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(classifier(x + step), y), step)
    step = (step.detach() + 1.25 * radius * gradient.sign()).clamp(-radius, radius)
    return (x + step).clamp(-1, 1)
