"""Measure a model on pictures it was not trained on, and write the numbers of the model card.

python train/evaluate.py --model checkpoints/leaves --data FOLDER --output metrics.json
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor
from tqdm import tqdm

from stylex import losses, metrics
from stylex.attfind.effects import towards
from stylex.model import StylEx
from stylex.networks.eye import EfficientNetLite0
from stylex.storage.files import ModelError, write_json
from stylex.stylespace import Direction, move, move_together
from train.data.pictures import Pictures, load_pictures, to_float
from train.data.records import DataError, Split
from train.engine.device import device, measure_exactly
from train.engine.revision import revision_of
from train.options.command import parse

SUFFICIENCY_STEPS = 20
VISIBILITY_ATTRIBUTES = 5
RETRIEVAL_AMONG = 300


@dataclass
class Options:
    """What to measure.

    Args:
        model: model folder or Hub repository.
        data: pictures, see train/train.py; without labels there is no accuracy.
        split: all, or only the train or val part of a folder that the model was trained on.
        output: JSON file for the numbers.
        shift: how far attributes move; report other values beside 1, never instead of it.
        batch_size: pictures per pass.
        seed: of the choice of pictures for retrieval.
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
    model: StylEx, pictures: Pictures, shift: float = 1.0, batch_size: int = 64, seed: int = 0
) -> dict[str, Any]:
    """All numbers of a model on `pictures`; those that need the second judge or labels are there if the model
    has one and the pictures have them.

    Shares are of pictures, or of pairs (picture, class it is not).
    """
    measure_exactly()
    names, judge, labels = model.class_names, model.judge, pictures.labels
    x = to_float(pictures.x)

    def all_of(function: Any, given: Tensor) -> Tensor:
        """Batch by batch on the model's device; what is kept is not, for there may be less memory."""
        return torch.cat([function(part.to(model.device)).cpu() for part in given.split(batch_size)])

    s = all_of(lambda part: model.styles(model.encode(part)), x)
    x_rec = all_of(model.synthesize, s)
    logits, logits_rec = all_of(model.logits, x), all_of(model.logits, x_rec)
    network = EfficientNetLite0().to(model.device)
    embedded, embedded_rec = all_of(network.embed, x), all_of(network.embed, x_rec)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:RETRIEVAL_AMONG]
    flat, flat_rec = all_of(network.flat, x), all_of(network.flat, x_rec)
    probs, probs_rec = logits.softmax(1), logits_rec.softmax(1)

    def share(hits: Tensor) -> float:
        return round(hits.float().mean().item(), 4)

    numbers: dict[str, Any] = {
        "n": len(x),
        "agreement": share(metrics.agreement(logits, logits_rec)),
        "retrieval": share(metrics.retrieval(flat[order], flat_rec[order])),
        "retrieval_among": len(order),
        "mean_abs_delta_prob": round((probs - probs_rec).abs().mean().item(), 4),
        "l1": round(losses.l1(x, x_rec).mean().item(), 4),
        "perceptual": round((flat - flat_rec).square().sum(dim=1).mean().item(), 4),
        "kid": round(metrics.kid(embedded, embedded_rec), 5),
    }
    if labels is not None:
        numbers["classifier_accuracy"] = share(logits.argmax(1) == labels)
    if judge is not None:
        judged, judged_rec = all_of(judge, x), all_of(judge, x_rec)
        numbers["second_agreement"] = share(metrics.agreement(judged, judged_rec))
        if labels is not None:
            numbers["second_classifier_accuracy"] = share(judged.argmax(1) == labels)
    if model.stats is not None and model.attributes:
        numbers |= interventions(model, s, x_rec, logits_rec, shift, batch_size)
    return numbers | {"shift": shift, "seed": seed, "revision": revision_of(model), "class_names": names}


def interventions(
    model: StylEx, s: Tensor, x_rec: Tensor, logits_rec: Tensor, shift: float, batch_size: int
) -> dict[str, Any]:
    """Sufficiency and visibility of the class-level attributes.

    sufficiency[k]: share of pairs (picture, target it is not) in which the first k attributes towards the target, moved
    together, make it the decision; at 10 also for each target, and the median of those. second_sufficiency[k]: the same
    by the judge, over the pairs in which it does not already see the target in the reconstruction. visibility: share of
    (pair, one of the top 5 attributes) in which a person sees the change. Nothing if there is no pair.
    """
    assert model.stats is not None
    judge, labels = model.judge, logits_rec.argmax(1)
    flips: dict[int, list[Tensor]] = {k: [] for k in range(1, SUFFICIENCY_STEPS + 1)}
    second: dict[int, list[Tensor]] = {k: [] for k in range(1, SUFFICIENCY_STEPS + 1)}
    seen: list[Tensor] = []
    by_target: dict[str, float] = {}
    for target, name in enumerate(tqdm(model.class_names, desc="sufficiency")):
        pairs = 0
        for moves, part in searched_alike(model, labels, target, batch_size):
            pairs += len(part)
            here, before = s[part].to(model.device), x_rec[part].to(model.device)
            open_pairs = judge(before).argmax(1) != target if judge is not None else None
            for i, d in moves[:VISIBILITY_ATTRIBUTES]:
                seen.append(metrics.visible(before, model.synthesize(move(here, i, d, model.stats, shift))).cpu())
            for k in flips:
                if k > max(1, len(moves)):  # the list has ended, and the picture stays as it is
                    for hits in (flips, second):
                        hits[k] += hits[k - 1][-1:]
                    continue
                edited = model.synthesize(move_together(here, moves[:k], model.stats, shift))
                flips[k].append((model.logits(edited).argmax(1) == target).cpu())
                if judge is not None and open_pairs is not None:
                    second[k].append((judge(edited).argmax(1) == target)[open_pairs].cpu())
        if pairs:
            by_target[name] = torch.cat(flips[10])[-pairs:].float().mean().item()

    if not by_target:
        return {}

    def rates(hits: dict[int, list[Tensor]]) -> dict[str, float]:
        return {str(k): round(torch.cat(v).float().mean().item(), 4) for k, v in hits.items()}

    numbers: dict[str, Any] = {
        "sufficiency": rates(flips),
        "sufficiency_at_10_by_target": {name: round(value, 4) for name, value in by_target.items()},
        "sufficiency_at_10_median": round(statistics.median(by_target.values()), 4),
    }
    if seen:
        numbers["visibility"] = round(torch.cat(seen).float().mean().item(), 4)
    if any(len(part) for part in second[1]):  # not where the judge sees every target already
        numbers["second_sufficiency"] = rates(second)
        numbers["second_sufficiency_among"] = sum(len(part) for part in second[1])
    return numbers


def searched_alike(
    model: StylEx, labels: Tensor, target: int, batch_size: int
) -> Iterator[tuple[list[tuple[int, Direction]], Tensor]]:
    """The moves towards a target and the pictures [n] that they are for: one list for all other classes, or, where some
    were searched by themselves, several.

    Args:
        labels: [N] the class of each reconstruction.
    """
    groups: dict[tuple[tuple[int, Direction], ...], list[int]] = {}
    for source, name in enumerate(model.class_names):
        if source != target:
            found = towards(model.attributes, name, model.class_names[target])
            groups.setdefault(tuple((a.index, a.direction) for a in found), []).append(source)
    for moves, sources in groups.items():
        rows = torch.isin(labels, torch.tensor(sources)).nonzero().flatten()
        for part in rows.split(batch_size):
            if len(part):
                yield list(moves), part


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Measure a model on pictures it was not trained on.", args)
    model = StylEx.from_pretrained(o.model, classifier=o.classifier, device=device())
    pictures = load_pictures(o.data, model.resolution, o.split, model.class_names)
    numbers = evaluate(model, pictures, o.shift, o.batch_size, o.seed)
    write_json(Path(o.output), numbers)
    print(json.dumps(numbers, indent=2))


if __name__ == "__main__":
    try:
        main()
    except (DataError, ModelError) as error:
        sys.exit(f"error: {error}")
