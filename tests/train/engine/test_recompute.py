"""What is computed twice and kept never trains as what is kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from accelerate.state import AcceleratorState
from small import assert_same

from stylex.networks.config import ModelConfig
from train.engine.networks import NETWORKS
from train.engine.trainer import Trainer
from train.presets import Memory, counted, too_large

# Every way in which a network is called comes within so many steps: both paths, mixing and not, swaps, E(G), R1, paths.
CYCLE = 12


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Accelerate has one precision for the whole process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def gradients(trainer: Trainer) -> dict[str, torch.Tensor]:
    pairs = [(f"{n}.{k}", p.grad) for n in NETWORKS for k, p in trainer.bare(n).named_parameters()]
    return {key: grad.clone() for key, grad in pairs if grad is not None}


def test_every_step_has_the_same_gradients_to_the_last_bit(make_trainer, x):
    """Random noise, R1 and path lengths, which differentiate twice, too."""
    plain, recomputing = make_trainer(w_every=2), make_trainer(w_every=2, recompute=True)
    for _ in range(CYCLE):
        for trainer in (plain, recomputing):
            trainer.step(x)
        assert_same(gradients(recomputing), gradients(plain))
    assert {"r1", "path", "w_rec", "kl_swap"} <= set(recomputing.log)
    assert_same(recomputing.state()["networks"], plain.state()["networks"])


def test_half_precision_is_computed_again_as_it_was(make_trainer, x):
    plain, recomputing = (make_trainer(mixed_precision="bf16", recompute=r) for r in (False, True))
    for trainer in (plain, recomputing):
        for _ in range(3):
            trainer.step(x)
    assert_same(gradients(recomputing), gradients(plain))


def test_it_keeps_less(make_trainer, x):
    kept = []
    for recompute in (False, True):
        trainer = make_trainer(recompute=recompute)
        probs = torch.full((len(x), 2), 0.5)
        with counted() as total:
            fake = trainer.generator(torch.cat([trainer.encoder(x), probs], dim=1))
        kept.append(total[0])
        del fake
    assert kept[1] < 0.7 * kept[0]


def test_the_averaged_networks_that_ship_keep_everything(make_trainer):
    trainer = make_trainer(recompute=True)
    assert trainer.bare("generator").synthesis.recompute
    assert trainer.bare("encoder").trunk.recompute
    assert not trainer.model().generator.synthesis.recompute


@pytest.mark.parametrize("kind", ["projected", "stylegan2"])
def test_it_is_planned_with_less(kind):
    config = ModelConfig.preset(64, 2, discriminator=kind)
    whole, less = (Memory.of(config, 8, r1=kind == "stylegan2", recompute=r) for r in (False, True))
    assert less.held == whole.held
    assert less.kept < 0.8 * whole.kept
    note = too_large(whole, less.whole, less)
    assert f"takes about {whole.whole / 1e9:.1f} GB" in note
    assert f"--recompute true takes {less.whole / 1e9:.1f} GB, which fits; else a smaller --batch_size" in note
    assert "which does not fit either" in too_large(whole, less.whole - 1, less)
    assert "recompute" not in too_large(less, 0, None)
