"""Two classifiers on one generator: who says what, and which move is for whom."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
import torch

from stylex import ClassifierError
from stylex.__main__ import main
from stylex.classifiers.classifier import wrap
from stylex.versus import FILES, versus

X = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
PLAIN = {"resolution": 16, "mean": (0.5,) * 3, "std": (0.5,) * 3}


def test_a_classifier_is_not_told_from_itself_whatever_the_order_of_its_classes(tiny_model):
    network = tiny_model.classifier.network
    turned = wrap(lambda x: network(x).flip(1), tiny_model.class_names[::-1], **PLAIN)
    found = versus(tiny_model, turned, X)
    assert found.disagree == []
    told = found.to_dict()
    assert told["agree"] == told["agree_on_reconstructions"] == 1
    torch.testing.assert_close(found.probs[0], found.probs[1], atol=1e-4, rtol=1e-3)
    for row in found.moved:
        assert row.gap == pytest.approx(0, abs=1e-3)
    assert any(row.asked_by == "both" for row in found.moved)


def test_what_moves_the_one_and_not_the_other_comes_first(tiny_model, tmp_path):
    network = tiny_model.classifier.network
    deaf = wrap(lambda x: 0 * network(x) + torch.tensor([0.0, 1.0]), tiny_model.class_names, **PLAIN)
    found = versus(tiny_model, deaf, X, tried=8, names=("ours", "deaf"))
    first, *_, last = found.moved
    assert abs(first.gap) == max(abs(row.gap) for row in found.moved) > abs(last.gap)
    for row in found.moved:
        target = tiny_model.class_names.index(row.target)
        assert row.delta_prob[1] == (None if target == 1 else pytest.approx(0, abs=1e-6))
    assert sorted(found.disagree) == [n for n in range(6) if found.probs[0, n, 0] > 0.5] != []
    number, _, _, ((before, after), (theirs, still)) = found.examples[0]
    assert theirs == pytest.approx(still)
    assert before == pytest.approx(float(found.probs_rec[0, number, tiny_model.class_names.index(first.target)]))
    assert after != pytest.approx(before)
    found.save(tmp_path)
    told = json.loads((tmp_path / "classifiers.json").read_text(encoding="utf-8"))
    assert told["moves"][0]["index"] == first.index
    assert {name for name in FILES if (tmp_path / name).is_file()} == set(FILES)


def test_classifiers_of_other_classes_are_refused(tiny_model):
    other = wrap(lambda x: x.mean(dim=(2, 3))[:, :2], ["cat", "dog"], **PLAIN)
    with pytest.raises(ClassifierError, match="the classes are cat, dog, those of the model plain, spotted"):
        versus(tiny_model, other, X)


def test_from_the_command_line(model_folder, pictures, tmp_path, capsys, monkeypatch):
    given = ["compare", "--model", str(model_folder), "--output", str(tmp_path / "out")]
    assert main(given) == 1
    assert "give a picture to ask every method about, or another classifier" in capsys.readouterr().err
    other = [
        "--classifier",
        "mine_to_compare:redder",
        "--class-names",
        "spotted,plain",
        "--classifier-resolution",
        "16",
    ]
    assert main([*given, *other]) == 1
    assert f"{model_folder / 'samples'} is no folder of pictures; name one with --pictures" in capsys.readouterr().err
    reddest = SimpleNamespace(redder=lambda: lambda x: torch.stack([x[:, 0].mean((1, 2)), x[:, 1].mean((1, 2))], 1))
    monkeypatch.setitem(sys.modules, "mine_to_compare", reddest)
    assert main([*given, *other, "--pictures", str(pictures), "--count", "5"]) == 0
    said = capsys.readouterr().out
    assert "model and mine_to_compare:redder agree on" in said
    told = json.loads((tmp_path / "out" / "classifiers.json").read_text(encoding="utf-8"))
    assert told["n"] == 5
    assert {row["file"].split("/")[0] for row in told["disagree"]} <= {"plain", "spotted"}
