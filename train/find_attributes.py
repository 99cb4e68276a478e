"""Search the style coordinates that change the classifier's mind, and store them in the model folder.

    python train/find_attributes.py --model runs/leaves/model --data ../shared/data/leaves

What is measured is kept beside the model folder. A run that was killed goes on where it was, several may work at once
(`accelerate launch`, or `--shard 0/8` to `--shard 7/8`), and with other options for the choice it is ranked anew
without being measured again. docs/attfind.md tells more.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor
from tqdm import tqdm

from stylex.attfind import shards
from stylex.attfind.effects import WIDEST_ON_CPU, WIDTHS, Attribute, fastest_width
from stylex.attfind.screening import Certificate, certify, shortlist, total_promise
from stylex.attfind.selection import EXPLAINED
from stylex.attfind.shards import InMemory, Plan, ShardedEffects, ShardError
from stylex.model import StylEx
from stylex.storage.files import ModelError, fingerprint, write_json
from stylex.storage.hub import REPO_ID
from stylex.stylespace import StyleStats
from train.data.pictures import DataError, Split, list_pictures, pixels, readable, to_float
from train.engine.device import device, measure_exactly
from train.options.command import check_numbers, parse
from train.search.choose import attributes_of, check_decisions, check_question, choice_of, why_empty
from train.search.report_attributes import Shown, write_report

# Pictures that go through the encoder at once.
ENCODED = 32
# Moves tried for each target. On both bundled models these hold all of the twenty strongest: docs/attfind.md.
CANDIDATES = 100
# Gradients are taken on this many pictures at most: the list of what is worth moving is one for all pictures.
SCREENED = 1000
# Pictures on which the shortcut is checked are the first of those searched, so the classes take turns in them too.
CERTIFIED = 10


@dataclass
class Options:
    """What to search.

    Args:
        model: model folder; its style_stats.safetensors and attributes.json are written anew.
        data: pictures, see train/train.py; without labels, the classifier's answers stand for them.
        split: train, val or all. Measure on another part than you search.
        images: pictures searched, as many of each class as there are.
        count: attributes kept for each target class.
        candidates: moves tried for each target, those whose gradient promises most: much faster than all, and not
            guaranteed to find the same. How much of an exhaustive search it keeps is measured on `certify` pictures.
            0 tries every move.
        certify: see candidates; 0 to believe it unseen.
        shift: how far a coordinate moves; 1 is the end of its range over all pictures of the split.
        rule: accumulated (the published notebook), single (the paper's Algorithm 1) or image_fraction (by the number of
            pictures changed).
        explained: logits of effect after which a picture counts as explained.
        effect_threshold: by image_fraction, to the discriminator, and for the pictures shown: logits of effect that
            count as a change.
        min_fraction: by image_fraction, an attribute changes at least this share of the pictures.
        unstable_threshold: a picture on which more than `unstable_count` effects pass this many logits has no say.
        unstable_count: see unstable_threshold; half of the effects measured on a picture, where that is less.
        min_visible: keep only moves that a person can see on at least this share of the pictures; 0 keeps all.
        discriminator: reject coordinates whose move changes the discriminator's score by more than this; 0 asks it
            nothing (the notebook has 0.2).
        target: search towards this class alone, and leave the attributes of others as they are; empty for every class.
        source: with target, search on the pictures of this class alone; empty for all others.
        batch_size: moved copies per pass; 0 tries what is fastest.
        seed: of the choice of pictures.
        effects: folder for what is measured; empty for one beside the model folder, named after both.
        shard_size: pictures in one file of it.
        report: write report.html beside what is measured, with pictures, curves and how certain each rank is.
        shown: the report's pictures of an attribute: distance (those with the longest way to move first), effect (those
            that it moves most) or random (a fixed draw of those that it moves well).
        shard: i/n computes only the i-th of n parts, i from 0 to n - 1, for a job array; the last one to finish, or a
            run without it, ranks. Empty for all, or this process's part under accelerate launch.
        classifier: the classifier again, if it is a TorchScript file or a function: a model does not hold such a one.
    """

    model: str
    data: str
    split: Split = "train"
    images: int = 250
    count: int = 20
    candidates: int = CANDIDATES
    certify: int = CERTIFIED
    shift: float = 1.0
    rule: Literal["accumulated", "single", "image_fraction"] = "accumulated"
    explained: float = EXPLAINED
    effect_threshold: float = 0.2
    min_fraction: float = 0.03
    unstable_threshold: float = 2.0
    unstable_count: int = 750
    min_visible: float = 0.5
    discriminator: float = 0.0
    target: str = ""
    source: str = ""
    batch_size: int = 0
    seed: int = 0
    effects: str = ""
    shard_size: int = 8
    report: bool = True
    shown: Shown = "distance"
    shard: str = ""
    classifier: str | None = None

    def __post_init__(self) -> None:
        counts = ("candidates", "certify", "batch_size", "unstable_count", "seed")
        logits = ("explained", "effect_threshold", "unstable_threshold", "discriminator")
        check_numbers(self, ("images", "count", "shard_size"), lambda v: v >= 1, "use 1 or more", DataError)
        check_numbers(self, counts + logits, lambda v: v >= 0, "use 0 or more", DataError)
        check_numbers(
            self, ("min_fraction", "min_visible"), lambda v: 0 <= v <= 1, "use a share from 0 to 1", DataError
        )
        if not 0 < self.shift < math.inf:
            raise DataError(f"shift is {self.shift}; use 1 for the end of the range, or another number above 0")
        if self.source and not self.target:
            raise DataError("source needs a target: --target NAME")
        if self.source and self.source == self.target:
            raise DataError(f"source and target are both {self.target}; search from one class towards another")


# Pictures.


def styles_of(model: StylEx, x: Tensor, batch_size: int) -> Tensor:
    """uint8 pictures [N, 3, R, R] -> s [N, S]."""
    return torch.cat([model.styles(model.encode(to_float(part).to(model.device))) for part in x.split(batch_size)])


def balanced(labels: Tensor, count: int, seed: int) -> Tensor:
    """Indices of `count` pictures, the classes taking turns, in random order within a class."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    turns = torch.zeros(len(labels))
    for k in labels.unique():
        mine = order[labels[order] == k]
        turns[mine] = torch.arange(len(mine), dtype=torch.float)
    return order[turns[order].argsort(stable=True)][:count]


# The table of effects.


def differentiable(model: StylEx) -> Callable[[Tensor], Tensor]:
    """`model.logits_of`, with gradients flowing through it."""
    return lambda s: model.classifier(model.generator.synthesis(s, noise="const").clamp(-1, 1))


def moves_of(model: StylEx, parts: Iterable[Tensor], stats: StyleStats, o: Options) -> tuple[Tensor, Tensor | None]:
    """The coordinates to move [M], and which way [2, M], of a `Plan`.

    Args:
        parts: styles [n, S], read only where gradients have to be taken.
    """
    searched = model.space.num_conv
    if not o.candidates:
        return torch.arange(searched), None
    total = total_promise(differentiable(model), parts, stats, len(model.class_names), searched, o.shift)
    kept = shortlist(total, o.candidates)
    candidates = kept.any(dim=0).nonzero().flatten()
    return candidates, kept[:, candidates]


def width_of(model: StylEx, s: Tensor, o: Options) -> int:
    """How many copies of s [1, S] go through the generator at once."""
    if o.batch_size:
        return o.batch_size
    index = torch.zeros(512, dtype=torch.long, device=s.device)

    def run(width: int) -> None:
        model.edits_of(width, visible=True)(s)(index[:width], s[0, :1].expand(width)).cpu()

    return fastest_width(run, [w for w in WIDTHS if s.device.type != "cpu" or w <= WIDEST_ON_CPU])


def search(model: StylEx, x: Tensor, o: Options) -> list[Attribute]:
    """Attributes of `model` from uint8 pictures x [N, 3, R, R] in memory, the best of every target first."""
    assert model.stats is not None
    check_question(model, o)
    s = styles_of(model, x, ENCODED)
    check_decisions((model.logits_of(part) for part in s.split(ENCODED)), model.class_names, o)
    candidates, moves = moves_of(model, s[:SCREENED].split(8), model.stats, o)
    names, width = model.class_names, width_of(model, s[:1], o)
    plan = Plan("", [""] * len(s), candidates, model.stats, len(names), o.shift, width, len(s), moves)
    with tqdm(total=len(s), desc="AttFind", unit="picture") as bar:
        edits_of = model.edits_of(plan.batch_size, visible=True)
        tensors = shards.effects_of_shard(plan, s, model.logits_of, edits_of, bar.update)
    effects = InMemory(tensors)
    choice = choice_of(model, effects, plan, o, lambda rows: (s[rows], model.classify(to_float(x[rows]))))
    return attributes_of(model, effects, plan, choice)


class Searched:
    """The pictures of the command line, and the styles they get."""

    def __init__(self, model: StylEx, o: Options) -> None:
        self.model, self.o = model, o
        self.source = list_pictures(o.data, o.split, model.class_names)
        self.by_name = {p.name: p for p in self.source.pictures}

    def key(self) -> str:
        """Names everything that the effects follow from: networks, pictures and options."""
        model, o = self.model, self.o
        sizes = [(p.name, p.size) for p in self.source.pictures]
        chosen = [o.split, o.images, o.candidates, o.shift, o.batch_size, o.seed, o.shard_size]
        text = json.dumps([model.classifier.config_dict(), sizes, chosen])
        networks = fingerprint([model.generator, model.encoder, model.classifier])
        return hashlib.sha256((networks + text).encode()).hexdigest()[:12]

    def plan(self, key: str) -> Plan:
        """Statistics over the whole part, and the choice of pictures and coordinates."""
        model, o = self.model, self.o
        names: list[str] = []
        labels: list[int] = []

        def encoded() -> Iterator[Tensor]:
            found = readable(self.source, model.resolution, o.split)
            # One iterator: each new one of a bar would end the last, and with it what it reads from.
            bar = iter(tqdm(found, desc="statistics", total=len(self.source.pictures), unit="picture"))
            while batch := list(islice(bar, ENCODED)):
                x = to_float(torch.cat([x for _, x in batch])).to(model.device)
                latent = model.encode(x)
                says = latent[:, model.config.code_dim :].argmax(dim=1).tolist()
                names.extend(p.name for p, _ in batch)
                labels.extend(k if p.label is None else p.label for (p, _), k in zip(batch, says, strict=True))
                yield model.styles(latent).cpu()

        stats = StyleStats.over(encoded())
        chosen = [names[i] for i in balanced(torch.tensor(labels), o.images, o.seed).tolist()]

        def first(count: int) -> Iterator[Tensor]:
            return (self.styles(chosen[i : i + 8]) for i in range(0, min(count, len(chosen)), 8))

        check_decisions((model.logits_of(s) for s in first(len(chosen))), model.class_names, o)
        candidates, moves = moves_of(model, first(SCREENED), stats, o)
        width = width_of(model, self.styles(chosen[:1]), o)
        return Plan(key, chosen, candidates, stats, len(model.class_names), o.shift, width, o.shard_size, moves)

    def pictures(self, names: Sequence[str]) -> Tensor:
        """[n, 3, R, R] in [-1, 1]."""
        found = [pixels(self.by_name[name], self.source.place, self.model.resolution) for name in names]
        return to_float(torch.cat(found)).to(self.model.device)

    def styles(self, names: Sequence[str]) -> Tensor:
        """[n, S]."""
        return torch.cat([self.model.styles(self.model.encode(x)) for x in self.pictures(names).split(ENCODED)])


def part_of(shard: str) -> tuple[int, int]:
    """Which part of the shards is ours, and of how many: from `--shard i/n`, or from the launcher.

    Raises:
        DataError: if it is not i/n with i from 0 to n - 1.
    """
    if not shard:
        return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    try:
        number, count = map(int, shard.split("/"))
    except ValueError:
        number, count = -1, 0
    if not 0 <= number < count:
        raise DataError(f"shard is {shard!r}; use i/n with i from 0 to n - 1, for instance 0/4")
    return number, count


def measure(
    model: StylEx, plan: Plan, folder: Path, styles: Callable[[Sequence[str]], Tensor], part: tuple[int, int]
) -> None:
    """Compute what is missing of our part of a plan."""
    mine = shards.missing(plan, folder, range(part[0], plan.shards, part[1]))
    for number in mine:
        if plan.path(folder, number).exists():
            print(f"{plan.path(folder, number)} is cut short or of another search; computing it again", file=sys.stderr)
    if not mine:
        return
    total = sum(len(plan.rows(n)) for n in mine)
    edits_of = model.edits_of(plan.batch_size, visible=True)
    with tqdm(total=total, desc="AttFind", unit="picture") as bar:
        shards.compute(plan, folder, mine, styles, model.logits_of, edits_of, bar.update)


def certificate(plan: Plan, effects: ShardedEffects) -> Certificate:
    """What the shortlist of a plan missed, from effects of every move."""
    whole = torch.stack([torch.cat(list(effects.of(k))) for k in range(plan.classes)], dim=-1)
    kept = torch.zeros(whole.shape[1:3], dtype=torch.bool)
    kept[:, plan.candidates] = True if plan.moves is None else plan.moves
    return certify(whole, effects.logits.argmax(dim=1), kept)


# The script.


def wait_for(plan: Plan, folder: Path) -> None:
    """Until the other processes have computed their parts. It is no collective: however late, they are waited for."""
    while shards.missing(plan, folder):
        time.sleep(0.5)


Jobs = list[tuple[Plan, Path]]


def prepare(o: Options) -> tuple[StylEx, Searched, Jobs]:
    """The model, the pictures, and what is computed in which folder: the search, and its certificate if asked for."""
    if REPO_ID.fullmatch(o.model) and not Path(o.model).is_dir():
        raise DataError(
            f"{o.model} is not a folder, and what is found is written into the model's folder; download it first: "
            f"hf download {o.model} --local-dir FOLDER"
        )
    model = StylEx.from_pretrained(o.model, classifier=o.classifier, device=device())
    check_question(model, o)
    measure_exactly()
    data = Searched(model, o)
    key = data.key()
    folder = Path(o.effects) if o.effects else Path(f"{str(o.model).rstrip('/')}-effects") / key
    if (folder / "plan.safetensors").exists():
        plan = shards.read_plan(folder, key)
    else:
        plan = shards.write_plan(data.plan(key), folder)
    jobs, searched = [(plan, folder)], model.space.num_conv
    # A shortlist of everything misses nothing.
    if plan.made < 2 * searched and o.certify:
        whole = replace(plan, pictures=plan.pictures[: o.certify], candidates=torch.arange(searched), moves=None)
        jobs.append((whole, folder / "certificate"))
        shards.write_plan(*jobs[-1])
    return model, data, jobs


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Search the style coordinates that change the classifier's mind.", args)
    part = part_of(o.shard)
    model, data, jobs = prepare(o)
    for job in jobs:
        measure(model, *job, data.styles, part)
    if o.shard:
        if left := sum(len(shards.missing(*job)) for job in jobs):
            print(f"{left} shards of other parts are still missing; whoever finishes last ranks", file=sys.stderr)
            return
    elif part[0]:
        return
    for job in jobs:
        wait_for(*job)

    plan, folder = jobs[0]
    effects = ShardedEffects(plan, folder)

    def pictures(rows: Tensor) -> tuple[Tensor, Tensor]:
        names = [plan.pictures[i] for i in rows.tolist()]
        return data.styles(names), model.classify(data.pictures(names))

    searched_before, model.stats = model.stats is not None, plan.stats
    choice = choice_of(model, effects, plan, o, pictures)
    found = attributes_of(model, effects, plan, choice)
    empty = [
        f"no attribute from {source} towards {model.class_names[target]}: {why_empty(choice, number)}"
        for number, (source, target) in enumerate(choice.jobs)
        if not choice.lists[number]
    ]
    if not found:
        raise DataError(f"{'; '.join(empty)}. Train longer, or ask for less (--min_visible 0 --discriminator 0)")
    for sentence in empty:
        print(f"warning: {sentence}", file=sys.stderr)
    doubt = certificate(plan, ShardedEffects(*jobs[1])) if len(jobs) > 1 else None
    renewed = {(a.source, a.target) for a in found}
    # Where training has gone on, those of other classes are names without numbers.
    kept = [a for a in model.attributes if (a.source, a.target) not in renewed] if o.target and searched_before else []
    model.attributes, model.certificate = found + kept, model.certificate if kept else doubt
    model.save_pretrained(o.model)
    for a in model.attributes:
        seen = "" if a.visible_share is None else f", visible on {a.visible_share:.0%}"
        print(
            f"{a.source} → {a.target}  {a.layer} {a.channel} {a.direction.name.lower()}: logit {a.delta_logit:+.2f}, "
            f"probability {a.delta_prob:+.1%}, flips {a.images_share:.0%}{seen}"
        )
    if doubt is not None:
        write_json(folder / "certificate.json", doubt.to_dict())
        print(
            f"{doubt.moves} of {2 * model.space.num_conv} moves were made. On {doubt.pictures} pictures on which all "
            f"were: recall@20 {doubt.recall_at_20:.3f} (of single pictures {doubt.recall_per_picture:.3f}), "
            f"same top 10 for {doubt.same_top_10:.0%} of the classes",
            file=sys.stderr,
        )
    if o.report:
        path = folder / "report.html"
        write_report(path, model, effects, plan, choice, found, data.styles, o, doubt)
        print(f"the report is in {path}", file=sys.stderr)


def run_plainly(main: Callable[[], None]) -> None:
    """Run a script; what ends it early is one sentence."""
    try:
        main()
    except (DataError, ModelError, ShardError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error}; the shards that are finished stay, and the same command goes on from there")
    except KeyboardInterrupt:
        print("stopped; the shards that are finished stay, and the same command goes on from there", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    run_plainly(main)
