"""A run that goes wrong says so, in words and with what to try."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError

from train import checkpoint

if TYPE_CHECKING:
    from train.loop import Trainer

# Below this share of its early value the spread of E(x) counts as collapsed.
COLLAPSE = 0.1


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which step and what is safe."""


def check(trainer: Trainer, numbers: dict[str, float], run: Path) -> None:
    """Stop on numbers that are not finite; warn when the encoder says the same of every picture."""
    bad = [name for name, value in numbers.items() if not math.isfinite(value)]
    if bad:
        saved = checkpoint.found(run)
        way_out = (
            f"the last good checkpoint is {saved[-1]}; lower --learning_rate and resume"
            if saved
            else "lower --learning_rate"
        )
        raise TrainingError(
            f"{', '.join(bad)} is not finite at step {trainer.step_number} ({trainer.nimg} pictures); {way_out}"
        )
    if spread := numbers.get("w_spread"):
        trainer.early_spread = trainer.early_spread or spread
        if spread < COLLAPSE * trainer.early_spread:
            print(
                f"warning: the encoder is collapsing at {trainer.nimg} pictures: the spread of E(x) is {spread:.4f}, "
                f"it began at {trainer.early_spread:.4f}. Lower --learning_rate, or raise --warmup_kimg.",
                file=sys.stderr,
            )


@torch.no_grad()
def weight_norms(trainer: Trainer) -> dict[str, float]:
    """One number for each network, finite if all its weights are: a checkpoint must be good to resume from."""
    norms = {name: torch._foreach_norm(list(trainer.bare(name).parameters())) for name in trainer.networks}
    return {f"a weight of the {name}": float(torch.stack(norm).sum()) for name, norm in norms.items()}


@contextmanager
def tried_again(minutes: float) -> Iterator[None]:
    """A file that cannot be written now, as on a full disk, costs a warning: the next try is in `minutes`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        print(f"warning: {error}. Training goes on and tries again in {minutes:g} minutes.", file=sys.stderr)
