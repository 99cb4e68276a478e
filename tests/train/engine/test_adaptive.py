"""The strength of the augmentation rises while the discriminator knows its pictures by heart."""

from __future__ import annotations

import pytest
import torch

from train.engine.adaptive import EVERY, MOST, AdaptiveStrength
from train.engine.augment import for_discriminator

SURE, GUESSING = torch.full((10,), 3.0), torch.tensor([3.0, -3.0] * 5)
CPU = torch.device("cpu")


def test_by_pencil():
    """Ten pictures a step, 40 for an adjustment, 400 for the whole way: an adjustment is a tenth."""
    augment = AdaptiveStrength("ada", target=0.6, kimg=0.4, device=CPU)
    for step in range(2 * EVERY):
        assert augment.strength.item() == pytest.approx(0.1 * (step // EVERY))
        augment.see(SURE, step)
    assert augment.strength.item() == pytest.approx(0.2)
    assert augment.overfitting.item() == 1.0
    # 5 of 40 are taken for fakes: (35 - 5) / 40 is still above 0.6; 9 of 40 are not
    for step, wrong in enumerate((5, 0, 0, 0, 9, 0, 0, 0)):
        augment.see(torch.cat([-torch.ones(wrong), torch.ones(10 - wrong)]), step)
        if step == EVERY - 1:
            assert augment.overfitting.item() == pytest.approx(0.75)
            assert augment.strength.item() == pytest.approx(0.3)
    assert augment.overfitting.item() == pytest.approx(0.55)
    assert augment.strength.item() == pytest.approx(0.2)


def test_it_stays_between_nothing_and_a_share_that_does_not_leak():
    augment = AdaptiveStrength("ada", target=0.6, kimg=0.1, device=CPU)
    for step in range(EVERY):
        augment.see(GUESSING, step)
    assert augment.strength.item() == 0.0
    for step in range(10 * EVERY):
        augment.see(SURE, step)
    assert augment.strength.item() == pytest.approx(MOST)


def test_a_fixed_strength_stays_and_the_overfitting_is_measured_all_the_same():
    augment = AdaptiveStrength(0.3, target=0.6, kimg=0.1, device=CPU)
    for step in range(EVERY):
        augment.see(SURE, step)
    assert augment.strength == 0.3
    assert augment.overfitting.item() == 1.0
    assert augment.share.item() == pytest.approx(0.3)


def test_the_pictures_of_all_processes_count():
    augment = AdaptiveStrength("ada", target=0.6, kimg=0.4, device=CPU)
    for step in range(EVERY):
        augment.see(
            SURE, step, total=lambda signs: signs + torch.tensor([-40.0, 40.0])
        )  # the other one is always wrong
    assert augment.overfitting.item() == 0.0


def test_it_comes_back_from_its_state_in_the_middle_of_a_window():
    def after(steps: range, augment: AdaptiveStrength) -> AdaptiveStrength:
        for step in steps:
            augment.see(GUESSING if step < 6 else SURE, step)
        return augment

    def new() -> AdaptiveStrength:
        return AdaptiveStrength("ada", target=0.6, kimg=0.4, device=CPU)

    unbroken, resumed = after(range(20), new()), new()
    resumed.load_state({k: v.clone() for k, v in after(range(10), new()).state().items()})
    after(range(10, 20), resumed)
    assert unbroken.share > 0
    for name, value in unbroken.state().items():
        assert torch.equal(value, resumed.state()[name]), name


def test_a_fixed_strength_is_the_option_s_and_not_the_checkpoint_s():
    adaptive, fixed = (AdaptiveStrength(strength, 0.6, 0.4, CPU) for strength in ("ada", 0.3))
    fixed.load_state(adaptive.state())
    assert fixed.strength == 0.3
    assert fixed.share.item() == pytest.approx(0.3)


def test_a_strength_on_the_device_does_the_same_as_a_number():
    x = torch.rand(16, 3, 8, 8) * 2 - 1
    changed = []
    for strength in (0.5, torch.tensor(0.5)):
        torch.manual_seed(0)
        changed.append(for_discriminator(x, strength))
    assert torch.equal(*changed)
    assert torch.equal(for_discriminator(x, torch.tensor(0.0)), x)
