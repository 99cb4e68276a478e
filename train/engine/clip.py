"""What CLIP says of a change of look, for whoever has a CLIP: `pip install transformers` and a folder of its weights.

Nothing here is downloaded by itself. The losses are those of StyleGAN-NADA (Gal et al. 2022, "CLIP-Guided Domain
Adaptation of Image Generators") with a picture instead of a text, as few-shot methods use them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylex.methods.records import MethodError

# Of the pictures in [0, 1] that every CLIP of its authors and of OpenCLIP reads.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# Published weight of the second loss beside the first.
APART = 0.25


class Clip(nn.Module):
    """x [N, 3, R, R] in [-1, 1] -> embeddings [N, D] of length 1, frozen, with a gradient to the picture.

    Args:
        name: a folder of transformers' CLIP, or the name of one on the Hub, as safetensors.

    Raises:
        MethodError: if transformers is not installed, or cannot read it.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            from transformers import CLIPVisionModelWithProjection
        except ImportError:
            raise MethodError("clip needs transformers, which is not installed: pip install transformers") from None
        try:
            self.network = CLIPVisionModelWithProjection.from_pretrained(
                name, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
            )
        except Exception as error:  # transformers fails on bad folders with almost any exception
            reason = " ".join(str(error).split())[:200]
            raise MethodError(f"clip is {name}, of which transformers cannot read a CLIP ({reason})") from None
        side: Any = self.network.config.image_size
        self.side = int(side)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, (self.side, self.side), mode="bicubic", antialias=True, align_corners=False)
        seen = ((x.clamp(-1, 1) + 1) / 2 - self.mean) / self.std
        return F.normalize(self.network(pixel_values=seen).image_embeds, dim=1)


def direction(before: Tensor, after: Tensor, towards: Tensor) -> Tensor:
    """1 - cos(after - before, towards): every picture is to change as the look differs from the old one.

    Args:
        before, after: [N, D] embeddings of the same pictures in the old look and in the new one.
        towards: [D] the embedding of the references minus that of the old look.
    """
    return (1 - F.cosine_similarity(after - before, towards[None], dim=1)).mean()


def apart(before: Tensor, after: Tensor) -> Tensor:
    """Pictures stay as alike or unlike as they were: mean of (cos_after - cos_before)² over pairs; one has none."""
    if len(before) < 2:
        return after.sum() * 0
    first, second = torch.triu_indices(len(before), len(before), offset=1, device=before.device)
    alike = [F.cosine_similarity(e[first], e[second], dim=1) for e in (before, after)]
    return (alike[1] - alike[0]).square().mean()
