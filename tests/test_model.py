"""A model folder: what is saved is what is loaded, and what is broken is named."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from small import assert_same

from stylex import StylEx, networks
from stylex.attfind.screening import Certificate
from stylex.classifiers.classifier import Classifier, save_classifier, wrap
from stylex.networks.config import ConfigError
from stylex.networks.discriminator import Discriminator
from stylex.networks.encoder import Encoder
from stylex.networks.generator import Generator, Mapping, Synthesis
from stylex.storage.files import ModelError, is_sealed, seal
from stylex.stylespace import Direction, move


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


# One method an arrow: x -> latent -> s -> x_rec -> probs.


def test_encode_is_w_and_the_probabilities_of_the_picture(tiny_model, x):
    latent = tiny_model.encode(x)
    assert latent.shape == (3, 10)
    assert torch.equal(latent[:, :8], tiny_model.encoder(x))
    assert torch.equal(latent[:, 8:], tiny_model.classify(x))
    torch.testing.assert_close(latent[:, 8:].sum(dim=1), torch.ones(3))


def test_synthesize_of_styles_equals_one_forward_call_with_constant_noise(tiny_model, x):
    latent = tiny_model.encode(x)
    picture = tiny_model.synthesize(tiny_model.styles(latent))
    with torch.no_grad():
        assert torch.equal(picture, tiny_model.generator(latent, noise="const").clamp(-1, 1))


def test_pictures_are_clamped_before_anybody_sees_them(tiny_model, x):
    s = tiny_model.styles(tiny_model.encode(x)) * 10
    picture = tiny_model.synthesize(s)
    assert picture.min() == -1
    assert picture.max() == 1
    assert torch.equal(tiny_model.logits_of(s), tiny_model.logits(picture))
    assert torch.equal(tiny_model.classify(picture), tiny_model.logits(picture).softmax(dim=1))


def test_nothing_in_a_model_trains_or_changes(tiny_model, x):
    before = [p.clone() for m in tiny_model.modules() for p in m.state_dict().values()]
    s = tiny_model.styles(tiny_model.encode(x))
    assert not tiny_model.logits_of(s).requires_grad
    assert not any(p.requires_grad for m in tiny_model.modules() for p in m.parameters())
    assert not any(child.training for m in tiny_model.modules() for child in m.modules())
    after = [p for m in tiny_model.modules() for p in m.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_batch_size_does_not_matter(tiny_model, x, n):
    def reconstruct(part: torch.Tensor) -> torch.Tensor:
        return tiny_model.synthesize(tiny_model.styles(tiny_model.encode(part)))

    parts = torch.cat([reconstruct(part) for part in x.split(n)])
    torch.testing.assert_close(parts, reconstruct(x), rtol=1e-4, atol=1e-5)


def test_random_samples_follow_their_seed(tiny_model):
    probs = torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    a, b = tiny_model.sample(probs, seed=1), tiny_model.sample(probs, seed=1)
    assert a.shape == (2, tiny_model.space.size)
    assert torch.equal(a, b)
    assert not torch.equal(a, tiny_model.sample(probs, seed=2))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    tiny_model.sample(probs)
    assert torch.equal(torch.get_rng_state(), state)


def test_load_images_reads_what_a_person_drops(tiny_model, tmp_path):
    image = Image.new("RGBA", (40, 30), (255, 0, 0, 255))
    image.save(tmp_path / "red.png")
    x = tiny_model.load_images([tmp_path / "red.png", image])
    assert x.shape == (2, 3, 16, 16)
    assert x[:, 0].min() == 1
    assert x[:, 1:].max() == -1


def test_classes_that_do_not_agree_with_the_configuration_are_refused(tiny_model):
    config = dataclasses.replace(tiny_model.config, num_classes=3)
    with pytest.raises(ConfigError, match=r"names 2 classes \(plain, spotted\), the configuration has num_classes 3"):
        StylEx(config, tiny_model.classifier)


# Save and load.


def everything(model: StylEx) -> dict[str, torch.Tensor]:
    tensors = {}
    for name in ("generator", "encoder", "mapping", "discriminator", "classifier"):
        tensors |= {f"{name}.{k}": v for k, v in getattr(model, name).state_dict().items()}
    return tensors


def test_a_loaded_model_makes_the_same_pictures(tiny_model, model_folder, x, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = StylEx.from_pretrained(model_folder)
    s = tiny_model.styles(tiny_model.encode(x))
    # Weights are stored in half precision: 11 bits.
    torch.testing.assert_close(loaded.synthesize(s), tiny_model.synthesize(s), rtol=0.02, atol=0.02)

    # Once they are, nothing is lost any more, to the last bit.
    again = StylEx.from_pretrained(loaded.save_pretrained(tmp_path / "again"))
    assert torch.equal(again.synthesize(s), loaded.synthesize(s))
    assert torch.equal(again.encode(x), loaded.encode(x))
    assert all(torch.equal(v, everything(again)[k]) for k, v in everything(loaded).items())
    first = sorted(p.relative_to(model_folder) for p in model_folder.rglob("*") if p.is_file())
    assert all((tmp_path / "again" / p).read_bytes() == (model_folder / p).read_bytes() for p in first)


def test_a_loaded_model_knows_its_statistics_attributes_and_classes(tiny_model, model_folder):
    loaded = StylEx.from_pretrained(model_folder)
    assert loaded.config == tiny_model.config
    assert loaded.class_names == ["plain", "spotted"]
    assert loaded.resolution == 16
    assert loaded.attributes == tiny_model.attributes
    assert loaded.attributes
    for field in ("s_min", "s_max", "s_mean", "s_std"):
        assert torch.equal(getattr(loaded.stats, field), getattr(tiny_model.stats, field))
    assert loaded.stats.count == 64
    assert loaded.card == tiny_model.card


def test_a_loaded_model_is_frozen(model_folder, x):
    loaded = StylEx.from_pretrained(model_folder)
    assert not any(p.requires_grad for m in loaded.modules() for p in m.parameters())
    assert not any(child.training for m in loaded.modules() for child in m.modules())
    assert loaded.device == torch.device("cpu")
    assert not any(t.is_meta for t in everything(loaded).values())


def test_mapping_and_discriminator_may_be_absent(tiny_model, x, tmp_path):
    slim = copy.copy(tiny_model)
    slim.mapping = slim.discriminator = None
    loaded = StylEx.from_pretrained(slim.save_pretrained(tmp_path))
    assert loaded.mapping is loaded.discriminator is None
    assert loaded.synthesize(loaded.styles(loaded.encode(x))).shape == x.shape
    with pytest.raises(ModelError, match="no mapping network"):
        loaded.sample(torch.tensor([[0.5, 0.5]]))


@pytest.fixture
def unportable(tiny_model, tmp_path) -> Path:
    """The tiny model, whose classifier somebody wrapped."""
    model = copy.copy(tiny_model)
    model.classifier = wrap(tiny_model.classifier.network, ["plain", "spotted"], 16, mean=(0.5,) * 3, std=(0.5,) * 3)
    return model.save_pretrained(tmp_path / "unportable")


def test_a_classifier_that_cannot_be_saved_is_given_again(tiny_model, unportable, x):
    network = tiny_model.classifier.network
    assert {p.name for p in (unportable / "classifier").iterdir()} == {"config.json", "answers.safetensors"}
    for classifier in (network, lambda x: network(x)):
        loaded = StylEx.from_pretrained(unportable, classifier=classifier)
        torch.testing.assert_close(loaded.classify(x), tiny_model.classify(x), rtol=1e-2, atol=1e-2)
        assert [(a.index, a.target) for a in loaded.attributes] == [(a.index, a.target) for a in tiny_model.attributes]


def test_without_its_classifier_or_with_another_one_it_is_refused(unportable, model_folder):
    with pytest.raises(
        ModelError, match=r"classifier/config\.json: the classifier of this model is a TorchScript file"
    ):
        StylEx.from_pretrained(unportable)
    with pytest.raises(ModelError, match=r"nothing_of_this_name.* cannot be imported"):
        StylEx.from_pretrained(unportable, classifier="nothing_of_this_name:load")
    with pytest.raises(ModelError, match="answers otherwise than the classifier that the model of"):
        StylEx.from_pretrained(unportable, classifier=lambda x: -10 * x.mean(dim=(2, 3))[:, :2])
    (unportable / "classifier" / "answers.safetensors").unlink()
    with pytest.raises(ModelError, match=r"answers\.safetensors is missing"):
        StylEx.from_pretrained(unportable, classifier=lambda x: x.mean(dim=(2, 3))[:, :2])
    with pytest.raises(ModelError, match="model holds its own classifier; leave the other one out"):
        StylEx.from_pretrained(model_folder, classifier=lambda x: x.mean(dim=(2, 3))[:, :2])


def test_no_folder_names_a_program(unportable, model_folder):
    """A stranger's folder may write what it likes into its files: nothing of it is imported or run."""
    for folder in (unportable, model_folder):
        path = folder / "classifier" / "config.json"
        config = json.loads(path.read_text())
        for changes in (
            {"library": "callable", "architecture": "os:abort"},
            {"library": "os", "architecture": "abort"},
        ):
            path.write_text(json.dumps({**config, **changes}))
            with pytest.raises(ModelError, match=r"only whoever trained it has it|'os' is unknown|is missing;"):
                StylEx.from_pretrained(folder)


def test_a_model_fresh_from_training_has_no_statistics_yet(model_folder):
    (model_folder / "style_stats.safetensors").unlink()
    (model_folder / "attributes.json").unlink()
    loaded = StylEx.from_pretrained(model_folder)
    assert loaded.stats is None
    assert loaded.attributes == []


def test_saving_again_leaves_somebody_s_readme_alone(tiny_model, tmp_path):
    silent = copy.copy(tiny_model)
    silent.card = None
    silent.save_pretrained(tmp_path)
    assert not (tmp_path / "README.md").exists()
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "SOURCE.md").write_text("made by the model")
    silent.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert (tmp_path / "samples" / "SOURCE.md").read_text() == "made by the model"


def test_the_folder_holds_json_and_safetensors_and_nothing_that_runs(model_folder):
    suffixes = {p.suffix for p in model_folder.rglob("*") if p.is_file()}
    assert suffixes == {".json", ".safetensors", ".md"}


def test_attributes_are_readable_by_a_person(model_folder):
    row = json.loads((model_folder / "attributes.json").read_text())["attributes"][0]
    assert row["direction"] in ("up", "down")
    assert set(row) >= {"index", "layer", "channel", "source", "target", "delta_logit", "delta_prob", "images_share"}


def test_how_sure_the_search_was_comes_with_the_attributes(tiny_model, tmp_path):
    assert tiny_model.certificate is None
    sure = copy.copy(tiny_model)
    sure.certificate = Certificate(10, 160, 0.995, 0.97, 1.0)
    assert StylEx.from_pretrained(sure.save_pretrained(tmp_path)).certificate == sure.certificate


@pytest.mark.parametrize("value", [[], {"pictures": 10}, 3])
def test_a_certificate_that_is_none_is_named(model_folder, value):
    edit_json(model_folder / "attributes.json", lambda values: values.update(certificate=value))
    assert "attributes.json: certificate: it must be an object of moves, pictures" in refusal(model_folder)


# What is broken is named, in one sentence, before memory is taken.


def edit_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_weights(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def refusal(folder: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelError) as caught:
            StylEx.from_pretrained(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "generator/model.safetensors",
        "encoder/model.safetensors",
        "mapping/model.safetensors",
        "classifier/config.json",
        "classifier/model.safetensors",
    ],
)
def test_a_missing_file_is_named(model_folder, name):
    (model_folder / name).unlink()
    assert f"{model_folder / name} is missing" in refusal(model_folder)


@pytest.mark.parametrize("name", ["generator", "encoder", "classifier"])
def test_a_missing_component_is_named(model_folder, name):
    shutil.rmtree(model_folder / name)
    assert f"{model_folder / name}" in refusal(model_folder)


@pytest.mark.parametrize("name", ["config.json", "attributes.json", "classifier/config.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\udcff"], ids=repr)
def test_a_file_that_is_no_json_object_is_named(model_folder, name, text):
    (model_folder / name).write_bytes(text.encode(errors="surrogateescape"))
    assert str(model_folder / name) in refusal(model_folder)


@pytest.mark.parametrize(
    "name",
    [
        "generator/model.safetensors",
        "encoder/model.safetensors",
        "classifier/model.safetensors",
        "style_stats.safetensors",
    ],
)
@pytest.mark.parametrize("size", [0, 7, 100, -10])
def test_a_file_cut_short_is_named(model_folder, name, size):
    path = model_folder / name
    path.write_bytes(path.read_bytes()[:size])
    assert f"{path} cannot be read" in refusal(model_folder)


def test_a_pickle_is_not_opened(model_folder):
    path = model_folder / "generator" / "model.safetensors"
    torch.save({"const": torch.zeros(1)}, path)
    assert f"{path} cannot be read" in refusal(model_folder)


WEIGHT = "synthesis.layers.0.conv.weight"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop(WEIGHT), f"weight {WEIGHT} is missing"),
        (lambda t: t.update({"extra.bias": torch.zeros(3)}), "weight extra.bias is unknown"),
        (lambda t: t.update({WEIGHT: torch.zeros(8, 9, 3, 3)}), f"weight {WEIGHT} has shape [8, 9, 3, 3]; config.json"),
        (lambda t: t[WEIGHT].view(-1)[5:6].fill_(float("nan")), f"{WEIGHT} holds numbers that are not finite"),
        (lambda t: t[WEIGHT].view(-1)[5:6].fill_(float("inf")), f"{WEIGHT} holds numbers that are not finite"),
        (lambda t: t.update({WEIGHT: t[WEIGHT].long()}), f"weight {WEIGHT} is stored as torch.int64"),
    ],
    ids=["missing", "extra", "shape", "nan", "inf", "whole numbers"],
)
def test_a_wrong_weight_is_named(model_folder, change, says):
    path = model_folder / "generator" / "model.safetensors"
    edit_weights(path, change)
    assert f"{path}: {says}" in refusal(model_folder)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("resolution", 17, "resolution is 17"),
        ("channels", [8, 8], "channels is [8, 8]"),
        ("channels", [10**9] * 3, "channels is [1000000000, 1000000000, 1000000000]"),
        ("trunk_channels", "many", "trunk_channels is 'many'"),
        ("w_dim", 10**9, "w_dim is 1000000000"),
        ("num_classes", 10**9, "num_classes is 1000000000"),
        ("num_classes", 3, "num_classes is 3, but classifier/config.json names 2 classes: plain, spotted"),
        ("mapping_layers", -1, "mapping_layers is -1"),
        ("colour", 1, "unknown key colour"),
    ],
)
def test_a_wrong_key_of_the_configuration_is_named(model_folder, key, value, says):
    edit_json(model_folder / "config.json", lambda c: c["model"].__setitem__(key, value))
    assert f"{model_folder / 'config.json'}: {says}" in refusal(model_folder)


def test_missing_keys_of_the_configuration_are_named(model_folder):
    edit_json(model_folder / "config.json", lambda c: c["model"].pop("channels"))
    assert "config.json: missing key channels" in refusal(model_folder)
    edit_json(model_folder / "config.json", lambda c: c.pop("model"))
    assert "config.json: key model is missing" in refusal(model_folder)


def test_the_largest_allowed_network_is_refused_by_its_file_and_takes_no_memory(model_folder, monkeypatch):
    """Every number is in range; only the file tells that such weights do not exist."""
    edit_json(
        model_folder / "config.json",
        lambda c: c["model"].update(channels=[1024] * 3, trunk_channels=[1024] * 3, w_dim=2048, z_dim=2048),
    )
    built = []
    original = Synthesis.__init__

    def watch(self, config):
        original(self, config)
        built.append(all(p.is_meta for p in self.parameters()))

    monkeypatch.setattr(Synthesis, "__init__", watch)
    assert "has shape [" in refusal(model_folder)
    assert built == [True]


@pytest.mark.parametrize("version", [0, 4, 10**9, "1", None, [1], True])
def test_an_unknown_format_version_says_which_one_is_read(model_folder, version):
    edit_json(model_folder / "config.json", lambda c: c.__setitem__("format_version", version))
    assert f"config.json: format version {version!r}; this stylex" in refusal(model_folder)


def test_a_folder_of_version_2_is_read_and_has_no_places(model_folder):
    def older(config):
        config["format_version"] = 2
        del config["model"]["places"], config["model"]["discriminator"]

    edit_json(model_folder / "config.json", older)
    loaded = StylEx.from_pretrained(model_folder)
    assert (loaded.config.places, loaded.config.discriminator) == (0, "stylegan2")


@pytest.mark.parametrize("discriminator", ["stylegan2", "projected"])
def test_a_model_with_places_comes_back_with_the_same_pictures(tiny_model, tmp_path, x, discriminator):
    config = dataclasses.replace(tiny_model.config, places=2, discriminator=discriminator)
    built = {name: kind(config) for name, kind in networks.kinds(config).items()}
    model = StylEx(config, tiny_model.classifier, **built)
    first = StylEx.from_pretrained(model.save_pretrained(tmp_path / "model"))
    again = StylEx.from_pretrained(first.save_pretrained(tmp_path / "again"))
    assert first.config == config
    s = first.styles(first.encode(x))
    assert s.shape[1] == first.space.num_styles + 128
    assert torch.equal(again.synthesize(again.styles(again.encode(x))), first.synthesize(s))
    assert_same(again.discriminator.state_dict(), first.discriminator.state_dict())


@pytest.mark.parametrize("name", ["synthesis.gates.0.weight", "where.weight"])
def test_places_of_the_wrong_shape_or_not_finite_are_refused_by_name(tiny_model, tmp_path, name):
    config = dataclasses.replace(tiny_model.config, places=2)
    built = {n: kind(config) for n, kind in networks.kinds(config).items()}
    folder = StylEx(config, tiny_model.classifier, **built).save_pretrained(tmp_path / "model")
    path = folder / ("generator" if "gates" in name else "encoder") / "model.safetensors"
    whole = load_file(path)
    save_file({**whole, name: whole[name] * float("inf")}, path)
    assert f"{name} holds numbers that are not finite" in refusal(folder)
    save_file({**whole, name: whole[name][..., :1, :1].repeat(2, 1, 1, 1).contiguous()}, path)
    assert f"weight {name} has shape" in refusal(folder)


def test_a_folder_of_version_1_is_read(tiny_model, model_folder, x):
    """It did not list the judge, nor the parts that may be absent; they were there if their folders were."""
    save_classifier(tiny_model.classifier, model_folder / "judge")
    shutil.rmtree(model_folder / "discriminator")
    edit_json(model_folder / "config.json", lambda c: c.update(format_version=1, components=["generator"]))
    loaded = StylEx.from_pretrained(model_folder)
    assert loaded.judge is not None
    assert loaded.mapping is not None
    assert loaded.discriminator is None
    assert json.loads((loaded.save_pretrained(model_folder) / "config.json").read_text())["format_version"] == 3
    assert StylEx.from_pretrained(model_folder).judge is not None


@pytest.mark.parametrize(
    ("components", "says"),
    [
        (None, "components is None; use a list of generator, encoder"),
        (["generator", "../elsewhere"], "components is ['generator', '../elsewhere']; use a list of"),
        (["generator", ["encoder"]], "components is ["),
        (["generator", "encoder"], "classifier is not among the components"),
    ],
)
def test_the_components_of_a_model_are_those_that_it_lists(model_folder, components, says):
    edit_json(model_folder / "config.json", lambda c: c.update(components=components))
    assert f"{model_folder / 'config.json'}: {says}" in refusal(model_folder)


def test_a_component_that_is_listed_and_absent_is_named_and_one_that_is_not_listed_is_left_alone(model_folder):
    edit_json(model_folder / "config.json", lambda c: c["components"].remove("discriminator"))
    assert StylEx.from_pretrained(model_folder).discriminator is None
    shutil.rmtree(model_folder / "mapping")
    assert f"{model_folder / 'mapping' / 'model.safetensors'} is missing" in refusal(model_folder)


@pytest.mark.parametrize("kind", [Generator, Encoder, Mapping, Discriminator, Classifier])
def test_each_component_is_loaded_alone_from_its_subfolder(model_folder, kind):
    name = kind.__name__.lower()
    whole = getattr(StylEx.from_pretrained(model_folder), name)
    alone = kind.from_pretrained(model_folder, subfolder=name)
    assert not alone.training
    assert alone.config == whole.config
    assert_same(dict(alone.state_dict()), dict(whole.state_dict()))
    with pytest.raises(ModelError, match=r"subfolder is '\.\./model'; use a relative path"):
        kind.from_pretrained(model_folder, subfolder="../model")
    with pytest.raises(ModelError, match=r"has no folder nothing; check the name"):
        kind.from_pretrained(model_folder, subfolder="nothing")


def test_a_component_saved_alone_is_the_same_when_loaded(model_folder, tmp_path):
    encoder = Encoder.from_pretrained(model_folder / "encoder")
    again = Encoder.from_pretrained(encoder.save_pretrained(tmp_path / "alone"))
    assert_same(dict(again.state_dict()), dict(encoder.state_dict()))


def test_a_folder_of_another_network_says_which_one_it_is(model_folder):
    with pytest.raises(ModelError, match="is of a Encoder, not of a Generator; set subfolder to the folder of the Gen"):
        Generator.from_pretrained(model_folder, subfolder="encoder")
    with pytest.raises(ModelError, match="is of no single network, not of a Generator"):
        Generator.from_pretrained(model_folder)
    edit_json(model_folder / "generator" / "config.json", lambda c: c.update(channels=[10**9] * 3))
    with pytest.raises(ModelError, match=r"generator/config\.json: channels is \[1000000000"):
        Generator.from_pretrained(model_folder, subfolder="generator")


def test_a_whole_model_may_lie_in_a_subfolder(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "models" / "tiny")
    assert StylEx.from_pretrained(tmp_path, subfolder="models/tiny").attributes == tiny_model.attributes


# A generated card carries its seal; whoever edits it owns it.


def test_a_generated_card_is_replaced_by_the_next_and_an_edited_one_is_not(tiny_model, tmp_path):
    card = tmp_path / "README.md"
    model = copy.copy(tiny_model)
    for text in ("# One", "# Two"):
        model.card = seal(text)
        model.save_pretrained(tmp_path)
        assert card.read_text() == seal(text)
    edited = card.read_text().replace("# Two", "# Mine")
    card.write_text(edited)
    model.save_pretrained(tmp_path)
    assert card.read_text() == edited
    model.card = "# What I wrote in its place"
    model.save_pretrained(tmp_path)
    assert card.read_text() == model.card


def test_the_seal_breaks_at_any_edit_and_at_no_other_line_end():
    text = seal("# A card\n\nof two lines\n")
    assert is_sealed(text)
    assert is_sealed(text.replace("\n", "\r\n"))
    assert not is_sealed(text.replace("two", "three"))
    assert not is_sealed(text + "More.")
    assert not is_sealed("More.\n" + text)
    assert not is_sealed("# A card")


def test_a_card_that_is_no_text_is_named(model_folder):
    (model_folder / "README.md").write_bytes(b"\xff\xfe\x00card")
    assert f"{model_folder / 'README.md'} cannot be read as UTF-8" in refusal(model_folder)


@pytest.mark.skipif(os.name == "nt", reason="modes are of Unix")
def test_others_may_read_a_saved_model_if_they_may_read_anything_of_this_user(tiny_model, tmp_path):
    folder = tiny_model.save_pretrained(tmp_path / "saved")
    plain = (folder / "config.json").stat().st_mode
    assert {p.stat().st_mode for p in folder.rglob("*") if p.is_file()} == {plain}


def test_a_folder_being_saved_never_holds_half_a_file(tiny_model, tmp_path, monkeypatch):
    """Every file is written under another name and renamed, config.json last of all."""
    renamed: list[str] = []
    replace = os.replace

    def watch(aside, path):
        assert Path(aside).name == Path(path).name + ".part"
        renamed.append(str(Path(path).relative_to(tmp_path)))
        replace(aside, path)

    monkeypatch.setattr(os, "replace", watch)
    tiny_model.save_pretrained(tmp_path)
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert sorted(renamed) == written
    assert renamed[-1] == "config.json"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows[0].update(index=10**6), "attribute 0: style coordinate 1000000 does not exist"),
        (lambda rows: rows[1].update(index=-1), "attribute 1: style coordinate -1 does not exist"),
        (lambda rows: rows[0].update(layer="64x64/conv0"), "attribute 0: coordinate"),
        (lambda rows: rows[0].update(channel=rows[0]["channel"] + 1), "attribute 0: coordinate"),
        (lambda rows: rows[0].update(target="purple"), "attribute 0: class 'purple' is not one of plain, spotted"),
        (lambda rows: rows[0].update(direction="left"), "attribute 0: direction is 'left'"),
        (lambda rows: rows[0].pop("delta_prob"), "attribute 0: key delta_prob is missing"),
        (lambda rows: rows.__setitem__(0, "none"), "attribute 0: is 'none'"),
    ],
)
def test_an_attribute_of_another_generator_is_named(model_folder, change, says):
    edit_json(model_folder / "attributes.json", lambda value: change(value["attributes"]))
    assert f"{model_folder / 'attributes.json'}: {says}" in refusal(model_folder)


def test_attributes_need_their_key(model_folder):
    (model_folder / "attributes.json").write_text("{}")
    assert "attributes.json: key attributes is missing" in refusal(model_folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("s_max"), "statistic s_max is missing"),
        (lambda t: t.pop("count"), "statistic count is missing"),
        (lambda t: t.update(s_min=torch.zeros(5)), "statistic s_min has shape [5]; config.json asks for [64]"),
        (lambda t: t["s_std"][3:4].fill_(float("nan")), "s_std holds numbers that are not finite"),
        (lambda t: t.update(count=torch.tensor([1, 2])), "statistic count has shape [2]"),
        (lambda t: t.update(mood=torch.zeros(64)), "statistic mood is unknown"),
        (lambda t: t.update(count=torch.tensor(-1)), "these are no statistics of pictures"),
        (lambda t: t.update(count=torch.tensor(1.5)), "these are no statistics of pictures"),
        (lambda t: t.update(s_min=t["s_max"] + 1), "these are no statistics of pictures"),
    ],
    ids=["s_max", "count", "shape", "nan", "two counts", "extra", "minus one", "half a picture", "upside down"],
)
def test_wrong_statistics_are_named(model_folder, change, says):
    path = model_folder / "style_stats.safetensors"
    edit_weights(path, change)
    assert f"{path}: {says}" in refusal(model_folder)


def test_a_place_that_does_not_exist_says_what_is_expected(tmp_path):
    with pytest.raises(ModelError, match="neither a folder nor a repository name such as"):
        StylEx.from_pretrained(tmp_path / "nowhere" / "at" / "all")


def test_a_move_towards_an_attribute_changes_the_decision_as_its_record_says(tiny_model):
    """The records of the fixture, and with them what the app and the command line show, are real."""
    attribute = max(tiny_model.attributes, key=lambda a: a.delta_logit)
    target = tiny_model.class_names.index(attribute.target)
    probs = torch.full((40, 2), 0.5)
    s = tiny_model.sample(probs, seed=3)
    before = tiny_model.logits_of(s)[:, target]
    after = tiny_model.logits_of(move(s, attribute.index, attribute.direction, tiny_model.stats))[:, target]
    assert isinstance(attribute.direction, Direction)
    assert (after - before).mean() > 0.2 * attribute.delta_logit


def test_a_network_that_nobody_needs_can_be_left_out(model_folder, tiny_model, pictures):
    lean = StylEx.from_pretrained(model_folder, without=("discriminator",))
    assert (lean.discriminator, lean.mapping is None) == (None, False)
    picture = pictures / "plain" / "plain-0.png"
    assert (
        lean.explain(picture, top_k=1).to_dict()
        == StylEx.from_pretrained(model_folder).explain(picture, top_k=1).to_dict()
    )
