"""A model that grows draws what it drew and says what it said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from stylex.networks.config import ConfigError, ModelConfig
from stylex.networks.discriminator import Discriminator
from stylex.networks.encoder import Encoder
from stylex.networks.generator import Generator, Mapping
from train.engine.grow import grown


@pytest.fixture(params=[0, 3], ids=["no places", "places"])
def small(request) -> ModelConfig:
    return ModelConfig(16, 2, (8, 8, 6), (8, 8, 6), w_dim=8, z_dim=8, mapping_layers=2, places=request.param)


def of_both(kind, small: ModelConfig, config: ModelConfig):
    """A network with weights of its own, and what it has grown to."""
    torch.manual_seed(0)
    before, after = kind(small), kind(config)
    for value in before.parameters():
        value.data.normal_()
    after.load_state_dict(grown(before.state_dict(), small, after.state_dict(), config))
    return before, after


@pytest.mark.parametrize("resolution", [32, 64])
def test_a_grown_generator_draws_the_same_picture_enlarged(small, resolution):
    before, after = of_both(Generator, small, small.grown(resolution))
    latent = torch.randn(3, small.latent_dim)
    picture, larger = (network(latent, noise="const") for network in (before, after))
    while picture.shape[-1] < resolution:
        picture = F.interpolate(picture, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(larger, picture, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("trunk", [None, (8, 8, 6, 6, 7), (8, 8, 6, 9, 6)], ids=["as given", "wider", "widest between"])
@pytest.mark.parametrize("kind", [Encoder, Discriminator])
def test_a_grown_reader_says_the_same_of_an_enlarged_picture(small, kind, trunk):
    before, after = of_both(kind, small, small.grown(64, trunk_channels=trunk))
    x = torch.rand(4, 3, 16, 16) * 2 - 1
    larger = F.interpolate(
        x, scale_factor=4
    )  # each pixel four times each way, so that the average of them is that pixel
    probs = [torch.eye(2).repeat(2, 1)] if kind is Discriminator else []
    torch.testing.assert_close(after(larger, *probs), before(x, *probs), rtol=1e-4, atol=1e-4)


def test_a_mapping_grows_by_nothing(small):
    before, after = of_both(Mapping, small, small.grown(64))
    z = torch.randn(3, 8)
    assert torch.equal(before(z), after(z))


def test_places_that_come_later_change_nothing_at_first():
    small = ModelConfig(16, 2, (8, 8, 6), (8, 8, 6), w_dim=8, z_dim=8, mapping_layers=2)
    config = small.grown(16, places=3)
    before, after = of_both(Generator, small, config)
    w, t, probs = torch.randn(3, 8), torch.rand(3, config.place_dim) * 2 - 1, torch.rand(3, 2)
    picture = before(torch.cat([w, probs], dim=1), noise="const")
    torch.testing.assert_close(after(torch.cat([w, t, probs], dim=1), noise="const"), picture)
    for kind, read in ((Encoder, torch.rand(2, 3, 16, 16)), (Mapping, torch.randn(2, 8))):
        before, after = of_both(kind, small, config)
        said = after(read)
        assert said.shape == (2, config.code_dim)
        torch.testing.assert_close(said[:, :8], before(read))


def test_the_gates_of_places_that_come_later_learn():
    small = ModelConfig(16, 2, (8, 8, 6), (8, 8, 6), w_dim=8, z_dim=8, mapping_layers=2)
    _, after = of_both(Generator, small, small.grown(16, places=3))
    latent = torch.randn(3, after.config.latent_dim)
    after(latent, noise="const").square().sum().backward()
    assert all(gate.weight.grad.abs().max() > 0 for gate in after.synthesis.gates)


def test_finer_levels_follow_from_the_finest_there_is():
    small = ModelConfig(16, 2, (64, 48, 40), (64, 48, 24))
    assert small.grown(16) == small
    assert small.grown(64) == replace(
        small, resolution=64, channels=(64, 48, 40, 20, 16), trunk_channels=(64, 48, *[24] * 3)
    )
    assert replace(small, channels=(64, 48, 8)).grown(32).channels == (64, 48, 8, 8)


@pytest.mark.parametrize(
    ("resolution", "asked", "says"),
    [
        (8, {}, "a model of 16 px grows to more, not to 8 px"),
        (24, {}, "resolution is 24; use a power of two"),
        (32, {"channels": (8, 8, 8, 8)}, r"channels is \[8, 8, 8, 8\]; a model of \[8, 8, 6\] keeps these"),
        (32, {"channels": (8, 8, 6)}, "32 px needs 4 whole numbers"),
        (16, {"places": 5}, "places is 5; a model with 3 keeps these"),
        (32, {"trunk_channels": (8, 8, 6, 4)}, "levels above 16 px need 6 or more, as the one below"),
    ],
)
def test_shapes_that_do_not_follow_are_refused(resolution, asked, says):
    small = ModelConfig(16, 2, (8, 8, 6), (8, 8, 6), w_dim=8, z_dim=8, mapping_layers=2, places=3)
    with pytest.raises(ConfigError, match=says):
        small.grown(resolution, **asked)
