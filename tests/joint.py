"""The gradients of a few steps on a joint batch, by one process or shared by several; for `test_processes.py`.

As a script it is one of several: torchrun --nproc_per_node 2 tests/joint.py CLASSIFIER FILE
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from small import SMALL
from torch import Tensor

from stylex.classifiers.classifier import load_classifier
from train.engine.trainer import Trainer
from train.options.training import Options

BATCH, STEPS, PROCESSES = 8, 8, 2


def build(classifier: str, processes: int) -> Trainer:
    """At a learning rate of zero, so that every step starts from the same weights, none of which is zero."""
    values = {"data": "", "output": "run", "classifier": classifier, "learning_rate": 0.0, "w_every": 1}
    o = Options(**{**SMALL, **values, "batch_size": BATCH // processes, "style_mixing": 1.0})
    trainer = Trainer(o, load_classifier(classifier), None)
    chance = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name in trainer.networks:
            for parameter in trainer.bare(name).parameters():
                parameter += 0.3 * torch.randn(parameter.shape, generator=chance)
    return trainer


def shared_draws(rank: int, processes: int) -> Any:
    """Every draw for a batch is made for the joint batch, by every process alike, and each takes its pictures' part."""
    local, chance = BATCH // processes, torch.Generator().manual_seed(7)

    def share(draw: Any) -> Any:
        def drawn(*size: Any, **options: Any) -> Tensor:
            *limits, size = (*size[:-1], size[-1]) if isinstance(size[-1], (tuple, list)) else (size,)
            of_batch = bool(size) and (size[0] == local or (size[0] == local // 2 and len(size) > 1))
            wanted = (size[0] * processes, *size[1:]) if of_batch else tuple(size)
            values = draw(*limits, wanted, generator=chance, **options)
            return values[rank::processes] if of_batch else values

        return drawn

    randn, roll = share(torch.randn), Tensor.roll
    return patch.multiple(
        torch,
        rand=share(torch.rand),
        randn=randn,
        randint=share(torch.randint),
        randn_like=lambda x: randn(*x.shape, dtype=x.dtype),
    ), patch.object(Tensor, "roll", lambda x, by, dims: roll(x, by * PROCESSES // processes, dims))


def gradients(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Of every weight at every update of STEPS steps, and everything that was logged on the way."""
    rank, processes = trainer.accelerator.process_index, trainer.accelerator.num_processes
    x = torch.rand(STEPS, BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1
    found: dict[str, Tensor] = {}

    def keep(which: str) -> Any:
        def step() -> None:
            for name in ("generator", "mapping", "encoder", "discriminator"):
                for key, parameter in trainer.bare(name).named_parameters():
                    if parameter.grad is not None and (name == "discriminator") == (which == "d"):
                        found[f"{trainer.step_number}/{len(found)}/{name}.{key}"] = parameter.grad.clone()

        return step

    draws, rolls = shared_draws(rank, processes)
    logged: dict[str, float] = {}
    with (
        draws,
        rolls,
        patch.object(trainer.optimizer_g, "step", keep("g")),
        patch.object(trainer.optimizer_d, "step", keep("d")),
    ):
        for joint in x:
            trainer.step(joint[rank::processes])
            logged |= trainer.numbers()
    return found, logged | {"mean_path": trainer.mean_path.item(), "share": trainer.augment.share.item()}


if __name__ == "__main__":
    trainer = build(sys.argv[1], PROCESSES)
    assert trainer.accelerator.num_processes == PROCESSES
    found, logged = gradients(trainer)
    torch.save((found, logged), f"{sys.argv[2]}.{trainer.accelerator.process_index}")
    trainer.leave()
