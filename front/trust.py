"""How far an explanation can be trusted, at a glance: what holds, in words, and one grade for all of it.

Those who are asked beside the explained classifier: the model's second judge, and the stranger, whose eye nothing was
trained against. Whoever is not there is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from front.closer import Overlay
from stylex import Explanation, StylEx
from stylex.classifiers.stranger import SIDE
from stylex.networks.eye import EfficientNetLite2
from stylex.pictures.render import probability

# A judge goes along with an edit that moves its probability the same way, by at least this share of the classifier's.
GOES_ALONG = 0.25
# From this share of what was checked on, trust is fair; it is good only where everything holds.
FAIR = 0.6
JUDGE, STRANGER = "A second judge", "A stranger, whose eye nothing was trained against,"


class Check(NamedTuple):
    """One sentence, and whether it speaks for the explanation."""

    says: str
    holds: bool


@dataclass(frozen=True)
class Trust:
    """What was checked."""

    checks: tuple[Check, ...]

    @property
    def held(self) -> int:
        return sum(check.holds for check in self.checks)

    @property
    def grade(self) -> str:
        share = self.held / max(1, len(self.checks))
        return "good" if share == 1 else "fair" if share >= FAIR else "weak"

    def to_dict(self) -> dict[str, Any]:
        return {"grade": self.grade, "checks": [check._asdict() for check in self.checks]}


@torch.no_grad()
def trust(model: StylEx, e: Explanation, laid: Sequence[Overlay]) -> tuple[Trust, list[Trust]]:
    """Of the picture, and of each of its edits."""
    names, aim = model.class_names, model.class_names.index(e.target)
    shown = [e.source, e.reconstruction, *(image for a in e.attributes for image in (a.before, a.image))]
    # Most edits begin with the reconstruction, and a judge need not see it more than once.
    pixels = [image.tobytes() for image in shown]
    once = dict(zip(pixels, shown, strict=True))
    again = [list(once).index(one) for one in pixels]
    x = model.load_images(once.values())
    asked = {name: logits_of(x).softmax(dim=1).cpu()[again] for name, logits_of in judges(model).items()}

    kept = max(e.reconstruction_probs, key=e.reconstruction_probs.__getitem__)
    same = f"The classifier calls the reconstruction {kept}, as the picture."
    other = f"The classifier calls the picture {e.predicted} but its reconstruction {kept}."
    of_picture = [Check(same if kept == e.predicted else other, kept == e.predicted)]
    for name, probs in asked.items():
        first, second = (names[k] for k in probs[:2].argmax(dim=1).tolist())
        said = f"{name} calls both {first}." if first == second else f"{name} calls them {first} and {second}."
        of_picture.append(Check(said, first == second))

    of_edits = []
    for n, (a, on_photograph) in enumerate(zip(e.attributes, laid, strict=True)):
        seen = "A person can see it" if a.visible else "It is too small a change to see"
        checks = [Check(f"{seen}: {100 * a.changed_share:.0f} % of the pixels change clearly.", a.visible)]
        for name, probs in asked.items():
            before, after = probs[2 + 2 * n : 4 + 2 * n, aim].tolist()
            along = (after - before) * a.delta > 0 and abs(after - before) >= GOES_ALONG * abs(a.delta)
            way = f"{e.target} {probability(before)} → {probability(after)}"
            checks.append(Check(f"{name} {'goes' if along else 'does not go'} along: {way}.", along))
        decided = "it decides as here" if on_photograph.agrees else "the classifier decides otherwise"
        checks.append(Check(f"Laid on the photograph itself, {decided}.", on_photograph.agrees))
        named = "A person has named it." if a.name else "No person has named it yet; its words were measured."
        checks.append(Check(named, bool(a.name)))
        of_edits.append(Trust(tuple(checks)))
    return Trust(tuple(of_picture)), of_edits


def judges(model: StylEx) -> dict[str, Callable[[Tensor], Tensor]]:
    """Those who can be asked, x [N, 3, H, W] -> logits [N, K]."""
    found: dict[str, Callable[[Tensor], Tensor]] = {}
    if model.judge is not None:
        found[JUDGE] = model.judge
    if model.stranger is not None and (eye := stranger_s_eye(str(model.device))) is not None:
        layer = model.stranger
        found[STRANGER] = lambda x: layer(eye.embed(x))
    return found


@lru_cache(maxsize=1)
def stranger_s_eye(device: str) -> EfficientNetLite2 | None:
    """One for all models; None where its wheel is not installed."""
    try:
        return EfficientNetLite2(SIDE).to(device)
    except ImportError:
        return None
