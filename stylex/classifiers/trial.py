"""Before anything is trained: does a classifier answer, steadily, and with a gradient?"""

from __future__ import annotations

import torch
from torch import Tensor

from ..gradients import differentiable
from .classifier import Classifier, ClassifierError, Outputs
from .reading import LUMA, Size

TRIAL_PICTURES = 4
# Two answers are the same if they differ by no more than this share of the largest logit: processors round differently.
SAME_ANSWER = 0.05
ROUNDING = 1e-3
# On one machine: this share of how far the answers to the trial pictures are apart, and for networks that compute in
# half precision this share of the largest.
STEADY, HALF_PRECISION = 0.02, 0.005


def trial_pictures(resolution: int | Size) -> Tensor:
    """[4, 3, R, R] (or of that height and width) in [-1, 1]: waves in all colours, the same on every machine."""
    height, width = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    down, right = torch.linspace(-3, 3, height)[:, None], torch.linspace(-3, 3, width)
    waves = [torch.sin((k + 1) * (down * (c + 1) + right * (k - c))) for k in range(TRIAL_PICTURES) for c in range(3)]
    return torch.stack(waves).view(TRIAL_PICTURES, 3, height, width)


def answers_of(classifier: Classifier) -> Tensor:
    """Its logits of the trial pictures, [4, K] on the CPU."""
    x = trial_pictures(classifier.config.resolution).to(classifier.mean.device)
    with torch.no_grad():
        return classifier(x).cpu()


@differentiable()
def tried(classifier: Classifier, name: str, outputs: Outputs | None) -> Classifier:
    """The same classifier, once it has shown that a generator can learn from it.

    Args:
        outputs: what somebody said they are; None if nobody did.

    Raises:
        ClassifierError: if it does not read pictures, returns other than finite logits for each class, or others the
            second time, in another order or alone, gives no gradient, or if its outputs do not look like what they are
            taken for.
    """
    classifier.float().cpu()
    x = trial_pictures(classifier.config.resolution).requires_grad_()
    try:
        raw = classifier.outputs_of(x)
        logits = classifier.to_logits(raw)
    except ClassifierError as error:
        raise ClassifierError(f"{name}: {error}") from None
    except Exception as error:  # whatever a stranger's network does
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        came = [len(x), len(classifier.config.mean), *classifier.config.size]
        raise ClassifierError(f"{name} cannot read pictures {came} ({reason}){grey_hint(classifier, x)}") from error
    if len(logits) != len(x):
        raise ClassifierError(f"{name} returned {len(logits)} rows for {len(x)} pictures; it must return one for each")
    if not torch.isfinite(raw).all():
        raise ClassifierError(
            f"{name} returned numbers that are not finite, for pictures in [-1, 1]; look at its weights"
        )
    check_steady(classifier, name, x.detach(), raw.detach())
    if not (logits.requires_grad and torch.autograd.grad(logits.sum(), x, allow_unused=True)[0] is not None):
        raise ClassifierError(
            f"{name} gives no gradient, and the generator learns by it; compute in torch alone, and not under no_grad"
        )
    low, high = float(raw.detach().min()), float(raw.detach().max())
    inside = low >= 0 and high <= 1 + ROUNDING
    if classifier.config.outputs == "probabilities" and not inside:
        raise ClassifierError(
            f"{name} returned numbers from {low:.3g} to {high:.3g}, which are no probabilities; say what they are "
            "with --classifier_outputs logits or sigmoid"
        )
    sums = raw.detach().reshape(len(x), -1).sum(dim=1)
    if outputs is None and inside and (raw[0].numel() == 1 or ((sums - 1).abs() < ROUNDING).all()):
        raise ClassifierError(
            f"{name} returned numbers that look like probabilities, and was taken to return logits; say what they are "
            "with --classifier_outputs probabilities, or logits if it is so"
        )
    return classifier


@torch.no_grad()
def grey_hint(classifier: Classifier, x: Tensor) -> str:
    """What to say of a network that fails on pictures of three channels and answers those of one."""
    if len(classifier.config.mean) != 3 or isinstance(classifier.network, Classifier):
        return ""
    try:
        weights = torch.tensor(LUMA).view(1, 3, 1, 1)
        classifier.network((x * weights).sum(dim=1, keepdim=True))
    except Exception:  # then channels are not what is wrong
        return ""
    return (
        "; it reads grey pictures of one channel: say so with one number each of mean and std, such as "
        "--classifier_mean '[0.1307]' --classifier_std '[0.3081]'"
    )


@torch.no_grad()
def check_steady(classifier: Classifier, name: str, x: Tensor, raw: Tensor) -> None:
    """What it says of a picture must be of that picture alone, whenever and beside whatever it is asked.

    A network in train mode says the same twice, and something else of the same picture in another batch.

    Args:
        x: [N, 3, R, R] in [-1, 1].
        raw: what it returned for x.
    """
    allowed = STEADY * (raw - raw.mean(dim=0)).abs().max() + HALF_PRECISION * raw.abs().max()

    def same(again: Tensor) -> bool:
        return again.shape == raw.shape and bool(((again - raw).abs() <= allowed).all())

    if not same(classifier.outputs_of(x)):
        raise ClassifierError(f"{name} says another thing of the same pictures the second time; put it into eval mode")
    if not same(classifier.outputs_of(x.flip(0)).flip(0)):
        raise ClassifierError(
            f"{name} says another thing of the same pictures in another order; let it answer for each one by itself"
        )
    try:
        alone = [classifier.outputs_of(one).reshape(1, -1) for one in x.split(1)]
    except Exception as error:  # a number of pictures that is built in, or batch statistics of a single one
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ClassifierError(
            f"{name} cannot read one picture alone ({reason}); it must take any number, and be in eval mode"
        ) from error
    if not same(torch.cat(alone).reshape(raw.shape) if sum(map(len, alone)) == len(raw) else alone[0]):
        raise ClassifierError(
            f"{name} says another thing of a picture alone than beside others; put it into eval mode, and compute "
            "nothing over the batch"
        )
