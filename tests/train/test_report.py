"""A report measures the averaged model on held-out pictures."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from stylex.classifier import wrap
from train.report import judge_run, sheet


def test_a_report_measures_the_averaged_model(make_trainer, parts):
    judge = wrap(
        lambda x: torch.stack([x.mean(dim=(1, 2, 3)), -x.mean(dim=(1, 2, 3))], dim=1), ["plain", "spotted"], 32
    )
    trainer = make_trainer(judge=judge)
    x = parts[1].x.float() / 127.5 - 1
    numbers = judge_run(trainer, x, None)
    assert set(numbers) == {"l1", "agreement", "second_agreement", "swap_flips", "swap_change"}
    model = trainer.model()
    x_rec = model.synthesize(model.styles(model.encode(x)))
    assert numbers["l1"] == pytest.approx((x - x_rec).abs().mean().item(), rel=1e-4)
    assert numbers["agreement"] == pytest.approx(
        (model.logits(x).argmax(1) == model.logits(x_rec).argmax(1)).float().mean().item()
    )
    assert all(0 <= value <= 1 for name, value in numbers.items() if name != "l1")


def test_a_sheet_is_a_picture(make_trainer, x, run):
    sheet(make_trainer(), x, run / "sheets" / "000.png")
    with Image.open(run / "sheets" / "000.png") as image:
        assert image.width > 4 * 32
        assert image.height > 4 * 32
