"""A report measures the averaged model on held-out pictures."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from stylex.classifiers.classifier import wrap
from train.engine.report import Reports, judge_run, sheet


def test_a_report_measures_the_averaged_model(make_trainer, parts):
    judge = wrap(
        lambda x: torch.stack([x.mean(dim=(1, 2, 3)), -x.mean(dim=(1, 2, 3))], dim=1), ["plain", "spotted"], 32
    )
    trainer = make_trainer(judge=judge)
    x = parts[1].x.float() / 127.5 - 1
    numbers = judge_run(trainer.model(), x, None)
    assert set(numbers) == {"l1", "agreement", "second_agreement", "w_spread", "swap_flips", "swap_change"}
    model = trainer.model()
    x_rec = model.synthesize(model.styles(model.encode(x)))
    assert numbers["l1"] == pytest.approx((x - x_rec).abs().mean().item(), rel=1e-4)
    assert numbers["agreement"] == pytest.approx(
        (model.logits(x).argmax(1) == model.logits(x_rec).argmax(1)).float().mean().item()
    )
    assert numbers["w_spread"] == pytest.approx(model.encode(x)[:, :-2].std(dim=0, unbiased=False).mean().item())
    assert all(0 <= value <= 1 for name, value in numbers.items() if name not in ("l1", "w_spread"))


def test_a_sheet_is_a_picture(make_trainer, x):
    picture = sheet(make_trainer().model(), x)
    assert isinstance(picture, Image.Image)
    assert picture.width > 4 * 32
    assert picture.height > 4 * 32


def test_the_time_left_is_the_shorter_of_the_two(make_trainer, x, run):
    reports = Reports(make_trainer(total_kimg=1.2), x, run)
    assert reports.minutes_left(10.0, reports.start + 60) == pytest.approx(2.0)  # 1,200 pictures at 10 a second
    reports = Reports(make_trainer(total_kimg=1.2, max_minutes=1.5), x, run)
    assert reports.minutes_left(10.0, reports.start + 60) == pytest.approx(0.5)
    assert reports.minutes_left(10.0, reports.start + 600) == 0.0


def test_every_report_says_what_the_discriminator_and_the_encoder_do(make_trainer, x, run):
    trainer = make_trainer()
    for _ in range(2):
        trainer.step(x)
    trainer.numbers()
    numbers = Reports(trainer, x, run).make()
    assert {"train/d_overfitting", "train/augment", "train/g_grad", "train/d_grad", "val/w_spread"} <= set(numbers)
    assert {"images_per_second", "minutes_left"} <= set(numbers)
