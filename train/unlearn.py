"""A classifier is trained on, so that it no longer decides by what should be no reason.

Each picture is also shown with that thing as it might as well be, under its own label: then it tells nothing any more.
This knows nothing of generators; it sees pictures, what they look like changed, and labels.
"""

from __future__ import annotations

import copy
import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stylex.classifiers.classifier import Classifier
from train.data.pictures import to_float
from train.train_classifier import Options as Views
from train.train_classifier import attack, augment, fit_temperature, logits_of


def retrain(
    classifier: Classifier,
    x: Tensor,
    labels: Tensor,
    changed: Tensor,
    held_out: tuple[Tensor, Tensor],
    views: Views,
    *,
    share: float,
    epochs: int,
    batch_size: int,
    learning_rate: float,
) -> Classifier:
    """A copy of the classifier that was trained on; the one that is given stays as it is.

    Args:
        x: [N, 3, R, R] uint8, the training pictures, and their labels [N].
        changed: [C, N, 3, R, R] uint8, C changed copies of each.
        held_out: pictures and labels by which the copy's temperature is fitted.
        views: how pictures are moved, recoloured and attacked on the way, as in the training of a classifier.
        share: of each batch that is changed pictures.
        epochs: passes over the training pictures.
        learning_rate: highest rate of the one-cycle schedule.
    """
    torch.manual_seed(views.seed)
    place = classifier.mean.device
    trained = Classifier(copy.deepcopy(classifier.network), dataclasses.replace(classifier.config, temperature=1.0))
    network = trained.to(place).network
    assert isinstance(network, nn.Module)
    tuned = list(network.requires_grad_(True).parameters())
    optimizer = torch.optim.AdamW(tuned, lr=learning_rate, weight_decay=views.weight_decay)
    steps = epochs * max(1, len(x) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=max(steps, 2))
    for _ in tqdm(range(epochs), desc="repair"):
        for rows in torch.randperm(len(x)).split(batch_size):
            if len(rows) < batch_size <= len(x):
                continue
            other = torch.rand(len(rows)) < share
            which = torch.randint(len(changed), (len(rows),))
            shown = torch.where(other[:, None, None, None], changed[which, rows], x[rows])
            pictures, y = augment(to_float(shown).to(place), views), labels[rows].to(place)
            if views.adversarial:
                half = len(pictures) // 2
                network.eval()
                hurt = attack(trained, pictures[:half], y[:half], views.adversarial)
                pictures = torch.cat([hurt, pictures[half:]])
            network.train()
            loss = F.cross_entropy(trained(pictures), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(tuned, 5.0)
            optimizer.step()
            schedule.step()
        network.eval()
    network.requires_grad_(False)
    temperature = fit_temperature(logits_of(trained, held_out[0]), held_out[1])
    return Classifier(network, dataclasses.replace(trained.config, temperature=temperature)).to(place)
