"""The network of 84 weights, and the faults of the notebook that this one does not have."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylex.methods.perturbation import Perturbation, Perturbed, perturb
from stylex.methods.records import MethodError


def spot(row: int, column: int, side: int = 20) -> Tensor:
    """A dark picture with a bright spot of 3 x 3."""
    x = -torch.ones(1, 3, side, side)
    x[:, :, row - 1 : row + 2, column - 1 : column + 2] = 1
    return x


def bright(x: Tensor) -> Tensor:
    """Class 1: something in the picture is as bright as a spot."""
    peak = (x.mean(dim=1) + 1).square().sum(dim=(1, 2)) - 12
    return torch.stack([torch.zeros_like(peak), peak], dim=1)


def test_one_network_has_84_weights_however_often_it_is_applied():
    assert Perturbation(1).weights_each == 84
    assert Perturbation(5, blocks=7, layers=2).weights_each == 84


def test_it_lowers_the_class_with_a_loss_that_falls():
    found = perturb(bright, spot(10, 10), steps=60)
    assert float(found.prob_before) > 0.9
    assert float(found.prob_after) < 0.1
    assert found.losses[-1] < found.losses[0]
    assert found.x.min() >= -1
    assert found.x.max() <= 1 + 1e-6


def test_pictures_of_a_batch_do_not_meet():
    x = torch.cat([spot(10, 10), spot(6, 13)])
    together = perturb(bright, x, steps=5)
    alone = perturb(bright, x[1:], steps=5)
    torch.testing.assert_close(together.x[1], alone.x[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.losses[:, 1], alone.losses[:, 0], atol=1e-4, rtol=1e-4)


def test_a_dead_network_gives_the_picture_back_and_no_nan():
    network, x = Perturbation(1), spot(10, 10)
    with torch.no_grad():
        network.weight.zero_()
        network.bias.fill_(-1)
    torch.testing.assert_close(network(x), x)


def test_the_classifier_sees_the_picture_as_it_is():
    """The notebook turned the channels round and kept their means."""
    x, shown = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0)), []

    def reads_red(x: Tensor) -> Tensor:
        shown.append(x.detach().clone())
        return torch.stack([x[:, 0].mean(dim=(1, 2)), x[:, 2].mean(dim=(1, 2))], dim=1)

    perturb(reads_red, x, steps=1)
    assert torch.equal(shown[0], x)


def test_the_same_seed_gives_the_same_map():
    first, again = (perturb(bright, spot(10, 10), steps=5) for _ in range(2))
    assert torch.equal(first.x, again.x)


def test_every_class_can_be_taken_away():
    found = perturb(bright, spot(10, 10), target=torch.tensor([0]), steps=3)
    assert float(found.prob_before) < 0.1
    assert found.warnings[0].startswith("The classifier is unsure: the class that is taken away has only 0.0")


def perturbed(difference: Tensor) -> Perturbed:
    one = torch.ones(1)
    return Perturbed(torch.zeros(1, 3, 20, 20), one, one, difference[None], torch.zeros(1, 1), [""])


def test_the_centre_of_mass_is_x_from_the_left_and_y_from_the_top():
    """The notebook marked (row, column) as (x, y)."""
    difference = torch.zeros(20, 20)
    difference[4, 13] = 1.0
    assert perturbed(difference).map(0, dilation=0).centre == (13.0, 4.0)


def test_power_and_dilation_do_what_they_say():
    difference = torch.zeros(20, 20)
    difference[10, 10], difference[5, 5] = 1.0, 0.5
    found = perturbed(difference)
    assert float(found.map(0, power=1, dilation=0).values[5, 5]) == 0.5
    assert float(found.map(0, power=2, dilation=0).values[5, 5]) == 0.25
    assert int((found.map(0, power=6, dilation=0.15).values == 1).sum()) == 9  # 3 x 3 about the strongest
    difference[0, 0] = 9.0
    assert float(perturbed(difference).map(0, power=1, dilation=0).values[0, 0]) == 0  # the rim is left out
    for power, dilation in ((0.0, 0.1), (1.0, 2.0)):
        with pytest.raises(MethodError, match="use a power above 0 and a dilation from 0 to 1"):
            found.map(0, power, dilation)


def test_what_cannot_be_asked_is_said():
    with pytest.raises(MethodError, match="passes no gradient"):
        perturb(lambda x: bright(x).detach(), spot(10, 10), steps=1)
    with pytest.raises(MethodError, match="steps 0"):
        perturb(bright, spot(10, 10), steps=0)
