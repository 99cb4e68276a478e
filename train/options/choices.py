"""What options may be where that is a word, for all who read one."""

from __future__ import annotations

from typing import Literal

Precision = Literal["auto", "no", "bf16"]
Flips = Literal["none", "horizontal", "dihedral"]
# How strongly the discriminator's pictures are changed: a share of them, or one that adapts.
Strength = float | Literal["ada"]
Tracker = Literal["none", "tensorboard", "trackio", "wandb"]
# Which pictures a report shows of an attribute.
Shown = Literal["distance", "effect", "random"]
