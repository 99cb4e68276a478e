"""Puts the samples of a model in the order in which the app offers them: the most striking first.

    python scripts/order_samples.py checkpoints/leaves

A sample is as striking as the best of its class's first attributes that a person can see: by how many points it raises
the class that the classifier would say next. Writes samples/order.json, which the app reads.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stylex import ModelError, StylEx, move
from stylex.attfind.effects import towards
from stylex.metrics import VISIBLE_SHARE, changed_share
from stylex.storage.outputs import put_json

FIRST = 5  # attributes of a class that are tried


@torch.no_grad()
def striking(model: StylEx, path: Path) -> float:
    """By how much the best attribute that is seen raises the probability of the runner-up."""
    assert model.stats is not None
    s = model.styles(model.encode(model.load_images([path])))
    x = model.synthesize(s)
    probs = model.classify(x)[0]
    first, second = probs.argsort(descending=True)[:2].tolist()
    best = 0.0
    for a in towards(model.attributes, model.class_names[first], model.class_names[second])[:FIRST]:
        moved = model.synthesize(move(s, a.index, a.direction, model.stats))
        if float(changed_share(x, moved)) >= VISIBLE_SHARE:
            best = max(best, float(model.classify(moved)[0, second] - probs[second]))
    return best


def main() -> int:
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
