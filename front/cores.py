"""How many processor cores this process may really use.

In a container the machine's cores are all to be seen, and only a share of them may be used; one thread for each core
that is seen makes every picture several times slower.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

from front.gpu import device

CGROUP = Path("/sys/fs/cgroup")
# Explanations at once, each of a hundred megabytes. Layers are small, so that a second thread hardly hastens one, while
# a second explanation beside it costs it next to nothing.
MOST_AT_ONCE = 2


def share_out_our_cores() -> int:
    """Let torch take for each explanation its share of the cores that this process may use, or of fewer if it is told
    so (OMP_NUM_THREADS).

    Returns:
        How many explanations may be made at once.
    """
    cores = min(torch.get_num_threads(), usable_cores())
    at_once = 1 if device() == "cuda" else min(cores, MOST_AT_ONCE)
    torch.set_num_threads(cores // at_once)
    return at_once


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Cores of this process's affinity, or of its container's share where that is less."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(seen, share(cgroup)))


def share(cgroup: Path) -> float:
    """Processor time for each second that a container may use, by cgroup version 2 or 1; infinity without a limit."""
    try:
        limit, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            limit = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except OSError:
            return math.inf
    if not limit.isdigit() or not period.isdigit() or int(limit) == 0 or int(period) == 0:
        return math.inf
    return int(limit) / int(period)
