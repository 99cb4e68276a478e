"""Where the scripts compute that train nothing through Accelerate, and how exactly."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor


def device() -> torch.device:
    """This process's GPU if there is one, else the processor."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def measure_exactly() -> None:
    """Without TF32, which rounds at the third digit: a GPU shall measure what a processor does."""
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")


def train_fast(device: torch.device) -> None:
    """What a GPU may do for speed while it trains: round in TF32 what is not in bf16 already (the frozen networks that
    look at pictures), and try which convolution is fastest for each of the few shapes of a step."""
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True


def always_alike() -> None:
    """The same bits in every run on the same kind of device: nothing sums in whatever order threads arrive.

    From now on torch refuses what it has no such way for, with a RuntimeError that names it.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first matrices are multiplied
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)


def no_such_way(error: RuntimeError) -> str | None:
    """What torch refused under `always_alike`, for a person to read; None of another error."""
    what, has_none, _ = str(error).partition(" does not have a deterministic implementation")
    if not has_none:
        return None
    return (
        f"{what} cannot be computed with the same bits each time on this device, and --deterministic asks for that; "
        "leave it out, or use a classifier and --perceptual that do without"
    )


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on a device; None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    machine, group = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
    if not machine.exists():
        return None
    lines = dict(line.split(":", 1) for line in machine.read_text(encoding="ascii").splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:  # a container may have less than its machine; what it keeps of files is given back
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        used = int((group / "memory.current").read_text(encoding="ascii")) - int(stat["inactive_file"])
    except (OSError, ValueError, KeyError):  # there is no such limit
        return free
    return min(free, limit - used)


# Of a GPU's free memory the pictures may take this share; the step needs the rest.
PICTURES_SHARE = 0.25


def kept(x: Tensor, device: torch.device) -> Tensor:
    """Pictures [N, 3, R, R] uint8 where a step takes its batch from: on the GPU if they fit, so that none is copied and
    the step waits for nothing, else where they are."""
    if device.type != "cuda" or x.nbytes > PICTURES_SHARE * torch.cuda.mem_get_info(device)[0]:
        return x
    return x.to(device)


def batch_of(x: Tensor, index: Tensor, device: torch.device) -> Tensor:
    """Some of the pictures that `kept` keeps, [B, 3, R, R] uint8 on the device."""
    if device.type == "cuda":
        if x.device.type == "cuda":
            return x[index.pin_memory().to(device, non_blocking=True)]
        return x[index].pin_memory().to(device, non_blocking=True)
    return x[index].to(device)
