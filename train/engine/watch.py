"""A run that goes wrong says so, in words and with what to try."""

from __future__ import annotations

import math
import sys
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from stylex.storage.files import ModelError
from train.engine import checkpoint
from train.engine.trainer import Trainer

# Below this share of its early value the spread of E(x) counts as collapsed.
COLLAPSE = 0.1
# A discriminator whose loss is below this is on average surer than 90 % of real and of fake: 2 * -log(0.905).
D_WINS = 0.2
# So many times larger than ever in the last MEMORY looks, a gradient counts as a jump.
JUMP = 10.0
# Looks that are remembered; with fewer than half of them there is nothing to compare with.
MEMORY = 20


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which step and what is safe."""


def check(trainer: Trainer, numbers: dict[str, float], run: Path) -> None:
    """Stop on numbers that are not finite."""
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


class Watch:
    """Compares the numbers of a run with what they were; warns on stderr once for each time that one turns bad."""

    def __init__(self, trainer: Trainer, run: Path) -> None:
        self.trainer, self.run = trainer, run
        self.early: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MEMORY))
        self.warned: set[str] = set()

    def look(self, numbers: dict[str, float]) -> None:
        """At numbers of `Trainer.numbers`.

        Raises:
            TrainingError: if one is not finite.
        """
        check(self.trainer, numbers, self.run)
        if "w_spread" in numbers:
            self.encoder(numbers["w_spread"])
        if "d" in numbers:
            self.discriminator(numbers["d"])
        for name, network in (("g_grad", "generator and encoder"), ("d_grad", "discriminator")):
            if name in numbers:
                self.gradient(name, network, numbers[name])

    def encoder(self, spread: float) -> None:
        trainer = self.trainer
        trainer.early_spread = trainer.early_spread or spread
        self.warn(
            "encoder",
            spread < COLLAPSE * trainer.early_spread,
            f"the encoder is collapsing: the spread of E(x) is {spread:.4f}, it began at {trainer.early_spread:.4f}. "
            "Lower --learning_rate, or raise --warmup_kimg",
        )

    def discriminator(self, loss: float) -> None:
        early = self.early["d"]
        early.append(loss)
        mean = sum(early) / len(early)
        self.warn(
            "discriminator",
            len(early) >= MEMORY // 2 and mean < D_WINS,
            f"the discriminator is winning: its loss is {mean:.3f}, so it tells real from fake nearly always, and the "
            "generator learns little from it. Try --augment ada, a higher --r1_weight, or more pictures",
        )

    def gradient(self, name: str, network: str, norm: float) -> None:
        early = self.early[name]
        usual = max(early, default=0.0)
        self.warn(
            name,
            len(early) >= MEMORY // 2 and norm > JUMP * usual,
            f"the gradient of {network} has jumped: its norm is {norm:.3g}, it was at most {usual:.3g}. Should the "
            "pictures get worse, stop and resume an older checkpoint at a lower --learning_rate",
        )
        early.append(norm)

    def warn(self, what: str, bad: bool, message: str) -> None:
        if bad and what not in self.warned and self.trainer.accelerator.is_main_process:
            print(f"warning at {self.trainer.nimg} pictures: {message}.", file=sys.stderr)
        (self.warned.add if bad else self.warned.discard)(what)


@torch.no_grad()
def weight_norms(trainer: Trainer) -> dict[str, float]:
    """One number for each network, finite if all its weights are: a checkpoint must be good to resume from."""
    norms = {name: torch._foreach_norm(list(trainer.bare(name).parameters())) for name in trainer.networks}
    return {f"a weight of the {name}": float(torch.stack(norm).sum()) for name, norm in norms.items()}


@contextmanager
def tried_again(minutes: float) -> Iterator[None]:
    """A file that cannot be written now, as on a full disk or for somebody's notes in its place, costs a warning: the
    next try is in `minutes`."""
    try:
        yield
    except (OSError, SafetensorError, ModelError) as error:
        print(f"warning: {error}. Training goes on and tries again in {minutes:g} minutes.", file=sys.stderr)
