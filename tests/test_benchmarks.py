"""The benchmarks run on any model, and what they write is what they measured."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("given", [True, False], ids=["pictures of a folder", "pictures of the model's own"])
def test_attfind_is_timed_and_compared_with_one_coordinate_at_a_time(model_folder, pictures, tmp_path, given, capsys):
    args = ["--model", str(model_folder), "--pictures", "4", "--sample", "5", "--keep", "1000"]
    args += ["--json", str(tmp_path / "attfind.json"), *(["--data", str(pictures)] if given else [])]
    numbers = load("attfind").main(args)
    assert json.loads((tmp_path / "attfind.json").read_text(encoding="utf-8")) == numbers
    assert numbers["moves"] == 2 * 40 * 4
    assert numbers["timed_one_at_a_time"] == 20
    assert numbers["largest_difference"] < 1e-4
    # A shortlist of everything misses nothing.
    assert (numbers["recall_at_20"], numbers["recall_per_picture"], numbers["same_top_10"]) == (1.0, 1.0, 1.0)
    assert numbers["exact_speedup"] == pytest.approx(numbers["one_at_a_time_s"] / numbers["exact_s"])
    assert numbers["screened_speedup"] > 0
    assert "| one at a time | 320 |" in capsys.readouterr().out
