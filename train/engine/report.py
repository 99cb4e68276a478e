"""How a run goes: measured on held-out pictures, drawn as a sheet, written into the run's folder and to a tracker."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylex import losses, metrics
from stylex.networks.config import ConfigError
from stylex.networks.eye import EfficientNetLite0
from stylex.pictures.images import to_pil_list
from stylex.pictures.render import grid
from train.engine.swap import swap_top
from train.engine.watch import check

if TYPE_CHECKING:
    from train.engine.loop import Trainer

Tracker = Literal["none", "tensorboard", "trackio", "wandb"]
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
        numbers |= {f"val/{n}": v for n, v in judge_run(trainer, self.x, self.embed).items()}
        speed = (trainer.nimg - self.nimg) / (now - self.last + 1e-9)
        numbers |= {"images_per_second": speed, "minutes_left": self.minutes_left(speed, now)}
        check(trainer, numbers, self.run)
        # Measuring is no training: the next report's speed counts from here.
        self.last, self.nimg = time.monotonic(), trainer.nimg
        picture = sheet(trainer, self.x[:SHEET_PICTURES])
        row = {"nimg": trainer.nimg, "minutes": (now - self.start) / 60, **numbers}
        track(trainer, numbers, picture)
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
def judge_run(trainer: Trainer, x: Tensor, embed: EfficientNetLite0 | None) -> dict[str, float]:
    """How the averaged model does on held-out pictures x."""
    model = trainer.model()
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
    if trainer.judge is not None:
        numbers["second_agreement"] = float(metrics.agreement(trainer.judge(x), trainer.judge(x_rec)).float().mean())
    if embed is not None:
        numbers["retrieval"] = float(metrics.retrieval(embed.flat(x), embed.flat(x_rec)).float().mean())
    # Does the class follow the probabilities alone?
    x_swap = model.synthesize(model.styles(torch.cat([w, swap_top(probs)], dim=1)))
    numbers["swap_flips"] = float((~metrics.agreement(logits_rec, model.logits(x_swap))).float().mean())
    numbers["swap_change"] = float(metrics.changed_share(x_rec, x_swap).mean())
    return numbers


@torch.no_grad()
def sheet(trainer: Trainer, x: Tensor) -> Image.Image:
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
    return grid([to_pil_list(row) for row in rows], row_titles=["real", "reconstruction", "class swapped", "random"])


# Trackers.


def require_tracker(name: Tracker) -> None:
    """
    Raises:
        ConfigError: if the tracker is not installed.
    """
    if name != "none" and importlib.util.find_spec(name) is None:
        raise ConfigError(f"report_to is {name}, which is not installed; pip install {name}, or use --report_to none")


def start_tracker(trainer: Trainer, run: Path) -> None:
    """Begin a run named after its folder, in the project "stylex"; tensorboard's files lie in the run's folder."""
    plain = {n: v if isinstance(v, (bool, int, float, str)) else str(v) for n, v in asdict(trainer.o).items()}
    named: dict[str, dict[str, Any]] = {"trackio": {"name": run.name}, "wandb": {"name": run.name, "dir": str(run)}}
    if trainer.o.report_to != "none":
        trainer.accelerator.init_trackers("stylex", config=plain, init_kwargs=named)


def track(trainer: Trainer, numbers: dict[str, float], picture: Image.Image | None = None) -> None:
    """A tracker that fails, as one whose server is away, costs a warning and never the run."""
    for tracker in trainer.accelerator.trackers:
        try:
            tracker.log(numbers, step=trainer.nimg)
            if picture is None:
                continue
            if tracker.name == "tensorboard":
                tracker.log_images({"sheet": np.asarray(picture)[None]}, step=trainer.nimg, dataformats="NHWC")
            elif tracker.name == "wandb":
                tracker.log_images({"sheet": [picture]}, step=trainer.nimg)
            elif tracker.name == "trackio":
                import trackio

                tracker.log({"sheet": trackio.Image(picture)}, step=trainer.nimg)
        except Exception as error:
            print(f"warning: {tracker.name} failed ({type(error).__name__}: {error}).", file=sys.stderr)


def finish_tracker(trainer: Trainer) -> None:
    for tracker in trainer.accelerator.trackers:
        tracker.finish()
