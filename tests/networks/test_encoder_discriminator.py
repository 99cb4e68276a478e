"""The two readers of pictures: one speaks of each picture alone, the other weighs what it says by the class."""

from __future__ import annotations

import pytest
import torch

from stylex.networks.config import ModelConfig
from stylex.networks.discriminator import Discriminator, ProjectedDiscriminator, SpectralConv2d
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


# Projected.


@pytest.fixture(scope="module")
def maps() -> list[torch.Tensor]:
    """As the eye sees six pictures of 96 px."""
    random = torch.Generator().manual_seed(0)
    sizes = zip(ProjectedDiscriminator.SEEN, (24, 12, 6, 3), strict=True)
    return [torch.rand(6, c, side, side, generator=random) for c, side in sizes]


def test_the_projected_discriminator_scores_every_position_at_four_scales(config, maps):
    torch.manual_seed(0)
    scores = ProjectedDiscriminator(config)(maps, torch.full((6, 3), 1 / 3))
    assert [score.shape for score in scores] == [(6, 36), (6, 36), (6, 36), (6, 9)]
    assert all(score.dtype == torch.float32 and score.std() > 0 for score in scores)


def test_the_projected_discriminator_weighs_its_outputs_by_the_probabilities(config, maps):
    torch.manual_seed(0)
    discriminator = ProjectedDiscriminator(config).eval()
    probs = torch.rand(6, 3).softmax(dim=1)
    each = [discriminator(maps, torch.eye(3)[k].expand(6, -1)) for k in range(3)]
    for level, score in enumerate(discriminator(maps, probs)):
        expected = sum(each[k][level] * probs[:, k, None] for k in range(3))
        torch.testing.assert_close(score, expected)


def test_what_the_projected_discriminator_says_of_a_picture_does_not_depend_on_its_neighbours(config, maps):
    torch.manual_seed(0)
    discriminator, probs = ProjectedDiscriminator(config).eval(), torch.full((6, 3), 1 / 3)
    alone = discriminator([m[:1] for m in maps], probs[:1])
    for one, all_of_them in zip(alone, discriminator(maps, probs), strict=True):
        torch.testing.assert_close(one, all_of_them[:1], rtol=1e-4, atol=1e-5)


def test_the_random_projections_are_saved_and_never_trained(config):
    discriminator = ProjectedDiscriminator(config)
    projections = {n for n in discriminator.state_dict() if n.startswith(("channels", "scales"))}
    assert projections == {"channels0", "channels1", "channels2", "channels3", "scales1", "scales2", "scales3"}
    assert not projections & {name for name, _ in discriminator.named_parameters()}


def test_a_spectral_convolution_has_a_largest_singular_value_of_one():
    torch.manual_seed(0)
    conv = SpectralConv2d(5, 7, 4, stride=2)
    with torch.no_grad():
        conv.weight.mul_(9)
        for _ in range(50):
            conv(torch.rand(1, 5, 8, 8))
        u = conv.u.clone()
        expected = torch.nn.functional.conv2d(
            torch.ones(1, 5, 8, 8), conv.weight / torch.linalg.matrix_norm(conv.weight.flatten(1), 2), conv.bias, 2, 1
        )
        torch.testing.assert_close(conv.eval()(torch.ones(1, 5, 8, 8)), expected, rtol=1e-3, atol=1e-4)
    assert torch.equal(conv.u, u)  # an answer to somebody else changes nothing
