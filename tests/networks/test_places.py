"""Places say where, styles say how much: gates have mean one, and places 0 is the network as it was."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from stylex.attfind.edits import SingleEdits
from stylex.networks.config import ConfigError, ModelConfig
from stylex.networks.encoder import Encoder
from stylex.networks.generator import Generator, Mapping, split_latent
from stylex.networks.places import LIMIT, Gate
from stylex.stylespace import PLACES

PLAIN = ModelConfig(64, 3, (3, 4, 5, 6, 7), (6, 7, 8, 9, 10), w_dim=9, z_dim=10, mapping_layers=2)
CONFIG = dataclasses.replace(PLAIN, places=2)


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    generator = Generator(CONFIG)
    nn.init.normal_(generator.affine.class_weight)
    for layer in generator.synthesis.layers:
        nn.init.constant_(layer.noise_strength, 0.2)
        nn.init.normal_(layer.bias)
    for gate in generator.synthesis.gates:
        nn.init.normal_(gate.weight)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def latent() -> torch.Tensor:
    return torch.randn(4, CONFIG.latent_dim, generator=torch.Generator().manual_seed(1)).tanh()


@pytest.mark.parametrize("side", [4, 8, 16, 32])
def test_a_gate_has_mean_one_and_is_never_shut(side):
    torch.manual_seed(0)
    gate = Gate(2, 5, side)
    nn.init.normal_(gate.weight, std=4)
    opened = gate(torch.randn(3, 2, 8, 8))
    assert opened.shape == (3, 5, side, side)
    torch.testing.assert_close(opened.mean(dim=(2, 3)), torch.ones(3, 5))
    assert opened.min() > 0
    assert (opened.amax(dim=(2, 3)) / opened.amin(dim=(2, 3))).max() <= torch.tensor(2 * LIMIT).exp() * 1.001
    assert opened.std(dim=(2, 3)).min() > 0.1


def test_where_the_map_is_flat_every_gate_is_one():
    torch.testing.assert_close(Gate(2, 5, 16)(torch.full((1, 2, 8, 8), 0.7)), torch.ones(1, 5, 16, 16))


def test_a_coordinate_of_zero_takes_its_channel_away_wherever_the_gate_points(generator, latent):
    """With s_i = 0 the picture no longer depends on gate i; with any other value it does."""
    synthesis, space = generator.synthesis, generator.space
    s = generator.styles(latent[:1])
    index, channel = space.index("16x16/conv0", 1), 1
    gate = synthesis.gates[3]  # 4x4/conv, 8x8/conv0, 8x8/conv1, 16x16/conv0
    before = gate.weight[channel].clone()
    try:
        for value, depends in ((0.0, False), (1.5, True)):
            s[0, index] = value
            gate.weight[channel] = before
            one = synthesis(s)
            gate.weight[channel] = -3 * before
            assert torch.equal(synthesis(s), one) != depends
    finally:
        gate.weight[channel] = before


def test_places_are_the_end_of_s_and_pass_unchanged(generator, latent):
    space = generator.space
    assert space.layers[-1].name == PLACES
    assert space.size == space.num_styles + CONFIG.place_dim == space.num_styles + 128
    s = generator.styles(latent)
    _, t, probs = split_latent(latent, CONFIG)
    assert torch.equal(s[:, space.num_styles :], t)
    assert probs.shape == (4, 3)
    # Neither w nor the class says where.
    other = torch.cat([latent[:, :9].roll(1, dims=0), t, probs.roll(1, dims=1)], dim=1)
    assert torch.equal(generator.styles(other)[:, space.num_styles :], t)


def test_places_change_the_picture_and_only_layers_that_read_32_px_or_fewer_have_gates(generator, latent):
    s = generator.styles(latent[:1])
    moved = s.clone()
    moved[:, generator.space.num_styles :] *= -1
    assert not torch.allclose(generator.synthesis(s), generator.synthesis(moved), atol=1e-2)
    assert [gate.side for gate in generator.synthesis.gates] == [4, 4, 8, 8, 16, 16, 32, 32]
    assert len(generator.synthesis.layers) == 9  # 64x64/conv1 reads 64 px


def test_edits_of_one_coordinate_are_exact_with_places(generator, latent):
    s = generator.styles(latent[:1])
    index = torch.arange(generator.space.num_conv)
    value = torch.randn(len(index), generator=torch.Generator().manual_seed(2)) * 3
    single = SingleEdits(generator.synthesis)
    edits = single(s)
    for part in single.batches(index, 1000):
        changed = s.repeat(len(part), 1)
        changed[torch.arange(len(part)), index[part]] = value[part]
        torch.testing.assert_close(edits(index[part], value[part]), generator.synthesis(changed), rtol=1e-4, atol=1e-4)


def test_encoder_and_mapping_say_where_beside_what():
    torch.manual_seed(0)
    code = Encoder(CONFIG)(torch.rand(2, 3, 64, 64) * 2 - 1)
    drawn = Mapping(CONFIG)(torch.randn(64, CONFIG.z_dim))
    for found in (code, drawn):
        assert found.shape[1] == CONFIG.code_dim == 9 + 2 * 64
        assert found[:, 9:].abs().max() < 1
        assert found[:, 9:].std(dim=0).min() > 0
    assert code.dtype == torch.float32


def test_without_places_the_networks_are_those_of_the_paper_bit_for_bit():
    def built(config):
        torch.manual_seed(0)
        return [network(config).state_dict() for network in (Generator, Encoder, Mapping)]

    assert [list(state) for state in built(PLAIN)] != [list(state) for state in built(CONFIG)]
    for state in built(PLAIN):
        assert not any("gate" in name or "where" in name for name in state)
    torch.manual_seed(0)
    generator = Generator(PLAIN)
    latent = torch.randn(2, 12)
    assert PLAIN.latent_dim == 12
    expected = generator.affine.w(latent[:, :9]) + latent[:, 9:] @ generator.affine.class_weight.t()
    assert torch.equal(generator.styles(latent), expected)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"places": -1}, "places is -1; use a whole number from 0 to 64"),
        ({"places": 65}, "places is 65; use a whole number from 0 to 64"),
        ({"places": 2, "resolution": 8, "channels": (3, 4), "trunk_channels": (3, 4)}, "places need 16 px or more"),
        ({"discriminator": "magic"}, "discriminator is 'magic'; use one of stylegan2, projected"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(changes, says):
    with pytest.raises(ConfigError, match=says):
        dataclasses.replace(PLAIN, **changes)
