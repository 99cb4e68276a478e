"""Several processes do what one would do on their joint batch, and end together."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from joint import PROCESSES, build, gradients
from small import command_line

from stylex import StylEx
from train.engine import checkpoint

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(PROCESSES))


def start(*args: object, **env: str) -> str:
    """What a command says; it has to succeed."""
    done = subprocess.run(
        [sys.executable, *map(str, args)],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **env},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_two_processes_have_the_gradients_of_one_on_the_joint_batch(classifier_folder, tmp_path):
    """Every part of a step: both paths, swaps with dropout, mixing, augmentation, minibatch statistics, R1, paths."""
    start(*TORCHRUN, ROOT / "tests" / "joint.py", classifier_folder, tmp_path / "found")
    (first, logged), (second, _) = (torch.load(tmp_path / f"found.{rank}") for rank in range(PROCESSES))
    expected, logged_by_one = gradients(build(str(classifier_folder), 1))
    assert {"r1", "path", "l1", "kl", "w_rec", "kl_swap", "g_adv", "d"} <= set(logged_by_one)
    assert first.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.equal(first[name], second[name]), f"{name} differs between the processes"
        scale = gradient.abs().max().clamp_min(1e-6)
        torch.testing.assert_close(
            first[name] / scale, gradient / scale, rtol=0, atol=2e-4, msg=lambda m, n=name: n + m
        )
    for name in ("mean_path", "share", "d_overfitting", "r1", "g_grad", "d_grad"):
        # r1 is a mean over the pictures of one process; the others are joint
        assert logged[name] == pytest.approx(logged_by_one[name], rel=0.5 if name == "r1" else 1e-3), name


def test_two_processes_end_together_cleanly_and_only_one_of_them_writes(pictures, classifier_folder, tmp_path):
    """By a time limit, which each of them reaches at another step."""
    run = tmp_path / "run"
    options = {"data": pictures, "classifier": classifier_folder, "output": run, "log_every": 2, "save_minutes": 0.0}
    said = start(*TORCHRUN, ROOT / "train" / "train.py", *command_line(**options, max_minutes=0.001, total_kimg=1000.0))
    assert said.count("measured on") == 1
    nimg = int(checkpoint.found(run)[-1].name.removeprefix("checkpoint-"))
    assert nimg % (2 * 2 * 4) == 0  # they agree every second step, of two times four pictures
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["nimg"] for row in rows] == [nimg]
    assert StylEx.from_pretrained(run / "model")
    # One process takes over where two have been.
    said = start(ROOT / "train" / "train.py", *command_line(**options, total_kimg=(nimg + 4) / 1000))
    assert f"resumed at {nimg} pictures" in said
    assert checkpoint.found(run)[-1].name == f"checkpoint-{nimg + 4:09d}"


def test_a_cluster_s_sigterm_to_everybody_ends_two_processes_with_a_checkpoint(pictures, classifier_folder, tmp_path):
    """It reaches the workers twice: from the cluster, and from the launcher, which has got it, too."""
    run = tmp_path / "run"
    options = {"data": pictures, "classifier": classifier_folder, "output": run, "total_kimg": 1000.0, "log_every": 2}
    args = [*TORCHRUN, ROOT / "train" / "train.py", *command_line(**options, save_minutes=0.0, keep_checkpoints=1)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen([sys.executable, *map(str, args)], env=environment, stdout=said, stderr=said)
        while process.poll() is None and not checkpoint.found(run):
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in [*map(int, children), process.pid]:
            os.kill(pid, signal.SIGTERM)
        assert process.wait(timeout=120) != 0
    assert len(children) == PROCESSES
    (stopped,) = re.findall(r"stopped by SIGTERM at (\d+) pictures", (tmp_path / "said").read_text())
    assert [path.name for path in checkpoint.found(run)] == [f"checkpoint-{int(stopped):09d}"]
    assert not any(Path("/proc", pid).exists() for pid in children)


def test_the_launcher_that_starts_one_process_on_a_cpu_is_told_of(pictures, classifier_folder, tmp_path):
    options = {"data": pictures, "classifier": classifier_folder, "output": tmp_path / "run", "total_kimg": 0.008}
    launcher = ("-m", "accelerate.commands.accelerate_cli", "launch", "--num_processes", "2", "--cpu")
    said = start(*launcher, ROOT / "train" / "train.py", *command_line(**options))
    assert "warning: `accelerate launch --cpu` starts one process" in said
    assert [p.name for p in checkpoint.found(tmp_path / "run")] == ["checkpoint-000000008"]
