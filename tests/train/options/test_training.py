"""What training may be asked for: a number that means nothing is refused."""

from __future__ import annotations

import pytest

from stylex.networks.config import ConfigError, ModelConfig
from train.options.command import parse
from train.options.training import Options

NEEDED = ["--data", "d", "--output", "o", "--classifier", "c"]


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("temperature", 0, "use a number above 0"),
        ("total_kimg", 0, "use a number above 0"),
        ("learning_rate", -1, "use 0 or more"),
        ("class_swap", 3, "use a share from 0 to 1"),
        ("swap_dropout", 5, "use a share from 0 to 1"),
        ("report_pictures", 0, "use 1 or more"),
        ("kl_weight", -0.1, "use 0 or more"),
        ("warmup_kimg", float("nan"), "use 0 or more"),
        ("swap_few", -2, "use 0 or more"),
    ],
)
def test_a_number_that_means_nothing_is_refused(option, value, says):
    with pytest.raises(ConfigError, match=f"{option} is {value}; {says}"):
        Options("d", "o", "c", **{option: value})


def test_an_augmentation_of_more_than_all_pictures_is_refused():
    with pytest.raises(ConfigError, match=r"augment is 30\.0; use a share from 0 to 1, or ada"):
        parse(Options, "", [*NEEDED, "--augment", "30"])


def test_a_push_needs_the_name_of_a_repository():
    with pytest.raises(ConfigError, match="push_to_hub needs hub_model_id, such as me/stylex-mine; it is None"):
        parse(Options, "", [*NEEDED, "--push_to_hub"])


def test_auto_precision_is_decided_by_the_machine(monkeypatch):
    for has_bf16, expected in ((True, "bf16"), (False, "no")):
        monkeypatch.setattr("train.options.training.has_bf16", lambda has_bf16=has_bf16: has_bf16)
        assert Options("d", "o", "c").mixed_precision == expected
    assert Options("d", "o", "c", mixed_precision="no").mixed_precision == "no"


def test_a_schedule_that_never_trains_the_encoder_is_refused():
    with pytest.raises(ConfigError, match="random_path_every is 1; then the encoder would never be trained"):
        Options("d", "o", "c", random_path_every=1)


def test_the_last_minutes_are_of_those_that_a_run_has():
    with pytest.raises(ConfigError, match=r"decay_minutes is 3, and max_minutes 0, .*; use more --max_minutes"):
        Options("d", "o", "c", decay_minutes=3)
    assert Options("d", "o", "c", max_minutes=3, decay_minutes=3).decay_minutes == 3


def test_networks_are_compiled_or_computed_twice():
    with pytest.raises(ConfigError, match="recompute and compile are both asked for"):
        Options("d", "o", "c", recompute=True, compile=True)


def test_channels_replace_those_of_the_preset():
    o = Options("d", "o", "c", resolution=32, channels=[4, 5, 6, 7], w_dim=9)
    config = o.model_config(3)
    assert config == ModelConfig.preset(32, 3, channels=[4, 5, 6, 7], w_dim=9, discriminator="projected")
    with pytest.raises(ConfigError, match="no preset for 48 px"):
        Options("d", "o", "c", resolution=48).model_config(2)
