"""Where the scripts compute that train nothing through Accelerate."""

from __future__ import annotations

import os

import torch


def device() -> torch.device:
    """This process's GPU if there is one, without TF32, which would round at the third digit; else the processor."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
