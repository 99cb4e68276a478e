"""The generator is a pure function of s, and every coordinate of s scales one channel of one layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stylex.networks.config import ModelConfig
from stylex.networks.generator import Generator, Mapping


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    """Every width different, so that two mixed up do not fit."""
    return ModelConfig(16, 3, (3, 4, 5), (6, 7, 8), w_dim=9, z_dim=10, mapping_layers=2)


@pytest.fixture(scope="module")
def generator(config) -> Generator:
    torch.manual_seed(0)
    generator = Generator(config)
    nn.init.normal_(generator.affine.class_weight)  # zero before any training
    for layer in generator.synthesis.layers:
        nn.init.constant_(layer.noise_strength, 0.2)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def latent(config) -> torch.Tensor:
    return torch.randn(5, config.latent_dim, generator=torch.Generator().manual_seed(1))


def test_a_picture_is_made_of_w_and_the_probabilities(generator, config, latent):
    assert config.latent_dim == 12
    assert generator(latent).shape == (5, 3, 16, 16)


def test_every_style_is_an_affine_function_of_w_and_of_the_probabilities(generator, config, latent):
    """s = A w + B p + b, by hand."""
    affine = generator.affine
    w, probs = latent[:, :9], latent[:, 9:]
    expected = 1 + w @ affine.w.weight.t() / 3 + probs @ affine.class_weight.t()
    torch.testing.assert_close(generator.styles(latent), expected)
    # Before any training the class says nothing.
    fresh = Generator(config)
    other = torch.cat([w, probs.roll(1, dims=1)], dim=1)
    assert torch.equal(fresh.styles(latent), fresh.styles(other))


def test_styles_then_synthesis_equals_one_forward_call(generator, latent):
    assert torch.equal(generator.synthesis(generator.styles(latent)), generator(latent, noise="const"))


def test_styles_of_a_zero_latent_are_one(generator, config):
    # The affine biases start at one, so that an untrained generator passes its channels on.
    assert torch.equal(generator.styles(torch.zeros(1, config.latent_dim)), torch.ones(1, generator.space.size))


@pytest.mark.parametrize("noise", ["const", "none"])
def test_without_random_noise_the_picture_is_a_pure_function_of_s(generator, latent, noise):
    s = generator.styles(latent)
    before = s.clone()
    assert torch.equal(generator.synthesis(s, noise), generator.synthesis(s, noise))
    assert torch.equal(s, before)


def test_random_noise_differs_from_call_to_call_and_from_picture_to_picture(generator, latent):
    same = latent[:1].expand(2, -1)
    a, b = generator(same, noise="random"), generator(same, noise="random")
    assert not torch.equal(a, b)
    assert not torch.equal(a[0], a[1])


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_batch_size_does_not_matter(generator, latent, n):
    s = generator.styles(latent)
    one_by_one = torch.cat([generator.synthesis(part) for part in s.split(n)])
    torch.testing.assert_close(one_by_one, generator.synthesis(s), rtol=1e-5, atol=1e-5)


def test_an_empty_batch_gives_no_pictures(generator):
    assert generator.synthesis(torch.zeros(0, generator.space.size)).shape == (0, 3, 16, 16)


def test_every_coordinate_changes_the_input_of_its_own_layer_alone(generator, latent):
    """Walks over all S: the layer that `locate` names reads another channel, what comes before it is untouched."""
    synthesis, space = generator.synthesis, generator.space
    modules = dict(zip((layer.name for layer in space.layers), [*synthesis.layers, *synthesis.to_rgb], strict=True))
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    hooks = [
        module.conv.register_forward_hook(lambda _, args, out, name=name: seen.__setitem__(name, (*args, out)))
        for name, module in modules.items()
    ]
    try:
        s = generator.styles(latent[:1])
        picture = synthesis(s)
        base = dict(seen)
        for index in range(space.size):
            layer, channel = space.locate(index)
            edited = s.clone()
            edited[0, index] += 1.0
            changed = synthesis(edited)
            assert not torch.equal(changed, picture), f"coordinate {index} does nothing"
            for name, (x, style, out) in seen.items():
                if name == layer:
                    assert torch.equal(x, base[name][0])
                    assert (style - base[name][1]).nonzero().tolist() == [[0, channel]]
                    assert not torch.equal(out, base[name][2])
                else:
                    assert torch.equal(style, base[name][1])
                if layer.endswith("torgb"):  # leaves the features alone: only the picture adds it up
                    assert torch.equal(x, base[name][0])
    finally:
        for hook in hooks:
            hook.remove()


def test_a_torgb_coordinate_adds_its_channel_to_the_picture(generator, latent):
    """Not demodulated, and the last one not upsampled: the change is weight times channel, by pencil."""
    synthesis, space = generator.synthesis, generator.space
    s = generator.styles(latent[:1])
    features: list[torch.Tensor] = []
    hook = synthesis.to_rgb[-1].register_forward_hook(lambda _, args, out: features.append(args[0]))
    picture = synthesis(s)
    hook.remove()
    edited = s.clone()
    edited[0, space.index("16x16/torgb", 2)] += 0.5
    conv = synthesis.to_rgb[-1].conv
    expected = 0.5 * conv.gain * conv.weight[:, 2].view(1, 3, 1, 1) * features[0][:, 2:3]
    torch.testing.assert_close(synthesis(edited) - picture, expected, rtol=1e-4, atol=1e-5)


def test_mixing_takes_the_marked_coordinates_from_the_second_latent(generator, latent):
    a, b = latent[:1], latent[1:2]
    mask = torch.zeros(1, generator.space.size, dtype=torch.bool)
    mask[:, 5:] = True
    s = torch.cat([generator.styles(a)[:, :5], generator.styles(b)[:, 5:]], dim=1)
    assert torch.equal(generator(a, mix=(b, mask), noise="const"), generator.synthesis(s))


def test_styles_stay_in_full_precision_under_autocast(generator, latent):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        s = generator.styles(latent)
        picture = generator.synthesis(s)
    assert s.dtype == picture.dtype == torch.float32
    assert torch.equal(s, generator.styles(latent))


def test_the_mapping_forgets_the_length_of_z(config):
    torch.manual_seed(0)
    mapping = Mapping(config)
    z = torch.randn(4, config.z_dim)
    assert mapping(z).shape == (4, config.w_dim)
    torch.testing.assert_close(mapping(7 * z), mapping(z), rtol=1e-5, atol=1e-5)
