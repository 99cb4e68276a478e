"""A generator taken to a new look, from the command a person types to the file in the model folder."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from stylex import StylEx
from stylex.methods.domain import read_domain
from stylex.methods.records import MethodError
from train import adapt


@pytest.fixture
def red(tmp_path):
    """One picture of a look that no tiny model has."""
    path = tmp_path / "look" / "red.png"
    path.parent.mkdir()
    Image.new("RGB", (16, 16), (200, 40, 40)).save(path)
    return path


def run(model_folder, red, tmp_path, *more: str):
    given = ["--model", str(model_folder), "--data", str(red), "--name", "red", "--output", str(tmp_path / "new")]
    return adapt.main([*given, "--batch_size", "2", *more])


def redness(x: torch.Tensor) -> float:
    return float((x[:, 0] - x[:, 1:].mean(dim=1)).mean())


def test_one_picture_makes_random_pictures_more_like_it(model_folder, red, tmp_path, capsys):
    numbers = run(model_folder, red, tmp_path, "--steps", "25")
    model = StylEx.from_pretrained(tmp_path / "new")
    domain = model.domain("red")
    s = model.sample(torch.eye(2).repeat(4, 1))
    before, after = model.synthesize(s), model.synthesize(domain.edit(model.space.size).apply(s))
    assert redness(after) > redness(before) + 0.1
    assert numbers["numbers_learned"] == model.space.num_styles
    assert [row["kept"] for row in numbers["pruned"]] == [1.0, 0.5, 0.2, 0.1, 0.05]
    assert numbers["pruned"][0]["left"] == pytest.approx(1.0)
    assert len(numbers["attributes"]) == min(10, len(model.attributes))
    assert (tmp_path / "new" / "domains" / "red.png").is_file()
    assert json.loads(domain.found["loss"]) == numbers["last_loss"]


@pytest.mark.parametrize("mode", ["affine+", "affinelight+"])
def test_few_pictures_train_the_affine_layers_against_the_discriminator(model_folder, red, tmp_path, mode):
    before = {k: v.clone() for k, v in StylEx.from_pretrained(model_folder).generator.state_dict().items()}
    numbers = run(model_folder, red.parent, tmp_path, "--steps", "3", "--mode", mode)
    model = StylEx.from_pretrained(tmp_path / "new")
    domain = read_domain(tmp_path / "new" / "domains" / "red.safetensors", model.generator)
    assert set(numbers["last_loss"]) == {"discriminator", "generator"}
    assert all((value != 0).any() for name, value in domain.differences.items() if name != "affine.w.bias")
    for name, value in model.generator.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_look_of_a_picture_says_what_it_is_made_of_and_not_where():
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    (a,), (b,) = adapt.look_of([x]), adapt.look_of([x.flip(3)])
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(adapt.standard(x), adapt.standard(0.3 * x - 0.2))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--steps", "0"], "steps is 0; use 1 or more"),
        (["--learning_rate", "-1"], "learning_rate is -1.0; use a number above 0"),
        (["--name", "../x"], "a domain cannot be called"),
        (["--data", "EMPTY"], "has no picture of the new look"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_sentence(model_folder, red, tmp_path, given, said):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(MethodError, match=said):
        run(model_folder, red, tmp_path, *[str(empty) if word == "EMPTY" else word for word in given])


def test_a_model_without_a_discriminator_is_told_to_use_another_mode(tiny_model, red, tmp_path):
    bare = StylEx.from_pretrained(tiny_model.save_pretrained(tmp_path / "bare"))
    bare.discriminator = None
    bare.save_pretrained(tmp_path / "without")
    with pytest.raises(ValueError, match="use stylespace"):
        run(tmp_path / "without", red, tmp_path, "--steps", "1", "--mode", "affine+")


def test_looks_go_with_the_model(model_folder, red, tmp_path):
    run(model_folder, red, tmp_path, "--steps", "2")
    model = StylEx.from_pretrained(tmp_path / "new")
    again = StylEx.from_pretrained(model.save_pretrained(tmp_path / "again"))
    assert [domain.name for domain in again.domains] == ["red"]
    again.domain("red").apply(again.generator)  # is its own
    with pytest.raises(MethodError, match="there is no domain 'blue'; this model has red"):
        again.domain("blue")
