"""Turn a trained model into a folder that can be shipped: samples made by the model, and a card of measured numbers.

    python train/bundle.py --model runs/leaves/model --metrics metrics.json --data ../shared/data/leaves \\
        --about train/configs/leaves-about.md --output checkpoints/leaves
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from PIL import Image

from stylex import Explanation, ModelError, StylEx
from stylex.folder import claim_model
from stylex.pictures.fonts import MISSING, undrawable
from stylex.pictures.images import to_pil
from stylex.pictures.render import captioned, grid, probability
from stylex.storage.alike import goes_for, groups
from stylex.storage.card import model_card
from stylex.storage.files import read_json, read_text, write_json, write_text
from stylex.storage.outputs import check_place, claim, filling
from train.data.pictures import load_pictures, to_float
from train.data.records import DataError
from train.engine.publish import FLICKER_ROWS, FLICKERS, SOURCE, flickers, from_before, told_apart
from train.engine.revision import revision_of
from train.options.command import parse

ROOT = Path(__file__).resolve().parents[1]
SHEET_SIDE = 128  # pixels of a picture among the others


@dataclass
class Options:
    """What goes into the folder.

    Args:
        model: folder of the trained model, after train/find_attributes.py.
        data: pictures whose reconstructions become the samples, see train/train.py; only their validation part is used.
        metrics: what train/evaluate.py wrote about this model.
        about: Markdown of what cannot be measured: data, licence, training, limits; see train/configs/leaves-about.md.
        output: folder to write. An earlier bundle there is written over; pictures of your own in its samples/ and
            attributes/ stay.
        address: what the card's example loads: a repository, or the folder that this one will be copied to; without it
            the output as seen from the root of this repository, where it lies in it.
        samples: reconstructions of each class.
        classifier: the classifier again, if it is a TorchScript file or a function: a model does not hold such a one.
    """

    model: str
    data: str
    metrics: str
    about: str
    output: str
    address: str | None = None
    samples: int = 6
    classifier: str | None = None


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
        clear = torch.minimum(probs, probs_rec)[right, k].argsort(descending=True)
        # Evenly through the middle half: neither so clear that no single attribute matters, nor near to a guess.
        edge = min(len(clear) // 4, max(0, len(clear) - count) // 2)
        middle = clear[edge : len(clear) - edge]
        chosen[name] = x_rec[right[middle[torch.linspace(0, len(middle) - 1, min(count, len(middle))).long()]]]
    return chosen


def file_name(name: str, number: int) -> str:
    """A class name as part of a file name."""
    plain = re.sub(r"[^\w-]+", "-", name)
    return plain if plain == name else f"{plain}-{number}"


def address_of(output: str, here: Path | None = None) -> str:
    """How the card's reader loads a folder: from the root of this repository if it is in it, else as it was asked for
    from `here`; of a path that holds on this machine alone its name is left."""
    place = ((here or Path.cwd()) / output).resolve()
    if place.is_relative_to(ROOT) and place != ROOT:
        return place.relative_to(ROOT).as_posix()
    return place.name if Path(output).is_absolute() else Path(output).as_posix()


def attribute_sheet(explanations: list[Explanation], dropped: Mapping[str, str] | None = None) -> Any:
    """One row for each picture: it, and its attributes changed, each with its words below; see `told_apart`."""
    scale = max(1, round(SHEET_SIDE / explanations[0].reconstruction.width))
    rows = [
        [
            captioned(e.reconstruction, "as it is", scale),
            *(captioned(a.image, a.heading, scale) for a in told_apart(e, dropped or {})),
        ]
        for e in explanations
    ]
    return grid(rows, row_titles=[f"{e.predicted} → {e.target}" for e in explanations], scale=1)


def files_of(
    class_names: Sequence[str], samples: int, resolution: int
) -> tuple[list[str], str, Callable[[Path], bool]]:
    """Names of what a bundle writes beside the model; the expression that those of an earlier one match; and whether
    a file is of one from before there were lists: see `publish.from_before`, and samples have the model's size."""
    each = [f"samples/{file_name(name, k)}-{n + 1}.png" for k, name in enumerate(class_names) for n in range(samples)]
    moving = [f"attributes/{n + 1}.gif" for n in range(FLICKERS * FLICKER_ROWS)]
    named = "|".join(re.escape(file_name(name, k)) for k, name in enumerate(class_names))

    def known(path: Path) -> bool:
        if path.name == "attributes.png" or path.parent.name == "attributes" or path.name == "SOURCE.md":
            return from_before(path)
        with suppress(OSError), Image.open(path) as image:
            return path.parent.name == "samples" and image.size == (resolution, resolution) and from_before(path)
        return False

    beside = ["samples/SOURCE.md", "attributes.png", "metrics.json", "training.json"]
    return [*each, *moving, *beside], rf"samples/({named})-\d+\.png|attributes/\d+\.gif", known


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Make a folder to ship from a trained model.", args)
    output = Path(o.output)
    check_place(output)
    model = StylEx.from_pretrained(o.model, classifier=o.classifier)
    names, earlier, known = files_of(model.class_names, o.samples, model.resolution)
    claim(output, names, known=known)
    claim_model(output, "--output")
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
    pictures = load_pictures(o.data, model.resolution, "val", model.class_names)
    x = to_float(pictures.x)
    labels = pictures.labels if pictures.labels is not None else model.classify(x).argmax(1)
    chosen = choose_samples(model, x, labels, o.samples)
    training = Path(o.model) / "training.json"
    how = read_json(training) if training.is_file() else None
    explanations = {name: [model.explain(to_pil(x)) for x in group[:3]] for name, group in chosen.items()}
    rows = [e for group in explanations.values() for e in group]
    facts = model.facts()
    dropped = goes_for(groups(metrics, facts.attributes))
    with filling(output, replaces=earlier, known=known) as aside:
        samples = aside / "samples"
        samples.mkdir()
        for k, (name, group) in enumerate(chosen.items()):
            for n, x in enumerate(group):
                to_pil(x).save(samples / f"{file_name(name, k)}-{n + 1}.png")
        write_text(samples / "SOURCE.md", SOURCE)
        attribute_sheet(rows, dropped).save(aside / "attributes.png")
        first = [group[0] for group in explanations.values() if group][:FLICKER_ROWS]
        moving = flickers(first, aside / "attributes", dropped)
        write_json(aside / "metrics.json", metrics)
        if how is not None:
            write_json(aside / "training.json", how)
    shown = [*moving, ("attributes.png", "attributes")]
    about = read_text(Path(o.about))
    address = o.address or address_of(o.output)
    model.card = model_card(facts, address, metrics=metrics, training=how, about=about, pictures=shown)
    model.save_pretrained(output)
    if read_text(output / "README.md") != model.card:
        print(
            f"warning: somebody edited {output / 'README.md'}, so it is left alone, with its old numbers; delete it to "
            "have it made anew",
            file=sys.stderr,
        )
    if left := undrawable(model.class_names):
        print(
            f"warning: no font here can draw {', '.join(left)}; {MISSING} stands for it in the pictures, and the names "
            "are in the card",
            file=sys.stderr,
        )
    print(
        f"{output}: {len(model.attributes)} attributes; {rows[0].predicted} {probability(max(rows[0].probs.values()))} "
        "first"
    )


if __name__ == "__main__":
    try:
        main()
    except (DataError, ModelError) as error:
        sys.exit(f"error: {error}")
