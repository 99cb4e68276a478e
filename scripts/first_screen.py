"""What README shows of the bundled models: in motion, what each cost, what was measured, and the paper beside them.

    python scripts/first_screen.py
    python scripts/first_screen.py --sample hands=9-1

Writes docs/first/NAME.gif, a flicker of the most striking sample of a model (or of the one that is named) and of the
attribute that moves it most among those that a person can see; and three tables between their marks in README. To be
started again when a model has changed; a test holds the tables to the models.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import page
from benchmarks.page import line
from scripts.order_samples import best_edit
from stylex import ModelError, StylEx
from stylex.pictures.images import to_pil
from stylex.pictures.render import flicker, probability
from stylex.storage.files import read_json
from stylex.storage.outputs import OutputError
from stylex.terminal import print_anything
from train.measure.answers import PUBLISHED

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = "scripts/first_screen"
SIDE = 256  # pixels of a flicker: three stand beside each other on a desk, and below each other on a phone
DURATION_MS = 800


SHOWN = ("leaves-128", "hands", "cats_dogs")
# What Lang et al. say of theirs: two studies with people; attributes on their page; the model that they released.
PAPER = {
    "told apart": "people: " + ", ".join(f"{share} ({of})" for of, share in PUBLISHED.items()),
    "attributes": "8 (perceived gender), 8 (perceived age), 4 (cats and dogs), 4 (leaves), 4 (retina)",
    "side": "256 px (perceived age)",
    "classifier": "MobileNet-V1 (perceived age)",
}
# What is measured of each model, its key in metrics.json, and the bars of SHOWN in their order, None where there is
# none. That of L1 is for pictures of 128 px, and from above.
AT_TEN = "10"
MEASURED: dict[str, tuple[str, tuple[float | None, ...]]] = {
    "the classifier is right": ("classifier_accuracy", (0.97, 0.97, None)),
    "reconstructions that keep the classifier's answer (agreement)": ("agreement", (0.97, 0.97, 0.97)),
    "the same, by a second, independent judge": ("second_agreement", (None, None, None)),
    "the same, by a stranger": ("stranger_agreement", (0.95, 0.92, 0.95)),
    "reconstructions nearer to their own picture than to any other (retrieval@1)": ("retrieval", (0.99, 0.98, 0.97)),
    "how far a reconstruction is from its picture, of pixels in [-1, 1] (L1)": ("l1", (0.07, 0.08, None)),
    "decisions that flip when the first 10 attributes move together, each to the end of its range": (
        "sufficiency",
        (0.97, 0.9, 0.95),
    ),
    "the same, by the second judge": ("second_sufficiency", (0.95, 0.85, None)),
    "the same, by the stranger": ("stranger_sufficiency", (0.95, 0.8, 0.85)),
    "edits by one of the top 5 attributes that a person can see": ("visibility", (0.9, 0.9, 0.9)),
}


def facts_of(folder: Path) -> dict[str, Any]:
    """What the files of a model say."""
    classifier, metrics = read_json(folder / "classifier" / "config.json"), read_json(folder / "metrics.json")
    listed = read_json(folder / "attributes.json")["attributes"]
    return {
        "side": read_json(folder / "config.json")["model"]["resolution"],
        "classifier": str(classifier["architecture"]),
        "classes": len(classifier["class_names"]),
        "attributes": len({row["index"] for row in listed}),
        "told apart": metrics.get("two_afc"),
        "metrics": metrics,
        **{key: read_json(folder / "training.json")[key] for key in ("pictures", "minutes", "hardware")},
    }


def cost_table(facts: dict[str, dict[str, Any]]) -> str:
    head = ["model", "the classifier that it explains", "side", "pictures of its last run", "minutes", "machine"]
    lines = [line(head), "| --- | --- | ---: | ---: | ---: | --- |"]
    for name, f in facts.items():
        what = f"{f['classifier']}, {f['classes']} classes"
        cost = [f"{f['side']} px", f"{f['pictures']:,}", f"{f['minutes']:.0f}", f["hardware"]]
        lines.append(line([f"[{name}](checkpoints/{name}/README.md)", what, *cost]))
    return "\n".join(lines)


def against(value: float | None, bar: float | None, key: str) -> str:
    """A number beside its bar, which it keeps or misses."""
    if value is None or bar is None:
        return "–" if value is None else str(value)
    kept, sign = (value <= bar, "≤") if key == "l1" else (value >= bar, "≥")
    return f"{value} ({sign} {bar:.2f}{'' if kept else ', **missed**'})"


def measured_table(facts: dict[str, dict[str, Any]]) -> str:
    head = ["what", *(f"{name}, {f['classes']} classes" for name, f in facts.items())]
    lines = [line(head), "| --- |" + " --- |" * len(facts)]
    for what, (key, bars) in MEASURED.items():
        found = (f["metrics"].get(key) for f in facts.values())
        values = (value[AT_TEN] if isinstance(value, dict) else value for value in found)
        lines.append(line([what, *(against(v, bar, key) for v, bar in zip(values, bars, strict=True))]))
    return "\n".join(lines)


def paper_table(facts: dict[str, dict[str, Any]]) -> str:
    def told(f: dict[str, Any]) -> str:
        return "not measured" if f["told apart"] is None else f"a machine: {f['told apart']:.2f}"

    rows = {
        "which of two changes in the same way? right answers, 0.5 by chance": ("told apart", told),
        "attributes listed": ("attributes", lambda f: str(f["attributes"])),
        "side of the pictures": ("side", lambda f: f"{f['side']} px"),
        "classifier": ("classifier", lambda f: f["classifier"]),
    }
    lines = [line(["", "the paper's models", *facts]), "| --- |" + " --- |" * (len(facts) + 1)]
    for what, (key, say) in rows.items():
        lines.append(line([what, PAPER[key], *(say(f) for f in facts.values())]))
    return "\n".join(lines)


def draw(folder: Path, path: Path, sample: str | None = None) -> None:
    """Write one flicker.

    Raises:
        ModelError: if the model has no such sample, or no attribute that moves one.
    """
    model = StylEx.from_pretrained(folder)
    names = [sample] if sample else read_json(folder / "samples" / "order.json")["order"][:1]
    picture = folder / "samples" / f"{names[0]}.png"
    if not picture.is_file():
        raise ModelError(f"{folder} has no sample {names[0]}; its samples are in {folder / 'samples'}")
    best = best_edit(model, picture)
    if best.attribute is None:
        raise ModelError(f"no attribute of {folder} raises the runner-up of {picture.name}; name another --sample")
    numbers = f"{probability(best.before)} → {probability(best.after)}"
    caption = f"{best.attribute.heading}\n{best.attribute.target}  {numbers}"
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = max(1, round(SIDE / model.resolution))
    flicker(to_pil(best.x), to_pil(best.moved), path, caption, DURATION_MS, scale)


def chosen(parser: argparse.ArgumentParser, words: list[str]) -> dict[str, str]:
    """NAME=SAMPLE, as a table."""
    found = dict(word.split("=", 1) for word in words if "=" in word)
    if len(found) < len(words) or set(found) - set(SHOWN):
        parser.error(f"--sample is {' '.join(words)}; use NAME=SAMPLE, and of the names {', '.join(SHOWN)}")
    return found


def main(args: list[str] | None = None) -> None:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", nargs="+", default=[], metavar="NAME=SAMPLE", help="another picture of a model")
    parser.add_argument("--models", type=Path, default=ROOT / "checkpoints", help="folder of the models")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the pictures")
    parser.add_argument(
        "--readme", type=Path, default=ROOT / "README.md", help="page between whose marks the tables go"
    )
    o = parser.parse_args(args)
    samples = chosen(parser, o.sample)
    try:
        facts = {name: facts_of(o.models / name) for name in SHOWN}
        for name in SHOWN:
            draw(o.models / name, o.docs / "first" / f"{name}.gif", samples.get(name))
        page.write(o.readme, "cost", SCRIPT, cost_table(facts))
        page.write(o.readme, "measured", SCRIPT, measured_table(facts))
        page.write(o.readme, "paper", SCRIPT, paper_table(facts))
    except (ModelError, OutputError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
