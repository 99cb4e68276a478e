"""The stranger's layer travels with a model; its eye does not."""

from __future__ import annotations

import json

import pytest
import torch

from stylex import ModelError, StylEx
from stylex.classifiers.stranger import Stranger


@pytest.fixture
def stranger() -> Stranger:
    generator = torch.Generator().manual_seed(0)
    return Stranger(["plain", "spotted"], torch.randn(2, 1280, generator=generator), torch.tensor([0.5, -0.5]))


def test_its_logits_are_a_linear_layer_s(stranger):
    seen = torch.zeros(1, 1280)
    seen[0, 3] = 2.0
    assert torch.equal(stranger(seen)[0], 2 * stranger.weight[:, 3] + stranger.bias)


def test_a_model_keeps_it(stranger, tiny_model, model_folder, tmp_path):
    model = StylEx.from_pretrained(model_folder)
    assert model.stranger is None
    model.stranger = stranger
    again = StylEx.from_pretrained(model.save_pretrained(tmp_path / "kept"))
    assert torch.equal(again.stranger.weight, stranger.weight)
    assert torch.equal(again.stranger.bias, stranger.bias)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"class_names": ["spotted", "plain"]}, r"class_names is \['spotted', 'plain'\], the classifier's are"),
        ({"eye": "EfficientNet-Lite9"}, "this stranger looks through EfficientNet-Lite9 at 128 px; only"),
        ({"side": None}, "at None px"),
    ],
)
def test_another_model_s_stranger_is_refused_by_name(stranger, tmp_path, change, says):
    stranger.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=says) as caught:
        Stranger.load(tmp_path, ["plain", "spotted"])
    assert str(path) in str(caught.value)


def test_a_layer_of_another_shape_or_not_finite_is_refused(stranger, tmp_path):
    stranger.weight[0, 0] = torch.nan
    stranger.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="weight holds numbers that are not finite"):
        Stranger.load(tmp_path, ["plain", "spotted"])
    Stranger(["a", "b", "c"]).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"class_names": ["plain", "spotted"]}))
    with pytest.raises(ModelError, match=r"weight weight has shape \[3, 1280\]; config.json asks for \[2, 1280\]"):
        Stranger.load(tmp_path, ["plain", "spotted"])
