"""How long README's recipe takes, from a folder of pictures to explained attributes, and how good they are then.

    python benchmarks/recipe.py --json recipe.json

The commands are read from README.md and started as a person would start them, on pictures drawn for it (flat shapes,
and others shaded pixel by pixel), or on a folder of your own (`--data`). Everything counts, by the clock on the wall:
classifier and judge, training, the search, and the measurement with its stranger. `--docs docs` puts a row for each
kind of picture into speed.md of that folder; rows of other releases and machines stay.

*To retrieval*: until the first report of the training run in which 0.95 of the held-out pictures are nearest to their
own reconstruction, in the features that training looks at. *To sufficiency*: until the search has ended, if its first
ten attributes then flip 0.9 of the decisions on held-out pictures. Both from the start of the first command; the former
only if train/evaluate.py, which looks with other eyes, finds the same at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import page
from benchmarks.output import ready
from stylex.storage.files import read_json
from stylex.storage.outputs import OutputError, check_place, put_json
from stylex.terminal import print_anything
from stylex.version import __version__

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("toadstools", "eyes")  # each drawn by scripts/draw_*.py
RETRIEVAL, SUFFICIENCY = 0.95, 0.9
STEPS = {"train_classifier": "classifier", "train": "training", "find_attributes": "search", "evaluate": "measuring"}
POLL_S = 0.2  # how often a running step is looked at


def recipe(readme: str) -> dict[str, list[str]]:
    """The words of the commands of README's recipe, by their step.

    Raises:
        ValueError: if README has no such commands any more.
    """
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL):
        if language:
            continue
        lines = [shlex.split(line, comments=True) for line in block.splitlines()]
        found = {STEPS[name]: words for words in lines for name in STEPS if f"train/{name}.py" in words}
        if list(found) == list(STEPS.values()):
            return found
    raise ValueError("README.md has no block with a command for each of " + ", ".join(STEPS))


def here(words: list[str], pictures: Path, output: Path) -> list[str]:
    """A command of README as it is started here: on these pictures, into this folder, by this Python."""
    launcher = {"python": [sys.executable], "accelerate": [sys.executable, "-m", "accelerate.commands.accelerate_cli"]}
    places = {"PICTURES": str(pictures), "metrics.json": str(output / "metrics.json")}
    rest = [places.get(word, re.sub(r"^runs/", f"{output}/", word)) for word in words[1:]]
    return [*launcher[words[0]], *rest]


def start(words: list[str], log: Path) -> dict[str, Any]:
    """Run a command to its end.

    Returns:
        `minutes` on the clock, and `reports`: (minutes since the start, what it says) of each line of `log` written.

    Raises:
        SystemExit: with what failed.
    """
    begun, reports = time.monotonic(), []
    # A launcher does not pass on that it was told to end, so it has a session of its own.
    with subprocess.Popen(words, cwd=ROOT, start_new_session=True) as process:
        try:
            running = True
            while running:
                running = process.poll() is None
                lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
                now = (time.monotonic() - begun) / 60
                reports += [(now, json.loads(line)) for line in lines[len(reports) :]]
                time.sleep(POLL_S if running else 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
        minutes = (time.monotonic() - begun) / 60
    if process.returncode:
        sys.exit(f"{shlex.join(words)} failed; what it said stands above")
    return {"minutes": minutes, "reports": reports}


def measure(pictures: Path, output: Path) -> dict[str, Any]:
    """Run the recipe on a folder of pictures.

    Args:
        output: a new folder for everything that the commands write.
    """
    ran, spent = {}, {}
    for step, words in recipe((ROOT / "README.md").read_text(encoding="utf-8")).items():
        log = output / "mine" / "log.jsonl" if step == "training" else output / "none"
        ran[step] = start(here(words, pictures, output), log)
        spent[step] = ran[step]["minutes"]
    found = read_json(output / "metrics.json")
    seen = [minutes for minutes, row in ran["training"]["reports"] if row["val/retrieval"] >= RETRIEVAL]
    sees, flips = found["retrieval"] >= RETRIEVAL, found["sufficiency"]["10"]
    return {
        "minutes": sum(spent.values()),
        "minutes_to_retrieval": spent["classifier"] + (seen or [spent["training"]])[0] if sees else None,
        "minutes_to_sufficiency": sum(spent.values()) - spent["measuring"] if flips >= SUFFICIENCY else None,
        "retrieval": found["retrieval"],
        "sufficiency_at_10": flips,
        "minutes_by_step": spent,
        "metrics": found,
    }


def worst(kinds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Of each number that of the kind that does worst: a recipe is for any folder."""
    numbers: dict[str, Any] = {}
    for key in ("minutes", "minutes_to_retrieval", "minutes_to_sufficiency"):
        values = [kind[key] for kind in kinds.values()]
        numbers[key] = None if None in values else max(values)
    for key in ("retrieval", "sufficiency_at_10"):
        numbers[key] = min(kind[key] for kind in kinds.values())
    return numbers


# The table.

HEAD = ("release", "pictures", "machine", "day", "minutes", "classifier and judge, training, search, measuring")
HEAD += ("to retrieval 0.95", "to sufficiency@10 0.9", "retrieval@1", "sufficiency@10", "by the judge")
HEAD += ("by the stranger", "agreement, the stranger's", "visibility", "L1")


def row(kind: str, numbers: dict[str, Any]) -> str:
    found = numbers["metrics"]

    def told(value: float | None, digits: int = 1) -> str:
        return "not reached" if value is None else f"{value:.{digits}f}"

    def at_10(judge: str) -> str:
        return f"{found[judge]['10']:g}" if judge in found else ""

    cells = [__version__, kind, page.machine(), page.today(), told(numbers["minutes"])]
    cells += [", ".join(told(numbers["minutes_by_step"][step]) for step in STEPS.values())]
    cells += [told(numbers["minutes_to_retrieval"]), told(numbers["minutes_to_sufficiency"])]
    cells += [f"{numbers['retrieval']:g}", f"{numbers['sufficiency_at_10']:g}"]
    cells += [at_10("second_sufficiency"), at_10("stranger_sufficiency")]
    cells += [f"{found['agreement']:g}, {found.get('stranger_agreement', '')}"]
    cells += [f"{found.get('visibility', '')}", f"{found['l1']:g}"]
    return f"| {' | '.join(cells)} |"


def table(before: str, rows: list[str]) -> str:
    """The rows that a table had, but for those of the same release, pictures and machine, and the new ones."""

    def what(line: str) -> list[str]:
        return line.split(" | ")[:3]

    heads = [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
    old = before.splitlines()[2:] if before.splitlines()[:1] == heads[:1] else []
    kept = [line for line in old if what(line) not in map(what, rows)]
    return "\n".join([*heads, *kept, *rows])


def main(args: list[str] | None = None) -> dict[str, Any]:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS), help="pictures to draw and run it on")
    parser.add_argument("--data", type=Path, help="a folder of your own instead, with a sub-folder for each class")
    parser.add_argument("--count", type=int, default=800, help="pictures drawn of each class")
    parser.add_argument("--output", type=Path, default=Path("runs/recipe"), help="new folder for pictures and runs")
    parser.add_argument("--docs", type=Path, help="folder whose speed.md gets a row for each kind")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    o = parser.parse_args(args)
    ready(parser, o.json)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before the recipe was"))
    kinds = [o.data.name] if o.data else o.kinds
    speed = o.docs and o.docs / "speed.md"
    try:
        check_place(o.output)
        if speed:
            check_place(o.docs, "--docs")
            page.read(speed, "the recipe", "recipe")
        for kind in kinds:
            if (o.output / kind).exists():
                raise OutputError(
                    f"{o.output / kind} is there already, and the recipe begins from nothing; move it away, or choose "
                    "another --output"
                )
    except OutputError as error:
        parser.error(str(error))
    found = {}
    for kind in kinds:
        pictures = o.data or o.output / kind / "pictures"
        if not o.data:
            draw = [sys.executable, str(ROOT / "scripts" / f"draw_{kind}.py"), str(pictures), "--count", str(o.count)]
            subprocess.run(draw, check=True)
        found[kind] = measure(pictures.resolve(), (o.output / kind).resolve())
    rows = [row(kind, numbers) for kind, numbers in found.items()]
    print(table("", rows))
    if speed:
        _, before, _ = page.read(speed, "the recipe", "recipe")
        page.write(speed, "the recipe", "recipe", table(before, rows))
    numbers = worst(found) | {"kinds": found}
    if o.json:
        put_json(o.json, numbers, option="--json")
    return numbers


if __name__ == "__main__":
    main()
