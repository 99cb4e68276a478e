"""Measure a model on pictures it was not trained on, and write the numbers of the model card.

python train/evaluate.py --model checkpoints/leaves --data FOLDER --output metrics.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from stylex import losses, metrics
from stylex.classifiers.stranger import Stranger
from stylex.model import StylEx
from stylex.networks.eye import EfficientNetLite0, EfficientNetLite1
from stylex.storage.files import ModelError
from stylex.storage.outputs import claim, put_json
from train.data.pictures import Pictures, load_pictures, to_float
from train.data.records import DataError, Split
from train.engine.device import device, measure_exactly
from train.engine.revision import revision_of
from train.measure.composition import composition
from train.measure.edited import edited
from train.measure.interventions import interventions
from train.measure.judges import fit_stranger, judges_of, keep_stranger
from train.measure.leaks import leaks
from train.measure.redrawn import Redrawn
from train.measure.tally import Tally, middle
from train.measure.two_afc import called, two_afc
from train.options.command import parse

RETRIEVAL_AMONG = 300
MEASURED_AT = 128  # px: to smaller pictures' reconstructions, too, the eye comes as near


@dataclass
class Options:
    """What to measure.

    Args:
        model: model folder or Hub repository.
        data: pictures, see train/train.py; without labels there is no accuracy.
        split: all, or only the train or val part of a folder that the model was trained on. With val, a model that has
            no stranger yet gets one, which learns the classes from the labels of the train part, and keeps it.
        output: JSON file for the numbers; an earlier one is written over, a file of your own is not.
        shift: how far attributes move; report other values beside 1, never instead of it.
        batch_size: pictures per pass.
        seed: of the choice of pictures, where not all are asked about, and of the folds of a probe.
        classifier: the classifier again, if it is a TorchScript file or a function: a model does not hold such a one.
    """

    model: str
    data: str
    split: Split = "all"
    output: str = "metrics.json"
    shift: float = 1.0
    batch_size: int = 64
    seed: int = 0
    classifier: str | None = None


@torch.no_grad()
def evaluate(
    model: StylEx,
    pictures: Pictures,
    shift: float = 1.0,
    batch_size: int = 64,
    seed: int = 0,
    stranger: Stranger | None = None,
) -> dict[str, Any]:
    """All numbers of a model on `pictures`; those that need the second judge, the stranger, labels or places are there
    if the model has such and the pictures have them.

    Shares are of pictures, or of pairs (picture, class it is not). `intervals` has an interval of each mean and median
    under its name (`train.measure.tally`).

    Args:
        stranger: instead of the model's own.
    """
    measure_exactly()
    x, labels = to_float(pictures.x), pictures.labels

    def all_of(function: Any, given: Tensor) -> Tensor:
        """Batch by batch on the model's device; what is kept is not, for there may be less memory."""
        return torch.cat([function(part.to(model.device)).cpu() for part in given.split(batch_size)])

    s = all_of(lambda part: model.styles(model.encode(part)), x)
    x_rec = all_of(model.synthesize, s)
    logits, logits_rec = all_of(model.logits, x), all_of(model.logits, x_rec)
    probs, probs_rec = logits.softmax(1), logits_rec.softmax(1)

    tally = Tally(seed)
    tally.numbers["n"] = len(x)
    tally.add("agreement", metrics.agreement(logits, logits_rec))
    tally.add("mean_abs_delta_prob", (probs - probs_rec).abs().mean(dim=1))
    tally.add("l1", losses.l1(x, x_rec))
    likeness(tally, all_of, x, x_rec, model.device, seed)
    if labels is not None:
        tally.add("classifier_accuracy", logits.argmax(1) == labels)
    judges = list(judges_of(model, stranger or model.stranger))
    for judge in judges:
        judged, judged_rec = all_of(judge.logits, x), all_of(judge.logits, x_rec)
        tally.add(f"{judge.name}_agreement", metrics.agreement(judged, judged_rec))
        if labels is not None:
            tally.add(judge.accuracy, judged.argmax(1) == labels)
    for name, hits in leaks(model, s, logits, batch_size, seed).items():
        tally.add(name, hits)
    for name, values in composition(model, x, logits, batch_size, seed).items():
        tally.add(name, values)
    if model.stats is not None and model.attributes:
        redrawn = Redrawn(model, s, x_rec, logits_rec, shift, batch_size, seed)
        interventions(tally, redrawn, judges)
        eye = EfficientNetLite1(MEASURED_AT).to(model.device)
        single_edits(tally, redrawn, eye)
        tell_apart(tally, redrawn, eye)
    about = {"shift": shift, "seed": seed, "revision": revision_of(model), "class_names": model.class_names}
    return tally.numbers | about | {"intervals": tally.intervals}


def single_edits(tally: Tally, of: Redrawn, eye: EfficientNetLite1) -> None:
    """See `train.measure.edited`; medians of the shifts and the distances, means of the rest."""
    found = edited(of, eye)
    if "flip_shift" in found:
        flips = found.pop("flip_shift")
        if middle(flips, "median") < torch.inf:
            tally.add("flip_shift_median", flips, of="median")
    for name, values in found.items():
        tally.add(name, values)


def tell_apart(tally: Tally, of: Redrawn, eye: EfficientNetLite1) -> None:
    """See `train.measure.two_afc`; what cannot be told apart is named, with the share that was answered right."""
    attributes, questions = two_afc(of, eye)
    answers = questions.ask()
    if not len(answers.hits):
        return
    tally.add("two_afc", answers.hits)
    tally.numbers["two_afc_questions"] = len(answers.hits)
    names = [called(a) for a in attributes]
    tally.numbers["two_afc_by_attribute"] = {names[i]: round(share, 4) for i, share in answers.by_attribute().items()}
    tally.numbers["two_afc_alike"] = [[names[a], names[b], round(share, 4)] for a, b, share in questions.alike()]


def likeness(
    tally: Tally, all_of: Callable[[Any, Tensor], Tensor], x: Tensor, x_rec: Tensor, device: torch.device, seed: int
) -> None:
    """How alike pictures and reconstructions look: to the eye that training looks with (`perceptual`), and to another
    one, against which nothing is trained (`retrieval`, `kid`)."""
    trained = EfficientNetLite0().to(device)

    def distance(pair: Tensor) -> Tensor:
        return losses.perceptual(trained(pair[:, :3]), trained(pair[:, 3:]))

    eye = EfficientNetLite1(MEASURED_AT).to(device)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:RETRIEVAL_AMONG]
    found = metrics.retrieval(all_of(eye.flat, x[order]), all_of(eye.flat, x_rec[order]))
    tally.add("perceptual", all_of(distance, torch.cat([x, x_rec], dim=1)))
    tally.add("retrieval", found)
    tally.numbers["retrieval_among"] = len(order)
    if len(x) >= 4:  # fewer have no spread
        kid, spread = metrics.kid(all_of(eye.embed, x), all_of(eye.embed, x_rec), seed)
        tally.numbers |= {"kid": round(kid, 5), "kid_std": round(spread, 5)}


def stranger_of(model: StylEx, o: Options) -> Stranger | None:
    """The model's own stranger; or, where it has none and the training part is at hand, one that has learnt from that,
    kept with the model for the next time. None where that part is not at hand, which is said."""
    if model.stranger is not None or o.split != "val":
        return model.stranger
    try:
        pictures = load_pictures(o.data, model.resolution, "train", model.class_names)
    except DataError as error:
        print(f"no stranger is asked, for there is nothing to learn the classes from: {error}", file=sys.stderr)
        return None
    if pictures.labels is None:
        return None
    print("a stranger learns the classes from the training part …", file=sys.stderr)
    stranger = fit_stranger(pictures, model.device, o.batch_size)
    if Path(o.model).is_dir():
        keep_stranger(stranger, Path(o.model))
    return stranger


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Measure a model on pictures it was not trained on.", args)
    output = Path(o.output)
    claim(output.parent, [output.name])
    model = StylEx.from_pretrained(o.model, classifier=o.classifier, device=device())
    pictures = load_pictures(o.data, model.resolution, o.split, model.class_names)
    numbers = evaluate(model, pictures, o.shift, o.batch_size, o.seed, stranger_of(model, o))
    put_json(output, numbers)
    print(json.dumps(numbers, indent=2))


if __name__ == "__main__":
    try:
        main()
    except (DataError, ImportError, ModelError) as error:
        sys.exit(f"error: {error}")
