"""The methods that a visitor may choose: what each is called here, and what it does, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from torch import Tensor

from stylex import AttributeEdit, Explanation, Method, StylEx
from stylex.explain import combine
from stylex.neighbours import MapOf

# Maps that are captum's.
CAPTUM: tuple[MapOf, ...] = ("gradcam", "integrated_gradients", "occlusion")


@dataclass(frozen=True)
class Words:
    """`label` in a list of methods; `how` ends the sentence "Each picture alternates between before and after …"."""

    label: str
    how: str


METHODS: dict[Method, Words] = {
    "attfind": Words("Single attributes (AttFind)", "one attribute is changed"),
    "counterfactual": Words("The smallest change (counterfactual)", "the smallest change that is enough"),
    "eigenfind": Words("Directions of the generator (EigenFind)", "one direction of the generator"),
    "ganalyze": Words("One learned direction (GANalyze)", "one direction, learned for this class"),
    "s2n": Words(
        "What goes along with the class (StyleSpace)",
        "a change of one coordinate in which the surest pictures of the class differ from the others",
    ),
    "random": Words("By chance, to compare with", "a change of one coordinate that was chosen by chance"),
}


def maps_here() -> tuple[MapOf, ...]:
    """The maps that can be drawn with what is installed, and where the shortest way is.

    The perturbation network needs nothing, but takes as long as all of the others together: it stands in for them.
    """
    return (*(CAPTUM if find_spec("captum") is not None else ("perturbation",)), "change")


def moved_together(model: StylEx, e: Explanation, amounts: Sequence[float]) -> Tensor:
    """The styles [1, S] of a picture with each of its edits made by an amount; 0 leaves it out."""
    s = e.s
    for a, amount in zip(e.attributes, amounts, strict=False):
        if isinstance(a, AttributeEdit):
            s = combine(model, s, [(a.index, a.direction, amount)])
        else:
            s = a.edit.apply(s, amount)
    return s
