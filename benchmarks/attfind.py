"""How fast AttFind is, against moving one coordinate at a time, and what its shortcut misses.

    python benchmarks/attfind.py --model checkpoints/leaves --json attfind.json
    python benchmarks/attfind.py --resolution 256 --device cuda --docs docs

All ways are timed in turns within one run, on the same pictures and weights, so that a busy machine slows them alike.
Without a folder of pictures the model draws its own; without a model it is one of a preset, with random weights. One
coordinate at a time is timed on a sample of the moves and multiplied; everything else is really done, as
train/find_attributes.py does it: the trial of how many copies go through at once, the gradients, and how much of each
picture changed. A screened search with its certificate takes as long as the screened one and an exact one of the
pictures it is certified on.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from benchmarks import page
from benchmarks.output import ready
from benchmarks.page import line
from benchmarks.untrained import Untrained
from stylex.attfind.effects import effects_of
from stylex.attfind.screening import certify
from stylex.model import StylEx
from stylex.pictures.images import list_images
from stylex.storage.outputs import put_json
from stylex.stylespace import StyleStats, move
from stylex.terminal import print_anything
from train.engine.device import measure_exactly
from train.options.searching import CANDIDATES, Options
from train.search.moves import moves_of, width_of


def pictures_of(model: StylEx, data: Path | None, count: int, seed: int) -> Tensor:
    """Styles [count, S] of pictures from a folder and its sub-folders, or of random ones."""
    if data is None:
        p = torch.rand(count, model.config.num_classes, generator=torch.Generator().manual_seed(seed))
        return model.sample((6 * p).softmax(dim=1), seed)
    files = [
        file for folder in (data, *sorted(p for p in data.iterdir() if p.is_dir())) for file in list_images(folder)
    ]
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(seed))[:count].tolist()
    return torch.cat([model.styles(model.encode(model.load_images([files[i]]))) for i in order])


class Clock:
    """Seconds spent in each of several things that take turns."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, name: str, work):
        start = time.perf_counter()
        result = work()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        return result


def measure(model: StylEx, s: Tensor, stats: StyleStats, keep: int, sample: int, seed: int) -> dict[str, float]:
    """Numbers of the three ways on styles s [N, S].

    Args:
        keep: moves that the shortcut keeps for each class.
        sample: moves timed one at a time on each picture.
    """
    searched, clock = model.space.num_conv, Clock()
    everything = torch.arange(searched, device=s.device)
    options = Options(model="", data="", candidates=keep)
    width = clock.time("width", lambda: width_of(model, s[:1], options))
    edits_of = clock.time("prepare", lambda: model.edits_of(width, visible=True))
    # The shortcut chooses by all pictures, so its first half comes before the turns.
    candidates, ways = clock.time("gradients", lambda: moves_of(model, s.split(8), stats, options))
    kept = torch.zeros(2, searched, dtype=torch.bool)
    kept[:, candidates] = True if ways is None else ways
    candidates, moved = candidates.to(s.device), kept[:, candidates].to(s.device)
    generator = torch.Generator().manual_seed(seed)
    rows, passes, worst = [], 0, 0.0
    for n in range(len(s)):
        one = s[n : n + 1]
        base = clock.time("base", lambda: model.logits_of(one))  # noqa: B023
        seen = torch.cat([base, base.new_zeros(1, 1)], dim=1)  # nothing has changed yet
        exact = clock.time("exact", lambda: effects_of(edits_of(one), seen, one, stats, everything))[..., :-1]  # noqa: B023
        rows.append(exact)
        drawn = [(int(i), n % 2) for i in torch.randperm(searched, generator=generator)[:sample]]

        def one_at_a_time() -> list[Tensor]:
            return [(model.logits_of(move(one, i, d, stats)) - base).cpu() for i, d in drawn]  # noqa: B023

        slow = clock.time("one", one_at_a_time)
        passes += len(drawn)
        found = torch.stack([exact[d, i] for i, d in drawn])
        worst = max(worst, float((torch.cat(slow) - found).abs().max()))
        part = clock.time(
            "screened",
            lambda: effects_of(edits_of(one), seen, one, stats, candidates, moves=moved),  # noqa: B023
        )[..., :-1]
        worst = max(worst, float((part - exact[:, candidates.cpu()] * moved.cpu()[..., None]).abs().max()))
        print(f"\rpicture {n + 1} of {len(s)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    labels = torch.cat([model.logits_of(part) for part in s.split(8)]).argmax(dim=1).cpu()
    certificate = certify(torch.stack(rows), labels, kept)
    moves = 2 * searched * len(s)
    one = clock.seconds["one"] / passes * moves
    both = clock.seconds["width"] + clock.seconds["prepare"] + clock.seconds["base"]
    exact_s, screened_s = clock.seconds["exact"] + both, clock.seconds["screened"] + clock.seconds["gradients"] + both
    return {
        "pictures": len(s),
        "coordinates": searched,
        "moves": moves,
        "timed_one_at_a_time": passes,
        "threads": torch.get_num_threads(),
        "batch_size": width,
        "one_at_a_time_s": one,
        "exact_s": exact_s,
        "exact_speedup": one / exact_s,
        "largest_difference": worst,
        "moves_kept": certificate.moves,
        "gradients_s": clock.seconds["gradients"],
        "width_s": clock.seconds["width"],
        "screened_s": screened_s,
        "screened_speedup": one / screened_s,
        "recall_at_20": certificate.recall_at_20,
        "recall_per_picture": certificate.recall_per_picture,
        "same_top_10": certificate.same_top_10,
    }


def table(n: dict[str, float]) -> str:
    """The numbers as a paragraph and a table of Markdown."""
    per_move = 1e3 / n["moves"]
    lines = [
        f"{n['pictures']} pictures, {n['moves']:,} moves, {n['threads']} threads, {n['batch_size']} copies at once",
        "",
        "| way | moves made | seconds | ms for each move | speed-up |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {made:,} | {seconds:.1f} | {seconds * per_move:.2f} | {speedup:.1f} |"
        for name, made, seconds, speedup in (
            ("one at a time", n["moves"], n["one_at_a_time_s"], 1.0),
            ("exact", n["moves"], n["exact_s"], n["exact_speedup"]),
            ("screened", n["moves_kept"] * n["pictures"], n["screened_s"], n["screened_speedup"]),
        )
    ]
    lines += [
        "",
        f"Largest difference to one at a time {n['largest_difference']:.1e} of a logit; screened: recall@20 "
        f"{n['recall_at_20']:.3f}, of single pictures {n['recall_per_picture']:.3f}, same top 10 for "
        f"{n['same_top_10']:.0%} of the classes.",
    ]
    return "\n".join(lines)


HEAD = (
    "| px | on | pictures | moves | copies at once | one at a time, ms a move | exact, ms a move | times as fast "
    "| moves screened | screened, ms of each move that an exact search makes | times as fast | day |"
)


def row(resolution: int, on: str, n: dict[str, float]) -> str:
    """The numbers of a preset as a row of speed.md."""
    alone, exact, screened = (
        f"{1e3 * n[f'{way}_s'] / n['moves']:.3f}" for way in ("one_at_a_time", "exact", "screened")
    )
    made, times = f"{n['moves_kept'] * n['pictures']:,}", (f"{n['exact_speedup']:.1f}", f"{n['screened_speedup']:.1f}")
    cells = [resolution, on, n["pictures"], f"{n['moves']:,}", n["batch_size"], alone, exact, times[0]]
    return line([*cells, made, screened, times[1], page.today()])


def main(args: list[str] | None = None) -> dict[str, float]:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", help="model folder or Hub repository")
    which.add_argument("--resolution", type=int, help="of a preset with random weights, instead of a model")
    parser.add_argument("--data", type=Path, help="folder of pictures; random ones of the model without it")
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--keep", type=int, default=CANDIDATES, help="moves that the shortcut keeps for each class")
    parser.add_argument("--sample", type=int, default=25, help="moves timed one at a time on each picture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--docs", type=Path, help="folder whose attfind.md gets the table, speed.md the row of a preset"
    )
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    o = parser.parse_args(args)
    ready(parser, o.json)
    measure_exactly()
    if o.model:
        model = StylEx.from_pretrained(o.model, device=o.device)
        s = pictures_of(model, o.data, o.pictures, o.seed)
        stats = model.stats or StyleStats.of(s)
    else:
        drawn = Untrained.of(o.resolution, o.pictures, o.device)
        model, s, stats = drawn.model, drawn.s, drawn.stats
    numbers = measure(model, s, stats, o.keep, o.sample, o.seed)
    told = table(numbers)
    print(told)
    on = page.machine(o.device)
    if o.docs and o.model:
        head = f"{o.model}. {on}; {page.today()}. "
        page.write(o.docs / "attfind.md", f"ways of {o.model}", "attfind", head + told)
    elif o.docs:
        rows = [row(o.resolution, on, numbers)]
        page.put_rows(o.docs / "speed.md", "AttFind beside one move at a time", "attfind", HEAD, rows, cells=2)
    if o.json:
        put_json(o.json, numbers, option="--json")
    return numbers


if __name__ == "__main__":
    main()
