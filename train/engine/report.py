"""How a run goes: measured on held-out pictures, drawn as a sheet, written into the run's folder and to a tracker."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stylex import losses, metrics
from stylex.model import StylEx
from stylex.networks.eye import EfficientNetLite0
from stylex.pictures.images import to_pil_list
from stylex.pictures.render import grid
from train.engine.swap import swap_top
from train.engine.tracker import track
from train.engine.trainer import Trainer
from train.engine.watch import check

SHEET_PICTURES = 12


class Reports:
    """One row of `log.jsonl`, one sheet, and the same in the tracker, each time `make` is called."""

    def __init__(self, trainer: Trainer, x: Tensor, run: Path) -> None:
        """
        Args:
            x: [N, 3, R, R] held-out pictures.
        """
        self.trainer, self.x, self.run = trainer, x, run
        self.embed = EfficientNetLite0().to(x.device) if trainer.o.perceptual == "efficientnet" else None
        self.start = self.last = time.monotonic()
        self.nimg = trainer.nimg

    def make(self) -> dict[str, float]:
        """Measure, write and show.

        Raises:
            TrainingError: if a number is not finite.
            OSError: if the row or the sheet cannot be written.
        """
        trainer, now = self.trainer, time.monotonic()
        numbers = {f"train/{n}": float(v) for n, v in trainer.log.items()}
        numbers |= {f"val/{n}": v for n, v in judge_run(trainer.model(), self.x, self.embed).items()}
        speed = (trainer.nimg - self.nimg) / (now - self.last + 1e-9)
        numbers |= {"images_per_second": speed, "minutes_left": self.minutes_left(speed, now)}
        check(trainer, numbers, self.run)
        # Measuring is no training: the next report's speed counts from here.
        self.last, self.nimg = time.monotonic(), trainer.nimg
        picture = sheet(trainer.model(), self.x[:SHEET_PICTURES])
        row = {"nimg": trainer.nimg, "minutes": (now - self.start) / 60, **numbers}
        track(trainer.accelerator, trainer.nimg, numbers, picture)
        with open(self.run / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        path = self.run / "sheets" / f"{trainer.nimg:09d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
        return numbers

    def minutes_left(self, speed: float, now: float) -> float:
        """Until `total_kimg` or `max_minutes`, whichever comes first."""
        o = self.trainer.o
        left = max(0.0, o.total_kimg * 1000 - self.trainer.nimg) / (speed + 1e-9) / 60
        return min(left, max(0.0, o.max_minutes - (now - self.start) / 60)) if o.max_minutes else left


@torch.no_grad()
def judge_run(model: StylEx, x: Tensor, embed: EfficientNetLite0 | None) -> dict[str, float]:
    """How a model does on held-out pictures x."""
    latent = torch.cat([model.encode(part) for part in x.split(64)])
    x_rec = torch.cat([model.synthesize(model.styles(part)) for part in latent.split(64)])
    logits, logits_rec = model.logits(x), model.logits(x_rec)
    w, probs = latent[:, : -logits.shape[1]], latent[:, -logits.shape[1] :]
    numbers = {
        "l1": float(losses.l1(x, x_rec).mean()),
        "agreement": float(metrics.agreement(logits, logits_rec).float().mean()),
        # An encoder that says the same of every picture has none.
        "w_spread": float(w.std(dim=0, unbiased=False).mean()),
    }
    if model.judge is not None:
        numbers["second_agreement"] = float(metrics.agreement(model.judge(x), model.judge(x_rec)).float().mean())
    if embed is not None:
        numbers["retrieval"] = float(metrics.retrieval(embed.flat(x), embed.flat(x_rec)).float().mean())
    # Does the class follow the probabilities alone?
    x_swap = model.synthesize(model.styles(torch.cat([w, swap_top(probs)], dim=1)))
    numbers["swap_flips"] = float((~metrics.agreement(logits_rec, model.logits(x_swap))).float().mean())
    numbers["swap_change"] = float(metrics.changed_share(x_rec, x_swap).mean())
    return numbers


@torch.no_grad()
def sheet(model: StylEx, x: Tensor) -> Image.Image:
    """Real, reconstruction, the same with the other class's probabilities, and random samples if there is a mapping."""
    latent, k = model.encode(x), len(model.class_names)
    swapped = torch.cat([latent[:, :-k], swap_top(latent[:, -k:])], dim=1)
    rows = [
        x,
        model.synthesize(model.styles(latent)),
        model.synthesize(model.styles(swapped)),
    ]
    titles = ["real", "reconstruction", "class swapped"]
    if model.mapping is not None:
        rows.append(model.synthesize(model.sample(latent[:, -k:])))
        titles.append("random")
    return grid([to_pil_list(row) for row in rows], row_titles=titles)
