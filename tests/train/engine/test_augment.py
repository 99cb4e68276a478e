"""Augmentation of batches: a draw for every picture, and nothing at strength zero."""

from __future__ import annotations

import pytest
import torch

from train.engine.augment import cutout, flip, for_classifier, for_discriminator, jitter, translate, zoom


@pytest.fixture
def same() -> torch.Tensor:
    """64 times one picture without any symmetry."""
    torch.manual_seed(0)
    return (torch.rand(1, 3, 16, 16) * 1.6 - 0.8).expand(64, -1, -1, -1).clone()


OPERATIONS = {
    "flip": lambda x: flip(x, "horizontal"),
    "dihedral": lambda x: flip(x, "dihedral"),
    "jitter": lambda x: jitter(x, 0.2, 0.2, 0.2, 0.1),
    "zoom": lambda x: zoom(x, 0.2, 20.0, 0.1),
    "translate": translate,
    "cutout": cutout,
    "for_discriminator": lambda x: for_discriminator(x, 0.5),
    "for_classifier": lambda x: for_classifier(x, 1.0),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_picture_gets_its_own_draw(name, same):
    y = OPERATIONS[name](same)
    assert y.shape == same.shape
    kinds = {tuple(picture.flatten()[:300].tolist()) for picture in y}
    assert len(kinds) >= (2 if name == "flip" else 8 if name == "dihedral" else 20)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_input_is_left_alone_and_the_range_is_kept(name, same):
    before = same.clone()
    y = OPERATIONS[name](same)
    assert torch.equal(same, before)
    assert y.abs().max() <= 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_gradient_passes_through_to_the_picture(name, same):
    same.requires_grad_()
    OPERATIONS[name](same).sum().backward()
    assert torch.isfinite(same.grad).all()
    assert (same.grad.abs().sum(dim=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", OPERATIONS)
def test_one_picture_is_a_batch_too(name, same):
    assert OPERATIONS[name](same[:1]).shape == (1, 3, 16, 16)


def test_strength_zero_is_the_identity(same):
    assert for_discriminator(same, 0.0) is same
    assert for_classifier(same, 0.0) is same
    assert flip(same, "none") is same
    torch.testing.assert_close(jitter(same, 0, 0, 0, 0), same)
    torch.testing.assert_close(zoom(same, 0, 0, 0), same, rtol=1e-4, atol=1e-4)


def test_strength_is_the_share_of_changed_pictures(same):
    torch.manual_seed(0)
    many = same[:1].expand(2000, -1, -1, -1)
    unchanged = (for_discriminator(many, 0.3) == many).flatten(1).all(dim=1).float().mean().item()
    # three independent changes, each for 0.3; one draw of 25 moves by nothing
    assert unchanged == pytest.approx(0.7 * (0.7 + 0.3 / 25) * 0.7, abs=0.04)


def test_flips_are_mirrors_and_quarter_turns_and_nothing_else(same):
    x = same[0]
    mirrored = {tuple(p.flatten().tolist()) for p in (x, x.flip(2))}
    seen = {tuple(p.flatten().tolist()) for p in flip(same, "horizontal")}
    assert seen == mirrored
    turned = [torch.rot90(x, k, (1, 2)) for k in range(4)]
    all_eight = {tuple(p.flatten().tolist()) for p in [*turned, *(p.flip(2) for p in turned)]}
    assert {tuple(p.flatten().tolist()) for p in flip(same, "dihedral")} == all_eight


def test_a_turn_of_the_hue_keeps_grey_and_turns_red_to_green():
    torch.manual_seed(0)
    grey = torch.linspace(-0.9, 0.9, 16).view(1, 1, 1, 16).expand(8, 3, 16, 16)
    torch.testing.assert_close(jitter(grey, 0, 0, 0, 0.5), grey, rtol=1e-4, atol=1e-4)
    # Colours turn around the grey axis: their mean and their distance from it stay.
    colour = torch.tensor([0.3, -0.1, -0.2]).view(1, 3, 1, 1).expand(8, 3, 4, 4)
    turned = jitter(colour, 0, 0, 0, 0.5)
    torch.testing.assert_close(turned.mean(dim=1), colour.mean(dim=1), rtol=1e-4, atol=1e-4)

    def saturation(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(dim=1, keepdim=True)).norm(dim=1)

    torch.testing.assert_close(saturation(turned), saturation(colour), rtol=1e-4, atol=1e-4)
    assert (turned - colour).abs().amax(dim=(1, 2, 3)).max() > 0.2


def test_jitter_by_pencil(monkeypatch):
    """The draws are fixed: brightness 1.2, contrast 0.5, saturation 2, hue a third of the circle."""
    draws = iter([1.2, 0.5, 1 / 3, 2.0])
    monkeypatch.setattr("train.engine.augment._uniform", lambda x, low, high: torch.full((1, 1, 1, 1), next(draws)))
    x = torch.tensor([0.5, 0.3, 0.4]).view(1, 3, 1, 1) * 2 - 1
    # times 1.2: .6 .36 .48, mean .48; half the contrast: .54 .42 .48. Off grey: .06 -.06 0.
    # A third of the circle hands red to green, green to blue, blue to red: 0 .06 -.06; twice as saturated: 0 .12 -.12.
    expected = torch.tensor([0.48, 0.60, 0.36]).view(1, 3, 1, 1) * 2 - 1
    torch.testing.assert_close(jitter(x, 0.2, 0.5, 1.0, 0.5), expected, rtol=1e-4, atol=1e-4)


def test_zoom_turns_and_moves_what_is_in_the_middle():
    torch.manual_seed(0)
    x = torch.zeros(200, 1, 33, 33)
    x[:, :, 16, 16] = 1.0
    y = zoom(x, 0, 0, 0.25)
    where = y.flatten(1).argmax(dim=1)
    rows, columns = where // 33 - 16, where % 33 - 16
    assert rows.abs().max() <= 9
    assert columns.abs().max() <= 9
    assert rows.abs().max() >= 6
    assert columns.abs().max() >= 6
    torch.testing.assert_close(zoom(x, 0, 45, 0)[:, :, 16, 16], torch.ones(200, 1), rtol=1e-3, atol=1e-3)


def test_translate_moves_whole_pixels_and_fills_with_the_border():
    x = torch.arange(64.0).view(1, 1, 8, 8).expand(100, -1, -1, -1) / 100
    y = translate(x, 0.125)
    assert set(y.unique().tolist()) <= set(x.unique().tolist())
    corners = {round(v * 100) for v in y[:, 0, 0, 0].tolist()}
    assert corners == {0, 1, 8, 9}  # the corner, or its neighbours, where the picture moved up and left


def test_cutout_greys_one_square():
    x = torch.ones(50, 3, 20, 20)
    y = cutout(x, 0.3)
    holes = y[:, 0] == 0
    assert (holes.sum(dim=(1, 2)) == 36).all()
    for hole in holes:
        rows, columns = hole.any(dim=1), hole.any(dim=0)
        assert rows.sum() == columns.sum() == 6
    assert torch.equal(y[:, 0], y[:, 2])
