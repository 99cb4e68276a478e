"""The numbers of a run in a tracker."""

from __future__ import annotations

import pytest

from stylex.networks.config import ConfigError
from train.engine.report import Reports
from train.engine.tracker import finish_tracker, require_tracker, start_tracker


def test_tensorboard_gets_the_numbers_and_the_sheet(make_trainer, x, run):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer = make_trainer(report_to="tensorboard", output=str(run))
    start_tracker(trainer.accelerator, trainer.o, run)
    trainer.step(x)
    trainer.numbers()
    numbers = Reports(trainer, x, run).make()
    finish_tracker(trainer.accelerator)
    (folder,) = {path.parent for path in run.glob("stylex/events*")}
    found = accumulator.EventAccumulator(str(folder)).Reload()
    assert set(found.Tags()["scalars"]) >= set(numbers)
    (event,) = found.Scalars("val/agreement")
    assert event.step == 4
    assert event.value == pytest.approx(numbers["val/agreement"])
    assert [image.step for image in found.Images("sheet")] == [4]


class Away:
    name = "away"

    def log(self, values: dict, step: int) -> None:
        raise ConnectionError("nobody answers")


def test_a_tracker_that_fails_costs_a_warning(make_trainer, x, run, capsys):
    trainer = make_trainer()
    trainer.accelerator.trackers.append(Away())
    assert Reports(trainer, x, run).make()
    assert capsys.readouterr().err == "warning: away failed (ConnectionError: nobody answers).\n"
    assert (run / "log.jsonl").is_file()


def test_a_tracker_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="report_to is wandb, which is not installed; pip install wandb, or use"):
        require_tracker("wandb")
    require_tracker("none")
