"""The stranger: a judge whose eye nothing was ever trained against.

A linear layer on features of EfficientNet-Lite2. The model keeps the layer, a few kilobytes; the eye comes from its
wheel when something is measured, so that a model can be loaded and shown without.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..storage.files import ModelError, load_weights, read_json, save_weights, write_json
from ..storage.outputs import claim
from .lite import HEAD

EYE = "EfficientNet-Lite2"
SIDE = 128  # of the pictures that the eye reads; smaller ones are enlarged


class Stranger(nn.Module):
    """What somebody who has learnt the classes from the same pictures, with other eyes, says of a picture.

    Args:
        class_names: one for each logit.
        weight, bias: [K, 1280] and [K], of the layer; without them it says nothing.
    """

    def __init__(self, class_names: Sequence[str], weight: Tensor | None = None, bias: Tensor | None = None) -> None:
        super().__init__()
        self.class_names = list(class_names)
        count = len(self.class_names)
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("weight", torch.zeros(count, HEAD) if weight is None else weight)
        self.register_buffer("bias", torch.zeros(count) if bias is None else bias)

    def forward(self, embedded: Tensor) -> Tensor:
        """What the eye saw, [N, 1280] -> logits [N, K]."""
        return F.linear(embedded, self.weight, self.bias)

    def save_pretrained(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        claim(folder, ["config.json", "model.safetensors"], option="folder")
        save_weights(self, folder / "model.safetensors", torch.float32)
        write_json(folder / "config.json", {"class_names": self.class_names, "eye": EYE, "side": SIDE})

    @classmethod
    def load(cls, folder: Path, class_names: Sequence[str]) -> Stranger:
        """Read what `save_pretrained` wrote for a model of these classes.

        Raises:
            ModelError: naming the file and what is wrong with it.
        """
        path = folder / "config.json"
        values = read_json(path)
        if values.get("class_names") != list(class_names):
            raise ModelError(
                f"{path}: class_names is {values.get('class_names')!r}, the classifier's are {list(class_names)!r}; "
                "they must be the same"
            )
        if (values.get("eye"), values.get("side")) != (EYE, SIDE):
            raise ModelError(
                f"{path}: this stranger looks through {values.get('eye')} at {values.get('side')} px; only {EYE} at "
                f"{SIDE} px is known, so delete the folder and its name in the model's components, and measure again"
            )
        stranger = cls(class_names)
        load_weights(stranger, folder / "model.safetensors")
        return stranger
