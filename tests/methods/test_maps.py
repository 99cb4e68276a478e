"""captum's maps of a classifier that looks at one corner."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn

from stylex.methods.maps import attribute, change, overlap
from stylex.methods.records import Map, MethodError


class Corner(nn.Module):
    """Class 1 is how bright the upper left quarter is; a convolution that passes everything on comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.ones_(self.conv.weight)
        self.pool = nn.Conv2d(1, 1, 8, stride=8, bias=False)
        nn.init.ones_(self.pool.weight)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.pool(self.conv(x))[:, 0, 0, 0] / 64
        return torch.stack([-seen, seen], dim=1)


X = torch.zeros(1, 3, 16, 16)
X[..., :8, :8] = 0.5


@pytest.mark.parametrize("method", ["gradcam", "integrated_gradients", "occlusion"])
def test_a_map_is_bright_where_the_classifier_looks(method):
    found = attribute(Corner(), X, 1, method)
    assert found.values.shape == (16, 16)
    x, y = found.centre
    assert x < 5
    assert y < 5


def test_integrated_gradients_add_up_to_what_the_picture_changed():
    found = attribute(Corner(), X, 1, "integrated_gradients")
    assert float(found.values.sum()) == pytest.approx(1.5, rel=1e-3)  # three channels of 0.5, against grey
    assert abs(found.found["gap"]) < 1e-3


def test_grad_cam_looks_at_the_last_convolution_that_has_places():
    assert attribute(Corner(), X, 1, "gradcam").found["layer"] == "pool"  # 2 x 2
    assert attribute(Corner(), X, 1, "gradcam", layer=None).method == "gradcam"


def test_occlusion_needs_no_gradient_and_the_others_say_that_they_do():
    def silent(x: Tensor) -> Tensor:
        return Corner()(x).detach()

    assert attribute(silent, X, 1, "occlusion").centre[0] < 5
    with pytest.raises(MethodError, match="passes no gradient"):
        attribute(silent, X, 1, "integrated_gradients")
    with pytest.raises(MethodError, match="has no convolution for Grad-CAM"):
        attribute(nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), X, 1, "gradcam")


def test_a_missing_captum_and_an_unknown_map_are_said(monkeypatch):
    with pytest.raises(MethodError, match="there is no map 'saliency'"):
        attribute(Corner(), X, 1, "saliency")
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MethodError, match="pip install captum"):
        attribute(Corner(), X, 1, "gradcam")


def test_the_change_map_counts_levels_of_the_channel_that_changes_most():
    after = X.clone()
    after[0, 1, 2, 3] += 2 / 255 * 10
    found = change(X, after)
    assert float(found.values[2, 3]) == pytest.approx(10, abs=1e-3)
    assert int((found.values > 0).sum()) == 1
    assert found.centre == (3.0, 2.0)


def test_overlap_of_maps():
    left, right = torch.zeros(4, 4), torch.zeros(4, 4)
    left[:, :2], right[:, 1:3] = 1.0, 5.0
    a, b = Map(left, "a", "a"), Map(right, "b", "b")
    assert overlap(a, a) == pytest.approx(1.0)
    assert overlap(a, b) == pytest.approx(0.5)
    assert overlap(a, Map(torch.zeros(4, 4), "c", "c")) == 0.0
