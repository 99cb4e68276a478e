"""What is left of a picture that goes through encoder and generator again and again."""

from __future__ import annotations

import torch
from torch import Tensor

from stylex import losses
from stylex.metrics import agreement
from stylex.model import StylEx

ROUNDS = 10
COMPOSED = 100  # pictures: the drift of a hundred is known well enough, and each costs ten reconstructions


@torch.no_grad()
def composition(model: StylEx, x: Tensor, logits: Tensor, batch_size: int, seed: int) -> dict[str, Tensor]:
    """After `ROUNDS` times x -> G(E(x)), of at most `COMPOSED` pictures (Monteiro et al. 2023, "Measuring axiomatic
    soundness of counterfactual image models"): composition_l1, the mean absolute error of a pixel against the picture,
    which is `l1` after one round; composition_agreement, whether the class is still what the classifier says of it.

    Args:
        x: pictures [N, 3, R, R] in [-1, 1].
        logits: [N, K] of them.
    """
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:COMPOSED]
    errors, kept = [], []
    for part in rows.split(batch_size):
        own = again = x[part].to(model.device)
        for _ in range(ROUNDS):
            again = model.synthesize(model.styles(model.encode(again)))
        errors.append(losses.l1(own, again).cpu())
        kept.append(agreement(logits[part], model.logits(again).cpu()))
    return {"composition_l1": torch.cat(errors), "composition_agreement": torch.cat(kept)}
