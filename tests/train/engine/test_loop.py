"""The loop around the steps, on networks of eight channels."""

from __future__ import annotations

import json
import math
import os
import signal

import pytest
from small import assert_same
from torch import Tensor

from stylex import StylEx, losses
from train.engine import checkpoint
from train.engine.interrupt import Interrupt
from train.engine.loop import train
from train.engine.trainer import Trainer
from train.engine.watch import TrainingError


def test_a_run_ends_with_a_checkpoint_a_model_a_sheet_and_a_report(make_trainer, parts, run):
    trainer = make_trainer(total_kimg=0.012)
    train(trainer, *parts, run, Interrupt(say=False))
    assert trainer.nimg == 12
    assert [p.name for p in checkpoint.found(run)] == ["checkpoint-000000012"]
    assert (run / "sheets" / "000000012.png").is_file()
    row = json.loads((run / "log.jsonl").read_text())
    assert row["nimg"] == 12
    assert {"train/loss", "val/l1", "val/agreement", "images_per_second"} <= set(row)
    model = StylEx.from_pretrained(run / "model")
    assert model.resolution == 32
    # There is nothing left to do, and nothing is done.
    resumed = make_trainer(total_kimg=0.012)
    resumed.load_state(checkpoint.load(run, "latest"))
    train(resumed, *parts, run, Interrupt(say=False))
    assert_same(resumed.state(), trainer.state())


def test_max_minutes_ends_a_run_with_a_checkpoint(make_trainer, parts, run):
    trainer = make_trainer(total_kimg=1000.0, max_minutes=1e-6)
    train(trainer, *parts, run, Interrupt(say=False))
    assert [p.name for p in checkpoint.found(run)] == [f"checkpoint-{trainer.nimg:09d}"]
    assert trainer.nimg < 1000


def test_in_the_last_minutes_the_rates_fall_to_nothing_wherever_the_pictures_are(make_trainer, parts, run, monkeypatch):
    options = {"total_kimg": 1000.0, "learning_rate": 0.002, "encoder_lr_mul": 1.0}
    trainer = make_trainer(**options, max_minutes=10.0, decay_minutes=4.0, report_minutes=99, save_minutes=99)
    clock, rates, step = [0.0], [], trainer.step

    def a_minute(x: Tensor) -> None:
        step(x)
        rates.append(trainer.optimizer_g.param_groups[0]["lr"])
        clock[0] += 60

    trainer.step = a_minute
    monkeypatch.setattr("train.engine.loop.time.monotonic", lambda: clock[0])
    train(trainer, *parts, run, Interrupt(say=False))
    first = rates[0]
    assert rates == pytest.approx([first * share for share in (1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25)])
    assert first > 0


def test_how_often_a_run_looks_and_saves_does_not_change_it(make_trainer, parts, run):
    quiet, busy = (
        make_trainer(total_kimg=0.024, log_every=1000),
        make_trainer(total_kimg=0.024, log_every=1, save_minutes=0.0, report_minutes=0.0),
    )
    train(quiet, *parts, run, Interrupt(say=False))
    train(busy, *parts, run, Interrupt(say=False))
    for part in ("networks", "ema", "optimizer_g", "optimizer_d", "step", "nimg"):
        assert_same(quiet.state()[part], busy.state()[part], part)
    assert [p.name for p in checkpoint.found(run)] == ["checkpoint-000000020", "checkpoint-000000024"]


@pytest.fixture
def make_poisoned(make_trainer):
    """A trainer whose generator has a weight that is not finite from step 3 on, and that looks at its losses rarely."""

    def make(**changes) -> Trainer:
        trainer = make_trainer(total_kimg=1.0, log_every=1000, **changes)
        step = trainer.step

        def poisoned(x: Tensor) -> None:
            step(x)
            if trainer.step_number == 3:
                for network in (trainer.bare("generator"), trainer.ema["generator"].module):
                    network.synthesis.const.data[0, 0, 0, 0] = math.nan

        trainer.step = poisoned
        return trainer

    return make


def test_weights_that_are_not_finite_never_become_a_checkpoint(make_poisoned, parts, run):
    """Between two looks at the losses, too."""
    trainer = make_poisoned(save_minutes=0.0)
    with pytest.raises(TrainingError, match="a weight of the generator is not finite at step 3") as caught:
        train(trainer, *parts, run, Interrupt(say=False))
    good = run / "checkpoint-000000008"
    assert f"the last good checkpoint is {good}" in str(caught.value)
    assert checkpoint.found(run)[-1] == good
    assert StylEx.from_pretrained(run / "model")


def test_numbers_that_are_not_finite_never_become_a_report(make_poisoned, parts, run):
    """JSON has no word for them, and a run that has failed must not go on to its next look at the losses."""
    with pytest.raises(TrainingError, match=r"val/l1.* is not finite at step 3 \(12 pictures\)"):
        train(make_poisoned(report_minutes=0.0), *parts, run, Interrupt(say=False))
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["nimg"] for row in rows] == [4, 8]
    assert all(math.isfinite(value) for row in rows for value in row.values())


def test_a_loss_that_blows_up_stops_the_run(make_trainer, parts, run, monkeypatch):
    l1 = losses.l1
    calls = []

    def blown(x: Tensor, x_rec: Tensor) -> Tensor:
        calls.append(0)
        return l1(x, x_rec) * (math.nan if len(calls) == 3 else 1.0)

    monkeypatch.setattr(losses, "l1", blown)
    trainer = make_trainer(total_kimg=1.0, log_every=1, save_minutes=0.0, warmup_kimg=1.0, class_swap=0.0)
    with pytest.raises(
        TrainingError, match=r"l1.* is not finite at step 3 \(12 pictures\); the last good checkpoint is"
    ):
        train(trainer, *parts, run, Interrupt(say=False))
    assert [p.name for p in checkpoint.found(run)] == ["checkpoint-000000004", "checkpoint-000000008"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_after_its_step_with_a_checkpoint(make_trainer, parts, run, number):
    trainer = make_trainer(total_kimg=1.0)
    step, handler = trainer.step, signal.getsignal(number)

    def signalled(x: Tensor) -> None:
        step(x)
        if trainer.step_number == 3:
            os.kill(os.getpid(), number)

    trainer.step = signalled
    with Interrupt(say=False) as interrupt:
        assert train(trainer, *parts, run, interrupt) == number
    assert [p.name for p in checkpoint.found(run)] == ["checkpoint-000000012"]
    assert StylEx.from_pretrained(run / "model")
    assert signal.getsignal(number) is handler


def test_a_checkpoint_that_cannot_be_written_is_tried_again(make_trainer, parts, run, monkeypatch, capsys):
    """Nobody is there at night to make room; but the last one has to succeed."""
    save = checkpoint.save
    full = [True, False, True]

    def sometimes(*args, **kwargs):
        if full.pop(0):
            raise checkpoint.SaveError("the disk is full")
        return save(*args, **kwargs)

    monkeypatch.setattr(checkpoint, "save", sometimes)
    trainer = make_trainer(total_kimg=0.012, save_minutes=0.0)
    with pytest.raises(checkpoint.SaveError, match="the disk is full"):
        train(trainer, *parts, run, Interrupt(say=False))
    assert "warning: the disk is full. Training goes on and tries again in 0 minutes.\n" in capsys.readouterr().err
    assert [p.name for p in checkpoint.found(run)] == ["checkpoint-000000008"]


def test_the_model_is_left_whatever_becomes_of_the_checkpoint(make_trainer, parts, run, monkeypatch):
    def never(*args, **kwargs):
        raise checkpoint.SaveError("the folder cannot be renamed")

    monkeypatch.setattr(checkpoint, "save", never)
    with pytest.raises(checkpoint.SaveError) as caught:
        train(make_trainer(total_kimg=0.008), *parts, run, Interrupt(say=False))
    assert StylEx.from_pretrained(run / "model")
    says = f"the folder cannot be renamed. The model of these pictures is whole, in {run / 'model'}"
    assert str(caught.value) == says
