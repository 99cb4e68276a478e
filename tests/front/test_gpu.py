"""On a ZeroGPU Space each answer that computes borrows a GPU; elsewhere nobody notices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import front.gpu

ROOT = Path(__file__).parents[2]
# Stands in for the package of ZeroGPU Spaces.
SPACES = """
import functools, sys

assert "torch" not in sys.modules, "spaces must be imported before torch"
LENT = []

def GPU(duration):
    def decorate(answer):
        @functools.wraps(answer)
        def borrowed(*args, **kwargs):
            LENT.append(answer.__name__)
            return answer(*args, **kwargs)
        borrowed.seconds = duration
        return borrowed
    return decorate
"""
PROGRAM = """
import sys
import app, spaces
from front.endpoints import Endpoints
from front.endpoints_of_models import EndpointsOfModels
from front.handlers.bench import Bench
from front.handlers.comparison import Comparisons
from front.handlers.judging import Judging
from front.handlers.overview import Overview
from front.handlers.reviewing import Reviewing
from front.handlers.screen import Screen
from front.models import Shelf, wishes
from pathlib import Path

KINDS = (Bench, Comparisons, Endpoints, EndpointsOfModels, Judging, Overview, Reviewing, Screen)
shelf = Shelf(wishes(sys.argv[1], Path("nowhere")))
shelf.fill()
built = app.build_app(shelf)
lent = {f.fn.__name__ for f in built.fns.values() if hasattr(f.fn, "seconds")}
assert lent == {name for kind in KINDS for name in kind.ON_GPU}, lent
picture = sys.argv[2]
explain = next(f.fn for f in built.fns.values() if f.api_name == "explain")
assert spaces.LENT == []
explain(picture)
assert spaces.LENT == ["explain"]
"""


class Answers:
    ON_GPU = ("heavy",)

    def heavy(self) -> int:
        return 1

    def light(self) -> int:
        return 2


def test_without_zerogpu_nothing_changes():
    assert front.gpu.spaces is None  # and is no requirement
    answers = Answers()
    assert front.gpu.lent(answers) is answers
    assert vars(answers) == {}
    assert front.gpu.device() in ("cpu", "cuda")


def test_on_zerogpu_what_runs_a_network_borrows_a_gpu(tiny_model, pictures, tmp_path):
    folder = tiny_model.save_pretrained(tmp_path / "model")
    (tmp_path / "spaces.py").write_text(SPACES)
    settings = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    settings["GRADIO_TEMP_DIR"] = str(tmp_path / "cache")
    settings["GRADIO_ANALYTICS_ENABLED"] = "False"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(pictures / "plain" / "plain-0.png")],
        cwd=tmp_path,
        env={**os.environ, **settings},
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
