"""How a model was trained is recorded for strangers."""

from __future__ import annotations

import json
import subprocess

from stylex import __version__
from train.engine import record
from train.engine.record import Record


def test_the_command_is_shown_without_the_paths_of_this_machine():
    args = [
        "/home/me/stylex/train/train.py",
        "--data",
        "/home/me/secret/leaves",
        "--output",
        "runs/a",
        "--channels",
        "[8, 8]",
    ]
    assert record.command(args) == "train/train.py --data leaves --output runs/a --channels '[8, 8]'"


def test_the_record_says_what_made_the_model_and_adds_the_minutes_of_earlier_sessions(tmp_path):
    Record(tmp_path, resumed=False).write(tmp_path, 100)
    first = json.loads((tmp_path / "training.json").read_text())
    assert list(first) == ["command", "code", "hardware", "software", "minutes", "pictures"]
    assert first["pictures"] == 100
    assert first["minutes"] < 1
    (tmp_path / "training.json").write_text(json.dumps({"minutes": 30}))
    Record(tmp_path, resumed=True).write(tmp_path, 200)
    assert 30 <= json.loads((tmp_path / "training.json").read_text())["minutes"] < 31
    for broken in ("{", '{"minutes": "long"}'):
        (tmp_path / "training.json").write_text(broken)
        assert Record(tmp_path, resumed=True).minutes == 0


def test_outside_of_a_clone_the_version_is_all_that_is_known(monkeypatch):
    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert record.code() == f"stylex {__version__}"
