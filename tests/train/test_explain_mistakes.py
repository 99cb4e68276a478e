"""Why was this wrong: which pictures are asked about, and what the page says of them."""

from __future__ import annotations

import json

import pytest

from stylex.methods.records import MethodError
from stylex.storage.outputs import OutputError
from train import explain_mistakes


@pytest.fixture
def run(model_folder, pictures, tmp_path):
    def of(*more: str):
        given = ["--model", str(model_folder), "--data", str(pictures), "--output", str(tmp_path / "page")]
        return explain_mistakes.main([*given, "--split", "all", "--prob", "0.7", "--count", "3", *more])

    return of


def test_each_mistake_is_taken_to_its_label(run, tmp_path):
    numbers = run()
    assert numbers["n"] == 3
    for row in numbers["pictures"]:
        assert row["called"] != row["target"]
        assert row["target"] in row["name"]
        assert len(row["changes"]) <= 5
    page = (tmp_path / "page" / "page.html").read_text(encoding="utf-8")
    assert page.count("<section>") == 3 + len(numbers["in_common"])
    assert "Why were these wrong?" in page
    assert "http" not in page
    assert json.loads((tmp_path / "page" / "mistakes.json").read_text(encoding="utf-8")) == numbers


def test_a_table_of_labels_describes_the_changes_by_its_columns(run, pictures, tmp_path):
    rows = [
        f"{p.parent.name}/{p.name},{int('spotted' in p.name)},{i % 2}" for i, p in enumerate(pictures.rglob("*.png"))
    ]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["file,dark spot,odd", *rows]), encoding="utf-8")
    numbers = run("--only", "all", "--space", "w", "--labels", str(table))
    for row in numbers["pictures"]:
        assert set(row["changes"]) == {"dark spot", "odd"}
    with pytest.raises(MethodError, match="add --space w"):
        run("--labels", str(table))


def test_pictures_without_labels_are_not_wrong(run, pictures, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, path in enumerate(sorted(pictures.rglob("*.png"))[:6]):
        (flat / f"{i}.png").write_bytes(path.read_bytes())
    with pytest.raises(MethodError, match="has no labels, so nothing is known to be wrong"):
        run("--data", str(flat))
    assert run("--data", str(flat), "--only", "all")["n"] == 3


def test_a_page_of_a_person_s_is_not_written_over(run, tmp_path, monkeypatch):
    monkeypatch.setattr(explain_mistakes.StylEx, "from_pretrained", None)  # said before a model is read
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "page.html").write_text("mine")
    with pytest.raises(OutputError, match=r"page\.html was not written by stylex"):
        run()
