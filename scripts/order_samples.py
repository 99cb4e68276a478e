"""Puts the samples of a model in the order in which the app offers them: the most striking first.

    python scripts/order_samples.py checkpoints/leaves

A sample is as striking as the best of its class's first attributes that a person can see: by how many points it raises
the class that the classifier would say next. Writes samples/order.json, which the app reads.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stylex import ModelError, StylEx, move
from stylex.attfind.effects import Attribute, towards
from stylex.metrics import VISIBLE_SHARE, changed_share
from stylex.storage.outputs import put_json
from stylex.terminal import print_anything

FIRST = 5  # attributes of a class that are tried


class Best(NamedTuple):
    """What the best attribute that is seen does to a picture: x and moved [1, 3, R, R], and the probability of the
    class that the classifier would say next, before and after. No attribute: none raises it."""

    attribute: Attribute | None
    x: Tensor
    moved: Tensor
    before: float
    after: float

    @property
    def rise(self) -> float:
        return self.after - self.before


@torch.no_grad()
def best_edit(model: StylEx, path: Path) -> Best:
    """Of the first attributes towards the runner-up that change what a person sees, the one that raises it most."""
    assert model.stats is not None
    s = model.styles(model.encode(model.load_images([path])))
    x = model.synthesize(s)
    probs = model.classify(x)[0]
    first, second = probs.argsort(descending=True)[:2].tolist()
    before = float(probs[second])
    best = Best(None, x, x, before, before)
    for a in towards(model.attributes, model.class_names[first], model.class_names[second])[:FIRST]:
        moved = model.synthesize(move(s, a.index, a.direction, model.stats))
        after = float(model.classify(moved)[0, second])
        if float(changed_share(x, moved)) >= VISIBLE_SHARE and after > best.after:
            best = Best(a, x, moved, before, after)
    return best


def striking(model: StylEx, path: Path) -> float:
    """By how much the best attribute that is seen raises the probability of the runner-up."""
    return best_edit(model, path).rise


def main() -> int:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a model")
    folder = parser.parse_args().model
    try:
        model = StylEx.from_pretrained(folder)
        if model.stats is None:
            raise ModelError("this model has no style statistics; run train/find_attributes.py on it first")
        samples = sorted((folder / "samples").glob("*.png"))
        found = {path.stem: striking(model, path) for path in samples}
        order = sorted(found, key=lambda name: -found[name])
        put_json(folder / "samples" / "order.json", {"order": order}, option="model")
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name in order:
        print(f"{found[name]:.3f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
