"""What each choice of training is worth: one short run for each, all else alike, measured on held-out pictures.

    python benchmarks/ablations.py --data PICTURES --docs docs \\
        --classifier checkpoints/leaves/classifier --judge checkpoints/leaves/judge

A row is `train/train.py`, `train/find_attributes.py` and `train/evaluate.py`, started as a user would start them. A row
that is done is not done again, so this can be stopped and started. `--docs` writes the table and a sheet for each row
into ablations.md of that folder. Minutes are of the processor, for the machine may have had other work.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import page
from stylex.classifiers.stranger import Stranger
from stylex.model import StylEx
from stylex.pictures.images import to_pil_list
from stylex.pictures.render import grid
from stylex.storage.files import read_json, write_json
from stylex.storage.outputs import OutputError, check_place, claim
from stylex.stylespace import move
from stylex.terminal import print_anything
from train.data.pictures import load_pictures, to_float
from train.measure.judges import keep_stranger

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "train/configs/ablations.yaml"
PAGE = "ablations.md"
# By sums of single effects, as all rows of docs/ablations.md were searched: rows compare only with rows.
SEARCH = {
    "images": 40,
    "candidates": 40,
    "certify": 0,
    "rule": "accumulated",
    "explained": 6,
    "count": 20,
    "report": "false",
}
SHOWN = 6  # pictures on a sheet, of each class as many
SCALE = 2


@dataclass(frozen=True)
class Row:
    """One run: its folder's name, what it asks, the options that differ from the configuration, and its table."""

    name: str
    asks: str
    changes: dict[str, Any] = field(default_factory=dict)
    table: str = "losses"


PROJECTED = {"discriminator": "projected", "fade_in_kimg": 1, "balance": True, "adversarial_weight": 1.5}
ROWS = [
    Row("base", "the configuration as it is"),
    Row("seed", "the same with another seed: what chance alone does", {"seed": 1}),
    Row("no-warmup", "no warm-up: joint training from the first step", {"warmup_kimg": 0}),
    Row("all-warmup", "nothing but warm-up: no discriminator at all", {"warmup_kimg": 1000}),
    Row("temperature-1", "probabilities as the classifier says them", {"temperature": 1}),
    Row("no-swap", "no class swap", {"class_swap": 0}),
    Row("less-swap", "half as much class swap", {"class_swap": 0.2}),
    Row("no-dropout", "class swap without swap dropout", {"swap_dropout": 0}),
    Row("few", "on half of the swapped pictures only the 10 coordinates follow that the class owns", {"swap_few": 10}),
    Row("views", "the classification loss looks at moved, turned and grainy views", {"kl_views": 1}),
    Row("no-sparsity", "no penalty on what the coordinates read of the class", {"sparsity_weight": 0}),
    Row("ramp", "the classification loss comes in over the first 2 kimg", {"kl_ramp_kimg": 2}),
    Row(
        "no-class-loss", "no classification loss (and no class swap, which needs it)", {"kl_weight": 0, "class_swap": 0}
    ),
    Row(
        "paper",
        "the paper's losses alone, probabilities as they are",
        {"class_swap": 0, "sparsity_weight": 0, "temperature": 1, "random_path_every": 2},
    ),
    Row("half-width", "half the channels", {"channels": [48, 48, 32, 16], "trunk_channels": [48, 48, 32, 16]}),
    Row("wide-16", "twice the generator's channels at 16 and 32 px", {"channels": [96, 96, 128, 64]}),
    Row("batch-16", "twice the batch, half the steps", {"batch_size": 16}),
    Row("rate-1e-3", "half the learning rate", {"learning_rate": 0.001}),
    Row("slow-encoder", "half the learning rate for the encoder", {"encoder_lr_mul": 0.5}),
    Row("dihedral", "quarter turns and both mirrors instead of one mirror", {"flips": "dihedral"}),
    # What sees, and what says where.
    Row("plain", "no places, a discriminator of its own", {}, "sight"),
    Row("plain-seed", "the same with another seed", {"seed": 1}, "sight"),
    Row("places", "places", {"places": 8}, "sight"),
    Row("projected", "the projected discriminator", PROJECTED, "sight"),
    Row("both", "both", {"places": 8, **PROJECTED}, "sight"),
    Row("both-seed", "the same with another seed", {"places": 8, **PROJECTED, "seed": 1}, "sight"),
    Row(
        "unbalanced",
        "both, with a fixed adversarial weight",
        {"places": 8, **PROJECTED, "balance": False, "adversarial_weight": 0.25},
        "sight",
    ),
    Row(
        "moved",
        "both, and on a tenth of the steps the places of another picture",
        {"places": 8, **PROJECTED, "places_swap": 0.1},
        "sight",
    ),
    # What makes detail count.
    Row("pyramid", "both, and a Laplacian pyramid", {"places": 8, **PROJECTED, "pyramid_weight": 3}, "detail"),
    Row(
        "pyramid-seed",
        "the same with another seed",
        {"places": 8, **PROJECTED, "pyramid_weight": 3, "seed": 1},
        "detail",
    ),
    Row("heavier", "both, and twice the weight of the pixels", {"places": 8, **PROJECTED, "l1_weight": 6}, "detail"),
]
TABLES = tuple(dict.fromkeys(row.table for row in ROWS))


def spelled(options: dict[str, Any]) -> list[str]:
    """Options as words of a command line."""
    return [word for name, value in options.items() for word in (f"--{name}", str(value).replace(" ", ""))]


def command(row: Row) -> str:
    return " ".join(["train/train.py", "--config", CONFIG, *spelled(row.changes)])


def run(script: str, *args: str) -> float:
    """Run one of our scripts; processor minutes."""

    def used() -> float:
        times = resource.getrusage(resource.RUSAGE_CHILDREN)
        return times.ru_utime + times.ru_stime

    before = used()
    subprocess.run([sys.executable, str(ROOT / "train" / script), *args], check=True, cwd=ROOT)
    return (used() - before) / 60


def measure(row: Row, data: str, classifier: str, folder: Path, more: list[str]) -> None:
    """Train, search, evaluate and draw one row into `folder`, unless that was done before.

    Args:
        more: words for train/train.py that hold for every row.
    """
    if (folder / "row.json").exists():
        return
    model, metrics = str(folder / "model"), folder / "metrics-val.json"
    given = ["--data", data, "--classifier", classifier, "--output", str(folder)]
    minutes = run("train.py", "--config", str(ROOT / CONFIG), *given, *more, *spelled(row.changes))
    try:
        run("find_attributes.py", "--model", model, "--data", data, *spelled(SEARCH))
    except subprocess.CalledProcessError:
        print(f"{row.name}: no attributes, as the search said above; the row has no numbers of them", file=sys.stderr)
    lend_stranger(folder / "model", folder.parent / "stranger")
    run("evaluate.py", "--model", model, "--data", data, "--split", "val", "--output", str(metrics))
    trained = StylEx.from_pretrained(model)
    if trained.stranger is not None:
        trained.stranger.save_pretrained(folder.parent / "stranger")
    sheet(trained, data, folder / "sheet.webp")
    write_json(folder / "row.json", {"minutes": round(minutes, 1), **read_json(metrics)})


def lend_stranger(model: Path, folder: Path) -> None:
    """The stranger that the first row has made judges the others, too: it learns from the pictures alone."""
    given = StylEx.from_pretrained(str(model))
    if folder.is_dir() and given.stranger is None:
        keep_stranger(Stranger.load(folder, given.class_names), model)


@torch.no_grad()
def sheet(model: StylEx, data: str, path: Path) -> None:
    """Reconstructions of held-out pictures, and below each the same with its class's first attribute moved.

    No photograph is on it, so it may be published where the pictures may not.
    """
    pictures = load_pictures(data, model.resolution, "val", model.class_names)
    each = max(1, SHOWN // len(model.class_names))
    index = torch.cat([(pictures.labels == k).nonzero().flatten()[:each] for k in range(len(model.class_names))])
    s = model.styles(model.encode(to_float(pictures.x[index])))
    x_rec = model.synthesize(s)
    moved = []
    for one, x in zip(s.split(1), x_rec.split(1), strict=True):
        here = int(model.logits(x).argmax())
        first = next((a for a in model.attributes if a.target != model.class_names[here]), None)
        if first and model.stats:
            x = model.synthesize(move(one, first.index, first.direction, model.stats))
        moved.append(x)
    rows = [to_pil_list(x_rec), to_pil_list(torch.cat(moved))]
    grid(rows, scale=SCALE).save(path, quality=85)


COLUMNS = {
    "agreement": lambda n: n["agreement"],
    "second agreement": lambda n: n.get("second_agreement"),
    "stranger's agreement": lambda n: n.get("stranger_agreement"),
    "retrieval@1": lambda n: n["retrieval"],
    "L1": lambda n: n["l1"],
    "KID": lambda n: n.get("kid"),
    "sufficiency@10": lambda n: n.get("sufficiency", {}).get("10"),
    "by the judge": lambda n: n.get("second_sufficiency", {}).get("10"),
    "by the stranger": lambda n: n.get("stranger_sufficiency", {}).get("10"),
    "sufficiency@1": lambda n: n.get("sufficiency", {}).get("1"),
    "visibility": lambda n: n.get("visibility"),
    "CPU minutes": lambda n: n["minutes"],
}


def table(done: dict[str, dict[str, Any]], name: str) -> str:
    """The rows of one table that are done, as Markdown."""
    lines = ["| row | " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    for row in ROWS:
        if row.table == name and (numbers := done.get(row.name)):
            cells = ["" if (v := column(numbers)) is None else f"{v:g}" for column in COLUMNS.values()]
            lines.append(f"| {row.asks} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rows_of(name: str) -> str:
    return f"rows of {name}"


def publish(done: dict[str, dict[str, Any]], name: str, output: Path, docs: Path) -> None:
    """A table, its commands and sheets between its marks in docs/ablations.md; what is around them is left alone."""
    pictures = docs / "ablations"
    pictures.mkdir(parents=True, exist_ok=True)
    parts = [table(done, name), ""]
    for row in ROWS:
        if row.table == name and row.name in done:
            (pictures / f"{row.name}.webp").write_bytes((output / row.name / "sheet.webp").read_bytes())
            parts += [
                f"**{row.asks}** · `{command(row)}`",
                "",
                f"![reconstructions, and below them the first attribute moved](ablations/{row.name}.webp)",
                "",
            ]
    page.write(docs / PAGE, rows_of(name), "ablations", "\n".join(parts), title="Ablations")


def main(args: list[str] | None = None) -> dict[str, dict[str, Any]]:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with one sub-folder of pictures for each class")
    parser.add_argument("--classifier", required=True, help="folder of the classifier, with its judge")
    parser.add_argument("--output", type=Path, default=Path("runs/ablations"), help="folder of the runs")
    parser.add_argument("--rows", nargs="*", choices=[r.name for r in ROWS], help="only these")
    parser.add_argument("--docs", type=Path, help="folder whose ablations.md is written")
    o, more = parser.parse_known_args(args)
    try:
        check_place(o.output)
        if o.docs:
            check_place(o.docs, "--docs")
            for name in TABLES:
                page.read(o.docs / PAGE, rows_of(name), "ablations", title="Ablations")
            if not (o.docs / PAGE).exists():  # then its sheets are not ours either
                claim(o.docs / "ablations", [f"{row.name}.webp" for row in ROWS], option="--docs")
    except OutputError as error:
        parser.error(str(error))
    chosen = [r for r in ROWS if not o.rows or r.name in o.rows]
    for row in chosen:
        measure(row, o.data, o.classifier, o.output / row.name, more)
    files = {r.name: o.output / r.name / "row.json" for r in ROWS}
    done = {name: read_json(file) for name, file in files.items() if file.exists()}
    for name in TABLES:
        if any(row.table == name for row in ROWS if row.name in done):
            print(table(done, name), end="\n\n")
            if o.docs:
                publish(done, name, o.output, o.docs)
    return done


if __name__ == "__main__":
    main()
