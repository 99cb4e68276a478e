"""Networks of torchvision, timm and transformers with weights from this machine, and back through a model's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stylex.classifiers.adopt import adopt, answers_of
from stylex.classifiers.classifier import Classifier, ClassifierError, load_classifier, save_classifier
from stylex.storage.files import ModelError

SMALL = "torchvision:shufflenet_v2_x0_5"
SAID: dict[str, Any] = {"class_names": ["cat", "dog"], "resolution": 32}


def network(classes: int = 2) -> nn.Module:
    from torchvision.models import shufflenet_v2_x0_5

    torch.manual_seed(0)
    return shufflenet_v2_x0_5(num_classes=classes).eval()


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
        ({"name": "torchvision:resnet18"}, "lacks the weight bn1.bias; it is not of torchvision:resnet18"),
        ({"name": "torchvision:tomorrow"}, "torchvision cannot build 'tomorrow'"),
        ({"name": "timm:hf-hub:someone/theirs"}, "timm cannot build 'hf-hub:someone/theirs'"),
        ({"weights": "nowhere.safetensors"}, "nowhere.safetensors is no file; give the weights as safetensors"),
    ],
)
def test_what_does_not_fit_is_one_sentence(said, says, weights):
    assert says in refusal(**{"name": SMALL, "weights": weights, **SAID, **said})


def test_only_tensors_are_unpickled(tmp_path):
    torch.save(network(), tmp_path / "network.pth")
    assert "network.pth cannot be read as weights (" in refusal(SMALL, weights=tmp_path / "network.pth", **SAID)
    torch.save({"epoch": 3, "model": network().state_dict()}, tmp_path / "run.pth")
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
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(found(x * 2 - 1), theirs((x - 0.5) / 0.25))
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
    transformers.AutoModelForImageClassification.from_config(config).save_pretrained(tmp_path / "theirs")
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


def test_a_folder_of_transformers_that_names_code_is_refused(transformers_folder):
    path = transformers_folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "auto_map": {"AutoModelForImageClassification": "theirs.Model"}}))
    assert "arguments has the key 'auto_map'" in refusal(f"transformers:{transformers_folder}")
    path.write_text("{}")
    assert f"transformers cannot read {transformers_folder}: " in refusal(f"transformers:{transformers_folder}", **SAID)
