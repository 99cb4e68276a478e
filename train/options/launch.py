"""What `accelerate launch` and its configuration ask for by the environment, and this training does or refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from stylex.networks.config import ConfigError

NOT_ASKED = ("", "no", "false", "0", "none")
# Accelerate's name of a setting, what it is called, and what there is instead.
REFUSED = {
    "ACCELERATE_DYNAMO_BACKEND": (
        "the dynamo backend",
        "which cannot take the second derivatives of R1; use --compile, which compiles what can be compiled",
    ),
    "ACCELERATE_USE_DEEPSPEED": ("DeepSpeed", "and these networks fit on every GPU; leave it out"),
    "ACCELERATE_USE_FSDP": ("FSDP", "and these networks fit on every GPU; leave it out"),
    "ACCELERATE_USE_MEGATRON_LM": ("Megatron-LM", "which is for language models; leave it out"),
    "ACCELERATE_USE_PARALLELISM_CONFIG": (
        "a parallelism configuration",
        "of which only the data is shared out; leave it out",
    ),
}


def precision(environ: Mapping[str, str]) -> Literal["bf16"] | None:
    """What the launch asks for, if it is something to follow; its "no" may be Accelerate's default."""
    return "bf16" if environ.get("ACCELERATE_MIXED_PRECISION", "").lower() == "bf16" else None


def check_launch(mixed_precision: str, environ: Mapping[str, str]) -> None:
    """Refuse what would be ignored, or fail after minutes.

    Args:
        mixed_precision: what the training will use, "bf16" or "no".

    Raises:
        ConfigError: naming the setting, what it asks for, and the way out.
    """
    asked = environ.get("ACCELERATE_MIXED_PRECISION", "").lower()
    if asked not in (*NOT_ASKED, "bf16"):
        raise ConfigError(
            f"accelerate asks for mixed precision {asked} (ACCELERATE_MIXED_PRECISION), in which the losses of this "
            "training overflow; use bf16 or no"
        )
    if asked == "bf16" and mixed_precision != "bf16":
        raise ConfigError(
            f"accelerate asks for mixed precision bf16 (ACCELERATE_MIXED_PRECISION), and --mixed_precision is "
            f"{mixed_precision}; let both ask for the same, or leave one out"
        )
    steps = environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if steps not in ("", "1"):
        raise ConfigError(
            f"accelerate asks for {steps} steps of gradient accumulation (ACCELERATE_GRADIENT_ACCUMULATION_STEPS), of "
            "which this training knows none; use a larger --batch_size, or more processes"
        )
    for name, (what, instead) in REFUSED.items():
        if (value := environ.get(name, "").lower()) not in NOT_ASKED:
            said = f" {value}" if value not in ("true", "1", "yes", "on") else ""
            raise ConfigError(f"accelerate asks for {what}{said} ({name}), {instead}")
