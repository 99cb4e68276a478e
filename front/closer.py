"""What a closer look at an explanation shows: its edits laid on the photograph, where to look, and the way there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from front.methods import moved_together
from stylex import Explanation, StylEx
from stylex.pictures.images import to_pil

# Pictures on the way from before to after, both ends included.
STEPS = 5


@dataclass(frozen=True)
class Overlay:
    """An edit on the photograph itself: the photograph plus what the edit changes of the reconstruction.

    `agrees`: whether the classifier decides there as it does on the edited reconstruction. Where it does not, the
    picture shows something else than what was explained.
    """

    image: Image.Image
    prob: float
    agrees: bool


def overlays(model: StylEx, e: Explanation) -> list[Overlay]:
    """One for each edit."""
    if not e.attributes:
        return []
    photograph, reconstruction = (np.asarray(image, dtype=np.int16) for image in (e.source, e.reconstruction))
    changes = [np.asarray(a.image, dtype=np.int16) - reconstruction for a in e.attributes]
    laid = [Image.fromarray(np.clip(photograph + change, 0, 255).astype(np.uint8)) for change in changes]
    probs = model.classify(model.load_images([*laid, *(a.image for a in e.attributes)]))
    decided = probs.argmax(dim=1).tolist()
    aim, count = model.class_names.index(e.target), len(laid)
    return [Overlay(image, float(probs[n, aim]), decided[n] == decided[count + n]) for n, image in enumerate(laid)]


def steps(model: StylEx, e: Explanation, number: int) -> list[tuple[Image.Image, float]]:
    """The pictures on the way of edit `number` [0, ...), in even steps, each with the target's probability.

    An edit on top of others starts where those end.
    """
    on_top = e.method == "attfind" and e.strategy != "independent"
    way = [n / (STEPS - 1) for n in range(STEPS)]
    shown, aim = [], model.class_names.index(e.target)
    for amount in way:
        amounts = [float(on_top)] * number + [amount]
        x = model.synthesize(moved_together(model, e, amounts))
        shown.append((to_pil(x), float(model.classify(x)[0, aim])))
    return shown


def centre_of(before: Image.Image, after: Image.Image) -> tuple[float, float]:
    """Where most of a change is, (x, y) from 0 to 1; of no change, the middle."""
    change = np.abs(np.asarray(before, dtype=np.int16) - np.asarray(after, dtype=np.int16)).max(axis=2).astype(float)
    if not change.any():
        return 0.5, 0.5
    weight = change**2 / (change**2).sum()  # what changes a little everywhere does not pull it to the middle
    height, width = weight.shape
    x, y = weight.sum(axis=0) @ (np.arange(width) + 0.5), weight.sum(axis=1) @ (np.arange(height) + 0.5)
    return float(x) / width, float(y) / height


def origin_of(centre: float) -> float:
    """Where to hold a picture that is enlarged twice, so that `centre` comes to the middle as far as it can."""
    return min(max(2 * centre - 0.5, 0.0), 1.0)


def odds(before: float, after: float) -> float | None:
    """How many times the odds are what they were; None where one of them has no end."""
    if not (0 < before < 1 and 0 < after < 1):
        return None
    return (after / (1 - after)) / (before / (1 - before))
