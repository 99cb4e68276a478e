"""Looks of a generator: published counts, and algebra on small numbers."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from stylex import ModelError
from stylex.methods.domain import Adapter, Domain, block_of, mix, read_domain
from stylex.methods.records import MethodError
from stylex.networks.config import ModelConfig
from stylex.networks.generator import Generator

FULL = (512, 512, 512, 512)  # 4 to 32 px


def published(resolution: int, *above: int) -> Generator:
    """A generator in the published shapes, without memory; w has 512 numbers."""
    channels = (*FULL, *above)
    config = ModelConfig(resolution, 2, channels, channels, w_dim=512, z_dim=512)
    with torch.device("meta"):
        return Generator(config)


@pytest.mark.parametrize(
    ("resolution", "above", "affine", "light", "coordinates", "conv"),
    [
        (64, (512,), 4.20, 0.598, 7168, 4608),
        (128, (512, 256), 4.73, 0.610, 8192, 5376),
        (256, (256, 128, 64), 4.01, 0.286, 7424, 4928),
        (256, (512, 256, 128), 4.99, 0.621, 8704, 5760),
        (512, (512, 256, 128, 64), 5.12, 0.630, 8960, 5952),
        (1024, (512, 256, 128, 64, 32), 5.19, 0.638, 9088, 6048),
    ],
)
def test_the_modes_have_the_published_number_of_weights(resolution, above, affine, light, coordinates, conv):
    generator = published(resolution, *above)

    def count(mode: str) -> int:
        adapter = Adapter(generator, mode, block=64)
        return sum(p.numel() for p in adapter.parameters())

    of_classes = 2 * coordinates  # what our affine layers read beside w
    assert (count("affine+") - of_classes) / 1e6 == pytest.approx(affine, abs=0.006)
    assert count("affinelight+") / 1e6 == pytest.approx(light, abs=0.0006)
    assert count("stylespace") == coordinates
    assert generator.space.num_conv == conv


def test_the_block_of_a_small_generator_is_that_of_a_quarter():
    assert [block_of(r) for r in (16, 32, 64, 128, 256)] == [4, 8, 16, 64, 64]


@pytest.fixture
def generator(tiny_model) -> Generator:
    return tiny_model.generator


@pytest.fixture
def latent(tiny_model) -> torch.Tensor:
    return torch.randn(3, tiny_model.config.latent_dim, generator=torch.Generator().manual_seed(0))


def learned(generator: Generator, mode: str, name: str = "ink", seed: int = 0) -> Domain:
    adapter = Adapter(generator, mode)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for p in adapter.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return Domain.of(name, adapter, generator, steps=7)


@pytest.mark.parametrize("mode", ["stylespace", "affine+", "affinelight+"])
def test_an_adapter_that_has_learned_nothing_changes_nothing(generator, latent, mode):
    same = Domain.of("none", Adapter(generator, mode), generator).apply(generator)
    torch.testing.assert_close(same(latent, noise="const"), generator(latent, noise="const"))


@pytest.mark.parametrize("mode", ["stylespace", "affine+", "affinelight+"])
def test_an_applied_look_leaves_the_generator_as_it_was_and_amount_0_is_none_of_it(generator, latent, mode):
    before, domain = generator(latent, noise="const"), learned(generator, mode)
    assert (domain.apply(generator)(latent, noise="const") - before).abs().max() > 1e-3
    torch.testing.assert_close(domain.apply(generator, 0)(latent, noise="const"), before)
    torch.testing.assert_close(generator(latent, noise="const"), before)


def test_a_change_of_s_is_a_change_of_s_in_the_copy_too(generator, latent):
    domain = learned(generator, "stylespace")
    edit = domain.edit(generator.space.size)
    moved = edit.apply(generator.styles(latent), 0.5)
    torch.testing.assert_close(domain.apply(generator, 0.5).styles(latent), moved)
    torch.testing.assert_close(domain.scaled(0.5).edit(generator.space.size).delta, 0.5 * edit.delta)


def test_looks_mix_by_their_weights(generator):
    a, b = learned(generator, "stylespace", "a", 1), learned(generator, "stylespace", "b", 2)
    both = mix([(a, 0.25), (b, 0.75)], "both")
    torch.testing.assert_close(both.differences["s"], 0.25 * a.differences["s"] + 0.75 * b.differences["s"])
    assert both.found == {"mixed": "0.25 a + 0.75 b"}
    with pytest.raises(MethodError, match="cannot be mixed; both have to be of one generator and one mode"):
        mix([(a, 1), (learned(generator, "affine+", "c"), 1)], "no")


def test_pruning_keeps_the_largest(generator):
    domain = learned(generator, "stylespace")
    delta, kept = domain.differences["s"], domain.pruned(0.25).differences["s"]
    assert int((kept != 0).sum()) == round(len(delta) / 4)
    assert kept[kept != 0].abs().min() >= delta[kept == 0].abs().max()
    for share in (0.0, 1.5):
        with pytest.raises(MethodError, match="keep more than 0 and up to 1"):
            domain.pruned(share)
    with pytest.raises(MethodError, match="so it is no change of s"):
        learned(generator, "affine+").pruned(0.5)


def test_a_look_of_another_generator_is_refused_unless_it_is_transferred(generator, tiny_config, latent):
    other = Generator(tiny_config)
    domain = learned(generator, "stylespace")
    with pytest.raises(MethodError, match=r"was learned with the generator .* or transfer it"):
        domain.apply(other)
    moved = domain.apply(other, transfer=True)
    torch.testing.assert_close(
        moved.styles(latent) - other.styles(latent), domain.edit(other.space.size).delta.expand(3, -1)
    )
    small = Generator(ModelConfig(16, 2, (4, 4, 4), (4, 4, 4), w_dim=8, z_dim=8, mapping_layers=2))
    with pytest.raises(MethodError, match="does not fit this generator"):
        domain.apply(small, transfer=True)


@pytest.mark.parametrize("mode", ["stylespace", "affine+", "affinelight+"])
def test_a_look_is_a_file_of_the_model_folder(generator, latent, mode, tmp_path):
    domain = learned(generator, mode)
    path = domain.save(tmp_path)
    assert path == tmp_path / "domains" / "ink.safetensors"
    again = read_domain(path, generator)
    assert (again.name, again.mode, again.found) == ("ink", mode, {"steps": "7"})
    torch.testing.assert_close(
        again.apply(generator)(latent, noise="const"), domain.apply(generator)(latent, noise="const")
    )


def test_a_file_that_is_no_look_is_refused(generator, tmp_path):
    path = tmp_path / "ink.safetensors"
    for tensors, metadata, said in (
        ({"s": torch.zeros(3)}, {}, "mode is None"),
        ({"s": torch.zeros(3)}, {"mode": "stylespace"}, "s has shape"),
        ({"q": torch.zeros(3)}, {"mode": "affine+"}, "q is no weight of this model's generator"),
        ({"s": torch.full((generator.space.size,), torch.nan)}, {"mode": "stylespace"}, "not finite"),
    ):
        save_file(tensors, path, metadata=metadata)
        with pytest.raises(ModelError, match=said):
            read_domain(path, generator)
    with pytest.raises(MethodError, match=r"a domain cannot be called '\.\./x'"):
        Domain.of("../x", Adapter(generator, "stylespace"), generator)
