"""The drawn pictures that anybody can try everything on."""

from __future__ import annotations

import random
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "draw_toadstools.py"


def test_spots_alone_tell_poisonous_from_edible():
    script = runpy.run_path(str(SCRIPT))
    toadstool, side = script["toadstool"], script["SIDE"]
    for seed in range(20):
        plain, spotted = (np.asarray(toadstool(random.Random(seed), s)).astype(int) for s in (False, True))
        changed = (abs(plain - spotted) > 8).any(axis=2)
        assert 0.01 < changed.mean() < 0.12
        # spots are pale, and on the cap, which is in the upper part
        assert (spotted - plain)[changed].sum(axis=1).mean() > 60
        assert not changed[round(0.7 * side) :].any()


def test_two_class_folders_of_pictures_that_are_never_twice_the_same(tmp_path):
    for folder in ("a", "b"):
        command = [sys.executable, str(SCRIPT), str(tmp_path / folder), "--count", "3"]
        subprocess.run(command, check=True)
    files = sorted((tmp_path / "a").rglob("*.png"))
    assert [f.parent.name for f in files] == 3 * ["edible"] + 3 * ["poisonous"]
    pixels = [Image.open(f).tobytes() for f in files]
    assert len(set(pixels)) == 6
    assert pixels == [Image.open(f).tobytes() for f in sorted((tmp_path / "b").rglob("*.png"))]
