"""Compiled networks train as the others do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from small import assert_same, command_line

from train.engine import checkpoint
from train.engine.compiled import compile_networks
from train.engine.networks import NETWORKS
from train.engine.trainer import Trainer

ROOT = Path(__file__).resolve().parents[3]
# Every way in which a network is called comes within so many steps: both paths, mixing and not, swaps, E(G), R1, paths.
CYCLE = 12


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Nothing is compiled yet, and there is no precision: Accelerate has one for the whole process."""
    torch.compiler.reset()
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    torch.compiler.reset()
    AcceleratorState._reset_state(reset_partial_state=True)


def gradients(trainer: Trainer) -> dict[str, torch.Tensor]:
    pairs = [(f"{n}.{k}", p.grad) for n in NETWORKS for k, p in trainer.bare(n).named_parameters()]
    return {key: grad.clone() for key, grad in pairs if grad is not None}


def assert_compiled_trains_alike(make_trainer, x, backend: str, steps: int, **options) -> Trainer:
    """Every gradient of every step, at a learning rate of zero so that rounding cannot grow from step to step."""
    plain, compiled = (make_trainer(learning_rate=0.0, w_every=2, **options) for _ in range(2))
    compiled.compile(backend)
    for step in range(steps):
        for trainer in (plain, compiled):
            trainer.step(x)
        expected, found = gradients(plain), gradients(compiled)
        assert found.keys() == expected.keys()
        for key, gradient in expected.items():
            scale = gradient.abs().max().clamp_min(1e-6)
            torch.testing.assert_close(
                found[key] / scale, gradient / scale, rtol=0, atol=2e-4, msg=lambda m, k=key, s=step: f"{s} {k} {m}"
            )
    assert {"r1", "path", "w_rec", "kl_swap"} <= set(compiled.log) or steps < CYCLE
    return compiled


def test_traced_networks_have_the_same_gradients_and_are_traced_once_for_each_kind_of_step(make_trainer, x):
    # Of this seed no gradient is a small rest of large terms, which another order of sums would change.
    trainer = assert_compiled_trains_alike(make_trainer, x, "aot_eager", CYCLE, seed=3)
    trainer.step_number = 0
    with torch.compiler.set_stance("fail_on_recompile"):
        for _ in range(CYCLE):
            trainer.step(x)


def test_traced_networks_can_be_gone_back_through_twice_to_balance_the_losses(make_trainer, x):
    own = {"class_swap": 0.0, "random_path_every": 0}
    trainer = assert_compiled_trains_alike(make_trainer, x, "aot_eager", 2, seed=3, balance=True, **own)
    assert "balance" in trainer.log


def test_a_compiled_run_and_one_that_is_not_go_on_from_each_other_s_checkpoints(make_trainer, x, run, monkeypatch):
    monkeypatch.setattr(
        "train.engine.trainer.compile_networks", lambda networks, _: compile_networks(networks, "eager")
    )
    first = make_trainer(compile=True)
    assert first.bare("generator")._compiled_call_impl is not None
    first.step(x)
    checkpoint.save(run, first.nimg, first.state())
    second = make_trainer()
    second.load_state(checkpoint.load(run, "latest"))
    assert_same(second.state()["networks"], first.state()["networks"])
    second.step(x)
    third = make_trainer(compile=True)
    third.load_state(second.state())
    third.step(x)
    # What ships and what reports are made with is not compiled, and is the same network.
    model = third.model()
    assert model.classifier._compiled_call_impl is None
    assert next(model.classifier.parameters()) is next(third.classifier.parameters())
    assert_same(dict(model.classifier.state_dict()), dict(third.classifier.state_dict()))


def test_half_precision_is_traced_with_the_networks(make_trainer, x):
    trainer = make_trainer(mixed_precision="bf16")
    trainer.compile("eager")
    for _ in range(3):
        trainer.step(x)
    assert all(torch.isfinite(value) for value in trainer.log.values())


@pytest.mark.slow
@pytest.mark.parametrize("perceptual", ["classifier", "efficientnet"])
def test_networks_compiled_to_machine_code_have_the_same_gradients(make_trainer, x, perceptual):
    assert_compiled_trains_alike(make_trainer, x, "inductor", CYCLE, perceptual=perceptual)


@pytest.mark.slow
def test_two_compiled_processes_train_and_end_together(pictures, classifier_folder, tmp_path):
    options = {"data": pictures, "classifier": classifier_folder, "output": tmp_path / "run", "total_kimg": 0.032}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    done = subprocess.run(
        [sys.executable, *launcher, str(ROOT / "train/train.py"), *command_line(**options, compile="true")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [p.name for p in checkpoint.found(tmp_path / "run")] == ["checkpoint-000000032"]
