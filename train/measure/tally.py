"""Numbers, each with how sure it is: what was seen on every picture is kept until all is counted."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from stylex.metrics import Statistic, bootstrap, wilson

Interval = list[float | None]  # None: beyond what was tried


class Tally:
    """Means and medians over pictures, and intervals of them.

    Attributes:
        numbers: by their names in metrics.json.
        intervals: of those, by the same names; what is no single number has a dictionary of them.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.numbers: dict[str, Any] = {}
        self.intervals: dict[str, Any] = {}

    def add(
        self, name: str, values: Tensor, pictures: Tensor | None = None, of: Statistic = "mean", digits: int = 4
    ) -> None:
        """One number: the mean or median of values [P], of `pictures` [P] or of one picture each."""
        self.numbers[name] = round(middle(values, of), digits)
        self.intervals[name] = self.interval(values, pictures, of, digits)

    def add_rates(self, name: str, hits: dict[str, Tensor], pictures: Tensor | None = None) -> None:
        """Several shares under one name, as of the first 1, 2, ... attributes."""
        self.numbers[name] = {key: round(middle(value), 4) for key, value in hits.items()}
        self.intervals[name] = {key: self.interval(value, pictures) for key, value in hits.items()}

    def interval(
        self, values: Tensor, pictures: Tensor | None = None, of: Statistic = "mean", digits: int = 4
    ) -> Interval:
        """By bootstrap over pictures. Of a share that is 0 or 1 on all of them no draw says how sure that is; then it
        is Wilson's, of as many pictures."""
        if values.dtype == torch.bool and (values.all() or not values.any()):
            count = len(values if pictures is None else pictures.unique())
            return [round(end, digits) for end in wilson(float(values[0]), count)]
        ends = bootstrap(values.cpu(), pictures, of, seed=self.seed)
        return [round(end, digits) if math.isfinite(end) else None for end in ends]


def middle(values: Tensor, of: Statistic = "mean") -> float:
    return values.float().mean().item() if of == "mean" else values.double().nanmedian().item()
