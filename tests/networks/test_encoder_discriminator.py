"""The two readers of pictures: one speaks of each picture alone, the other weighs what it says by the class."""

from __future__ import annotations

import pytest
import torch

from stylex.networks.config import ModelConfig
from stylex.networks.discriminator import Discriminator
from stylex.networks.encoder import Encoder


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    return ModelConfig(16, 3, (3, 4, 5), (6, 7, 8), w_dim=9, z_dim=10, mapping_layers=2)


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_what_the_encoder_says_of_a_picture_does_not_depend_on_its_neighbours(config, x):
    torch.manual_seed(0)
    encoder = Encoder(config)
    together = encoder(x)
    assert together.shape == (6, 9)
    alone = torch.cat([encoder(one) for one in x.split(1)])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    assert together.std(dim=0).min() > 0


def test_the_discriminator_weighs_its_outputs_by_the_probabilities(config, x):
    torch.manual_seed(0)
    discriminator = Discriminator(config)
    each = torch.stack([discriminator(x, torch.eye(3)[k].expand(6, -1)) for k in range(3)], dim=1)  # [6, 3]
    probs = torch.rand(6, 3).softmax(dim=1)
    score = discriminator(x, probs)
    assert score.shape == (6,)
    torch.testing.assert_close(score, (each * probs).sum(dim=1))
    assert not torch.allclose(each[:, 0], each[:, 1])


def test_the_discriminator_does_look_at_the_neighbours(config, x):
    torch.manual_seed(0)
    discriminator = Discriminator(config)
    probs = torch.full((6, 3), 1 / 3)
    alike = discriminator(x[:1].expand(6, -1, -1, -1), probs)
    assert not torch.allclose(discriminator(x, probs)[0], alike[0])


def test_batches_side_by_side_are_scored_as_each_alone(config, x):
    torch.manual_seed(0)
    discriminator = Discriminator(config)
    probs = torch.rand(6, 3).softmax(dim=1)
    alone = torch.cat([discriminator(a, p) for a, p in zip(x.chunk(2), probs.chunk(2), strict=True)])
    torch.testing.assert_close(discriminator(x, probs, batches=2), alone)
    assert not torch.allclose(discriminator(x, probs), alone)


def test_scores_are_in_full_precision_under_autocast(config, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Encoder(config)(x).dtype == torch.float32
        assert Discriminator(config)(x, torch.full((6, 3), 1 / 3)).dtype == torch.float32
