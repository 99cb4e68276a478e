"""What a classifier needs of its pictures, asked of one that is known to need colour alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small import NAMES
from torch import Tensor

from benchmarks import shortcuts
from stylex.methods import maps
from train.data.pictures import Pictures
from train.measure.removals import DARK


def squares(count: int, seed: int) -> Pictures:
    """Squares at any place, red or blue, which is the class."""
    draw = torch.Generator().manual_seed(seed)
    x, labels = torch.zeros(count, 3, 16, 16, dtype=torch.uint8), torch.arange(count) % 2
    for n, label in enumerate(labels.tolist()):
        row, column = torch.randint(0, 8, (2,), generator=draw).tolist()
        x[n, 2 * label, row : row + 8, column : column + 8] = 200
    return Pictures(x, labels, [str(n) for n in range(count)], list(NAMES))


def by_colour(x: Tensor) -> Tensor:
    """Logits of red and of blue."""
    colour = x.mean(dim=(2, 3))
    return 40 * torch.stack([colour[:, 0] - colour[:, 2], colour[:, 2] - colour[:, 0]], dim=1)


def test_who_goes_by_colour_is_lost_without_it_and_by_nothing_else():
    pictures = squares(40, 0)
    x = pictures.x.float() / 127.5 - 1
    found = shortcuts.taken({"the classifier": by_colour}, x, pictures.labels)
    right = {left: row["the classifier"]["right"]["share"] for left, row in found.items()}
    assert right["as they are"] == 1
    assert right["without fine structure"] == 1
    assert right["without colour"] == 0.5
    assert right["the outline alone, in one colour"] == 0.5
    assert found["without colour"]["the classifier"]["same"]["share"] == 0.5
    low, high = found["without colour"]["the classifier"]["right"]["interval"]
    assert low < 0.5 < high


def test_a_linear_layer_reads_the_class_off_the_colour_and_not_off_the_outline():
    train, val = squares(80, 1), squares(40, 2)
    told = [(p.x.float() / 127.5 - 1, p.labels, by_colour(p.x.float()).argmax(dim=1)) for p in (train, val)]
    found = shortcuts.enough(*told[0], *told[1])
    assert found["commonest"] == 0.5
    assert found["cues"]["mean and contrast of each channel"]["label"]["share"] == 1
    assert found["cues"]["mean and contrast of each channel"]["answer"]["share"] == 1
    assert found["cues"]["the outline"]["label"]["share"] < 0.8


def test_a_tone_that_decides_is_seen_to_decide():
    pictures = squares(20, 0)
    x = pictures.x.float() / 127.5 - 1
    found = shortcuts.repainted(by_colour, x, pictures.labels, list(NAMES))
    for row in found.values():
        assert row["n"] == 10
        assert row["its tone"]["share"] == 1


def test_the_places_of_a_map_are_shares_of_the_picture():
    x = torch.ones(2, 3, 16, 16)
    x[:, :, :, :4] = DARK - 0.1
    whole = shortcuts.places_of(torch.ones(2, 16, 16), x)
    assert sum(whole.values()) == pytest.approx(1, abs=1e-3)
    assert whole["ground"] == 0.25
    spot = torch.zeros(2, 16, 16)
    spot[:, 8, 8] = 1
    assert shortcuts.places_of(spot, x) == {"middle": 1, "rest of the object": 0, "ground": 0}


def test_tables_and_maps_go_into_a_page(model_folder, pictures, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("# Before\n", encoding="utf-8")
    args = ["--model", str(model_folder), "--data", str(pictures), "--mapped", "2"]
    found = shortcuts.main([*args, "--json", str(tmp_path / "numbers.json"), "--docs", str(page)])
    assert json.loads((tmp_path / "numbers.json").read_text(encoding="utf-8")) == found
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Before\n")
    assert all(f"<!-- shortcuts {name}: written by" in text for name in shortcuts.TABLES)
    assert "| without colour |" in capsys.readouterr().out
    assert (tmp_path / "page" / "maps.png").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--mapped", "0"], "--mapped is 0; use 1 or more"),
        (["--model", "nowhere"], "nowhere is neither a folder nor a repository name"),
    ],
)
def test_what_cannot_be_measured_is_said(words, says, model_folder, pictures, capsys):
    with pytest.raises(SystemExit):
        shortcuts.main(["--model", str(model_folder), "--data", str(pictures), *words])
    assert says in capsys.readouterr().err


def test_a_missing_captum_is_said_before_the_work_begins(monkeypatch, capsys):
    monkeypatch.setattr(shortcuts, "find_spec", lambda _: None)
    with pytest.raises(SystemExit):
        shortcuts.main(["--model", "nowhere", "--data", "nowhere"])
    assert maps.NO_CAPTUM in capsys.readouterr().err


def test_pictures_without_labels_are_refused(model_folder, pictures, tmp_path, capsys):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted(Path(pictures).rglob("*.png")):
        (flat / path.name).write_bytes(path.read_bytes())
    with pytest.raises(SystemExit):
        shortcuts.main(["--model", str(model_folder), "--data", str(flat)])
    assert "has no labels, so nobody knows who is right" in capsys.readouterr().err
