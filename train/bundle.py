"""Turn a trained model into a folder that can be shipped: samples made by the model, and a card of measured numbers.

    python train/bundle.py --model runs/leaves/model --metrics metrics.json --data ../shared/data/leaves \\
        --about train/configs/leaves-about.md --output checkpoints/leaves
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from stylex.explain import Explanation
from stylex.files import ModelError, read_json
from stylex.images import to_pil
from stylex.model import StylEx
from stylex.render import grid, probability
from train.data import DataError, load_folder, to_float
from train.evaluate import revision_of
from train.options import parse


@dataclass
class Options:
    """What goes into the folder.

    Args:
        model: folder of the trained model, after train/find_attributes.py.
        data: pictures whose reconstructions become the samples; only their validation part is used.
        metrics: what train/evaluate.py wrote about this model.
        about: Markdown with the front matter and everything that cannot be measured: data, licence, training, limits.
        output: folder to write.
        samples: reconstructions of each class.
    """

    model: str
    data: str
    metrics: str
    about: str
    output: str
    samples: int = 6


NUMBERS = [
    ("classifier_accuracy", "accuracy of the explained classifier"),
    ("second_classifier_accuracy", "accuracy of the second, independent judge"),
    ("agreement", "pictures that keep their class when reconstructed"),
    ("second_agreement", "the same, by the second judge"),
    ("retrieval", "reconstructions nearer to their own picture than to any other"),
    ("mean_abs_delta_prob", "mean change of a probability by reconstruction"),
    ("l1", "mean absolute error of a pixel, of a range of 2"),
    ("kid", "KID of the reconstructions, in EfficientNet-Lite0 features"),
    ("visibility", "edits by one of the top 5 attributes that a person can see"),
]


@torch.no_grad()
def choose_samples(model: StylEx, x: torch.Tensor, labels: torch.Tensor, count: int) -> dict[str, torch.Tensor]:
    """For each class up to `count` reconstructions [n, 3, R, R], of pictures that are of it to everybody: their label,
    and the classifier before and after reconstruction.

    Raises:
        DataError: if a class has no such picture.
    """
    x_rec = model.synthesize(model.styles(model.encode(x)))
    probs, probs_rec = model.classify(x), model.classify(x_rec)
    chosen = {}
    for k, name in enumerate(model.class_names):
        right = ((labels == k) & (probs.argmax(1) == k) & (probs_rec.argmax(1) == k)).nonzero().flatten()
        if not len(right):
            raise DataError(f"no held-out picture of {name} keeps its class when it is reconstructed; train for longer")
        clear = torch.minimum(probs, probs_rec)[right, k].argsort(descending=True)[: max(count, len(right) // 2)]
        # Evenly through the clearer half, so that the samples are not all alike.
        chosen[name] = x_rec[right[clear[torch.linspace(0, len(clear) - 1, min(count, len(clear))).long()]]]
    return chosen


def card(about: str, metrics: dict[str, Any], model: StylEx, revision: str) -> str:
    """README.md of the model folder."""
    rows = [f"| {text} | {metrics[key]} |" for key, text in NUMBERS if key in metrics]
    for key, text in (("sufficiency", "decisions that flip"), ("second_sufficiency", "the same, by the second judge")):
        if key in metrics:
            rates = ", ".join(f"{metrics[key][str(k)]} with {k}" for k in (1, 3, 5, 10, 20))
            rows.append(f"| {text} when the first attributes move together | {rates} |")
    lines = [about.rstrip(), "", "## Measured", ""]
    lines += [
        f"On {metrics['n']} held-out pictures, shift {metrics['shift']}, weights {revision}:",
        "",
        "| what | share or value |",
        "| --- | --- |",
        *rows,
        "",
        "## Attributes",
        "",
        "Found by AttFind on training pictures, the best first. Effects are means over pictures of the other class.",
        "",
        "| towards | coordinate | name | logit | probability | flips alone | visible |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for a in model.attributes:
        mark = "↑" if a.direction.name == "UP" else "↓"
        seen = "" if a.visible_share is None else f"{a.visible_share:.0%}"
        effect = f"{a.delta_logit:+.2f} | {a.delta_prob:+.1%} | {a.images_share:.0%} | {seen}"
        lines.append(f"| {a.target} | {a.layer} {a.channel} {mark} | {a.name or ''} | {effect} |")
    return "\n".join(lines) + "\n"


def attribute_sheet(explanations: list[Explanation]) -> Any:
    """One row for each picture: it, and its attributes changed."""
    width = max(len(e.attributes) for e in explanations)
    rows = [
        [e.reconstruction, *(a.image for a in e.attributes), *[None] * (width - len(e.attributes))]
        for e in explanations
    ]
    titles = [f"{e.predicted} → {e.target}" for e in explanations]
    return grid(rows, column_titles=["as it is", *(f"attribute {n + 1}" for n in range(width))], row_titles=titles)


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Make a folder to ship from a trained model.", args)
    output = Path(o.output)
    model = StylEx.from_pretrained(o.model)
    if model.stats is None or not model.attributes:
        raise ModelError(f"{o.model} has no attributes yet; run train/find_attributes.py on it first")
    if not Path(o.about).is_file():
        raise DataError(f"{o.about} is missing; write it, with train/configs/leaves-about.md as an example")
    if not Path(o.metrics).is_file():
        raise DataError(f"{o.metrics} is missing; run train/evaluate.py first")
    metrics, revision = read_json(Path(o.metrics)), revision_of(model)
    if metrics.get("revision") != revision:
        raise ModelError(
            f"{o.metrics} is about revision {metrics.get('revision')}, {o.model} is {revision}: its weights or "
            "attributes have changed; evaluate it again"
        )
    pictures = load_folder(o.data, model.resolution, "val", model.class_names)
    chosen = choose_samples(model, to_float(pictures.x), pictures.labels, o.samples)
    samples = output / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    for old in samples.glob("*.png"):
        old.unlink()
    explanations = []
    for name, group in chosen.items():
        for n, x in enumerate(group):
            to_pil(x).save(samples / f"{name}-{n + 1}.png")
        explanations += [model.explain(to_pil(x)) for x in group[:3]]
    attribute_sheet(explanations).save(output / "attributes.png")
    (samples / "SOURCE.md").write_text(
        "These pictures were made by this model: reconstructions of held-out pictures, no photographs. "
        "Origin and licence of the data are in ../README.md.\n",
        encoding="utf-8",
    )
    model.card = card(Path(o.about).read_text(encoding="utf-8"), metrics, model, revision)
    model.save_pretrained(output)
    (output / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    e = explanations[0]
    print(f"{output}: {len(model.attributes)} attributes; {e.predicted} {probability(max(e.probs.values()))} first")


if __name__ == "__main__":
    try:
        main()
    except (DataError, ModelError) as error:
        sys.exit(f"error: {error}")
