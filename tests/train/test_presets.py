"""What a preset is made of, and what it takes, counted."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from stylex.networks.config import PRESETS, ModelConfig
from stylex.networks.discriminator import Discriminator
from stylex.networks.encoder import Encoder
from stylex.networks.generator import Generator, Mapping
from train import presets
from train.options.training import BATCH_SIZE, Options, r1_weight
from train.presets import HEAD, Memory, Size, counted, row


@pytest.fixture
def config() -> ModelConfig:
    return ModelConfig(16, 3, (8, 8, 8), (8, 8, 8), w_dim=8, z_dim=8, mapping_layers=2)


def test_the_size_is_that_of_the_networks(config):
    size = Size.of(config)
    built = {"generator": Generator, "mapping": Mapping, "encoder": Encoder, "discriminator": Discriminator}
    assert size.parameters == {n: sum(p.numel() for p in make(config).parameters()) for n, make in built.items()}
    space = Generator(config).space
    assert (size.searched, size.coordinates) == (space.num_conv, space.size)


def test_256_px_has_the_coordinates_of_the_published_model():
    size = Size.of(ModelConfig.preset(256, 2, places=0))
    assert (size.searched, size.coordinates) == (5760, 8704)


def test_what_autograd_keeps_is_counted_once_and_weights_are_not():
    weight, x = nn.Parameter(torch.ones(10)), torch.ones(10, requires_grad=True)
    with counted() as total:
        y = x * weight  # keeps x, and the weight
        z = y * y  # keeps y, twice
    assert total[0] == 2 * 10 * 4
    del z


def test_the_memory_is_weights_and_what_waits_for_the_backward_passes(config):
    four, eight = (Memory.of(config, batch_size) for batch_size in (4, 8))
    n = Size.of(config).parameters
    trained, averaged = sum(n.values()), sum(n.values()) - n["discriminator"]
    assert four.held == eight.held == 4 * (4 * trained + averaged)  # weight, gradient, two moments; average
    # What is kept for the weights' own scaling does not grow with the pictures.
    assert 1.4 < eight.kept / four.kept < 2.0
    assert Memory.of(config, 8, r1=False).kept < eight.kept
    assert Memory.of(config, 8, bf16=True).kept < eight.kept
    judge = nn.Conv2d(3, 64, 1)
    assert Memory.of(config, 8, r1=False, judges=(judge, judge)).kept >= Memory.of(config, 8, r1=False).kept


@pytest.mark.parametrize("places", [0, 2])
def test_places_and_the_projected_discriminator_are_counted_too(config, places):
    changed = replace(config, places=places, discriminator="projected")
    n = Size.of(changed).parameters
    assert n["generator"] - Size.of(config).parameters["generator"] == places * 5 * 8  # one gate for each convolution
    assert Memory.of(changed, 8).kept > 1.4 * Memory.of(changed, 4).kept
    assert Memory.of(changed, 4, r1=True) == Memory.of(changed, 4, r1=False)  # it needs none


def test_nothing_is_computed_and_nothing_stays_behind(config):
    before = torch.get_rng_state()
    Memory.of(config, 4096)
    assert torch.equal(torch.get_rng_state(), before)
    assert isinstance(torch.ones(1).tolist(), list)  # tensors have content again


def test_every_preset_has_its_numbers():
    assert set(BATCH_SIZE) == set(PRESETS)
    assert all(batch_size % 4 == 0 for batch_size in BATCH_SIZE.values())
    assert [r1_weight(resolution) for resolution in (32, 64, 128, 256)] == [1.0, 1.0, 4.0, 16.0]
    o = Options("d", "o", "c", resolution=128, discriminator="stylegan2")
    assert (o.batch_size, o.r1_weight, o.discriminator_lr_mul) == (BATCH_SIZE[128], 4.0, 1.0)
    o = Options("d", "o", "c", resolution=128)
    assert (o.r1_weight, o.discriminator_lr_mul) == (0.0, 0.25)
    o = Options("d", "o", "c", resolution=128, discriminator="stylegan2", batch_size=4, r1_weight=0.0)
    assert (o.batch_size, o.r1_weight) == (4, 0.0)


def test_a_row_says_what_was_measured_and_where():
    run = {"device": "x86_64", "threads": 1, "precision": "bfloat16", "peak_memory_mb": 1500.0, "images_per_second": 20}
    assert row(64, run, "0.8 GB").endswith("| 0.8 GB | 1.5 GB | 50 (x86_64, 1 thread, bfloat16) |")
    del run["images_per_second"]  # as benchmarks/memory.py has it
    assert row(64, run, "0.8 GB").endswith("| 0.8 GB | 1.5 GB (bfloat16) | not measured |")
    assert row(64).endswith("| not measured | not measured |")
    assert row(64).startswith("| 64 | 192 192 160 96 48 | 192 192 128 64 32 | 128 | 4.7 M | 1,328 of 2,528 | 16 | 1 |")


def test_a_table_of_another_batch_size_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "training.json"
    file.write_text(json.dumps({"runs": {"32": {"batch_size": 3}}}))
    with pytest.raises(SystemExit, match="has 32 px with another batch size than the preset's 16"):
        presets.main(["--measured", str(file)])


def test_the_table_of_the_document_is_the_one_of_the_code():
    """But for the columns that are measured, or take long to count."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    assert HEAD in text
    for resolution in PRESETS:
        (line,) = re.findall(rf"^\| {resolution} \|.*$", text, re.MULTILINE)
        assert line.split(" | ")[:8] == row(resolution).split(" | ")[:8]
