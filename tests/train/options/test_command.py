"""Options come from a file and then from the command line, and a mistyped one is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from train.options.command import parse
from train.options.searching import Options as SearchOptions
from train.options.training import Options
from train.train_classifier import Options as ClassifierOptions

CONFIGS = Path(__file__).resolve().parents[3] / "train" / "configs"
NEEDED = ["--data", "d", "--output", "o", "--classifier", "c"]


def refused(args: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as caught:
        parse(Options, "", args)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_the_command_line_wins_over_the_file(tmp_path):
    config = tmp_path / "a.yaml"
    config.write_text("data: pictures\nbatch_size: 3\nflips: none\nchannels: [1, 2]\n")
    o = parse(Options, "", ["--config", str(config), "--batch_size", "5", "--output", "o", "--classifier", "c"])
    assert (o.data, o.batch_size, o.flips, o.channels) == ("pictures", 5, "none", [1, 2])
    assert o.seed == 0


def test_every_option_can_be_given_on_the_command_line():
    values = {
        "channels": "[8, 8]",
        "trunk_channels": "[8, 8]",
        "w_dim": "4",
        "places": "2",
        "init_from": "m",
        "flips": "none",
    }
    values |= {"mixed_precision": "bf16", "perceptual": "lpips", "resume": "none", "random_path_every": "3"}
    values |= {
        "push_to_hub": "false",
        "hub_private_repo": "true",
        "dry_run": "true",
        "compile": "true",
        "recompute": "true",
        "deterministic": "true",
        "balance": "true",
    }
    values |= {"discriminator": "stylegan2"}
    values |= {"augment": "ada", "report_to": "none", "classifier_resolution": "64", "classifier_outputs": "sigmoid"}
    values |= {"classifier_mean": "[0.5, 0.5, 0.5]", "classifier_std": "[0.5, 0.5, 0.5]"}
    values |= {"classifier_arguments": '{"aux_logits": false}', "number_class_names": "true", "classifier_crop": "0.5"}
    values |= {"classifier_interpolation": "bicubic", "classifier_colours": "grey", "classifier_temperature": "3"}
    for field in dataclasses.fields(Options):
        value = values.get(field.name, "1" if field.type in ("int", "float") else "text")
        beside = {"r1_weight": ["--discriminator", "stylegan2"], "decay_minutes": ["--max_minutes", "2"]}
        o = parse(Options, "", [*NEEDED, *beside.get(field.name, []), f"--{field.name}", value])
        assert getattr(o, field.name) == yaml.safe_load(value)


def test_the_name_of_a_yes_or_no_alone_is_a_yes():
    push = ["--hub_model_id", "me/mine"]
    assert parse(Options, "", [*NEEDED, "--push_to_hub", *push]).push_to_hub is True
    assert parse(Options, "", [*NEEDED, *push, "--push_to_hub"]).push_to_hub is True
    assert parse(Options, "", [*NEEDED, "--push_to_hub", "false", *push]).push_to_hub is False
    assert parse(Options, "", [*NEEDED, "--push_to_hub=true", *push]).push_to_hub is True


@pytest.mark.parametrize(("given", "expected"), [("0.3", 0.3), ("0", 0.0), ("1", 1.0), ("ada", "ada")])
def test_the_augmentation_is_a_share_or_adapts(given, expected):
    assert parse(Options, "", [*NEEDED, "--augment", given]).augment == expected


def test_every_option_is_explained(capsys):
    with pytest.raises(SystemExit) as caught:
        parse(Options, "", ["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    for field in dataclasses.fields(Options):
        text = said.split(f"--{field.name} ", 1)[1].split("\n  --", 1)[0]
        assert len(text.split()) > 4, field.name


@pytest.mark.parametrize("script", [Options, ClassifierOptions, SearchOptions])
def test_the_docstring_names_every_option_and_no_other(script):
    lines = script.__doc__.split("Args:")[1].splitlines()
    named = [line.split(":")[0].strip() for line in lines if line.startswith("        ") and line[8] != " "]
    assert named == [field.name for field in dataclasses.fields(script)]


@pytest.mark.parametrize(
    "args",
    [
        [*NEEDED, "--learnin_rate", "1"],
        [*NEEDED, "--batch_size", "many"],
        [*NEEDED, "--flips", "vertical"],
        [*NEEDED, "--perceptual", "vgg"],
        [*NEEDED, "--channels", "wide"],
        [*NEEDED, "--augment", "adda"],
        NEEDED[:4],
        [*NEEDED, "--config", "no-such-file.yaml"],
    ],
)
def test_a_mistyped_option_is_refused(args, capsys):
    said = refused(args, capsys)
    wrong = next((a for a in args[6:] if a.startswith("--")), "--classifier").removeprefix("--")
    assert wrong in said


def test_a_mistyped_option_in_the_file_is_refused(tmp_path, capsys):
    config = tmp_path / "a.yaml"
    config.write_text("learnin_rate: 1\n")
    assert "learnin_rate" in refused(["--config", str(config), *NEEDED], capsys)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_configurations_that_ship_are_accepted(path):
    kinds = {"classifier": ClassifierOptions, "search": SearchOptions}
    script = kinds.get(path.stem.split("-")[-1], Options)
    # The recipes are for anybody's pictures; a file that says which ones may stand behind them.
    needed = (
        NEEDED
        if path.stem in ("laptop", "more", "see", "change")
        or path.stem.startswith("cats_dogs-")
        or path.stem.startswith("gpu")
        else []
    )
    if path.stem.startswith("laptop-"):
        needed = ["--data", "PICTURES", *(["--model", "m"] if script is SearchOptions else ["--output", "o"])]
    o = parse(script, "", [*needed, "--config", str(path)])
    for name, value in yaml.safe_load(path.read_text()).items():
        assert getattr(o, name) == value
    assert not Path(o.data).is_absolute()


def test_how_a_classifier_reads_can_be_said_on_the_command_line():
    said = ["--classifier_arguments", '{"transform_input": true}', "--number_class_names", "true"]
    said += ["--classifier_crop", "0.875", "--classifier_colours", "bgr", "--classifier_mean", "[0.1307]"]
    o = parse(Options, "", NEEDED + said)
    assert (o.classifier_arguments, o.number_class_names, o.classifier_mean) == (
        {"transform_input": True},
        True,
        [0.1307],
    )
    assert (o.classifier_crop, o.classifier_colours, o.classifier_interpolation) == (0.875, "bgr", None)
