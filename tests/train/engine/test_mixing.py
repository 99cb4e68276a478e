"""Style mixing."""

from __future__ import annotations

import torch

from stylex.networks.config import ModelConfig
from stylex.networks.generator import Generator
from train.engine.mixing import mixing


def test_mixing_hands_all_layers_from_one_on_to_the_other_w():
    space = Generator(ModelConfig(32, 2, (8, 8, 8, 8), (8, 8, 8, 8), w_dim=8)).space
    layers = space.layers
    w, probs = torch.randn(3, 8), torch.rand(3, 2)
    firsts = set()
    for seed in range(60):
        torch.manual_seed(seed)
        latent, mask = mixing(space, w, probs)
        assert torch.equal(latent, torch.cat([w[[2, 0, 1]], probs], dim=1))  # another w, one's own probabilities
        assert torch.equal(mask, mask[:1].expand(3, -1))
        parts = [mask[0, layer.slice] for layer in layers]
        assert all(part.all() or not part.any() for part in parts)
        taken = [layer.name for layer, part in zip(layers, parts, strict=True) if part.all()]
        conv = [layer.name for layer in layers if not layer.name.endswith("torgb")]
        first = next(name for name in conv if name in taken)
        firsts.add(first)
        assert [name for name in conv if name in taken] == conv[conv.index(first) :]
        size = int(first.split("x")[0])
        assert [name for name in taken if name.endswith("torgb")] == [
            f"{s}x{s}/torgb" for s in (4, 8, 16, 32) if s >= size
        ]
    assert firsts == set(conv[1:])
