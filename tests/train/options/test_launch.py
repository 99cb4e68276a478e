"""What `accelerate launch` asks for is done, or refused before anything is read."""

from __future__ import annotations

import pytest
from small import SMALL

from stylex.networks.config import ConfigError
from train.options.launch import check_launch
from train.options.training import Options
from train.train import main

# What `accelerate launch` sets by itself.
DEFAULTS = {
    "ACCELERATE_MIXED_PRECISION": "no",
    "ACCELERATE_DYNAMO_BACKEND": "no",
    "ACCELERATE_DYNAMO_MODE": "default",
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1",
    "ACCELERATE_USE_CPU": "true",
}


def test_the_defaults_of_a_launch_ask_for_nothing():
    check_launch("no", {})
    check_launch("bf16", DEFAULTS)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ACCELERATE_MIXED_PRECISION", "fp16", "mixed precision fp16 .* overflow; use bf16 or no$"),
        ("ACCELERATE_MIXED_PRECISION", "fp8", "mixed precision fp8 .*; use bf16 or no$"),
        (
            "ACCELERATE_MIXED_PRECISION",
            "bf16",
            "mixed precision bf16 .* --mixed_precision is no; .* leave one out$",
        ),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "the dynamo backend inductor .*; use --compile"),
        (
            "ACCELERATE_GRADIENT_ACCUMULATION_STEPS",
            "4",
            "4 steps of gradient accumulation .*; use a larger",
        ),
        ("ACCELERATE_USE_DEEPSPEED", "true", "DeepSpeed .*leave it out$"),
        ("ACCELERATE_USE_FSDP", "true", "FSDP .*leave it out$"),
        ("ACCELERATE_USE_MEGATRON_LM", "true", "Megatron-LM .*leave it out$"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true", "a parallelism configuration .*leave it out$"),
    ],
)
def test_what_would_be_ignored_is_refused_and_named(name, value, says, monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match=rf"^accelerate asks for {says}") as error:
        check_launch("no", {**DEFAULTS, name: value})
    assert name in str(error.value)
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=says):  # before the data and the classifier are even looked for
        main(["--data", "gone", "--classifier", "gone", "--output", str(tmp_path / "run"), "--mixed_precision", "no"])
    assert not (tmp_path / "run").exists()


def test_auto_does_what_the_launch_asks_for(monkeypatch):
    given = {**SMALL, "data": "", "output": "", "classifier": "", "mixed_precision": "auto"}
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert Options(**given).mixed_precision == "bf16"
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setattr("train.options.training.has_bf16", lambda: True)
    assert Options(**given).mixed_precision == "bf16"
    assert Options(**{**given, "mixed_precision": "no"}).mixed_precision == "no"
