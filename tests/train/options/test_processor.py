"""bfloat16 is taken where the processor has it, whatever this build of torch can be asked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from train.options.processor import has_bf16

YES, NO = (lambda *_: True), (lambda *_: False)


def of(**parts):
    return SimpleNamespace(**{name: SimpleNamespace(**part) for name, part in parts.items()})


def cuda(*capability, **more):
    return {"is_available": YES, "get_device_capability": lambda: capability, "is_bf16_supported": YES, **more}


AMX = {"_is_avx512_bf16_supported": NO, "_is_amx_tile_supported": YES}


@pytest.mark.parametrize(
    ("library", "machine", "has"),
    [
        (SimpleNamespace(), "x86_64", False),
        (SimpleNamespace(), "arm64", False),
        (of(cuda=cuda(8, 0)), "x86_64", True),
        (of(cuda=cuda(12, 0)), "x86_64", True),
        (of(cuda=cuda(7, 5)), "x86_64", False),
        (of(cuda=cuda(7, 0), cpu=AMX), "x86_64", False),
        (of(cuda=cuda(9, 0), version={"hip": "6.2"}), "x86_64", True),
        (of(cuda={"is_available": NO}, cpu=AMX), "x86_64", True),
        (of(cpu={"_is_avx512_bf16_supported": YES}), "x86_64", True),
        (of(cpu={"_is_avx512_bf16_supported": NO}), "x86_64", False),
        (of(xpu={"is_available": YES, "is_bf16_supported": YES}), "x86_64", True),
    ],
)
def test_only_hardware_that_computes_in_it_has_it(library, machine, has):
    assert has_bf16(library, machine, {}) is has


def test_apple_and_arm():
    def mac(new):
        return SimpleNamespace(backends=of(mps={"is_available": YES, "is_macos_or_newer": lambda *_: new}))

    assert has_bf16(mac(True), "arm64", {})
    assert not has_bf16(mac(False), "arm64", {})
    assert not has_bf16(mac(True), "arm64", {"ACCELERATE_USE_CPU": "true"})
    onednn = SimpleNamespace(ops=of(mkldnn={"_is_mkldnn_bf16_supported": YES}))
    assert has_bf16(onednn, "aarch64", {})
    assert not has_bf16(onednn, "x86_64", {})  # there it is emulated


def test_a_gpu_that_shall_not_be_used_does_not_count():
    library = of(cuda=cuda(9, 0), cpu=AMX | {"_is_amx_tile_supported": NO})
    assert not has_bf16(library, "x86_64", {"ACCELERATE_USE_CPU": "true"})
    assert has_bf16(library, "x86_64", {"ACCELERATE_USE_CPU": "false"})


def test_this_machine_can_be_asked():
    assert has_bf16(torch) in (True, False)
