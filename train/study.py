"""A study with people: a page of questions that needs nothing else, its key apart, and the score of what they answer.

    python train/study.py --model checkpoints/leaves --data FOLDER --output study
    python train/study.py score answers-*.csv --key study/key.json

Questions are those of Lang et al. 2021: which of two pictures changes in the same way as two others, and what changes
in one to four words. Other methods than AttFind are asked about on the same page, and nobody can tell which is which.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stylex import metrics
from stylex.attfind.effects import REST
from stylex.methods.records import Edit, MethodError
from stylex.model import StylEx
from stylex.neighbours import coordinate_moves, direction_edits, within
from stylex.pictures.images import to_pil
from stylex.storage.files import ModelError, read_json
from stylex.storage.outputs import claim, put_json, put_text
from stylex.stylespace import Direction, move
from train.data.pictures import list_pictures
from train.data.records import DataError, Split
from train.engine.device import device
from train.measure.answers import read_answers, score, told
from train.options.command import check_numbers, parse
from train.search.described import some_styles

TEMPLATE = Path(__file__).parent / "measure" / "study.html"
Asked = Literal["attfind", "eigenfind", "ganalyze", "s2n", "random"]
PICTURES = 120
SHOWN = 4  # pictures of a question in words
CATCHES = 2


@dataclass
class Options:
    """What to ask.

    Args:
        model: model folder or Hub repository.
        data: pictures, see train/train.py.
        output: folder for study.html, which people get, and key.json, which they do not.
        split: of the pictures.
        methods: whose edits; of several a person is asked in turn, and does not learn which is whose.
        attributes: the first so many of each list are asked about.
        questions: which of two changes in the same way; catch trials and one for practice come on top.
        words: what changes in one to four words.
        seed: of the choice of pictures and questions; each person's order follows from their own code.
        classifier: the classifier again, if it is a TorchScript file or a function: a model does not hold such a one.
    """

    model: str
    data: str
    output: str = "study"
    split: Split = "val"
    methods: list[Asked] = field(default_factory=lambda: ["attfind"])
    attributes: int = 4
    questions: int = 20
    words: int = 6
    seed: int = 0
    classifier: str | None = None

    def __post_init__(self) -> None:
        check_numbers(self, ("questions",), lambda v: v >= 1, "use 1 or more", DataError)
        check_numbers(self, ("words",), lambda v: v >= 0, "use 0 or more", DataError)
        check_numbers(self, ("attributes",), lambda v: v >= 2, "use 2 or more: one is told from another", DataError)


@dataclass(frozen=True)
class Shown:
    """One edit, as it is asked about: whose, of which list, what the key calls it, and pictures without and with it."""

    method: str
    target: str
    name: str
    pairs: list[tuple[Image.Image, Image.Image]]


# What is shown.


@torch.no_grad()
def edits_of(model: StylEx, method: Asked, s: Tensor, labels: Tensor, count: int) -> list[Shown]:
    """The first edits of a method towards each class, on pictures of others on which a person sees them.

    Args:
        s: [N, S]; labels: [N] the class of each.
    """
    found = []
    for target, name in enumerate(model.class_names):
        mine = s[labels != target]
        for title, source, edit in _moves(model, method, target, mine, count):
            here = s[labels == model.class_names.index(source)] if source != REST else mine
            if not len(here):
                continue
            before = torch.cat([model.synthesize(part) for part in here.split(32)])
            after = torch.cat([model.synthesize(part) for part in edit(here).split(32)])
            seen = metrics.visible(before, after).nonzero().flatten().tolist()
            pairs = [(to_pil(before[i]), to_pil(after[i])) for i in seen]
            found.append(Shown(method, name, title, pairs))
    return found


def _moves(
    model: StylEx, method: Asked, target: int, s: Tensor, count: int
) -> list[tuple[str, str, Callable[[Tensor], Tensor]]]:
    """Name, class of the pictures, and what is done to their styles, of the edits of a method towards a class."""
    stats, name = model.stats, model.class_names[target]
    assert stats is not None

    def single(index: int, direction: Direction) -> Callable[[Tensor], Tensor]:
        return lambda styles: move(styles, index, direction, stats)

    def inside(edit: Edit) -> Callable[[Tensor], Tensor]:
        return lambda styles: within(model, styles, edit.apply(styles))

    if method == "attfind":
        listed = [a for a in model.attributes if a.target == name][:count]
        return [(f"{a.heading_and_place}, {a.source} → {name}", a.source, single(a.index, a.direction)) for a in listed]
    if method in ("eigenfind", "ganalyze"):
        edits = direction_edits(model, method, target, s[:32], count)[:count]
        return [(f"{e.name} → {name}", REST, inside(e)) for e in edits]
    moves = coordinate_moves(model, method, target, count)
    where = [(*model.space.locate(index), index, direction) for index, direction in moves]
    return [(f"{method} {layer} · {c} {d.arrow} → {name}", REST, single(i, d)) for layer, c, i, d in where]


# What is asked.


def questions_of(edits: Sequence[Shown], o: Options) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Items for the page, and the key: by the id of each its kind, method, attribute and the right option.

    Raises:
        DataError: if there are no two edits of a list that enough pictures show.
    """
    draw = random.Random(o.seed)
    able = [e for e in edits if len(e.pairs) >= SHOWN]
    rivals = {id(e): [r for r in able if (r.method, r.target) == (e.method, e.target) and r is not e] for e in able}
    asked = [e for e in able if rivals[id(e)]]
    if not asked:
        raise DataError(
            f"no list has two attributes that are seen on {SHOWN} pictures; take more pictures, or more of --attributes"
        )
    items: list[dict[str, Any]] = []
    key: dict[str, Any] = {}

    def add(kind: str, shown: Sequence[Any], about: dict[str, Any], right: Any = None, wrong: Any = None) -> None:
        number = f"{draw.getrandbits(32):08x}"
        item: dict[str, Any] = {"id": number, "kind": kind, "shown": [_pair(p) for p in shown]}
        key[number] = {"kind": kind, **about}
        if right is not None:
            ids = draw.sample(["p", "q"], 2)
            item["options"] = [{"id": ids[0], "flicker": _pair(right)}, {"id": ids[1], "flicker": _pair(wrong)}]
            draw.shuffle(item["options"])
            key[number]["right"] = ids[0]
            if kind == "practice":
                item["right"] = ids[0]
        items.append(item)

    add("practice", *_practice())
    for n in range(o.questions):
        e = asked[n % len(asked)]
        first, second, again = draw.sample(e.pairs, 3)
        about = {"method": e.method, "attribute": e.name}
        add("which", [first, second], about, again, draw.choice(draw.choice(rivals[id(e)]).pairs))
    for n in range(CATCHES):  # one of the two on the left again, or a picture in which nothing happens
        e = asked[n % len(asked)]
        first, second, still = draw.sample(e.pairs, 3)
        add("catch", [first, second], {"method": e.method, "attribute": e.name}, first, (still[0], still[0]))
    for n in range(min(o.words, len(able))):
        e = able[n]
        add("words", draw.sample(e.pairs, SHOWN), {"method": e.method, "attribute": e.name})
    return items, key


def _practice() -> tuple[list[Any], dict[str, Any], Any, Any]:
    """Discs that turn red, and one that grows."""

    def disc(radius: int, colour: str) -> Image.Image:
        image = Image.new("RGB", (64, 64), "#dddddd")
        ImageDraw.Draw(image).ellipse((32 - radius, 32 - radius, 31 + radius, 31 + radius), fill=colour)
        return image

    red = [(disc(r, c), disc(r, "#c03030")) for r, c in ((14, "#305090"), (22, "#407040"), (18, "#505050"))]
    return red[:2], {"method": "drawn", "attribute": "turns red"}, red[2], (disc(14, "#305090"), disc(24, "#305090"))


def _pair(pair: tuple[Image.Image, Image.Image]) -> list[str]:
    found = []
    for image in pair:
        with io.BytesIO() as file:
            image.save(file, format="png")
            found.append("data:image/png;base64," + base64.b64encode(file.getvalue()).decode())
    return found


def page(items: Sequence[dict[str, Any]]) -> str:
    """The page, with all of its pictures inside."""
    text = json.dumps(items, ensure_ascii=False).replace("</", "<\\/")
    return TEMPLATE.read_text(encoding="utf-8").replace("{{items}}", text)


# What one starts.


def main(args: list[str] | None = None) -> None:
    given = sys.argv[1:] if args is None else args
    if given[:1] == ["score"]:
        return main_score(given[1:])
    o = parse(Options, "Make a study with people: a page of questions, and its key.", args)
    folder = Path(o.output)
    claim(folder, ["study.html", "key.json"])
    model = StylEx.from_pretrained(o.model, classifier=o.classifier, device=device())
    if model.stats is None or (o.methods == ["attfind"] and not model.attributes):
        raise ModelError(f"{o.model} has no attributes yet; run train/find_attributes.py on it first")
    s = some_styles(model, list_pictures(o.data, o.split, model.class_names), PICTURES, o.seed)
    labels = torch.cat([model.logits_of(part) for part in s.split(32)]).argmax(dim=1)
    edits = [e for method in o.methods for e in edits_of(model, method, s, labels, o.attributes)]
    draw = random.Random(o.seed)
    draw.shuffle(edits)
    items, key = questions_of(edits, o)
    put_text(folder / "study.html", page(items))
    put_json(folder / "key.json", {"items": key})
    print(f"{folder / 'study.html'}: {len(items)} questions; {folder / 'key.json'} is the key, and stays with you")


def main_score(args: list[str]) -> None:
    parser = argparse.ArgumentParser("study.py score", description="Score what people answered.")
    parser.add_argument("answers", nargs="+", type=Path, help="CSV files that people saved")
    parser.add_argument("--key", type=Path, default=Path("study/key.json"), help="default %(default)s")
    parser.add_argument("--json", type=Path, help="write the score here, too")
    o = parser.parse_args(args)
    if o.json is not None:
        claim(o.json.parent, [o.json.name], option="--json")
    key = read_json(o.key).get("items")
    if not isinstance(key, dict):
        raise DataError(f"{o.key} is no key of a study; it lies beside the page that train/study.py made")
    found = score([a for path in o.answers for a in read_answers(path, key)], key)
    if o.json is not None:
        put_json(o.json, found, option="--json")
    print(told(found))


if __name__ == "__main__":
    try:
        main()
    except (DataError, MethodError, ModelError) as error:
        sys.exit(f"error: {error}")
