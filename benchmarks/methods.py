"""Every method on the same held-out pictures: how often the decision flips, for whom, how much changes, what it costs.

    python benchmarks/methods.py --model checkpoints/leaves --data PICTURES --json methods.json

Each picture is taken towards its runner-up class; a counterfactual is asked for a probability of 0.9. Single
coordinates go to the end of their range, ten together; directions in w stay inside of the ranges. The stranger is the
model's, or one fitted on some pictures of the train part; distances are in features of EfficientNet-Lite1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.output import ready
from stylex import StylEx, metrics
from stylex.attfind.effects import effect_table, subset, top_moves, towards
from stylex.classifiers.stranger import SIDE
from stylex.explain import at_once, propose
from stylex.methods.eigenfind import affine_weight, eigen_directions, find_directions
from stylex.methods.records import MethodError
from stylex.neighbours import PROB, coordinate_moves, counterfactuals, direction_edits, stats_of, within
from stylex.networks.eye import EfficientNetLite1, EfficientNetLite2
from stylex.storage.files import ModelError
from stylex.storage.outputs import put_json
from stylex.stylespace import move_together
from stylex.terminal import print_anything
from train.data.pictures import load_pictures, to_float
from train.measure.judges import fit_stranger

TOGETHER = 10
KNOWN = 200  # training pictures that methods draw from


@dataclass
class Result:
    """What a method made of N pictures.

    Attributes:
        s: [N, S] the changed styles.
        passes: pictures sent through the generator, a gradient counted as three.
        found: what else it said.
    """

    s: Tensor
    passes: float
    found: dict[str, Any]


# Latents [n, L], styles [n, S], the class they go to -> what a method makes of them.
Method = Callable[[Tensor, Tensor, int], Result]


def methods_of(model: StylEx, known: Tensor) -> dict[str, Method]:
    """Name -> what to ask. Methods that draw pictures at random draw from `known` [M, S], styles of training pictures:
    not every model draws good ones of its own."""
    stats, names = stats_of(model), model.class_names

    def attfind(latent: Tensor, s: Tensor, target: int) -> Result:
        labels, moved = model.logits_of(s).argmax(dim=1), s.clone()
        for n in range(len(s)):
            listed = towards(model.attributes, names[int(labels[n])], names[target])[:TOGETHER]
            moved[n : n + 1] = move_together(s[n : n + 1], [(a.index, a.direction) for a in listed], stats)
        return Result(moved, len(s), {})

    def attfind_subset(latent: Tensor, s: Tensor, target: int) -> Result:
        edits_of, moved, tried = model.edits_of(32), s.clone(), 0
        for n in range(len(s)):
            one = s[n : n + 1]
            candidates, ways = propose(model, one, target)
            (effect,) = effect_table(model.logits_of, one, stats, candidates=candidates, edits_of=edits_of, moves=ways)
            moves = [(int(candidates[m]), d) for m, d in top_moves(effect, target, len(candidates))]
            chosen = subset(model.logits_of, one, stats, moves, target, TOGETHER, edits_of=edits_of)
            moved[n : n + 1] = move_together(one, chosen, stats)
            tried += 3 + int(ways.sum()) + len(moves) * len(chosen)
        return Result(moved, tried, {})

    def counterfactual(space: str) -> Method:
        def ask(latent: Tensor, s: Tensor, target: int) -> Result:
            found = counterfactuals(model, latent, s, target, space=space)  # type: ignore[arg-type]
            moved = model.styles(found.z) if space == "w" else found.z
            numbers = {"arrived": found.arrived.tolist(), "searched": found.coordinates.tolist()}
            return Result(moved, found.passes, numbers)

        return ask

    def eigenfind(latent: Tensor, s: Tensor, target: int) -> Result:
        weight = affine_weight(model.styles, model.config.latent_dim, model.config.w_dim, model.device)
        directions = eigen_directions(weight, model.space.num_conv)
        found = find_directions(
            model.logits_of, s, directions, target, low=stats.s_min, high=stats.s_max, batch_size=at_once(model)
        )
        moved, left = s.clone(), torch.ones(len(s), dtype=torch.bool)
        for edit in found.edits:  # the first that flips a picture; where none does, the best of all
            after = within(model, s, edit.apply(s))
            first = edit is found.edits[0]
            flips = model.logits_of(after).argmax(dim=1) == target
            take = (flips & left) | (first & left)
            moved[take] = after[take]
            left &= ~flips
        return Result(moved, found.passes, {"explained": [found.explained] * len(s)})

    def ganalyze(latent: Tensor, s: Tensor, target: int) -> Result:
        (edit,) = direction_edits(model, "ganalyze", target, s, 1, known)
        return Result(within(model, s, edit.apply(s)), 4 * 8 * edit.found["steps"], {})

    def coordinates(name: str) -> Method:
        def ask(latent: Tensor, s: Tensor, target: int) -> Result:
            moves = coordinate_moves(model, name, target, TOGETHER, known)  # type: ignore[arg-type]
            return Result(move_together(s, moves, stats), len(s) + (len(known) if name == "s2n" else 0), {})

        return ask

    return {
        "AttFind, first 10 of the list": attfind,
        "AttFind, until it flips": attfind_subset,
        "counterfactual, fewest coordinates": counterfactual("few"),
        "counterfactual, shortest way": counterfactual("styles"),
        "counterfactual, in w": counterfactual("w"),
        "EigenFind, 8 directions": eigenfind,
        "GANalyze, learned direction": ganalyze,
        "StyleSpace, first 10 by signal to noise": coordinates("s2n"),
        "random, 10 coordinates": coordinates("random"),
    }


def measure(
    model: StylEx,
    x: Tensor,
    known: Tensor,
    stranger: Callable[[Tensor], Tensor] | None,
    eye: Callable[[Tensor], Tensor] | None,
    batch_size: int,
    only: str = "",
) -> list[dict[str, Any]]:
    """A row of numbers for each method that `only` names, over pictures x [N, 3, R, R].

    Args:
        known: some of the training pictures.
        only: a part of the method's name, or several with | between them.
    """
    wanted = only.lower().split("|")
    latent = torch.cat([model.encode(part) for part in x.split(batch_size)])
    s = torch.cat([model.styles(part) for part in latent.split(batch_size)])
    known_s = torch.cat([model.styles(model.encode(part)) for part in known.split(batch_size)])
    before = torch.cat([model.synthesize(part) for part in s.split(batch_size)])
    logits = torch.cat([model.logits(part) for part in before.split(batch_size)])
    source, target = logits.topk(2, dim=1).indices.t()
    strange = ask(stranger, before, batch_size)
    seen = ask(eye, before, batch_size)
    rows = []
    for name, method in methods_of(model, known_s).items():
        if not any(part in name.lower() for part in wanted):
            continue
        start, cpu, passes = time.perf_counter(), time.process_time(), 0.0
        moved, found = s.clone(), {}
        try:
            for t in target.unique().tolist():
                group = (target == t).nonzero().flatten()
                for part in group.split(batch_size):
                    result = method(latent[part], s[part], t)
                    moved[part], passes = result.s, passes + result.passes
                    for key, values in result.found.items():
                        found.setdefault(key, []).extend(values)
        except (MethodError, ModelError) as error:
            rows.append({"name": name, "note": str(error)})
            continue
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        after = torch.cat([model.synthesize(part) for part in moved.split(batch_size)])
        flips = torch.cat([model.logits(part) for part in after.split(batch_size)]).argmax(dim=1) == target
        changed = (moved != s)[:, : model.space.num_conv].sum(dim=1).float()
        cout = torch.cat(
            [
                metrics.cout(model.classify, *part)
                for part in zip(*(v.split(batch_size) for v in (before, after, source, target)), strict=True)
            ]
        )
        row: dict[str, Any] = {
            "name": name,
            "flips": share(flips),
            "coordinates": float(changed.median()),
            "changed_share": round(float(metrics.changed_share(before, after).mean()), 4),
            "cout": round(float(cout.mean()), 4),
            "flips_interval": interval(flips),
            "total_seconds": round(seconds, 1),
            "seconds": round(seconds / len(x), 4),
            "cpu_seconds": round(cpu / len(x), 4),
            "passes": round(passes / len(x), 1),
        }
        if strange is not None:
            open_ = strange.argmax(dim=1) != target  # where the stranger does not see the target already
            after_ = ask(stranger, after, batch_size)
            assert after_ is not None
            if open_.any():
                follows = (after_.argmax(dim=1) == target)[open_]
                row |= {"stranger_flips": share(follows), "stranger_flips_interval": interval(follows)}
        if seen is not None:
            after_ = ask(eye, after, batch_size)
            assert after_ is not None
            row["distance"] = round(float((1 - F.cosine_similarity(seen, after_, dim=1)).mean()), 4)
        row |= {key: round(sum(values) / len(values), 4) for key, values in found.items() if values}
        rows.append(row)
        print(f"{name}: {row}", file=sys.stderr)
    return rows


def ask(judge: Callable[[Tensor], Tensor] | None, x: Tensor, batch_size: int) -> Tensor | None:
    return None if judge is None else torch.cat([judge(part) for part in x.split(batch_size)])


def share(hits: Tensor) -> float:
    return round(float(hits.float().mean()), 4)


def interval(hits: Tensor) -> list[float]:
    """Where the share lies with a confidence of 95 %."""
    return [round(end, 4) for end in metrics.wilson(float(hits.float().mean()), len(hits))]


COLUMNS = {
    "flips": "flips",
    "stranger_flips": "by the stranger",
    "coordinates": "coordinates",
    "changed_share": "pixels changed",
    "cout": "COUT",
    "distance": "distance",
    "seconds": "seconds",
    "passes": "passes",
}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a table of a document."""
    lines = ["| method | " + " | ".join(COLUMNS.values()) + " |", "| --- " * (len(COLUMNS) + 1) + "|"]
    for row in rows:
        cells = [row["name"]]
        for key in COLUMNS:
            low, high = row.get(f"{key}_interval", (None, None))
            cells.append(f"{row.get(key, '–')}" + ("" if low is None else f" ({low:.2f} to {high:.2f})"))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(args: list[str] | None = None) -> dict[str, Any]:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="model folder or Hub repository")
    parser.add_argument("--data", required=True, help="pictures, as of train/train.py; the val part is measured")
    parser.add_argument("--pictures", type=int, default=64, help="how many (default %(default)s)")
    parser.add_argument(
        "--stranger-pictures",
        type=int,
        default=400,
        help="how many a stranger learns from where the model has none; 0 for no stranger and no distance",
    )
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--only", default="", help="methods with this in their name, such as 'EigenFind|few'")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    o = parser.parse_args(args)
    ready(parser, o.json)
    model = StylEx.from_pretrained(o.model)
    held_out = load_pictures(o.data, model.resolution, "val", model.class_names)
    rows = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))[: o.pictures]
    train = load_pictures(o.data, model.resolution, "train", model.class_names)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    stranger = eye = None
    if o.stranger_pictures:
        judge = model.stranger
        if judge is None:
            judge = fit_stranger(train.subset(order[: o.stranger_pictures]), model.device, o.batch_size)
        eyes, layer, eye = EfficientNetLite2(SIDE), judge, EfficientNetLite1(SIDE).embed

        def stranger(pictures: Tensor) -> Tensor:
            return layer(eyes.embed(pictures))

    x = to_float(held_out.x[rows])
    found = measure(model, x, to_float(train.x[order[:KNOWN]]), stranger, eye, o.batch_size, o.only)
    if not found:
        parser.error(f"no method has {o.only!r} in its name; leave --only out to see them all")
    numbers: dict[str, Any] = {"n": len(x), "prob": PROB, "threads": torch.get_num_threads(), "methods": found}
    if stranger is not None and held_out.labels is not None:
        said = ask(stranger, x, o.batch_size)
        assert said is not None
        numbers["stranger_accuracy"] = share(said.argmax(dim=1) == held_out.labels[rows])
    if o.json is not None:
        put_json(o.json, numbers, option="--json")
    print(table(found))
    return numbers


if __name__ == "__main__":
    main()
