"""What places give away: the class should be in the styles, where AttFind can find it, and not in where things are."""

from __future__ import annotations

import torch
from torch import Tensor

from stylex.metrics import agreement, donors
from stylex.model import StylEx
from stylex.probe import FOLDS, probe_hits


def leaks(model: StylEx, s: Tensor, logits: Tensor, batch_size: int, seed: int) -> dict[str, Tensor]:
    """How much of the class lies in the places of a model, as hits [n] bool to take the share of; nothing for a model
    without.

    places_swapped_agreement: share of pictures whose class stays what the classifier says of them when their styles are
    drawn with the places of another picture, of another class. places_probe_accuracy: the share whose class a linear
    layer reads from places alone, held out fold by fold; styles_probe_accuracy: from the searched styles. The class is
    what the classifier says. Shares that cannot be had (a single class, fewer pictures than folds) are left out.

    Args:
        s: [N, S] of the pictures.
        logits: [N, K] of the pictures themselves.
    """
    space, answers = model.space, logits.argmax(1)
    if space.size == space.num_styles:
        return {}
    numbers = {}
    given = donors(answers, seed)
    if len(rows := (given >= 0).nonzero().flatten()):
        swapped = torch.cat([s[rows, : space.num_styles], s[given[rows], space.num_styles :]], dim=1)
        after = [model.logits_of(part.to(model.device)).cpu() for part in swapped.split(batch_size)]
        numbers["places_swapped_agreement"] = agreement(logits[rows], torch.cat(after))
    if len(s) >= FOLDS:
        numbers["places_probe_accuracy"] = probe_hits(s[:, space.num_styles :], answers, seed=seed)
        numbers["styles_probe_accuracy"] = probe_hits(s[:, : space.num_conv], answers, seed=seed)
    return numbers
