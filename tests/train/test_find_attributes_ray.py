"""The search on a Ray cluster of one machine: a killed worker changes nothing in the files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import draw_pictures

from train import find_attributes, find_attributes_ray
from train.data.records import DataError

ROOT = Path(__file__).resolve().parents[2]


def arguments(folder: Path, pictures: Path) -> list[str]:
    values = {"model": folder / "model", "data": pictures, "effects": folder / "effects", "images": 60}
    values |= {"shard_size": 1, "batch_size": 8, "report": False, "candidates": 30, "certify": 2}
    return [arg for name, value in values.items() for arg in (f"--{name}", str(value))]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def parents(pid: int) -> list[int]:
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        found.append(pid)
    return found


def workers_under(pid: int) -> list[int]:
    """Ray's processes below `pid` that compute shards."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::" in (name := (folder / "cmdline").read_bytes()) and b"Worker" in name:
                found += [int(folder.name)] if pid in parents(int(folder.name)) else []
        except (OSError, IndexError):
            continue  # it ended meanwhile
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds Ray's workers in /proc")
def test_a_killed_worker_changes_nothing(tiny_model, tmp_path):
    pytest.importorskip("ray.data")
    pictures = draw_pictures(tmp_path / "pictures", count=40)
    for name in ("plain", "ray"):
        tiny_model.save_pretrained(tmp_path / name / "model")
    find_attributes.main(arguments(tmp_path / "plain", pictures))
    script = str(ROOT / "train" / "find_attributes_ray.py")
    process = subprocess.Popen(
        [sys.executable, script, *arguments(tmp_path / "ray", pictures)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "RAY_USAGE_STATS_ENABLED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    deadline, killed = time.monotonic() + 300, 0
    while process.poll() is None and not killed and time.monotonic() < deadline:
        if 3 <= len(list(tmp_path.glob("ray/effects/shard-*"))) < 55:
            for pid in workers_under(process.pid)[:1]:
                os.kill(pid, signal.SIGKILL)
                killed += 1
        time.sleep(0.01)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out.decode()[-3000:]
    assert killed == 1
    whole = {name: data for name, data in contents(tmp_path / "ray").items() if not name.endswith(".part")}
    assert whole == contents(tmp_path / "plain")
    shutil.rmtree(tmp_path / "ray")


def test_without_ray_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DataError, match=r"pip install .*find_attributes\.py works without"):
        find_attributes_ray.main(["--model", "a", "--data", "b"])
