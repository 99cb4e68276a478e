"""What the methods hand over: a change of the style coordinates, or a map of the picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

# Style coordinates [B, S] -> classifier logits [B, K], and latents [B, L] -> style coordinates [B, S].
LogitsOf = Callable[[Tensor], Tensor]
StylesOf = Callable[[Tensor], Tensor]

NO_GRADIENT = (
    "this classifier passes no gradient back to the picture, so {method} cannot ask it; "
    "attfind and the map occlusion need none"
)


class MethodError(ValueError):
    """A question that a method cannot answer; the message is one sentence that can be shown as it is."""


@dataclass(frozen=True)
class Edit:
    """A change of the style coordinates.

    Attributes:
        delta: [S] what is added to them.
        name: what a reader calls it.
        method: which method found it.
        found: what else the method found out, numbers and texts.
    """

    delta: Tensor
    name: str
    method: str
    found: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.delta.ndim != 1 or not torch.isfinite(self.delta).all():
            raise MethodError(f"the edit {self.name!r} is {list(self.delta.shape)}; use finite numbers [S]")

    @property
    def coordinates(self) -> int:
        """How many style coordinates it changes."""
        return int((self.delta != 0).sum())

    def apply(self, s: Tensor, amount: float = 1.0) -> Tensor:
        """s [N, S] -> [N, S], a copy with `amount` times the change in it.

        Raises:
            MethodError: if the edit is of a generator with another number of coordinates.
        """
        if s.shape[-1] != len(self.delta):
            raise MethodError(
                f"the edit {self.name!r} is of {len(self.delta)} style coordinates, this model has {s.shape[-1]}"
            )
        return s + amount * self.delta.to(s)

    def scaled(self, amount: float) -> Edit:
        return replace(self, delta=amount * self.delta)


@dataclass(frozen=True)
class Map:
    """Where in a picture something is.

    Attributes:
        values: [H, W]; larger is more, 0 is nothing, negative speaks against the target where the method can tell.
        name, method, found: as in `Edit`.
    """

    values: Tensor
    name: str
    method: str
    found: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or not torch.isfinite(self.values).all():
            raise MethodError(f"the map {self.name!r} is {list(self.values.shape)}; use finite numbers [H, W]")

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of mass of what is above 0, (x, y) in pixels from the left and from the top; of nothing, the middle
        of the picture."""
        weight = self.values.clamp(min=0).double()
        height, width = weight.shape
        total = float(weight.sum())
        if total == 0:
            return (width - 1) / 2, (height - 1) / 2
        rows, columns = torch.arange(height, device=weight.device), torch.arange(width, device=weight.device)
        return float((weight.sum(dim=0) * columns).sum() / total), float((weight.sum(dim=1) * rows).sum() / total)


def log_odds(logits: Tensor, target: Tensor | int) -> Tensor:
    """log p / (1 - p) of the target's probability: [N, K] -> [N]. Unlike p it has a slope where p is 0 or 1."""
    target = torch.as_tensor(target, device=logits.device).expand(len(logits))
    own = logits.gather(1, target[:, None])
    rest = logits.scatter(1, target[:, None], -math.inf)
    return own[:, 0] - rest.logsumexp(dim=1)


def check_probability(prob: float) -> float:
    """The probability that somebody wants.

    Raises:
        MethodError: if no classifier can be brought to it.
    """
    if not 0 < prob < 1:
        raise MethodError(
            f"prob is {prob}; use a probability between 0 and 1, such as 0.9; no softmax reaches the ends"
        )
    return prob
