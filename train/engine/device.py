"""Where the scripts compute that train nothing through Accelerate, and how exactly."""

from __future__ import annotations

import os

import torch


def device() -> torch.device:
    """This process's GPU if there is one, else the processor."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def measure_exactly() -> None:
    """Without TF32, which rounds at the third digit: a GPU shall measure what a processor does."""
    torch.backends.cudnn.allow_tf32 = False
