"""What does a classifier need of its pictures, and what would have been enough? Colour, outline, fine structure.

    python benchmarks/shortcuts.py --model runs/retina/model --data PICTURES --json shortcuts.json --docs docs/retina.md

Three questions about held-out pictures. Is the classifier still right when one thing is taken from them, and is the
model's stranger? Does a linear layer tell the classes from that one thing alone (it learns from the training part), and
what the classifier will say of them? Where do Grad-CAM and the model's own attributes look, and how much of a picture
is that? `--docs` writes the tables between their marks, and the maps, as means over many pictures, beside the page: no
photograph is in them. The maps are captum's (`pip install captum`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from benchmarks import page
from benchmarks.output import ready
from benchmarks.page import line
from stylex import ModelError, StylEx, metrics, move
from stylex.attfind.effects import Attribute
from stylex.methods import maps
from stylex.methods.records import MethodError
from stylex.pictures.render import grid, heat_map
from stylex.probe import fit_linear
from stylex.storage.outputs import OutputError, put_json
from stylex.terminal import print_anything
from train.data.pictures import Pictures, load_pictures, to_float
from train.data.records import DataError
from train.measure.judges import judges_of
from train.measure.removals import CUES, REMOVALS, disc, in_tone, level, object_of

MAPPED = 24  # held-out pictures of each class whose maps are drawn
PLACES = ("middle", "rest of the object", "ground")
JUDGES = {"second": "the second judge", "stranger": "the stranger"}
LINE = (200, 200, 200)  # of the circle around the middle, on a drawn map

LogitsOf = Callable[[Tensor], Tensor]


def answers(logits_of: LogitsOf, x: Tensor, batch_size: int = 64) -> Tensor:
    """The classes that a judge names, [N]."""
    with torch.no_grad():
        return torch.cat([logits_of(part).argmax(dim=1) for part in x.split(batch_size)])


def share(hits: Tensor) -> dict[str, Any]:
    """A share and where it lies with a confidence of 95 %."""
    value = float(hits.float().mean())
    return {"share": round(value, 4), "interval": [round(end, 4) for end in metrics.wilson(value, len(hits))]}


def taken(judges: Mapping[str, LogitsOf], x: Tensor, labels: Tensor) -> dict[str, dict[str, Any]]:
    """What is left -> judge -> how often it is right, and says what it said of the whole picture."""
    whole = {name: answers(judge, x) for name, judge in judges.items()}
    found: dict[str, dict[str, Any]] = {}
    for left, remove in REMOVALS.items():
        said = {name: answers(judge, remove(x)) for name, judge in judges.items()}
        found[left] = {
            name: {"right": share(said[name] == labels), "same": share(said[name] == whole[name])} for name in judges
        }
    return found


def repainted(logits_of: LogitsOf, x: Tensor, labels: Tensor, class_names: list[str]) -> dict[str, dict[str, Any]]:
    """Class -> the pictures that are not called it: how often they are, once they have its usual tone, and how often
    once they have the tone that is usual among all."""
    said, (mean, spread) = answers(logits_of, x), level(x)
    found = {}
    for k, name in enumerate(class_names):
        others = x[said != k]
        if not len(others):
            continue
        theirs = in_tone(others, mean[labels == k].mean(dim=0), spread[labels == k].mean(dim=0))
        usual = in_tone(others, mean.mean(dim=0), spread.mean(dim=0))
        found[name] = {
            "n": len(others),
            "its tone": share(answers(logits_of, theirs) == k),
            "the usual tone": share(answers(logits_of, usual) == k),
        }
    return found


def enough(train: Tensor, labels: Tensor, said: Tensor, x: Tensor, x_labels: Tensor, x_said: Tensor) -> dict[str, Any]:
    """What a linear layer reads of each cue alone: the label, and what the classifier says.

    Args:
        train, labels, said: the pictures that it learns from, their labels, and what the classifier says of them.
        x, x_labels, x_said: the same of those on which it is asked.
    """
    classes = int(labels.max()) + 1
    found = {}
    for name, numbers in CUES.items():
        seen, asked = numbers(train), numbers(x)
        row = {}
        for what, known, truth in (("label", labels, x_labels), ("answer", said, x_said)):
            named = F.linear(asked, *fit_linear(seen, known, classes)).argmax(dim=1)
            row[what] = share(named == truth)
        found[name] = row
    commonest = x_labels.bincount().max() / len(x_labels)
    return {"cues": found, "commonest": round(float(commonest), 4)}


def places_of(weight: Tensor, x: Tensor) -> dict[str, float]:
    """Which share of a map [N, H, W] lies in the middle of pictures x, on the rest of the object, and beside it."""
    inside, middle = object_of(x)[:, 0], disc(x)[:, 0]
    parts = (middle & inside, inside & ~middle, ~inside)
    whole = weight.sum(dim=(1, 2)).clamp(min=1e-12)
    return {
        name: round(float(((weight * part).sum(dim=(1, 2)) / whole).mean()), 4)
        for name, part in zip(PLACES, parts, strict=True)
    }


def mapped(model: StylEx, x: Tensor, target: int) -> tuple[str, Tensor]:
    """What speaks for a class in each picture, [N, H, W], each with a sum of one, and by which method: Grad-CAM, or
    occlusion if the classifier has no layer for that."""
    try:
        found = [maps.attribute(model.classifier, one, target, "gradcam") for one in x.split(1)]
    except MethodError:
        found = [maps.attribute(model.classifier, one, target, "occlusion") for one in x.split(1)]
    values = torch.stack([one.values for one in found]).clamp(min=0)
    values = F.interpolate(values[:, None], size=x.shape[-2:], mode="bilinear")[:, 0]
    return found[0].name, values / values.sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)


@torch.no_grad()
def changed(model: StylEx, x: Tensor, a: Attribute) -> tuple[Tensor, float]:
    """What an attribute changes in the reconstruction of each picture, [N, H, W] of a range of 2; and the share of
    pictures that are then called its target."""
    assert model.stats is not None
    s = model.styles(model.encode(x))
    before, after = model.synthesize(s), model.synthesize(move(s, a.index, a.direction, model.stats))
    flips = model.classify(after).argmax(dim=1) == model.class_names.index(a.target)
    return (after - before).abs().amax(dim=1), float(flips.float().mean())


def looked(model: StylEx, x: Tensor, labels: Tensor, count: int) -> tuple[dict[str, Any], Image.Image | None]:
    """Where the classifier and the attributes look, class by class; and their mean maps."""
    said = answers(model.logits, x)
    found: dict[str, Any] = {}
    rows, titles = [], []
    for k, name in enumerate(model.class_names):
        own = x[(said == k) & (labels == k)][:count]
        others = x[said != k][:: max(1, int((said != k).sum()) // count)][:count]
        if not len(own) or not len(others):
            continue
        row: dict[str, Any] = {"n": len(own), "area": places_of(torch.ones_like(own[:, 0]), own)}
        method, values = mapped(model, own, k)
        row["map"] = {"method": method, **places_of(values, own)}
        drawn: list[Image.Image | None] = [sketch(values.mean(dim=0), own), None]
        if first := next((a for a in model.attributes if a.target == name), None):
            values, flips = changed(model, others, first)
            row["attribute"] = {"title": first.title, "flips": round(flips, 4), **places_of(values, others)}
            drawn[1] = sketch(values.mean(dim=0), others)
        found[name] = row
        rows.append(drawn)
        titles.append(name)
    columns = [f"{row['map']['method']}, mean of {count}", f"first attribute, mean of {count}"] if rows else []
    if not any(right for _, right in rows):
        rows, columns = [row[:1] for row in rows], columns[:1]
    return found, grid(rows, columns, titles, scale=3) if rows else None


def sketch(weight: Tensor, x: Tensor) -> Image.Image:
    """A mean map [H, W] on where most objects are, in grey, with a circle around the middle: no picture of any."""
    usual = (object_of(x).float().mean(dim=0)[0] > 0.5).byte().mul(110).numpy()
    drawn = heat_map(Image.fromarray(usual).convert("RGB"), weight.numpy())
    height, width = weight.shape
    ring = (disc(x)[0, 0].nonzero().amin(dim=0).flip(0).tolist(), disc(x)[0, 0].nonzero().amax(dim=0).flip(0).tolist())
    ImageDraw.Draw(drawn).ellipse((*ring[0], *ring[1]), outline=LINE)
    assert drawn.size == (width, height)
    return drawn


# Tables.


def with_interval(told: dict[str, Any]) -> str:
    low, high = told["interval"]
    return f"{told['share']:.3f} ({low:.2f} to {high:.2f})"


def taken_table(found: dict[str, dict[str, Any]]) -> str:
    names = list(next(iter(found.values())))
    head = ["pictures", *(f"{name} is right" for name in names), *(f"{name} says the same" for name in names)]
    lines = [line(head), "| --- |" + " ---: |" * (len(head) - 1)]
    for left, row in found.items():
        cells = [with_interval(row[name]["right"]) for name in names] + [
            f"{row[n]['same']['share']:.3f}" for n in names
        ]
        lines.append(line([left, *cells]))
    return "\n".join(lines)


def enough_table(found: dict[str, Any]) -> str:
    lines = [line(["of this alone", "a linear layer names the label", "and what the classifier says"])]
    lines.append("| --- | ---: | ---: |")
    for name, row in found["cues"].items():
        lines.append(line([name, with_interval(row["label"]), with_interval(row["answer"])]))
    lines.append(line(["nothing: always the commonest", f"{found['commonest']:.3f}", "–"]))
    return "\n".join(lines)


def repainted_table(found: dict[str, Any]) -> str:
    lines = [line(["class", "called it in its usual tone", "and in the tone usual among all"]), "| --- | ---: | ---: |"]
    lines += [line([n, with_interval(r["its tone"]), with_interval(r["the usual tone"])]) for n, r in found.items()]
    return "\n".join(lines)


def looked_table(found: dict[str, Any]) -> str:
    lines = [line(["class", "of what", *PLACES, "flips"]), "| --- | --- |" + " ---: |" * (len(PLACES) + 1)]
    for name, row in found.items():
        told = {"area": "area of the pictures", "map": row["map"]["method"]}
        told |= {"attribute": f"its first attribute: {row['attribute']['title']}"} if "attribute" in row else {}
        for key, what in told.items():
            flips = f"{row[key]['flips']:.3f}" if "flips" in row[key] else ""
            shares = [f"{row[key][place]:.2f}" for place in PLACES]
            lines.append(line([name, what, *shares, flips]))
    return "\n".join(lines)


TABLES = {"taken": taken_table, "enough": enough_table, "repainted": repainted_table, "looked": looked_table}


def measure(model: StylEx, train: Pictures, val: Pictures, count: int) -> tuple[dict[str, Any], Image.Image | None]:
    """Every number, and the mean maps."""
    assert train.labels is not None
    assert val.labels is not None
    seen, x = to_float(train.x), to_float(val.x)
    judges: dict[str, LogitsOf] = {"the classifier": model.logits}
    judges |= {JUDGES[judge.name]: judge.logits for judge in judges_of(model, model.stranger)}
    looks, drawn = looked(model, x, val.labels, count)
    said, x_said = answers(model.logits, seen), answers(model.logits, x)
    found = {
        "n": len(x),
        "learnt_from": len(seen),
        "taken": taken(judges, x, val.labels),
        "enough": enough(seen, train.labels, said, x, val.labels, x_said),
        "repainted": repainted(model.logits, x, val.labels, model.class_names),
        "looked": looks,
    }
    return found, drawn


def main(args: list[str] | None = None) -> dict[str, Any]:
    print_anything()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", required=True, help="model folder or Hub repository, after train/evaluate.py")
    parser.add_argument("--data", required=True, help="pictures with labels, as of train/train.py")
    parser.add_argument("--mapped", type=int, default=MAPPED, help="maps of each class (default %(default)s)")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--docs", type=Path, help="page between whose marks the tables go; the maps go beside it")
    o = parser.parse_args(args)
    if o.mapped < 1:
        parser.error(f"--mapped is {o.mapped}; use 1 or more")
    if find_spec("captum") is None:
        parser.error(maps.NO_CAPTUM)
    ready(parser, o.json)
    try:
        model = StylEx.from_pretrained(o.model)
        if model.stats is None:
            raise ModelError(f"{o.model} has no style statistics; run train/find_attributes.py on it first")
        train, val = (load_pictures(o.data, model.resolution, part, model.class_names) for part in ("train", "val"))
        if train.labels is None:
            raise DataError(f"{o.data} has no labels, so nobody knows who is right; use a folder for each class")
        found, drawn = measure(model, train, val, o.mapped)
        for name, table in TABLES.items():
            print(f"\n{table(found[name])}")
            if o.docs:
                page.write(o.docs, f"shortcuts {name}", "shortcuts", table(found[name]))
        if o.docs and drawn:
            picture = o.docs.with_suffix("") / "maps.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            drawn.save(picture, optimize=True)
    except (DataError, ModelError, OutputError) as error:
        parser.error(str(error))
    if o.json:
        put_json(o.json, found, option="--json")
    return found


if __name__ == "__main__":
    main()
