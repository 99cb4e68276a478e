"""A generator taken to a new look, from the command a person types to the file in the model folder."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from small import tiny_classifier

from stylex import Encoder, Generator, Mapping, ModelConfig, ProjectedDiscriminator, StylEx
from stylex.methods.domain import read_domain
from stylex.methods.records import MethodError
from stylex.storage.outputs import OutputError
from train import adapt
from train.engine.clip import Clip, apart, direction


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
    Image.new("RGB", (16, 16), (150, 60, 40)).save(red.with_name("darker.png"))
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
        (["--mode", "affine+"], r"red\.png is one picture, and .* give two or more, or use stylespace"),
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
    Image.new("RGB", (16, 16), (150, 60, 40)).save(red.with_name("darker.png"))
    with pytest.raises(ValueError, match="this model has none; use stylespace"):
        run(tmp_path / "without", red.parent, tmp_path, "--steps", "1", "--mode", "affine+")


def test_looks_go_with_the_model(model_folder, red, tmp_path):
    run(model_folder, red, tmp_path, "--steps", "2")
    model = StylEx.from_pretrained(tmp_path / "new")
    again = StylEx.from_pretrained(model.save_pretrained(tmp_path / "again"))
    assert [domain.name for domain in again.domains] == ["red"]
    again.domain("red").apply(again.generator)  # is its own
    with pytest.raises(MethodError, match="there is no domain 'blue'; this model has red"):
        again.domain("blue")


def test_a_look_is_not_put_beside_another_generator(tiny_model, model_folder, red, tmp_path):
    other = copy.copy(tiny_model)
    other.generator = copy.deepcopy(tiny_model.generator)
    with torch.no_grad():
        other.generator.affine.w.bias.add_(1)
    other.save_pretrained(tmp_path / "new")
    with pytest.raises(MethodError, match=r"holds a model with the generator .* choose another --output"):
        run(model_folder, red, tmp_path, "--steps", "1")


def test_pictures_and_looks_of_a_person_s_are_not_written_over(model_folder, red, tmp_path, monkeypatch):
    """Said before a model is read."""
    monkeypatch.setattr(StylEx, "from_pretrained", None)
    domains = tmp_path / "new" / "domains"
    domains.mkdir(parents=True)
    (domains / "red.png").write_bytes(red.read_bytes())
    with pytest.raises(OutputError, match=r"red\.png is read for this, and would be written over"):
        run(model_folder, domains / "red.png", tmp_path)
    with pytest.raises(OutputError, match=r"red\.png was not written by stylex"):
        run(model_folder, red, tmp_path)
    (domains / "red.png").unlink()
    save_file({"s": torch.zeros(3)}, domains / "red.safetensors")
    with pytest.raises(OutputError, match=r"red\.safetensors was not written by stylex"):
        run(model_folder, red, tmp_path)


# Without a mapping, and with a CLIP.


def test_a_model_that_draws_no_random_pictures_is_given_some(tiny_model, pictures, red, tmp_path):
    bare = copy.copy(tiny_model)
    bare.mapping = None
    bare.save_pretrained(tmp_path / "without")
    with pytest.raises(ValueError, match="cannot draw random pictures; give some of its old look with --pictures"):
        run(tmp_path / "without", red, tmp_path, "--steps", "1")
    numbers = run(tmp_path / "without", red, tmp_path, "--steps", "2", "--pictures", str(pictures))
    assert len(numbers["attributes"]) > 0


def test_a_model_whose_random_pictures_are_none_is_given_some(tiny_model, red, tmp_path):
    """A mapping that training never looked at draws what no training picture is like."""
    lost = copy.copy(tiny_model)
    middle = tiny_model.stats.s_mean
    lost.stats = dataclasses.replace(tiny_model.stats, s_min=middle - 1e-3, s_max=middle + 1e-3)
    lost.save_pretrained(tmp_path / "lost")
    with pytest.raises(MethodError, match=r"unlike those it was trained on \(\d+% of .* with --pictures"):
        run(tmp_path / "lost", red, tmp_path, "--steps", "1")


def test_a_projected_discriminator_plays_as_well():
    """What a model of today has; its eye is the trained one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig(32, 2, (8,) * 4, (8,) * 4, w_dim=8, z_dim=8, mapping_layers=2, discriminator="projected")
        model = StylEx(
            config,
            tiny_classifier(resolution=32),
            generator=Generator(config),
            encoder=Encoder(config),
            mapping=Mapping(config),
            discriminator=ProjectedDiscriminator(config),
        )
    o = adapt.Options("", "", "red", mode="affine+", steps=2, batch_size=2)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    domain, told = adapt.learn(model, x, adapt.drawer(model), o)
    assert (domain.differences["affine.w.weight"] != 0).any()
    assert set(told[-1]) == {"discriminator", "generator"}


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A CLIP as transformers saves one, tiny and random."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        projection_dim=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CLIPVisionModelWithProjection(config)
    network.save_pretrained(folder := tmp_path_factory.mktemp("clip"))
    return folder


def test_whoever_has_a_clip_can_ask_it_too(model_folder, red, tmp_path, clip_folder):
    numbers = run(model_folder, red, tmp_path, "--steps", "20", "--clip", str(clip_folder))
    assert numbers["last_loss"]["clip"] < numbers["first_loss"]["clip"]
    assert "clip" not in run(model_folder, red, tmp_path, "--steps", "1")["last_loss"]


def test_what_clip_asks_for_by_hand():
    before = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    towards = torch.tensor([0.0, 2.0])
    assert float(direction(before, before + torch.tensor([0.0, 0.5]), towards)) == pytest.approx(0)
    assert float(direction(before, before - torch.tensor([0.0, 0.5]), towards)) == pytest.approx(2)
    assert float(direction(before, before + torch.tensor([3.0, 0.0]), towards)) == pytest.approx(1)
    assert float(apart(before, before)) == 0
    assert float(apart(before, torch.tensor([[1.0, 0.0], [1.0, 0.0]]))) == pytest.approx(1)  # cos 0 became cos 1
    assert float(apart(before[:1], before[:1])) == 0


def test_without_transformers_or_a_clip_it_is_said(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MethodError, match=r"clip is .*, of which transformers cannot read a CLIP \("):
        Clip(str(tmp_path))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MethodError, match="clip needs transformers, which is not installed: pip install transformers"):
        Clip(str(tmp_path))
    with pytest.raises(MethodError, match=r"clip is a loss of stylespace, not of affine\+; leave it out"):
        adapt.Options("", "", "red", mode="affine+", clip="x")


@pytest.mark.parametrize(("mode", "published"), [("stylespace", 0.05), ("affine+", 0.02), ("affinelight+", 0.02)])
def test_before_a_trained_eye_the_affine_layers_learn_more_slowly_than_was_published(tiny_model, mode, published):
    asked = {"model": "m", "data": "d", "name": "red", "mode": mode}
    own, eyed = copy.copy(tiny_model), copy.copy(tiny_model)
    eyed.discriminator = ProjectedDiscriminator(dataclasses.replace(tiny_model.config, discriminator="projected"))
    assert adapt.rate_of(own, adapt.Options(**asked)) == published
    assert adapt.rate_of(eyed, adapt.Options(**asked)) == (0.05 if mode == "stylespace" else 0.004)
    assert adapt.rate_of(eyed, adapt.Options(**asked, learning_rate=0.01)) == 0.01
