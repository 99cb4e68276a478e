"""The order in which the app offers samples: by what the strongest attribute that a person sees does to each."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small import draw_pictures
from torch import Tensor

from front.models import in_order
from stylex import StylEx
from stylex.attfind.effects import Attribute
from stylex.stylespace import Direction, StyleStats

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "order_samples.py"
ROOM = runpy.run_path(str(SCRIPT))
striking: Callable[..., float] = ROOM["striking"]


def attribute(index: int, target: str = "b") -> Attribute:
    return Attribute(index, "l", index, Direction.UP, "rest", target, 1.0, 0.1, 1.0)


def painter(attributes: list[Attribute]) -> SimpleNamespace:
    """A picture of 4 x 4 px and three coordinates from 0 to 1. The first lights the upper half and adds 0.2 to the
    probability of class b, the second adds 0.3 and nobody sees it, the third lights the lower half and adds 0.1."""

    def synthesize(s: Tensor) -> Tensor:
        upper, lower = (s[:, i, None, None, None].expand(-1, 3, 2, 4) for i in (0, 2))
        hidden = 0.01 * s[:, 1, None, None, None]  # one level of 255
        return torch.cat([upper, lower], dim=2) * 0.5 + hidden

    def classify(x: Tensor) -> Tensor:
        upper, lower = x[:, 0, 0, 0], x[:, 0, 3, 0]
        hidden = torch.stack([upper, lower]).fmod(0.5).amin(dim=0)  # 0.01 where it is
        b = 0.3 + 0.4 * (upper - hidden) + 0.2 * (lower - hidden) + 30 * hidden
        return torch.stack([1 - b, b], dim=1)

    return SimpleNamespace(
        class_names=["a", "b"],
        attributes=attributes,
        stats=StyleStats.of(torch.stack([torch.zeros(3), torch.ones(3)])),
        load_images=lambda paths: torch.zeros(len(paths), 3),
        encode=lambda x: x,
        styles=lambda latent: latent,
        synthesize=synthesize,
        classify=classify,
    )


def test_a_sample_is_as_striking_as_its_best_attribute_that_is_seen():
    hidden, seen, weaker = attribute(1), attribute(0), attribute(2)
    assert striking(painter([hidden, weaker, seen]), Path("x")) == pytest.approx(0.2, abs=1e-6)
    assert striking(painter([hidden, weaker]), Path("x")) == pytest.approx(0.1, abs=1e-6)
    assert striking(painter([hidden]), Path("x")) == 0.0


def test_only_the_first_attributes_towards_the_runner_up_are_tried():
    others = [attribute(0, target="a")] * 3 + [attribute(2)] * ROOM["FIRST"]
    assert striking(painter([*others, attribute(0)]), Path("x")) == pytest.approx(0.1, abs=1e-6)


@pytest.fixture
def started(monkeypatch) -> Callable[[Path], int]:
    def start(folder: Path) -> int:
        monkeypatch.setattr(sys, "argv", ["order_samples.py", str(folder)])
        return runpy.run_path(str(SCRIPT))["main"]()

    return start


@pytest.fixture
def with_samples(model_folder) -> Path:
    drawn = draw_pictures(model_folder / "drawn", count=2)
    (model_folder / "samples").mkdir()
    for path in sorted(drawn.rglob("*.png")):
        path.rename(model_folder / "samples" / path.name)
    return model_folder


def test_the_app_offers_the_samples_in_the_order_that_is_written(started, with_samples, capsys):
    assert started(with_samples) == 0
    model = StylEx.from_pretrained(with_samples)
    paths = sorted((with_samples / "samples").glob("*.png"))
    by_hand = sorted(paths, key=lambda path: -striking(model, path))
    assert in_order(paths) == by_hand
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == [path.stem for path in by_hand]
    assert started(with_samples) == 0  # its own file is written over


def test_what_it_cannot_do_is_one_sentence(started, with_samples, capsys):
    order = with_samples / "samples" / "order.json"
    order.write_text(json.dumps(["mine"]), encoding="utf-8")
    assert started(with_samples) == 1
    assert "error: " in capsys.readouterr().err
    assert json.loads(order.read_text(encoding="utf-8")) == ["mine"]
    (with_samples / "style_stats.safetensors").unlink()
    assert started(with_samples) == 1
    assert capsys.readouterr().err.startswith("error: this model has no style statistics; run train/find_attributes.py")
    assert started(with_samples / "nowhere") == 1
    assert "is neither a folder nor a repository name" in capsys.readouterr().err
