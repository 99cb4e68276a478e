"""How a run goes: measured on held-out pictures, and drawn as a sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stylex import losses, metrics
from stylex.images import to_pil_list
from stylex.perceptual import EfficientNetLite0
from stylex.render import grid
from train.augment import swap_top

if TYPE_CHECKING:
    from train.loop import Trainer


@torch.no_grad()
def judge_run(trainer: Trainer, x: Tensor, embed: EfficientNetLite0 | None) -> dict[str, float]:
    """How the averaged model does on held-out pictures x."""
    model = trainer.model()
    x_rec = torch.cat([model.synthesize(model.styles(model.encode(part))) for part in x.split(64)])
    logits, logits_rec = model.logits(x), model.logits(x_rec)
    numbers = {
        "l1": float(losses.l1(x, x_rec).mean()),
        "agreement": float(metrics.agreement(logits, logits_rec).float().mean()),
    }
    if trainer.judge is not None:
        numbers["second_agreement"] = float(metrics.agreement(trainer.judge(x), trainer.judge(x_rec)).float().mean())
    if embed is not None:
        numbers["retrieval"] = float(metrics.retrieval(embed.flat(x), embed.flat(x_rec)).float().mean())
    # Does the class follow the probabilities alone?
    latent = model.encode(x)
    probs = latent[:, -logits.shape[1] :]
    swapped = torch.cat([latent[:, : -logits.shape[1]], swap_top(probs)], dim=1)
    x_swap = model.synthesize(model.styles(swapped))
    numbers["swap_flips"] = float((~metrics.agreement(logits_rec, model.logits(x_swap))).float().mean())
    numbers["swap_change"] = float(metrics.changed_share(x_rec, x_swap).mean())
    return numbers


@torch.no_grad()
def sheet(trainer: Trainer, x: Tensor, path: Path) -> None:
    """Real, reconstruction, the same with the other class's probabilities, and random samples, side by side."""
    model = trainer.model()
    latent = model.encode(x)
    k = trainer.config.num_classes
    swapped = torch.cat([latent[:, :-k], swap_top(latent[:, -k:])], dim=1)
    rows = [
        x,
        model.synthesize(model.styles(latent)),
        model.synthesize(model.styles(swapped)),
        model.synthesize(model.sample(latent[:, -k:])),
    ]
    picture = grid([to_pil_list(row) for row in rows], row_titles=["real", "reconstruction", "class swapped", "random"])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
