"""`python -m stylex explain IMAGE --model FOLDER --target CLASS --output FOLDER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from .explanation import Strategy, files_of, from_before
from .model import StylEx
from .pictures.fonts import MISSING, undrawable
from .pictures.render import probability
from .storage.outputs import claim
from .terminal import print_anything

MOST_NAMES = 1000  # attributes whose files are looked for before the work


def main(args: list[str] | None = None) -> int:
    print_anything()
    parser = argparse.ArgumentParser(prog="stylex", description="See what an image classifier looks at.")
    commands = parser.add_subparsers(dest="command", required=True)
    explain = commands.add_parser("explain", help="show which attributes change the classifier's mind about a picture")
    explain.add_argument("image", help="the picture")
    explain.add_argument(
        "--model", required=True, help="a model folder, or a Hub repository such as someone/stylex-leaves"
    )
    explain.add_argument("--revision", help="branch, tag or commit of the repository")
    explain.add_argument("--classifier", help="the classifier of a model that could not be saved with it")
    explain.add_argument("--target", help="the class to move towards; the runner-up if left out")
    explain.add_argument("--top-k", type=int, default=5, help="how many attributes (default %(default)s)")
    explain.add_argument("--strategy", choices=get_args(Strategy), default="independent", help="default %(default)s")
    explain.add_argument(
        "--shift", type=float, default=1.0, help="1 goes to the end of the range (default %(default)s)"
    )
    explain.add_argument(
        "--output",
        default="out",
        help="folder for pictures and numbers (default %(default)s); what lies there is left alone, but for an earlier "
        "explanation, which is written over",
    )
    o = parser.parse_args(args)
    try:
        claim(Path(o.output), files_of(min(o.top_k, MOST_NAMES)), spare=[o.image], known=from_before)
        model = StylEx.from_pretrained(o.model, revision=o.revision, classifier=o.classifier)
        found = model.explain(o.image, target=o.target, top_k=o.top_k, strategy=o.strategy, shift=o.shift)
    except (ValueError, OSError) as error:  # ImageError and ModelError are ValueErrors
        print(f"error: {error}", file=sys.stderr)
        return 1
    try:
        folder = found.save(o.output)
    except OSError as error:
        print(f"error: {o.output} cannot be written ({error.strerror}); choose another --output", file=sys.stderr)
        return 1
    print(f"classifier: {_bars(found.probs)}\nreconstruction: {_bars(found.reconstruction_probs)}")
    for warning in found.warnings:
        print(f"warning: {warning}")
    print(f"towards {found.target}:")
    for n, a in enumerate(found.attributes, start=1):
        print(
            f"  {n}. {a.title:<24} {probability(a.prob_before)} → {probability(a.prob_after)}   "
            f"{a.changed_share:.0%} of the pixels change visibly   attribute-{n}.gif"
        )
    if left := undrawable([found.predicted, found.target, *(a.title for a in found.attributes)]):
        print(
            f"warning: no font here can draw {', '.join(left)}; {MISSING} stands for it in the pictures, and the names "
            "are in explanation.json"
        )
    print(f"written to {folder}")
    return 0


def _bars(probs: dict[str, float]) -> str:
    best = sorted(probs.items(), key=lambda item: -item[1])[:5]
    return ", ".join(f"{name} {probability(p)}" for name, p in best)


if __name__ == "__main__":
    sys.exit(main())
