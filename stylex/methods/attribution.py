"""What a change is made of: which named attributes went up and down when a picture became its counterfactual.

With a table of labels, one linear probe per column says how much of its attribute a w holds (Goldwasser and Hooker);
without one, the model's own attributes are the words, and the change of s is read along them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..gradients import differentiable
from ..stylespace import Direction, StyleStats
from .records import MethodError

# Ridge of the probes' logistic regression, in units of whitened w; and steps of its solver.
RIDGE, STEPS = 1e-2, 50


@dataclass(frozen=True)
class Probe:
    """One label read off a w: f(w) = (w - mean) / std · weight + bias, above 0 for yes.

    `accuracy` is on the pictures it was fitted on, `share` how many of those have the label.
    """

    name: str
    weight: Tensor
    bias: float
    mean: Tensor
    std: Tensor
    accuracy: float
    share: float

    def __call__(self, w: Tensor) -> Tensor:
        """[N, D] -> [N], log-odds of the label."""
        return (w - self.mean.to(w)) / self.std.to(w) @ self.weight.to(w) + self.bias


@differentiable()
def fit_probes(w: Tensor, labels: Mapping[str, Tensor]) -> list[Probe]:
    """A logistic regression for each label, each with weights of its own.

    Args:
        w: [N, D].
        labels: name -> [N] bool.

    Raises:
        MethodError: if there is no label, or all pictures or none have one.
    """
    if not labels:
        raise MethodError("there are no labels to fit probes on; give a table with a column for each attribute")
    mean, std = w.mean(dim=0), w.std(dim=0, unbiased=False).clamp(min=1e-6)
    whitened = ((w - mean) / std).clone().detach()
    probes = []
    for name, given in labels.items():
        yes = given.to(w.device).float()
        share = float(yes.mean())
        if share in (0, 1):
            raise MethodError(f"the label {name!r} is {'on every' if share else 'on no'} picture; a probe needs both")
        weight = torch.zeros(w.shape[1], device=w.device, requires_grad=True)
        bias = torch.zeros((), device=w.device, requires_grad=True)
        solver = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

        def loss(weight: Tensor = weight, bias: Tensor = bias, yes: Tensor = yes) -> Tensor:
            fit = F.binary_cross_entropy_with_logits(whitened @ weight + bias, yes)
            return fit + RIDGE * weight.square().sum()

        def closure(solver: Any = solver, loss: Any = loss) -> Tensor:
            solver.zero_grad()
            value = loss()
            value.backward()
            return value

        with differentiable():
            solver.step(closure)
        weight, bias = weight.detach(), bias.detach()
        accuracy = float((((whitened @ weight + bias) > 0) == yes.bool()).float().mean())
        probes.append(Probe(name, weight, float(bias), mean, std, accuracy, share))
    return probes


def by_probes(probes: Sequence[Probe], w: Tensor, w_after: Tensor) -> dict[str, Tensor]:
    """φ = f(w') - f(w) for each probe, [N] for w and w' [N, D]: every picture against itself."""
    return {probe.name: probe(w_after) - probe(w) for probe in probes}


def by_attributes(
    delta: Tensor, attributes: Sequence[tuple[str, int, Direction]], stats: StyleStats
) -> dict[str, Tensor]:
    """How far a change goes along each of the model's own attributes: name -> [N].

    In shares of the attribute's range, 1 for all of it, negative where the change goes against it.

    Args:
        delta: [N, S].
        attributes: (title, coordinate, direction).
    """
    spread = (stats.s_max - stats.s_min).to(delta).clamp(min=1e-6)
    return {
        title: delta[:, index] / spread[index] * (1 if direction == Direction.UP else -1)
        for title, index, direction in attributes
    }


def overall(each: Mapping[str, Tensor], towards: Tensor) -> dict[str, float]:
    """The mean over many pictures, the strongest first, of a change that makes the class rise.

    Args:
        each: name -> [N], of N pictures with their own changes.
        towards: [N] +1 where the change raised the class, -1 where it lowered it.
    """
    means = {name: float((values * towards.to(values)).mean()) for name, values in each.items()}
    return dict(sorted(means.items(), key=lambda item: -abs(item[1])))


def strongest(each: Mapping[str, Tensor], n: int, count: int = 5) -> dict[str, float]:
    """The `count` strongest of picture n."""
    values = {name: float(column[n]) for name, column in each.items()}
    return dict(sorted(values.items(), key=lambda item: -abs(item[1]))[:count])


def worth_drawing(values: Mapping[str, float]) -> dict[str, float]:
    """Without those that would be written as 0.00, unless there are no others."""
    return {name: value for name, value in values.items() if abs(value) >= 0.005} or dict(values)


def read_labels(path: str | Path, names: Sequence[str]) -> dict[str, Tensor]:
    """A table `file,smiling,young,...` with 1 for yes and 0 or -1 for no -> label -> [N] bool, in the order of `names`.

    A row belongs to the picture of this path, or, if no other has it, of this file name.

    Raises:
        MethodError: if the table cannot be read, lacks a picture, names two by one name, or holds something else.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MethodError(f"{path} cannot be read as a table ({error}); give a CSV file") from None
    columns = list(rows[0])[1:] if rows else []
    if not columns:
        raise MethodError(f"{path} has no labels; its first row has to be file,LABEL,LABEL,... and the rows pictures")
    key = next(iter(rows[0]))
    known = {PurePath(row[key]).as_posix(): row for row in rows}
    by_name: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_name.setdefault(PurePath(row[key]).name, []).append(row)
    labels: dict[str, list[bool]] = {column: [] for column in columns}
    for name in names:
        found = known.get(PurePath(name).as_posix())
        if found is None:
            alike = by_name.get(PurePath(name).name, [])
            if len(alike) != 1:
                how = "twice" if alike else "not"
                raise MethodError(f"{path} has {name} {how}; it needs one row for each picture")
            found = alike[0]
        for column in columns:
            value = (found.get(column) or "").strip()
            if value not in ("0", "1", "-1"):
                raise MethodError(f"{path}: {column} of {name} is {value!r}; use 1 for yes and 0 or -1 for no")
            labels[column].append(value == "1")
    return {column: torch.tensor(values) for column, values in labels.items()}
