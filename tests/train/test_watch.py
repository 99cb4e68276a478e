"""A run that goes wrong says so."""

from __future__ import annotations

import math

import pytest

from train import checkpoint
from train.watch import TrainingError, check


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


def test_a_collapsing_encoder_is_reported(make_trainer, run, capsys):
    trainer = make_trainer()
    check(trainer, {"w_spread": 2.0}, run)
    check(trainer, {"w_spread": 0.5}, run)
    assert capsys.readouterr().err == ""
    check(trainer, {"w_spread": 0.1}, run)
    said = capsys.readouterr().err
    assert "warning: the encoder is collapsing" in said
    assert "0.1000, it began at 2.0000" in said
