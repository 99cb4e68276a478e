"""Does AttFind find the cause? Pictures drawn by code, a cause planted in them, and every method asked for it.

    python benchmarks/planted.py --scenarios code,shortcut,sham --seeds 1 --json planted.json --docs docs

For each scenario and seed: pictures are drawn, a classifier learns them (or is code), and `train/train.py` with the
laptop's recipe and `train/find_attributes.py` are started as a user would start them. Then each method's edits are
measured against what the classifier really goes by. What is done is not done again, so this can be stopped and started.
docs/proof.md says what each number means; `--docs` writes its tables, and what each run measured beside them: more
seeds can be added there (`--first-seed`) by whoever has none of the runs. Words that are not its own go to
train/train.py. Grad-CAM's maps are captum's (`pip install captum`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from benchmarks import page
from benchmarks.output import ready
from benchmarks.page import line
from benchmarks.planting import measuring, numbers
from benchmarks.planting.methods import methods_of
from benchmarks.planting.pictures import SEEDS_APART, Planted, part_of, plant
from benchmarks.planting.reader import BAR, LEARNT_FROM, STEPS, reader_of
from benchmarks.planting.scenarios import LEARNING, SCENARIOS, Scenario
from benchmarks.planting.scenes import NAMES
from benchmarks.planting.truth import truths
from stylex import StylEx
from stylex.attfind.effects import towards
from stylex.methods import maps
from stylex.methods.records import MethodError
from stylex.pictures.images import to_pil_list
from stylex.pictures.render import grid
from stylex.storage.files import read_json, write_json
from stylex.storage.outputs import OutputError, check_place, put_json
from stylex.stylespace import StyleStats, move
from stylex.terminal import print_anything
from train import find_attributes
from train.data.records import DataError

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "train/configs/laptop.yaml"
SEARCH: dict[str, Any] = {"images": 60, "certify": 0, "report": False}
KNOWN = 300  # training pictures that a method may draw from
ASKED = 24  # held-out pictures of each target on which edits are measured
TRUE_ON = 64  # held-out pictures whose factors are re-drawn
SHOWN, SCALE = 6, 2  # pictures on a sheet, and how much larger
RUNS = "runs.json"  # beside the sheets: what the tables are made from
MOST_SEEDS = LEARNT_FROM // SEEDS_APART  # the pictures of the next one are those that the reader learnt from


def spelled(options: dict[str, Any]) -> list[str]:
    """Options as words of a command line."""
    return [
        word
        for name, value in options.items()
        for word in (f"--{name}", str(value).lower() if isinstance(value, bool) else str(value))
    ]


def run(script: str, *args: str) -> None:
    """Start one of our scripts; where it ends early, so do we, for its own sentence has said why."""
    code = subprocess.run([sys.executable, str(ROOT / "train" / script), *args], cwd=ROOT).returncode
    if code:
        sys.exit(f"error: train/{script} ended with {code}, see above; the same command goes on from there")


def classifier_of(scenario: Scenario, folder: Path) -> str:
    return scenario.code or str(folder / "classifier")


def prepare(scenario: Scenario, seed: int, folder: Path, side: int, more: list[str]) -> None:
    """Draw, learn, train and search, each unless it is done."""
    folder.mkdir(parents=True, exist_ok=True)
    plant(scenario, seed, side, folder)
    data, classifier, model = str(folder / "pictures"), classifier_of(scenario, folder), str(folder / "run" / "model")
    if not scenario.code and not (folder / "classifier" / "metrics.json").exists():
        options = {"data": data, "output": classifier, "resolution": side, "seed": seed}
        run("train_classifier.py", *spelled({**options, **LEARNING, **scenario.learning}))
    if not (folder / "run" / "metrics.json").exists():
        given = {"data": data, "classifier": classifier, "output": str(folder / "run"), "resolution": side}
        given |= {"flips": "none", "seed": seed}
        run("train.py", "--config", str(ROOT / CONFIG), *more, *spelled(given))  # what is ours has the last word
    if not (folder / "searched.json").exists():
        asked = {"model": model, "data": data, "seed": seed, **SEARCH, **scenario.search}
        if scenario.code:
            asked["classifier"] = scenario.code
        write_json(folder / "searched.json", search(spelled(asked)))


def search(words: list[str]) -> dict[str, Any]:
    """`train/find_attributes.py`; that it finds nothing is an answer, too."""
    start = time.perf_counter()
    try:
        find_attributes.main(words)
    except DataError as error:
        return {"nothing": str(error)}
    return {"seconds": round(time.perf_counter() - start, 1)}


def measure(scenario: Scenario, folder: Path, read: Any) -> dict[str, Any]:
    """Every number of one run."""
    model = StylEx.from_pretrained(folder / "run" / "model", classifier=scenario.code)
    known = styles(model, part_of(folder, "train", scenario.class_names), KNOWN)[1]
    if model.stats is None:  # the search found nothing
        model.stats = StyleStats.of(known)
    val = part_of(folder, "val", scenario.class_names)
    latent, s = styles(model, val)
    ask = measuring.Asked(model.synthesize, model.logits, read)
    held = measuring.Held(val.factors, val.seeds, s, val.side)
    x_rec = measuring.all_of(model.synthesize, s)
    said = measuring.all_of(model.logits, x_rec).argmax(dim=1)
    truth = truths(model.logits, val.factors[:TRUE_ON], val.seeds[:TRUE_ON], val.side)
    seen = read(x_rec)
    said_of = [model.class_names[k] for k in measuring.all_of(model.logits, val.x()).argmax(dim=1).tolist()]
    rows: dict[str, list[measuring.Towards]] = {}
    places: dict[str, list[float]] = {"mask": [], "Grad-CAM": []}
    for target, true in truth.items():
        chosen = (said != target).nonzero().flatten()[:ASKED]
        if not len(chosen):
            continue
        mine = held.of(chosen)
        mask = measuring.cause_masks(mine, true)
        for name, method in methods_of(model, known).items():
            try:
                after = method(latent[chosen], mine.s, target)
            except MethodError as error:
                print(f"{name}: {error}", file=sys.stderr)
                after = []
            edits = [measuring.edited(ask, mine, one, target) for one in after]
            rows.setdefault(name, []).append(measuring.Towards(edits, true, mask))
        if mask is not None:
            places["mask"].append(float(mask.float().mean()))
            places["Grad-CAM"].append(grad_cam(model, val, chosen, mask))
    return {
        "side": val.side,
        "n": len(val.names),
        "trained_on": trained_on(folder / "run"),
        "accuracy": measuring.mean([r == name.split("/")[0] for r, name in zip(said_of, val.names, strict=True)]),
        "classes": {
            model.class_names[t]: {
                "causes": [name for name, cause in zip(NAMES, true.causes.tolist(), strict=True) if cause],
                "effect": rounded(true.effect),
                "rise": rounded(true.rise),
            }
            for t, true in truth.items()
        },
        "drawn": rounded(numbers.r_squared(val.factors, seen)),
        "drawn_intervals": dict(zip(NAMES, measuring.drawn_intervals(val.factors, seen), strict=True)),
        "place_by_chance": measuring.mean(places["mask"]),
        "place_grad_cam": measuring.mean(places["Grad-CAM"]),
        "methods": {name: numbers_of(each) for name, each in rows.items()},
    }


def numbers_of(by_target: list[measuring.Towards]) -> dict[str, Any]:
    """A method's numbers, over all classes and towards each."""
    each = [measuring.towards(one) for one in by_target]
    return {**measuring.summed_up(each), "intervals": measuring.intervals(by_target), "towards": each}


def trained_on(run: Path) -> int:
    """Pictures that a training run has seen."""
    return int(json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])["nimg"])


def styles(model: StylEx, pictures: Planted, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Latents and styles of the first pictures, [N, L] and [N, S]."""
    latent = measuring.all_of(model.encode, pictures.x()[:count])
    return latent, measuring.all_of(model.styles, latent)


def rounded(values: Tensor) -> dict[str, float | None]:
    return {name: measuring.mean([value]) for name, value in zip(NAMES, values.tolist(), strict=True)}


def grad_cam(model: StylEx, val: Planted, rows: Tensor, mask: Tensor) -> float:
    """Share of Grad-CAM's map that lies on the causes, on the photographs themselves; NaN where it has no layer."""
    x, found = val.x()[rows], []
    try:
        for one, answer in zip(x.split(1), model.logits(x).argmax(dim=1).tolist(), strict=True):
            found.append(maps.attribute(model.classifier, one, answer, "gradcam").values)
    except MethodError as error:
        print(f"Grad-CAM: {error}", file=sys.stderr)
        return float("nan")
    return numbers.place(torch.stack(found), mask)


def sheet(scenario: Scenario, folder: Path) -> None:
    """Held-out pictures, their reconstructions, and these with the first attribute of the other class moved."""
    model = StylEx.from_pretrained(folder / "run" / "model", classifier=scenario.code)
    x = part_of(folder, "val", scenario.class_names).x()
    x = x[torch.linspace(0, len(x) - 1, SHOWN).round().long()]
    s = measuring.all_of(model.styles, measuring.all_of(model.encode, x))
    x_rec, moved = model.synthesize(s), []
    for one, rec in zip(s.split(1), x_rec.split(1), strict=True):
        here = model.class_names[int(model.logits(rec).argmax())]
        listed = [a for t in model.class_names if t != here for a in towards(model.attributes, here, t)[:1]]
        if listed and model.stats:
            rec = model.synthesize(move(one, listed[0].index, listed[0].direction, model.stats))
        moved.append(rec)
    rows = [to_pil_list(x), to_pil_list(x_rec), to_pil_list(torch.cat(moved))]
    grid(rows, scale=SCALE).save(folder / "sheet.webp", quality=85)


# Tables.


def short(run: dict[str, Any]) -> dict[str, Any]:
    """What the tables need of a run's numbers."""
    own = ("side", "trained_on", "accuracy", "drawn", "drawn_intervals", "place_by_chance", "place_grad_cam")
    of_method = ("claims", *NUMBERS, "intervals")
    return {
        **{key: run[key] for key in own},
        "classes": {name: {"causes": found["causes"]} for name, found in run["classes"].items()},
        "methods": {name: {key: found[key] for key in of_method} for name, found in run["methods"].items()},
    }


def runs_of(base: Path, side: int, docs: Path | None) -> dict[str, dict[str, Any]]:
    """Name and seed of every run -> its numbers: those that the page was written from, and in their place those of
    here."""
    kept = docs / "proof" / RUNS if docs else None
    found = read_json(kept) if kept and kept.exists() else {}
    for name in SCENARIOS:
        for path in sorted(base.glob(f"{name}-[0-9]*/numbers.json")):
            found[path.parent.name] = short(read_json(path))
    return {key: run for key, run in found.items() if run["side"] == side}


def together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds of a scenario, and how far apart they are; causes are those of any seed."""
    methods = {}
    for name in runs[0]["methods"]:
        found = [r["methods"][name] for r in runs]
        methods[name] = {key: measuring.mean([f[key] for f in found]) for key in (*NUMBERS, "claims")}
        methods[name]["intervals"] = {
            key: spread([f[key] for f in found], [f["intervals"][key] for f in found]) for key in NUMBERS
        }
    classes = {
        t: sorted({cause for r in runs for cause in r["classes"].get(t, {}).get("causes", [])}, key=NAMES.index)
        for t in runs[0]["classes"]
    }
    return {
        "seeds": len(runs),
        "trained_on": measuring.mean([r["trained_on"] for r in runs]),
        "accuracy": measuring.mean([r["accuracy"] for r in runs]),
        "causes": classes,
        "drawn": {name: measuring.mean([r["drawn"][name] for r in runs]) for name in NAMES},
        "drawn_intervals": {
            name: spread([r["drawn"][name] for r in runs], [r["drawn_intervals"][name] for r in runs]) for name in NAMES
        },
        "place_by_chance": measuring.mean([r["place_by_chance"] for r in runs]),
        "place_grad_cam": measuring.mean([r["place_grad_cam"] for r in runs]),
        "methods": methods,
    }


def spread(values: list[float | None], intervals: list[list[float] | None]) -> list[float] | None:
    """The interval of a single run, over its pictures; of several runs, the lowest and the highest."""
    if len(values) == 1:
        return intervals[0]
    known = [value for value in values if value is not None]
    return [min(known), max(known)] if known else None


def causes_of(row: dict[str, Any]) -> list[str]:
    return sorted({cause for found in row["causes"].values() for cause in found}, key=NAMES.index)


def shown(value: float | None, interval: list[float] | None = None) -> str:
    """A number, and in brackets its interval where that says more."""
    if value is None:
        return "–"
    number, *ends = (f"{v:.2f}".removesuffix(".00") for v in (value, *(interval or ())))
    return number if set(ends) <= {number} else f"{number} ({' to '.join(ends)})"


NUMBERS = {
    "recall_at_5": "recall@5",
    "false_causes": "false causes",
    "purity": "purity",
    "rank_correlation": "rank correlation",
    "place": "place",
}


def cells_of(found: dict[str, Any]) -> list[str]:
    """A method's numbers."""
    return [shown(found[key], found["intervals"][key]) for key in NUMBERS]


def scenario_table(done: dict[str, dict[str, Any]]) -> str:
    """What AttFind reaches on each scenario."""
    head = [
        "scenario",
        "seeds",
        "trained on",
        "causes, by the classifier",
        "drawn",
        *NUMBERS.values(),
        "place by chance",
    ]
    lines = [line(head), "| --- | ---: | ---: | --- | ---: |" + " ---: |" * (len(NUMBERS) + 1)]
    for name, row in done.items():
        found, causes = row["methods"]["AttFind"], causes_of(row)
        drawn = [shown(row["drawn"][cause], row["drawn_intervals"][cause]).replace(" ", "&nbsp;") for cause in causes]
        # A line for each cause, beside its number.
        beside = ["<br>".join(causes) or "none", "<br>".join(drawn) or "–"]
        cells = [name, str(row["seeds"]), f"{row['trained_on']:,.0f}", *beside]
        lines.append(line([*cells, *cells_of(found), shown(row["place_by_chance"])]))
    return "\n".join(lines)


def method_table(row: dict[str, Any]) -> str:
    """All methods on one scenario."""
    head = ["method", "claims", *NUMBERS.values()]
    lines = [line(head), "| --- |" + " ---: |" * (len(NUMBERS) + 1)]
    for name, found in row["methods"].items():
        lines.append(line([name, shown(found["claims"]), *cells_of(found)]))
    lines.append(line(["Grad-CAM", *["–"] * len(NUMBERS), shown(row["place_grad_cam"])]))
    return "\n".join(lines)


def sham_alarms(done: dict[str, dict[str, Any]]) -> dict[str, float] | None:
    """Claims of each method where nothing is to be found."""
    return {name: m["claims"] for name, m in done["sham"]["methods"].items()} if "sham" in done else None


def publish(
    runs: dict[str, dict[str, Any]], done: dict[str, dict[str, Any]], base: Path, docs: Path, reader: dict[str, float]
) -> None:
    """The tables and sheets, between their marks in proof.md of `docs`; what is around them is left alone."""
    (docs / "proof").mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(run)}" for key, run in sorted(runs.items()))
    (docs / "proof" / RUNS).write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    write = partial(page.write, docs / "proof.md", script="planted", title="Planted causes")
    write("planted scenarios", table=scenario_table(done))
    parts = []
    for name, row in done.items():
        drawn_here = base / f"{name}-0" / "sheet.webp"
        if drawn_here.exists():
            (docs / "proof" / f"{name}.webp").write_bytes(drawn_here.read_bytes())
        drawn = ", ".join(f"{factor} {shown(value)}" for factor, value in row["drawn"].items() if value is not None)
        parts += [
            f"**{name}**: {SCENARIOS[name].says}. The classifier is right on {row['accuracy']:.0%} of the held-out "
            f"pictures. Drawn: {drawn}.",
            "",
            method_table(row),
            "",
            f"![pictures, their reconstructions, and these with the first attribute moved](proof/{name}.webp)",
            "",
        ]
    write("planted methods", table="\n".join(parts))
    read = ", ".join(f"{factor} {value:.3f}" for factor, value in reader.items())
    write("planted reader", table=f"R² of the reader on pictures it has not seen: {read}.")


def runs_parser(doc: str | None, page: str) -> argparse.ArgumentParser:
    """What is asked of every script that works on these runs; `page` is the document that --docs writes."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--side", type=int, default=64, help="pixels of the pictures (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/planted"), help="folder of the runs")
    parser.add_argument("--reader-steps", type=int, default=STEPS, help="of the reader's training (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--docs", type=Path, help=f"folder whose {page} is written")
    return parser


def base_of(o: argparse.Namespace) -> Path:
    """Where the runs of one size lie; the scripts they start are started elsewhere.

    Raises:
        OutputError: if they, or the document, cannot be written there.
    """
    check_place(o.output)
    if o.docs:
        check_place(o.docs, "--docs")
    return o.output.resolve() / f"{o.side}px"


def main(args: list[str] | None = None) -> dict[str, Any]:
    print_anything()
    parser = runs_parser(__doc__, "proof.md")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="which, with commas (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each (default %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="of the runs (default %(default)s)")
    o, more = parser.parse_known_args(args)
    names = o.scenarios.split(",")
    if unknown := [name for name in names if name not in SCENARIOS]:
        parser.error(f"there is no scenario {', '.join(unknown)}; choose of {', '.join(SCENARIOS)}")
    if o.seeds < 1:
        parser.error(f"--seeds is {o.seeds}; use 1 or more")
    if not 0 <= o.first_seed <= MOST_SEEDS - o.seeds:
        parser.error(f"--first-seed is {o.first_seed}, of {o.seeds} runs; use seeds from 0 to {MOST_SEEDS - 1}")
    if find_spec("captum") is None:
        parser.error(maps.NO_CAPTUM)
    ready(parser, o.json)
    try:
        base = base_of(o)
        read = reader_of(base / "reader", o.side, o.reader_steps, BAR)
    except (OutputError, ValueError) as error:
        parser.error(str(error))
    # One of each scenario first: a table of one seed says more than half a table of five.
    for seed in range(o.first_seed, o.first_seed + o.seeds):
        for name in names:
            folder = base / f"{name}-{seed}"
            if not (folder / "numbers.json").exists():
                prepare(SCENARIOS[name], seed, folder, o.side, more)
                if seed == 0:
                    sheet(SCENARIOS[name], folder)
                write_json(folder / "numbers.json", measure(SCENARIOS[name], folder, read))
    runs, done = runs_of(base, o.side, o.docs), {}
    for name in SCENARIOS:  # those of former calls, too
        if found := [run for key, run in runs.items() if key.rpartition("-")[0] == name]:
            done[name] = together(found)
    reached = read_json(base / "reader" / "reader.json")["r_squared"]
    result = {"side": o.side, "reader": reached, "sham_alarms": sham_alarms(done), "scenarios": done}
    print(scenario_table(done))
    for name, row in done.items():
        print(f"\n{name}\n{method_table(row)}")
    if o.json:
        put_json(o.json, result, option="--json")
    if o.docs:
        publish(runs, done, base, o.docs, reached)
    return result


if __name__ == "__main__":
    main()
