"""What a classifier is shown of a picture."""

from __future__ import annotations

import torch

from train.classifying.views import Views, augment
from train.data.pictures import load_pictures, to_float


def test_augmentation_keeps_shape_and_range_and_can_be_switched_off(pictures):
    x = to_float(load_pictures(pictures, 16).x[:8])
    changed = augment(x, Views(flips="dihedral", turn=0.0))
    assert changed.shape == x.shape
    assert changed.abs().max() <= 1
    assert not torch.allclose(changed, x)
    off = dict.fromkeys(("brightness", "contrast", "saturation", "hue", "zoom", "turn", "translate", "noise"), 0.0)
    torch.testing.assert_close(augment(x, Views(flips="none", **off)), x, rtol=1e-3, atol=1e-3)
