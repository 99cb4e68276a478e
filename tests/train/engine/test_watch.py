"""A run that goes wrong says so."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from stylex import losses
from train.engine import checkpoint
from train.engine.watch import D_WINS, MEMORY, TrainingError, Watch, check


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_last_checkpoint(make_trainer, run, value):
    trainer = make_trainer()
    trainer.step_number, trainer.nimg = 7, 28
    with pytest.raises(TrainingError, match=r"^kl is not finite at step 7 \(28 pictures\); lower --learning_rate$"):
        check(trainer, {"l1": 0.5, "kl": value}, run)
    saved = checkpoint.save(run, 20, {})
    with pytest.raises(TrainingError) as caught:
        check(trainer, {"l1": 0.5, "kl": value}, run)
    assert f"the last good checkpoint is {saved}; lower --learning_rate and resume" in str(caught.value)


@pytest.fixture
def watch(make_trainer, run) -> Watch:
    return Watch(make_trainer(), run)


@pytest.fixture
def said(capsys) -> Callable[[], str]:
    return lambda: capsys.readouterr().err


def test_a_collapsing_encoder_is_reported_once_and_again_after_it_was_well(watch, said):
    watch.look({"w_spread": 2.0})
    watch.look({"w_spread": 0.5})
    assert said() == ""
    watch.look({"w_spread": 0.1})
    watch.look({"w_spread": 0.09})
    text = said()
    assert text.startswith(
        "warning at 0 pictures: the encoder is collapsing: the spread of E(x) is 0.1000, it began at 2."
    )
    assert text.endswith("Lower --learning_rate, or raise --warmup_kimg.\n")
    assert text.count("warning") == 1
    watch.look({"w_spread": 1.0})
    watch.look({"w_spread": 0.1})
    assert said().count("the encoder is collapsing") == 1


def test_a_discriminator_that_wins_is_reported_when_it_does_so_for_long(watch, said):
    for _ in range(MEMORY):
        watch.look({"d": 1.2})
    for _ in range(MEMORY // 2):
        watch.look({"d": 0.01})
    assert said() == ""
    for _ in range(MEMORY):
        watch.look({"d": 0.01})
    text = said()
    assert text.count("the discriminator is winning: its loss is 0.") == 1
    assert "--augment ada" in text


def test_the_threshold_is_what_it_says():
    """On average 90 % sure that a real picture is real, and that a fake is none."""
    sure = torch.logit(torch.tensor([0.905]))
    assert losses.discriminator_logistic(sure, -sure).item() == pytest.approx(D_WINS, rel=0.01)


def test_a_gradient_that_jumps_is_reported(watch, said):
    for step in range(MEMORY):
        watch.look({"g_grad": 1.0 + step % 3, "d_grad": 5.0})
    assert said() == ""
    watch.look({"g_grad": 29.0, "d_grad": 5.0})
    assert said() == ""
    watch.look({"g_grad": 900.0, "d_grad": 5.0})
    text = said()
    assert "the gradient of generator and encoder has jumped: its norm is 900, it was at most 29" in text
    assert "--learning_rate" in text
    assert "discriminator" not in text


def test_the_first_looks_have_nothing_to_compare_with(watch, said):
    for step in range(MEMORY // 2):
        watch.look({"g_grad": 20.0**step})
    assert said() == ""


def test_a_gradient_that_is_not_finite_stops_the_run(watch):
    with pytest.raises(TrainingError, match="g_grad is not finite at step 0"):
        watch.look({"g_grad": math.inf})
