"""The drawn pictures that anybody can try everything on."""

from __future__ import annotations

import random
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def both(kind: str, draw: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same draws without and with what tells the classes apart: two pictures [H, W, 3]."""
    one = runpy.run_path(str(SCRIPTS / f"draw_{kind}.py"))[draw]
    plain, special = (np.asarray(one(random.Random(seed), has)).astype(int) for has in (False, True))
    return plain, special


def test_spots_alone_tell_poisonous_from_edible():
    for seed in range(20):
        plain, spotted = both("toadstools", "toadstool", seed)
        changed = (abs(plain - spotted) > 8).any(axis=2)
        assert 0.01 < changed.mean() < 0.12
        # spots are pale, and on the cap, which is in the upper part
        assert (spotted - plain)[changed].sum(axis=1).mean() > 60
        assert not changed[round(0.7 * len(changed)) :].any()


def test_the_pupil_alone_tells_slit_from_round():
    for seed in range(20):
        plain, slit = both("eyes", "eye", seed)
        changed = (abs(plain - slit) > 8).any(axis=2)
        assert 0.01 < changed.mean() < 0.12
        # what was pupil beside the slit is iris, and above and below it iris has become pupil: all in the middle
        rows, columns = changed.nonzero()
        for place in (rows, columns):
            assert len(plain) * 0.15 < place.min() <= place.max() < len(plain) * 0.85
        lighter = (slit - plain).sum(axis=2)[changed] > 0
        assert 0.2 < lighter.mean() < 0.8


@pytest.mark.parametrize(
    ("kind", "classes"), [("toadstools", ["edible", "poisonous"]), ("eyes", ["round", "slit"])], ids=lambda v: str(v)
)
def test_two_class_folders_of_pictures_that_are_never_twice_the_same(tmp_path, kind, classes):
    for folder in ("a", "b"):
        command = [sys.executable, str(SCRIPTS / f"draw_{kind}.py"), str(tmp_path / folder), "--count", "3"]
        subprocess.run(command, check=True)
    files = sorted((tmp_path / "a").rglob("*.png"))
    assert [f.parent.name for f in files] == 3 * classes[:1] + 3 * classes[1:]
    pixels = [Image.open(f).tobytes() for f in files]
    assert len(set(pixels)) == 6
    assert pixels == [Image.open(f).tobytes() for f in sorted((tmp_path / "b").rglob("*.png"))]
