"""Probes and projections by hand, and the notebook's stale index and re-used probe."""

from __future__ import annotations

import pytest
import torch

from stylex.methods.attribution import (
    by_attributes,
    by_probes,
    fit_probes,
    overall,
    read_labels,
    strongest,
    worth_drawing,
)
from stylex.methods.records import MethodError
from stylex.stylespace import Direction, StyleStats


@pytest.fixture
def w() -> torch.Tensor:
    return torch.randn(200, 3, generator=torch.Generator().manual_seed(0))


def test_each_label_has_a_probe_of_its_own(w):
    """One cell of the notebook used the last probe for every label."""
    first, second = fit_probes(w, {"right": w[:, 0] > 0, "low": w[:, 1] < 0})
    assert int(first.weight.abs().argmax()) == 0
    assert int(second.weight.abs().argmax()) == 1
    assert first.weight[0] > 0 > second.weight[1]
    assert min(first.accuracy, second.accuracy) > 0.97
    assert first.share == pytest.approx(0.5, abs=0.1)


def test_every_picture_is_compared_with_itself(w):
    """Another compared every counterfactual with one fixed picture."""
    (probe,) = fit_probes(w, {"right": w[:, 0] > 0})
    step = torch.tensor([1.0, 0.0, 0.0])
    phi = by_probes([probe], w, w + step)["right"]
    torch.testing.assert_close(phi, phi[:1].expand(200), rtol=1e-3, atol=1e-3)
    assert float(by_probes([probe], w, w)["right"].abs().max()) == 0


def test_without_labels_a_change_is_read_along_the_model_s_own_attributes():
    stats = StyleStats(torch.zeros(3), torch.tensor([2.0, 4.0, 1.0]), torch.ones(3), torch.ones(3), 5)
    phi = by_attributes(
        torch.tensor([[1.0, 1.0, 9.0]]), [("spots", 0, Direction.UP), ("sheen", 1, Direction.DOWN)], stats
    )
    assert phi["spots"].tolist() == [0.5]
    assert phi["sheen"].tolist() == [-0.25]


def test_the_mean_over_pictures_turns_those_that_went_the_other_way():
    each = {"weak": torch.tensor([0.1, 0.1]), "strong": torch.tensor([-2.0, 2.0])}
    assert overall(each, torch.tensor([1.0, -1.0])) == {"strong": -2.0, "weak": 0.0}
    assert list(strongest(each, 0, count=1)) == ["strong"]
    assert worth_drawing({"strong": -2.0, "weak": 0.001}) == {"strong": -2.0}
    assert worth_drawing({"weak": 0.001}) == {"weak": 0.001}


def test_a_label_that_all_or_none_have_is_refused(w):
    with pytest.raises(MethodError, match="the label 'all' is on every picture; a probe needs both"):
        fit_probes(w, {"all": torch.ones(200, dtype=torch.bool)})
    with pytest.raises(MethodError, match="there are no labels"):
        fit_probes(w, {})


def test_a_table_is_read_in_the_order_of_the_pictures(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,young,smiling\nb/2.png,0,1\n1.png,1,-1\n", encoding="utf-8")
    labels = read_labels(table, ["a/1.png", "b/2.png"])
    assert {name: column.tolist() for name, column in labels.items()} == {
        "young": [True, False],
        "smiling": [False, True],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,young\nb.png,1\n", r"labels.csv has a/1.png not; it needs one row for each picture"),
        ("file,young\na/1.png,old\n", "young of a/1.png is 'old'; use 1 for yes and 0 or -1 for no"),
        ("file\na/1.png\n", "labels.csv has no labels"),
        ("", "labels.csv has no labels"),
        ("file,young\nx/1.png,1\ny/1.png,0\n", "has a/1.png twice"),
    ],
)
def test_a_table_with_a_mistake_is_refused(tmp_path, text, said):
    table = tmp_path / "labels.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(MethodError, match=said):
        read_labels(table, ["a/1.png"])


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(MethodError, match="cannot be read as a table"):
        read_labels(tmp_path / "no.csv", ["a"])
