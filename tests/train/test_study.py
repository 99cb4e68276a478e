"""The study: what is asked, what the page does not give away, and a score worked out by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from train.data.records import DataError
from train.measure.answers import modal, read_answers, score, told
from train.study import Options, Shown, main, page, questions_of

ITEMS = {
    "w1": {"kind": "which", "method": "attfind", "attribute": "spots", "right": "p"},
    "w2": {"kind": "which", "method": "attfind", "attribute": "rim", "right": "q"},
    "c1": {"kind": "catch", "method": "attfind", "attribute": "rim", "right": "p"},
    "c2": {"kind": "catch", "method": "attfind", "attribute": "rim", "right": "p"},
    "v1": {"kind": "words", "method": "attfind", "attribute": "spots"},
    "x": {"kind": "practice", "method": "drawn", "attribute": "turns red", "right": "q"},
}


def shown(method: str = "attfind", target: str = "well", count: int = 4) -> list[Shown]:
    """Edits of one list: each turns pictures of its own into one colour."""
    found = []
    for n in range(count):
        pairs = [(Image.new("RGB", (8, 8), (i, n, 0)), Image.new("RGB", (8, 8), (i, n, 255))) for i in range(6)]
        found.append(Shown(method, target, f"{method} {n}", pairs))
    return found


def file_of(folder: Path, person: str, **answers: str) -> Path:
    rows = ['"participant","seed","item","kind","answer","seconds"']
    rows += [f'"{person}","1","{item}","{ITEMS[item]["kind"]}","{answer}","2.0"' for item, answer in answers.items()]
    path = folder / f"{person}.csv"
    path.write_text("\r\n".join(rows) + "\r\n", encoding="utf-8")
    return path


# What is asked.


def test_every_question_shows_other_pictures_and_one_option_does_the_same():
    items, key = questions_of(shown(), Options("m", "d", questions=12, words=3))
    kinds = [item["kind"] for item in items]
    assert [kinds.count(k) for k in ("practice", "which", "catch", "words")] == [1, 12, 2, 3]
    assert {item["id"] for item in items} == key.keys()
    for item in items:
        if item["kind"] != "which":
            continue
        number = key[item["id"]]["attribute"].split()[1]
        right = next(o["flicker"] for o in item["options"] if o["id"] == key[item["id"]]["right"])
        wrong = next(o["flicker"] for o in item["options"] if o["id"] != key[item["id"]]["right"])
        of = {_data(before): n for n, e in enumerate(shown()) for before, _ in e.pairs}
        assert [str(of[pair[0]]) for pair in (*item["shown"], right)] == [number] * 3
        assert str(of[wrong[0]]) != number
        assert len({pair[0] for pair in (*item["shown"], right)}) == 3


def _data(image: Image.Image) -> str:
    from train.study import _pair

    return _pair((image, image))[0]


def test_rivals_are_of_the_same_method_and_class_and_the_page_says_neither():
    edits = [*shown(count=2), *shown("eigenfind", count=2), *shown("s2n", "sick", count=1)]
    items, key = questions_of(edits, Options("m", "d", questions=8, words=0))
    assert {row["method"] for row in key.values() if row["kind"] == "which"} == {"attfind", "eigenfind"}
    text = page(items)
    for secret in ("attfind", "eigenfind", "well", "sick"):
        assert secret not in text
    which = [item for item in items if item["kind"] == "which"]
    assert all("right" not in item for item in which)


def test_the_page_asks_for_nothing_from_anywhere():
    text = page(questions_of(shown(), Options("m", "d"))[0])
    assert "http" not in text
    assert not re.search(r"<(link|iframe|script [^>]*src)", text)
    assert re.findall(r"url\(", text) == []


def test_one_attribute_alone_cannot_be_asked_about():
    with pytest.raises(DataError, match="no list has two attributes that are seen on 4 pictures; take more pictures"):
        questions_of(shown(count=1), Options("m", "d"))


def test_the_script_makes_a_page_and_a_key_that_belong_together(model_folder, pictures, tmp_path, capsys):
    listed = json.loads((model_folder / "attributes.json").read_text(encoding="utf-8"))
    for row in listed["attributes"]:
        row["name"] = "dots"
    (model_folder / "attributes.json").write_text(json.dumps(listed), encoding="utf-8")
    main(["--model", str(model_folder), "--data", str(pictures), "--split", "all", "--output", str(tmp_path / "study")])
    key = json.loads((tmp_path / "study" / "key.json").read_text(encoding="utf-8"))["items"]
    text = (tmp_path / "study" / "study.html").read_text(encoding="utf-8")
    items = json.loads(re.search(r'<script type="application/json" id="items">(.*?)</script>', text, re.DOTALL)[1])
    assert {item["id"] for item in items} == key.keys()
    called = {row["attribute"] for row in key.values() if row["method"] == "attfind"}
    assert all(re.fullmatch(r"dots \(\S+ · \d+ [↑↓]\), \w+ → \w+", name) for name in called), called
    assert "stays with you" in capsys.readouterr().out


# What was answered.


def test_the_score_is_the_one_of_the_pencil(tmp_path):
    """Ann: both right. Ben: one of two. Cat misses both catch trials and does not count."""
    files = [
        file_of(tmp_path, "ann", x="p", w1="p", w2="q", c1="p", c2="p", v1="brown spots"),
        file_of(tmp_path, "ben", w1="p", w2="p", c1="p", c2="q", v1="more Spots on the leaf"),
        file_of(tmp_path, "cat", w1="q", w2="p", c1="q", c2="q", v1="nothing"),
    ]
    found = score([a for path in files for a in read_answers(path, ITEMS)], ITEMS)
    assert found["people"] == 2
    assert found["left_out"] == ["cat"]
    assert found["accuracy"]["attfind"]["share"] == 0.75
    assert found["accuracy"]["attfind"]["answers"] == 4
    assert found["by_attribute"]["spots"]["share"] == 1.0
    assert found["by_attribute"]["rim"]["share"] == 0.5
    assert found["words"]["spots"]["word"] == "spots"
    assert found["words"]["spots"]["share"] == 1.0
    text = told(found)
    assert "left out for catch trials: cat" in text
    assert "published, perceived age: 0.98" in text


def test_the_modal_word_counts_once_a_person_and_hard_is_an_answer():
    found = modal(["spots, spots", "dark spots", "a darker rim", "hard to describe"])
    assert (found["word"], found["share"], found["hard_to_describe"]) == ("spots", 0.5, 0.25)
    assert modal(["hard to describe"])["word"] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "has not the columns participant, seed, item, kind, answer, seconds; use a file that"),
        ("participant,seed,item,kind,answer,seconds\nann,1,zz,which,p,1\n", "line 2: item 'zz' is not in the key"),
        (
            "participant,seed,item,kind,answer,seconds\nann,1,w1,which,p,1\nann,1,w1,which,q,1\n",
            "line 3: ann answered w1 twice; keep one of the two",
        ),
    ],
)
def test_a_file_that_is_none_of_ours_is_named_with_its_line(tmp_path, text, says):
    path = tmp_path / "answers.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(says)):
        read_answers(path, ITEMS)
