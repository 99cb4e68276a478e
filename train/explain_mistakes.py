"""Why was this wrong? For each misclassified picture the change that would have made it right, and what they share.

    python train/explain_mistakes.py --model checkpoints/leaves --data PICTURES --output mistakes/

`--only all` explains every picture towards its runner-up class instead. The page needs no network and no other file.
"""

from __future__ import annotations

import base64
import io
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from stylex import StylEx
from stylex.explain import at_once
from stylex.methods.attribution import (
    by_attributes,
    by_probes,
    fit_probes,
    overall,
    read_labels,
    strongest,
    worth_drawing,
)
from stylex.methods.counterfactual import Counterfactuals
from stylex.methods.records import MethodError
from stylex.neighbours import PROB, Space, counterfactuals, stats_of, words
from stylex.pictures.images import to_pil
from stylex.pictures.render import change_map, grid, probability, signed_bars
from stylex.storage.files import write_json, write_text
from stylex.storage.outputs import claim, filling
from train.data.pictures import Pictures, Split, load_pictures, to_float
from train.engine.device import device
from train.options.command import check_numbers, parse

FILES = ("page.html", "mistakes.json")
# Attributes of the model by which a change is described, and bars of one picture.
WORDS, BARS = 10, 5


@dataclass
class Options:
    """What to explain.

    Args:
        model: model folder or Hub repository.
        data: pictures in a folder for each class, see train/train.py.
        output: folder for page.html and mistakes.json.
        split: train, val or all of the pictures.
        only: mistakes, towards their label, or all, towards the runner-up.
        count: pictures at most.
        prob: what the class is to reach.
        space: few, styles or w: where to search.
        labels: table `file,LABEL,LABEL,...` of 1 and 0 for these pictures; the changes are then described by a linear
            probe for each column instead of by the model's own attributes, which needs `space` w.
        classifier: the classifier again, if it is a TorchScript file or a function: a model does not hold such a one.
    """

    model: str
    data: str
    output: str = "mistakes"
    split: Split = "val"
    only: Literal["mistakes", "all"] = "mistakes"
    count: int = 24
    prob: float = PROB
    space: Space = "few"
    labels: str | None = None
    classifier: str | None = None

    def __post_init__(self) -> None:
        check_numbers(self, ("count",), lambda value: value >= 1, "use 1 or more", MethodError)
        if self.labels is not None and self.space != "w":
            raise MethodError(f"labels are read off w, and the search is in {self.space}; add --space w")


@dataclass(frozen=True)
class Asked:
    """The pictures that are explained: their names, x [N, 3, R, R], what the classifier called them and what they are
    taken to, [N] each."""

    names: list[str]
    x: Tensor
    called: Tensor
    target: Tensor


def choose(model: StylEx, pictures: Pictures, o: Options) -> Asked:
    """Which pictures to explain, and towards what.

    Raises:
        MethodError: if the pictures have no labels, or none is misclassified.
    """
    x = to_float(pictures.x)
    logits = torch.cat([model.logits(part.to(model.device)).cpu() for part in x.split(at_once(model))])
    called, runner_up = logits.topk(2, dim=1).indices.t()
    if o.only == "all":
        rows, target = torch.arange(len(x)), runner_up
    elif pictures.labels is None:
        raise MethodError(f"{o.data} has no labels, so nothing is known to be wrong; use a folder for each class")
    else:
        rows, target = (called != pictures.labels).nonzero().flatten(), pictures.labels
        if not len(rows):
            raise MethodError(
                f"the classifier is right about all {len(x)} pictures of {o.data}; --only all explains them, too"
            )
    rows = rows[: o.count]
    return Asked([pictures.names[i] for i in rows.tolist()], x[rows], called[rows], target[rows])


def explain_all(model: StylEx, asked: Asked, o: Options) -> tuple[Tensor, Tensor, list[Counterfactuals]]:
    """Latents, styles and counterfactuals, batch by batch."""
    latents, styles, found = [], [], []
    for x, target in tqdm(list(zip(asked.x.split(16), asked.target.split(16), strict=True)), desc="counterfactuals"):
        latent = model.encode(x.to(model.device))
        s = model.styles(latent)
        latents.append(latent)
        styles.append(s)
        found.append(counterfactuals(model, latent, s, target.to(model.device), o.prob, o.space))
    return torch.cat(latents), torch.cat(styles), found


def words_of(model: StylEx, asked: Asked, latents: Tensor, z: Tensor, delta: Tensor, o: Options) -> dict[str, Tensor]:
    """What the changes are made of: name -> [N], by probes of a table or along the model's own attributes."""
    if o.labels is not None:
        pictures = load_pictures(o.data, model.resolution, o.split, model.class_names)
        x = to_float(pictures.x)
        w = torch.cat([model.encoder(part.to(model.device)) for part in x.split(64)])[:, : model.config.w_dim].detach()
        probes = fit_probes(w, read_labels(o.labels, pictures.names))
        width = model.config.w_dim
        return by_probes(probes, latents[:, :width], z[:, :width])
    chosen = words(model, sorted({model.class_names[t] for t in asked.target.tolist()}))
    if not chosen:
        raise MethodError(
            "this model has no attributes to describe a change by; run train/find_attributes.py on it first"
        )
    return by_attributes(delta, chosen, stats_of(model))


def html_picture(image: Image.Image, name: str) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def main(args: list[str] | None = None) -> dict[str, Any]:
    o = parse(Options, "Why was this wrong? The change that would have made each misclassified picture right.", args)
    folder = Path(o.output)
    claim(folder, FILES, spare=[o.labels])
    model = StylEx.from_pretrained(o.model, classifier=o.classifier, device=device())
    stats_of(model)
    pictures = load_pictures(o.data, model.resolution, o.split, model.class_names)
    asked = choose(model, pictures, o)
    latents, s, found = explain_all(model, asked, o)
    z = torch.cat([part.z for part in found])
    after = torch.cat([model.styles(part) for part in z.split(64)]) if o.space == "w" else z
    each = words_of(model, asked, latents, z, after - s, o)
    names = model.class_names
    arrived = torch.cat([part.arrived for part in found])
    # A reconstruction that the classifier already gets right needs no change and says nothing of the mistake.
    moved = (after - s).abs().amax(dim=1) > 0
    by_target = {}
    for t in asked.target[moved.cpu()].unique().tolist():
        rows = ((asked.target == t).to(moved.device) & moved).nonzero().flatten()
        each_t = {name: values[rows] for name, values in each.items()}
        by_target[names[t]] = overall(each_t, torch.ones(len(rows), device=rows.device))

    sections, told, n = [], [], 0
    for part in found:
        for row in range(len(part.z)):
            name, target = asked.names[n], names[int(asked.target[n])]
            called = names[int(asked.called[n])]
            before_x, after_x = model.synthesize(s[n : n + 1]), model.synthesize(after[n : n + 1])
            before, changed = to_pil(before_x), to_pil(after_x)
            p = [float(part.prob_before[row]), float(part.prob_after[row])]
            bars = strongest(each, n, BARS)
            chart = signed_bars(worth_drawing(bars), "what changed")
            sheet = grid(
                [[to_pil(asked.x[n]), before, changed, change_map(before, changed)]],
                [
                    "photograph",
                    f"reconstruction\n{target} {probability(p[0])}",
                    f"changed\n{target} {probability(p[1])}",
                    "where",
                ],
            )
            sentence = part.sentence(row, target)
            if not bool(moved[n]):
                sentence = "the reconstruction is called right already: what misled the classifier is not drawn in it"
            sections.append(
                f"<section><h2>{escape(name)}</h2><p>called {escape(called)}, "
                f"{'is' if o.only == 'mistakes' else 'taken to'} {escape(target)}; {escape(sentence)}</p>"
                f"{html_picture(sheet, name)}"
                + (html_picture(chart, "what changed") if bool(moved[n]) else "")
                + "</section>"
            )
            told.append({"name": name, "called": called, "target": target, "sentence": sentence, "changes": bars})
            n += 1
    heading = "Why were these wrong?" if o.only == "mistakes" else "What would change the decision?"
    charts = {name: signed_bars(worth_drawing(dict(list(bars.items())[:WORDS]))) for name, bars in by_target.items()}
    common = "".join(
        f"<section><h2>Towards {escape(name)}</h2>{html_picture(chart, name)}</section>"
        for name, chart in charts.items()
    )
    summary = (
        f"{len(asked.names)} of {len(pictures)} pictures; {int((arrived & moved).sum())} of {int(moved.sum())} changes "
        f"arrive at {o.prob:.0%}. Bars are mean changes, "
        + ("in shares of an attribute's range" if o.labels is None else "of the probes' log-odds")
    )
    page = PAGE.format(heading=heading, summary=escape(summary), common=common, sections="\n".join(sections))
    numbers = {"n": len(asked.names), "arrived": int((arrived & moved).sum()), "in_common": by_target, "pictures": told}
    with filling(folder, spare=[o.labels]) as aside:
        write_text(aside / "page.html", page)
        write_json(aside / "mistakes.json", numbers)
    print(f"{summary}\nwritten to {folder / 'page.html'}")
    return numbers


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{heading}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #202020; }}
h1, h2 {{ line-height: 1.2; }} h2 {{ font-size: 1.05rem; overflow-wrap: anywhere; }}
section {{ border-top: 1px solid #ddd; padding: .5rem 0 1rem; }}
img {{ max-width: 100%; height: auto; vertical-align: top; }}
</style></head><body>
<h1>{heading}</h1><p>{summary}.</p>
<h1>What the changes have in common</h1>{common}
<h1>One by one</h1>{sections}
</body></html>
"""


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:  # DataError, ModelError and MethodError are ValueErrors
        sys.exit(f"error: {error}")
