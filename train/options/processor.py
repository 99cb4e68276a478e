"""Which number formats the processor that trains computes in."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from typing import Any

import torch

# The first of NVIDIA's that compute in bfloat16.
AMPERE = (8, 0)


def has_bf16(library: Any = torch, machine: str | None = None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the processor that Accelerate would choose computes in bfloat16 itself.

    An emulation is slower than single precision. What a build of torch cannot be asked (one without oneDNN, an older
    one), its processor does not have.

    Args:
        library: torch, or what stands for it.
        machine: as `platform.machine` calls it; None for this one.
        environ: says whether a GPU that is there shall be used (ACCELERATE_USE_CPU).
    """
    on_cpu = environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "on")
    if not on_cpu and asked(library, "cuda.is_available"):
        if getattr(getattr(library, "version", None), "hip", None):
            return asked(library, "cuda.is_bf16_supported")
        return tuple(library.cuda.get_device_capability()) >= AMPERE
    if not on_cpu and asked(library, "backends.mps.is_available"):
        return asked(library, "backends.mps.is_macos_or_newer", 14, 0)
    if not on_cpu and asked(library, "xpu.is_available"):
        return asked(library, "xpu.is_bf16_supported")
    if (machine or platform.machine()).lower() in ("arm64", "aarch64"):
        return asked(library, "ops.mkldnn._is_mkldnn_bf16_supported")
    # oneDNN says yes to every AVX-512, on most of which it emulates.
    return asked(library, "cpu._is_avx512_bf16_supported") or asked(library, "cpu._is_amx_tile_supported")


def asked(library: Any, name: str, *values: Any) -> bool:
    """The answer of a function such as "cuda.is_available"; False where there is none of that name."""
    found: Any = library
    try:
        for part in name.split("."):
            found = getattr(found, part)
        function: Callable[..., Any] = found
        return bool(function(*values))
    except (AttributeError, RuntimeError, NotImplementedError):  # torch.ops tells of a missing one as it likes
        return False
