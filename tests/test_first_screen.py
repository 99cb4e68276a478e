"""README's first screen is made by a command, and of the models that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from scripts import first_screen
from scripts.order_samples import best_edit
from stylex import ModelError, StylEx
from stylex.pictures.images import to_pil

ROOT = Path(__file__).resolve().parents[1]
AGAIN = "the bundled models have changed: start python scripts/first_screen.py"


@pytest.mark.skipif(not (ROOT / "checkpoints").is_dir(), reason="the bundled models are not here")
def test_the_tables_of_the_readme_are_those_of_the_models():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    facts = {name: first_screen.facts_of(ROOT / "checkpoints" / name) for name in first_screen.SHOWN}
    for name in ("cost", "measured", "paper"):
        table = getattr(first_screen, f"{name}_table")(facts)
        (found,) = re.findall(rf"<!-- {name}: written by \S+ -->\n(.*?)\n<!-- end of {name} -->", text, re.DOTALL)
        assert found == table, AGAIN


def test_a_number_stands_beside_its_bar_and_one_that_misses_it_says_so():
    assert first_screen.against(0.95, 0.9, "agreement") == "0.95 (≥ 0.90)"
    assert first_screen.against(0.85, 0.9, "agreement") == "0.85 (≥ 0.90, **missed**)"
    assert first_screen.against(0.07, 0.07, "l1") == "0.07 (≤ 0.07)"
    assert first_screen.against(0.071, 0.07, "l1") == "0.071 (≤ 0.07, **missed**)"
    assert first_screen.against(0.5, None, "agreement") == "0.5"
    assert first_screen.against(None, 0.9, "agreement") == "–"


@pytest.mark.skipif(not (ROOT / "checkpoints").is_dir(), reason="the pictures come with the bundled models")
def test_the_pictures_of_the_readme_move_and_are_small():
    for name in first_screen.SHOWN:
        path = ROOT / "docs" / "first" / f"{name}.gif"
        assert path.stat().st_size < 2_000_000
        with Image.open(path) as image:
            assert image.n_frames == 2
            assert 200 < image.width < 300


@pytest.fixture
def models(tiny_model, tmp_path) -> Path:
    """The tiny model under every name, with a sample and what a bundle has."""
    for name in first_screen.SHOWN:
        folder = tiny_model.save_pretrained(tmp_path / "checkpoints" / name)
        (folder / "samples").mkdir()
        found = []
        for seed in range(6):
            path = folder / "samples" / f"a-{seed}.png"
            to_pil(tiny_model.synthesize(tiny_model.sample(torch.tensor([[0.7, 0.3]]), seed=seed))).save(path)
            best = best_edit(tiny_model, path)
            found.append((best.rise, f"a-{seed}", best))
        found.sort(key=lambda row: -row[0])
        assert found[0][2].attribute is not None
        assert found[0][2].after > found[0][2].before
        files = {
            "samples/order.json": {"order": [name for _, name, _ in found]},
            "metrics.json": {"two_afc": 0.75} if name == "hands" else {},
            "training.json": {"pictures": 3200, "minutes": 7.2, "hardware": "2 CPU cores (x86_64)"},
        }
        for path, value in files.items():
            (folder / path).write_text(json.dumps(value), encoding="utf-8")
    return tmp_path / "checkpoints"


def test_one_command_writes_pictures_and_tables(models, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("# Before\n", encoding="utf-8")
    first_screen.main(["--models", str(models), "--docs", str(tmp_path), "--readme", str(page)])
    text = page.read_text(encoding="utf-8")
    assert (
        "| [hands](checkpoints/hands/README.md) | ConvNet, 2 classes | 16 px | 3,200 | 7 | 2 CPU cores (x86_64) |"
        in text
    )
    assert "| not measured | a machine: 0.75 | not measured |" in text
    for name in first_screen.SHOWN:
        with Image.open(tmp_path / "first" / f"{name}.gif") as image:
            assert image.n_frames == 2


def test_what_is_not_there_is_said(models, tmp_path, capsys):
    for words, says in (
        (["--sample", "hands=b-1"], "has no sample b-1; its samples are in"),
        (["--sample", "hands"], "--sample is hands; use NAME=SAMPLE, and of the names leaves-128, hands, cats_dogs"),
        (["--models", str(tmp_path / "none")], "none"),
    ):
        with pytest.raises(SystemExit):
            first_screen.main(
                ["--models", str(models), "--docs", str(tmp_path), "--readme", str(tmp_path / "r"), *words]
            )
        assert says in capsys.readouterr().err


def test_a_sample_that_nothing_moves_is_refused(models, tmp_path):
    model = StylEx.from_pretrained(models / "hands")
    model.attributes = []
    assert best_edit(model, models / "hands" / "samples" / "a-0.png").attribute is None
    path = models / "hands" / "attributes.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**told, "attributes": []}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"no attribute of .* raises the runner-up of a-0\.png; name another --sample"):
        first_screen.draw(models / "hands", tmp_path / "a.gif", "a-0")
