"""A classifier is trained on, so that it no longer decides by what should be no reason.

Each picture is also shown with that thing as it might as well be, under its own label: then it tells nothing any more.
This knows nothing of generators; it sees pictures, what they look like changed, and labels.
"""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor, nn
from tqdm import tqdm

from stylex.classifiers.classifier import Classifier
from train.classifying.certainty import fit_temperature, logits_of
from train.classifying.descent import Descent, descend
from train.classifying.views import Views, augment
from train.data.pictures import to_float


def apart(first: Tensor, second: Tensor) -> Tensor:
    """How far two answers [N, K] to the same pictures are apart: KL(p || q) + KL(q || p), mean over N."""
    log_p, log_q = first.log_softmax(dim=1), second.log_softmax(dim=1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1).mean()


def retrain(
    classifier: Classifier,
    x: Tensor,
    labels: Tensor,
    changed: Tensor,
    held_out: tuple[Tensor, Tensor],
    views: Views,
    how: Descent,
    *,
    share: float,
    agreement: float = 0.0,
    seed: int = 0,
) -> Classifier:
    """A copy of the classifier that was trained on; the one that is given stays as it is.

    Args:
        x: [N, 3, R, R] uint8, the training pictures, and their labels [N].
        changed: [C, N, 3, R, R] uint8, C changed copies of each.
        held_out: pictures and labels by which the copy's temperature is fitted.
        views: how pictures are moved and recoloured on the way, as in the training of a classifier.
        share: of each batch that is changed pictures.
        agreement: weight of how far apart the answers to a picture and to a changed copy of it are, in the same view.
    """
    torch.manual_seed(seed)
    place = classifier.mean.device
    trained = Classifier(copy.deepcopy(classifier.network), dataclasses.replace(classifier.config, temperature=1.0))
    network = trained.to(place).network
    assert isinstance(network, nn.Module)
    network.requires_grad_(True)

    def shown(rows: Tensor) -> tuple[Tensor, Tensor]:
        other = torch.rand(len(rows)) < share
        which = torch.randint(len(changed), (len(rows),))
        pictures = torch.where(other[:, None, None, None], changed[which, rows], x[rows])
        return augment(to_float(pictures).to(place), views), labels[rows].to(place)

    def disagreement(rows: Tensor) -> Tensor:
        which = torch.randint(len(changed), (len(rows),))
        with torch.random.fork_rng():  # so that the copy gets the same view
            as_it_is = augment(to_float(x[rows]).to(place), views)
        both = torch.cat([as_it_is, augment(to_float(changed[which, rows]).to(place), views)])
        return agreement * apart(*trained(both).chunk(2))

    also = disagreement if agreement else None
    for _ in tqdm(descend(trained, len(x), shown, how, also), desc="repair", total=how.epochs):
        pass
    network.requires_grad_(False)
    temperature = fit_temperature(logits_of(trained, held_out[0]), held_out[1])
    return Classifier(network, dataclasses.replace(trained.config, temperature=temperature)).to(place)
