"""Describe the attributes of a model in plain words, from what each measurably does, and store them in its folder.

    python train/describe_attributes.py --model checkpoints/leaves --data FOLDER

train/find_attributes.py does it as well; this is for a model that was searched before, or whose names were written into
attributes.json since. Words are chosen by pictures of the training part and checked on held-out ones; "no simple
description" is an answer, and a name that a person wrote stays.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stylex.folder import claim_model, write_attributes
from stylex.model import StylEx
from stylex.storage.card import with_attributes
from stylex.storage.files import ModelError, write_text
from train.data.pictures import list_pictures, part_of
from train.data.records import DataError
from train.engine.device import device
from train.engine.publish import measured
from train.options.command import check_numbers, parse
from train.search.described import described, some_styles


@dataclass
class Options:
    """What to describe.

    Args:
        model: model folder; its attributes.json gets the descriptions, and its card, unless somebody edited that.
        data: pictures, see train/train.py.
        images: pictures of either part that are looked at, as many of each class as there are.
        shift: how far attributes move; 1 is the end of their range.
        seed: of the choice of pictures.
        classifier: the classifier again, if it is a TorchScript file or a function: a model does not hold such a one.
    """

    model: str
    data: str
    images: int = 120
    shift: float = 1.0
    seed: int = 0
    classifier: str | None = None

    def __post_init__(self) -> None:
        check_numbers(self, ("images",), lambda v: v >= 2, "use 2 or more", DataError)
        check_numbers(self, ("shift",), lambda v: 0 < v < float("inf"), "use a number above 0", DataError)


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Describe the attributes of a model in plain words.", args)
    folder = Path(o.model)
    model = StylEx.from_pretrained(o.model, classifier=o.classifier, device=device())
    if not folder.is_dir():
        raise ModelError(f"{o.model} is no folder, so nothing can be stored in it; download the model first")
    if model.stats is None or not model.attributes:
        raise ModelError(f"{o.model} has no attributes yet; run train/find_attributes.py on it first")
    claim_model(folder, "--model")
    source = list_pictures(o.data, "all", model.class_names)
    parts = part_of(source, "train"), part_of(source, "val")
    chosen_on, checked_on = (some_styles(model, part, o.images, o.seed) for part in parts)
    model.attributes = described(model, model.attributes, chosen_on, checked_on, o.shift)
    write_attributes(folder, model.attributes, model.certificate)
    if model.card is not None:
        card = with_attributes(model.card, model.facts(), measured(model, folder))
        if card != model.card:
            write_text(folder / "README.md", card)
    for a in model.attributes:
        doubt = f" ({a.doubt})" if a.doubt else ""
        print(f"{a.source} → {a.target}  {a.coordinate}: {a.title}{doubt}")


if __name__ == "__main__":
    try:
        main()
    except (DataError, ModelError) as error:
        sys.exit(f"error: {error}")
