"""What a search for attributes may be asked for: every option with its meaning, its default and its bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from stylex.attfind.selection import EXPLAINED
from train.data.records import DataError, Split
from train.options.choices import Shown
from train.options.command import check_numbers

# Moves tried for each target. On both bundled models these hold all of the twenty strongest: docs/attfind.md.
CANDIDATES = 100
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
        rule: together (moves are made on top of each other, and kept while they help), accumulated (the published
            notebook), single (the paper's Algorithm 1) or image_fraction (by the number of pictures changed).
        explained: logits after which a picture counts as explained: by together, of the target's lead over every other
            class with the moves made; else of effect.
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
    rule: Literal["together", "accumulated", "single", "image_fraction"] = "together"
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
