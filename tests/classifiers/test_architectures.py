"""Networks of torchvision, timm and transformers with weights from this machine, and back through a model's folder."""

from __future__ import annotations

import copy
import json
import re
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from stylex import StylEx
from stylex.classifiers.adopt import adopt, answers_of
from stylex.classifiers.classifier import Classifier, ClassifierError, load_classifier, save_classifier
from stylex.classifiers.probing import _rough
from stylex.classifiers.weights import PLAIN, states_of
from stylex.storage.files import ModelError

SMALL = "torchvision:shufflenet_v2_x0_5"
SAID: dict[str, Any] = {"class_names": ["cat", "dog"], "resolution": 32}


def network(classes: int = 2) -> nn.Module:
    from torchvision.models import shufflenet_v2_x0_5

    torch.manual_seed(0)
    return awake(shufflenet_v2_x0_5(num_classes=classes))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(network().state_dict(), path)
    return path


def refusal(name: str, **said: Any) -> str:
    """The one sentence."""
    with pytest.raises((ClassifierError, ModelError)) as caught:
        adopt(name, **said)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def survives(classifier: Classifier, folder: Path) -> bool:
    """Whether it is saved and built again from its folder alone."""
    save_classifier(classifier, folder)
    again = load_classifier(folder)
    scale = answers_of(classifier).abs().max()
    return again.config == classifier.config and bool(
        ((answers_of(again) - answers_of(classifier)).abs() < 0.02 * scale).all()
    )


def awake(network: nn.Module) -> nn.Module:
    """With statistics of noise in its batch norms: untrained, many networks say the same of every picture."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 4 - 2)
    return network.eval()


def assert_as_at_home(found: Classifier, theirs: nn.Module, transform: Callable[[Image.Image], torch.Tensor]) -> None:
    """The same answers as of the library's own network after its own preprocessing, for pictures of many sizes: the
    difference is small beside how far the answers to different pictures are apart."""
    home, here = [], []
    for side in (32, 47, 100):
        for picture in (_rough(side), Image.effect_mandelbrot((side, side), (-2, -1.5, 1, 1.5), 40).convert("RGB")):
            x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1
            with torch.no_grad():
                output = theirs(transform(picture)[None])
                home.append(getattr(output, "logits", output))
                here.append(found(x))
    expected = torch.cat(home)
    spread = float((expected - expected.mean(dim=0)).abs().max())
    assert spread > 1e-4
    torch.testing.assert_close(torch.cat(here), expected, rtol=0, atol=0.1 * spread)


# Files of weights.


@pytest.mark.parametrize("kind", ["weights.safetensors", "weights.pth"])
def test_an_architecture_with_weights_of_one_s_own(kind, weights, tmp_path):
    path = weights
    if kind == "weights.pth":
        path = tmp_path / kind
        torch.save(network().state_dict(), path)
    found = adopt(SMALL, weights=path, **SAID)
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(found(x * 2 - 1), network()((x - found.mean) / found.std))
    assert found.config.mean == (0.485, 0.456, 0.406)  # ImageNet's, as of all that torchvision trains
    assert survives(found, tmp_path / "saved")


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"weights": None}, "torchvision:shufflenet_v2_x0_5 has random weights; give yours with --classifier_weights"),
        (
            {"class_names": None},
            "torchvision:shufflenet_v2_x0_5 does not say its class names; add --class_names cat,dog",
        ),
        (
            {"resolution": None},
            "torchvision:shufflenet_v2_x0_5 does not say its resolution; add --classifier_resolution",
        ),
        (
            {"class_names": ["a", "b", "c"]},
            "has fc.bias of shape [2]; torchvision:shufflenet_v2_x0_5 with 3 classes (a, b, c) has [3]",
        ),
        (
            {"name": "torchvision:resnet18"},
            "lacks bn1.bias, bn1.running_mean, bn1.running_var and 97 more and has besides conv1.0.weight, "
            "conv1.1.bias, conv1.1.running_mean and 277 more; torchvision:resnet18 is another network",
        ),
        ({"name": "torchvision:tomorrow"}, "torchvision cannot build 'tomorrow'"),
        ({"name": "timm:hf-hub:someone/theirs"}, "timm cannot build 'hf-hub:someone/theirs'"),
        ({"weights": "nowhere.safetensors"}, "nowhere.safetensors is no file; give the weights as safetensors"),
    ],
)
def test_what_does_not_fit_is_one_sentence(said, says, weights):
    assert says in refusal(**{"name": SMALL, "weights": weights, **SAID, **said})


def test_only_tensors_are_unpickled(tmp_path):
    torch.save(network(), tmp_path / "network.pth")
    assert refusal(SMALL, weights=tmp_path / "network.pth", **SAID) == (
        f"{tmp_path}/network.pth cannot be read as weights (it holds torchvision.models.shufflenetv2.ShuffleNetV2, "
        "which would run code); save them with safetensors.torch.save_file"
    )
    for rubbish in (b"rubbish", b"<!DOCTYPE html>", b"\x80\x02", b"PK\x03\x04"):
        (tmp_path / "rubbish.pth").write_bytes(rubbish)
        said = refusal(SMALL, weights=tmp_path / "rubbish.pth", **SAID)
        assert "rubbish.pth cannot be read as weights (" in said
        assert "two options" not in said  # how torch begins, with what opens the door to code
    torch.save({"epoch": 3, "lr": [0.1]}, tmp_path / "run.pth")
    assert "run.pth holds no state_dict; save network.state_dict()" in (
        refusal(SMALL, weights=tmp_path / "run.pth", **SAID)
    )
    (tmp_path / "cut.safetensors").write_bytes(b"\x00" * 20)
    assert "cut.safetensors cannot be read as weights (" in refusal(SMALL, weights=tmp_path / "cut.safetensors", **SAID)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    state = {k: v * float("nan") for k, v in network().state_dict().items()}
    save_file(state, tmp_path / "nan.safetensors")
    assert refusal(SMALL, weights=tmp_path / "nan.safetensors", **SAID).startswith(
        f"{SMALL} returned numbers that are not finite"
    )


# Folders.


@pytest.fixture
def timm_folder(tmp_path) -> Path:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    arguments = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 1}
    made = timm.create_model("vit_tiny_patch16_224", num_classes=2, **arguments)
    data = {"input_size": (3, 32, 32), "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    config = {"label_names": {0: "cat", 1: "dog"}, "pretrained_cfg": data}
    timm.models.save_for_hf(
        made, tmp_path / "theirs", model_config=config, model_args=arguments, safe_serialization="both"
    )
    return tmp_path / "theirs"


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_of_timm_says_everything_itself(timm_folder, tmp_path, file):
    import timm

    assert sorted(p.name for p in timm_folder.iterdir()) == ["config.json", "model.safetensors", "pytorch_model.bin"]
    for path in timm_folder.glob("*model.*"):
        if path.name != file:
            path.unlink()

    found = adopt(f"timm:{timm_folder}")
    assert found.config.library == "timm"
    assert (found.class_names, found.config.resolution) == (["cat", "dog"], 32)
    assert (found.config.mean, found.config.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    theirs = timm.create_model(f"local-dir:{timm_folder}", pretrained=True).eval()
    cfg = timm.data.resolve_data_config(pretrained_cfg=theirs.pretrained_cfg)
    assert_as_at_home(found, theirs, timm.data.create_transform(**cfg))
    assert survives(found, tmp_path / "saved")


def test_what_is_said_goes_before_what_a_folder_says(timm_folder):
    found = adopt(f"timm:{timm_folder}", class_names="a,b", std=[1.0, 1.0, 1.0])
    assert (found.class_names, found.config.std) == (["a", "b"], (1.0, 1.0, 1.0))
    assert "is a folder with its own weights; leave w.safetensors out" in (
        refusal(f"timm:{timm_folder}", weights="w.safetensors")
    )


def test_a_folder_that_would_fetch_something_or_is_none_of_timm_s_is_refused(timm_folder):
    path = timm_folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "model_args": {"pretrained_cfg": {"url": "http://example.org/x.pth"}}}))
    assert "arguments has the key 'pretrained_cfg'; only what shapes the network" in refusal(f"timm:{timm_folder}")
    path.write_text("{}")
    assert "config.json names no architecture; timm writes one" in refusal(f"timm:{timm_folder}")
    path.unlink()
    assert "config.json is missing" in refusal(f"timm:{timm_folder}")


@pytest.fixture
def transformers_folder(tmp_path) -> Path:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        id2label={0: "cat", 1: "dog"},
        label2id={"cat": 0, "dog": 1},
    )
    awake(transformers.AutoModelForImageClassification.from_config(config)).save_pretrained(tmp_path / "theirs")
    how = {"size": {"shortest_edge": 32}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}
    (tmp_path / "theirs" / "preprocessor_config.json").write_text(json.dumps(how))
    return tmp_path / "theirs"


def test_a_folder_of_transformers_says_everything_itself(transformers_folder, tmp_path):
    import transformers

    found = adopt(f"transformers:{transformers_folder}")
    assert (found.class_names, found.config.resolution) == (["cat", "dog"], 32)
    assert (found.config.mean, found.config.std) == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    theirs = transformers.AutoModelForImageClassification.from_pretrained(transformers_folder).eval()
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(found(x * 2 - 1), theirs((x - found.mean) / found.std).logits)
    assert survives(found, tmp_path / "saved")
    (transformers_folder / "preprocessor_config.json").unlink()
    assert "does not say its resolution" in refusal(f"transformers:{transformers_folder}")


def test_a_vision_transformer_is_explained_like_any_other(tiny_model, tmp_path):
    """From its folder through a model's to an attribute, a counterfactual and a map."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=4,
        initializer_range=0.3,
        id2label={0: "plain", 1: "spotted"},
        label2id={"plain": 0, "spotted": 1},
    )
    transformers.AutoModelForImageClassification.from_config(config).eval().save_pretrained(tmp_path / "theirs")
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "theirs")
    model = copy.copy(tiny_model)
    model.classifier = adopt(f"transformers:{tmp_path / 'theirs'}")
    assert survives(model.classifier, tmp_path / "saved")
    again = StylEx.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert (again.classifier.config.library, again.classifier.config.architecture) == ("transformers", "vit")
    picture = Image.new("RGB", (16, 16), (150, 90, 60))
    e = again.explain(picture, top_k=2)
    assert e.attributes[0].delta > 0
    wanted = min(0.999, e.attributes[0].prob_before + 0.1)
    (edit,) = again.counterfactual(picture, target=e.target, prob=wanted).attributes
    assert edit.edit.found["arrived"]
    for method in ("integrated_gradients", "occlusion"):
        assert again.maps(picture, method=method).values.abs().max() > 0


def test_a_folder_of_transformers_that_names_code_is_refused(transformers_folder):
    path = transformers_folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "auto_map": {"AutoModelForImageClassification": "theirs.Model"}}))
    assert "arguments has the key 'auto_map'" in refusal(f"transformers:{transformers_folder}")
    path.write_text("{}")
    assert f"transformers cannot read {transformers_folder}: " in refusal(f"transformers:{transformers_folder}", **SAID)


def test_what_an_image_processor_says_is_done_or_refused(transformers_folder):
    """Whatever its kind and its switches: asked for its pictures, not for its words."""
    import transformers

    theirs = transformers.AutoModelForImageClassification.from_pretrained(transformers_folder).eval()
    for processor in (
        transformers.ConvNextImageProcessor(size={"shortest_edge": 32}),
        transformers.MobileViTImageProcessor(size={"shortest_edge": 48}, crop_size={"height": 32, "width": 32}),
        transformers.ViTImageProcessor(size={"height": 32, "width": 48}, do_normalize=False, rescale_factor=1 / 128),
    ):
        processor.save_pretrained(transformers_folder)

        def transform(picture, processor=processor):
            return processor(picture, return_tensors="pt")["pixel_values"][0]

        assert_as_at_home(adopt(f"transformers:{transformers_folder}"), theirs, transform)
    assert adopt(f"transformers:{transformers_folder}").config.resolution == (32, 48)
    transformers.ViTImageProcessor(size={"height": 64, "width": 64}, resample=1).save_pretrained(transformers_folder)
    assert (
        "preprocessor_config.json reads pictures in a way that cannot be followed here: a picture comes out otherwise "
        "than brought to 64 x 64"
    ) in refusal(f"transformers:{transformers_folder}")


def test_of_another_size_the_same_part_is_read(transformers_folder, tmp_path):
    import transformers

    transformers.ConvNextImageProcessor(size={"shortest_edge": 32}).save_pretrained(transformers_folder)
    name = f"transformers:{transformers_folder}"
    assert adopt(name, resolution=64).config.resize == (72, 72)
    assert adopt(name, crop=1.0).config.resize is None
    assert adopt(name, crop=0.5).config.resize == (64, 64)
    assert survives(adopt(name), tmp_path / "saved")


def test_what_timm_says_of_an_architecture_goes_without_saying_but_its_cut(tmp_path):
    timm = pytest.importorskip("timm")
    arguments = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 1}
    made = timm.create_model("vit_tiny_patch16_224", num_classes=2, **arguments).eval()
    save_file(made.state_dict(), tmp_path / "weights.safetensors")
    said = {"weights": tmp_path / "weights.safetensors", "arguments": arguments, **SAID}
    found = adopt("timm:vit_tiny_patch16_224", **said)
    assert (found.config.mean, found.config.interpolation, found.config.resize) == ((0.5,) * 3, "bicubic", None)
    cfg = timm.data.resolve_data_config({"img_size": 32}, model=made)
    found = adopt("timm:vit_tiny_patch16_224", crop=cfg["crop_pct"], **said)
    assert_as_at_home(found, made, timm.data.create_transform(**cfg))


def test_torchvision_reads_as_its_own_weights_do_if_the_cut_is_said(weights):
    from torchvision.transforms._presets import ImageClassification

    found = adopt(SMALL, weights=weights, crop=32 / 40, **SAID)
    assert_as_at_home(found, network(), ImageClassification(crop_size=32, resize_size=40))


@pytest.mark.parametrize("architecture", ["inception_v3", "googlenet"])
def test_a_network_that_may_change_its_pictures_itself_is_not_guessed(architecture, weights):
    assert refusal(f"torchvision:{architecture}", weights=weights, **SAID).startswith(
        f"torchvision:{architecture} may change the range of its pictures itself, and its weights do not say; add "
        "--classifier_arguments '{\"transform_input\": true}'"
    )


def test_a_network_that_changes_its_pictures_itself_decides_as_at_home(tmp_path):
    from torchvision.models import googlenet

    arguments = {"transform_input": True, "aux_logits": False}
    torch.manual_seed(0)
    theirs = awake(googlenet(num_classes=2, init_weights=False, **arguments))
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    found = adopt(
        "torchvision:googlenet", weights=tmp_path / "weights.safetensors", arguments=arguments, crop=0.8, **SAID
    )
    from torchvision.transforms._presets import ImageClassification

    assert_as_at_home(found, theirs, ImageClassification(crop_size=32, resize_size=40))
    assert survives(found, tmp_path / "saved")


# One output.


def test_weights_of_one_output_tell_two_classes_apart(tmp_path):
    save_file(network(1).state_dict(), tmp_path / "one.safetensors")
    found = adopt(SMALL, weights=tmp_path / "one.safetensors", **SAID)
    x = torch.rand(3, 3, 32, 32)
    z = network(1)((x - found.mean) / found.std)
    torch.testing.assert_close(found.probs(x * 2 - 1)[:, 1], z[:, 0].sigmoid())
    assert survives(found, tmp_path / "saved")
    assert "has fc.bias of shape [1]; torchvision:shufflenet_v2_x0_5 with 3 classes (a, b, c) has [3]; one output" in (
        refusal(SMALL, weights=tmp_path / "one.safetensors", **{**SAID, "class_names": ["a", "b", "c"]})
    )


def test_folders_of_one_output_are_classifiers_too(transformers_folder, tmp_path):
    import timm
    import transformers

    config = transformers.AutoConfig.from_pretrained(transformers_folder, num_labels=1)
    transformers.AutoModelForImageClassification.from_config(config).save_pretrained(transformers_folder)
    assert "does not say its class names; add --class_names cat,dog" in refusal(f"transformers:{transformers_folder}")
    assert adopt(f"transformers:{transformers_folder}", class_names=["no", "yes"]).config.single
    arguments = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 1}
    made = timm.create_model("vit_tiny_patch16_224", num_classes=1, **arguments)
    timm.models.save_for_hf(made, tmp_path / "one", model_args=arguments)
    found = adopt(f"timm:{tmp_path / 'one'}", class_names=["no", "yes"], resolution=32)
    assert found.config.single
    assert survives(found, tmp_path / "saved")


# Names that wrappers give to weights.

WRAPPED = {
    "parallel": lambda s: {f"module.{k}": v for k, v in s.items()},
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "compiled in parts": lambda s: {k.replace("stage2.", "stage2._orig_mod."): v for k, v in s.items()},
    "lightning": lambda s: {"epoch": 3, "state_dict": {f"model.{k}": v for k, v in s.items()}, "loops": {"fit": {}}},
    "all at once": lambda s: {"model": {f"module._orig_mod.net.backbone.{k}": v for k, v in s.items()}, "lr": 0.1},
    "averaged": lambda s: {"n_averaged": torch.tensor(3), **{f"module.{k}": v for k, v in s.items()}},
    "counted": lambda s: {**s, "total_ops": torch.zeros(1), "fc.total_params": torch.zeros(1)},
    "deep": lambda s: {"run": {"student": {"weights": s}}, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}},
    "beside plain values": lambda s: {**s, "epoch": 7, "best": None},
    "beside what was asked for": lambda s: {"model": s, "args": Namespace(lr=0.1, output=PurePosixPath("runs"))},
    "beside a best accuracy": lambda s: {"state_dict": s, "best": np.float64(0.9), "counts": np.int64(3)},
    "twice the same": lambda s: {"model": s, "best": {k: v.clone() for k, v in s.items()}},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_weights_are_found_under_the_names_that_wrappers_give_them(kind, tmp_path):
    torch.save(WRAPPED[kind](network().state_dict()), tmp_path / "run.pth")
    found = adopt(SMALL, weights=tmp_path / "run.pth", **SAID)
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(found(x * 2 - 1), network()((x - found.mean) / found.std))


def test_of_two_sets_of_weights_one_is_named(tmp_path):
    path, state = tmp_path / "run.pth", network().state_dict()
    average = {k: v * 0.5 if v.is_floating_point() else v for k, v in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": average}, path)
    assert refusal(SMALL, weights=path, **SAID) == (
        f"{path} holds weights of this network in state_dict and in state_dict_ema; name the one to take, such as "
        f"{path}#state_dict_ema"
    )
    found = adopt(SMALL, weights=f"{path}#state_dict_ema", **SAID)
    torch.testing.assert_close(found.network.fc.weight, average["fc.weight"])
    assert "run.pth holds no state_dict 'ema'; it holds state_dict, state_dict_ema" in (
        refusal(SMALL, weights=f"{path}#ema", **SAID)
    )


def test_what_is_missing_is_named_by_key(tmp_path):
    state = {f"module.{k}": v for k, v in network().state_dict().items()}
    state["module.fc.1.weight"] = state.pop("module.fc.weight")
    torch.save({"state_dict": state}, tmp_path / "run.pth")
    assert refusal(SMALL, weights=tmp_path / "run.pth", **SAID) == (
        f"{tmp_path}/run.pth (state_dict) lacks fc.weight and has besides fc.1.weight; "
        "torchvision:shufflenet_v2_x0_5 is another network"
    )


def test_a_best_accuracy_is_read_whichever_numpy_wrote_it(tmp_path):
    new, old = tmp_path / "new.pth", tmp_path / "old.pth"
    torch.save({"state_dict": network().state_dict(), "best": np.float64(0.9)}, new)
    with zipfile.ZipFile(new) as read, zipfile.ZipFile(old, "w") as write:
        for name in read.namelist():
            write.writestr(name, re.sub(rb"numpy\._?core\.multi", b"numpy.core.multi", read.read(name)))
    assert old.read_bytes().count(b"numpy.core.multiarray") == 1
    assert list(states_of(old)) == list(states_of(new)) == ["state_dict"]
    # Not every version of torch takes a name beside what it names.
    assert all(callable(plain) for plain in PLAIN)


def test_weights_beside_those_of_something_else_are_named_and_can_be_taken(tmp_path):
    """A loss with weights of its own, in what Lightning saves."""
    path = tmp_path / "last.ckpt"
    state = {f"model.{k}": v for k, v in network().state_dict().items()}
    torch.save({"state_dict": state | {"criterion.weight": torch.ones(2)}}, path)
    assert refusal(SMALL, weights=path, **SAID) == (
        f"{path} (state_dict) has this network below model, and besides criterion.weight; if the network answers "
        f"without that, take {path}#state_dict.model"
    )
    found = adopt(SMALL, weights=f"{path}#state_dict.model", **SAID)
    torch.testing.assert_close(found.network.fc.weight, network().fc.weight)


# Grey.


def test_an_architecture_that_reads_one_channel_is_given_grey(tmp_path):
    timm = pytest.importorskip("timm")
    arguments = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 1}
    torch.manual_seed(0)
    made = timm.create_model("vit_tiny_patch16_224", num_classes=2, in_chans=1, **arguments).eval()
    save_file(made.state_dict(), tmp_path / "weights.safetensors")
    grey = {"mean": [0.1307], "std": [0.3081]}
    found = adopt(
        "timm:vit_tiny_patch16_224", weights=tmp_path / "weights.safetensors", arguments=arguments, **grey, **SAID
    )
    cfg = {**timm.data.resolve_data_config({"img_size": 32}, model=made), "crop_pct": 1.0, **grey}
    cfg["input_size"] = (1, 32, 32)
    transform = timm.data.create_transform(**cfg)
    assert_as_at_home(found, made, lambda picture: transform(picture.convert("L")))
    assert survives(found, tmp_path / "saved")
    how = {"input_size": (1, 32, 32), "crop_pct": 1.0, **grey}
    timm.models.save_for_hf(
        made, tmp_path / "theirs", model_config={"pretrained_cfg": how}, model_args={"in_chans": 1, **arguments}
    )
    found = adopt(f"timm:{tmp_path / 'theirs'}", class_names=["cat", "dog"])
    assert_as_at_home(found, made, lambda picture: transform(picture.convert("L")))
