"""A configuration either builds or says in one sentence which key is wrong."""

from __future__ import annotations

import pytest

from stylex.networks.config import PRESETS, ConfigError, ModelConfig
from stylex.stylespace import StyleSpace

GOOD = {"resolution": 16, "num_classes": 2, "channels": [8, 8, 8], "trunk_channels": [8, 8, 8]}


@pytest.mark.parametrize("resolution", sorted(PRESETS))
def test_every_preset_is_a_valid_configuration(resolution):
    config = ModelConfig.preset(resolution, 3)
    assert (config.resolution, config.num_classes) == (resolution, 3)
    assert config.places == 8
    assert config.latent_dim == config.w_dim + 8 * 64 + 3


def test_the_256_px_preset_has_the_published_number_of_coordinates():
    space = StyleSpace(ModelConfig.preset(256, 2).channels)
    assert (space.num_conv, space.size) == (5760, 8704)


def test_a_preset_can_be_changed_field_by_field():
    config = ModelConfig.preset(32, 2, channels=[4, 4, 4, 4], w_dim=7)
    assert (config.channels, config.w_dim) == ((4, 4, 4, 4), 7)
    assert config.trunk_channels == PRESETS[32]["trunk_channels"]


def test_other_sizes_take_the_smallest_power_of_two():
    config = ModelConfig(**GOOD)
    assert config.channels == (8, 8, 8)  # a list from JSON becomes a tuple


def test_to_dict_and_from_dict_are_inverse():
    config = ModelConfig(**GOOD, w_dim=5, z_dim=6, mapping_layers=3)
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert isinstance(config.to_dict()["channels"], list)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"resolution": 48}, "resolution is 48"),
        ({"resolution": 4}, "resolution is 4"),
        ({"resolution": 2048}, "resolution is 2048"),
        ({"resolution": "16"}, "resolution is '16'"),
        ({"resolution": True}, "resolution is True"),
        ({"channels": [8, 8]}, "channels is [8, 8]; 16 px needs 3 whole numbers"),
        ({"channels": [8, 8, 10**9]}, "channels is [8, 8, 1000000000]"),
        ({"channels": [8, 8, 0]}, "channels is [8, 8, 0]"),
        ({"channels": [8, 8, 8.0]}, "channels is [8, 8, 8.0]"),
        ({"channels": 8}, "channels is 8; use a list"),
        ({"trunk_channels": [8] * 4}, "trunk_channels is"),
        ({"trunk_channels": "888"}, "trunk_channels is '888'"),
        ({"num_classes": 1}, "num_classes is 1; use a whole number from 2"),
        ({"num_classes": 10**9}, "num_classes is 1000000000"),
        ({"num_classes": True}, "num_classes is True"),
        ({"w_dim": 10**9}, "w_dim is 1000000000"),
        ({"z_dim": 0}, "z_dim is 0"),
        ({"mapping_layers": 1000}, "mapping_layers is 1000"),
        ({"colour": 3}, "unknown key colour"),
    ],
)
def test_a_wrong_field_is_named_with_what_came(change, says):
    with pytest.raises(ConfigError) as caught:
        ModelConfig.from_dict({**GOOD, **change})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_fields_are_named():
    with pytest.raises(ConfigError, match="missing key resolution, channels"):
        ModelConfig.from_dict({"num_classes": 2, "trunk_channels": [8, 8, 8]})


def test_an_unknown_preset_names_the_presets():
    with pytest.raises(ConfigError, match=r"no preset for 48 px; there are presets for \[32, 64, 128, 256\]"):
        ModelConfig.preset(48, 2)
