"""The smallest change that brings a class to a wanted probability (Goldwasser and Hooker, "Latent-Space Adversarial
Attacks"; the linear step is DeepFool's, Moosavi-Dezfooli et al. 2016).

Their loop climbs the probability with Adam and stops when it is high enough. Here each step goes where the linear
model of the log-odds says that the wanted value lies, by the shortest way or, sparse, by the fewest coordinates, and at
the end everything that is not needed is taken back. So it takes a few gradients instead of hundreds, knows no learning
rate, and cannot get stuck where a probability of 0 or 1 has no slope.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..gradients import differentiable
from .records import NO_GRADIENT, LogitsOf, MethodError, check_probability, log_odds

STEPS = 100  # a picture that has arrived takes no more; nearly all do within 40
# A change u [B, Z] of the pictures `rows` [B] -> log-odds [B].
OddsOf = Callable[[Tensor, Tensor], Tensor]

# No step raises the log-odds by more than this, as far as the linear model knows: it does not know far.
REACH = 3.0
# Aims so much higher than wanted, in log-odds, so that the last step arrives and not only comes near.
MARGIN = 0.05
# Halvings that look for the least share of the change which is still enough.
HALVINGS = 6
# Sparse: only coordinates with a slope above this share of the steepest one may move; it falls if they do not suffice.
STEEPEST, FLATTER = 0.9, 0.7


@dataclass(frozen=True)
class Counterfactuals:
    """What it took, for each of N pictures.

    Attributes:
        z: [N, Z] the changed coordinates, and `delta` the change alone.
        prob_before, prob_after: [N] of the target.
        arrived: [N] bool, whether `prob_after` is what was asked for; where it is not, z is as far as it came.
        steps: [N] gradients that it took.
        coordinates: [N] how many coordinates change.
        distance: [N] length of the change, in units of `scale`.
        path: [T, N, Z] the way, from the start on; a picture that has arrived stays.
        passes: pictures sent through the generator, a gradient counted as three.
    """

    z: Tensor
    delta: Tensor
    prob_before: Tensor
    prob_after: Tensor
    arrived: Tensor
    steps: Tensor
    coordinates: Tensor
    distance: Tensor
    path: Tensor
    passes: int

    def sentence(self, n: int, name: str) -> str:
        """How it went for picture n, for a reader who asked for class `name`."""
        far = f"{name} {float(self.prob_before[n]):.3f} → {float(self.prob_after[n]):.3f}"
        count, steps = int(self.coordinates[n]), int(self.steps[n])
        if self.arrived[n]:
            return f"arrived: {far} with {count} coordinates in {steps} steps"
        return f"did not arrive: {far} after {steps} steps"


@differentiable()
def counterfactual(
    logits_of: LogitsOf,
    z: Tensor,
    target: int | Tensor,
    prob: float = 0.9,
    *,
    free: Tensor | None = None,
    scale: Tensor | None = None,
    low: Tensor | None = None,
    high: Tensor | None = None,
    sparse: bool = False,
    steps: int = STEPS,
) -> Counterfactuals:
    """Change `z` as little as possible so that the target's probability becomes at least `prob`.

    The length of a change is sqrt(sum (delta / scale)^2), sparse: sum |delta / scale|.

    Args:
        logits_of: z [B, Z] -> logits [B, K], with a gradient.
        z: [N, Z] the pictures: styles, or latents.
        target: class to reach, one for all or [N].
        free: [Z] bool, which coordinates may change; None for all.
        scale: [Z] how much each of them usually varies; None for 1. One that does not vary stays.
        low, high: [Z] the range that a free coordinate may not leave (one that starts outside may stay); None for
            no end.
        sparse: few coordinates rather than a short way, by proximal steps; this needs `low` and `high`.
        steps: gradients at most.

    Raises:
        MethodError: if `prob` is not between 0 and 1, no coordinate is free, sparse has no range, or the classifier
            passes no gradient.
    """
    wanted = float(torch.tensor(check_probability(prob), dtype=torch.float64).logit())
    z = z.clone().detach()
    target = torch.as_tensor(target, device=z.device).clone().expand(len(z))
    unit = torch.ones_like(z[0]) if scale is None else scale.to(z).clone()
    if free is not None:
        unit = unit * free.to(unit)
    if not (unit > 0).any():
        raise MethodError("no coordinate is free to change, so there is no counterfactual; free some that vary")
    if sparse and (low is None or high is None):
        raise MethodError("a sparse counterfactual needs the range of the coordinates (low and high)")
    # u = (z' - z) / unit is what is searched; a coordinate with unit 0 stays.
    per = torch.where(unit > 0, 1 / unit.clamp(min=1e-12), 0)
    bottom = torch.full_like(z, -torch.inf) if low is None else ((low.to(z) - z) * per).clamp(max=0)
    top = torch.full_like(z, torch.inf) if high is None else ((high.to(z) - z) * per).clamp(min=0)

    def odds_of(u: Tensor, rows: Tensor) -> Tensor:
        return log_odds(logits_of(z[rows] + u * unit), target[rows])

    u = torch.zeros_like(z)
    everyone = torch.arange(len(z), device=z.device)
    taken = torch.zeros(len(z), dtype=torch.long, device=z.device)
    share = torch.full((len(z), 1), STEEPEST, device=z.device)
    best, best_u, start = torch.full((len(z),), -torch.inf).to(z), u.clone(), torch.zeros(len(z)).to(z)
    path, rows, passes = [u], everyone, 0
    for step in range(steps + 1):
        odds, gradient = _slope(odds_of, u[rows], rows)
        passes += 3 * len(rows)
        if step == 0:
            start = odds
        better = odds > best[rows]
        best[rows], best_u[rows] = (
            torch.where(better, odds, best[rows]),
            torch.where(better[:, None], u[rows], best_u[rows]),
        )
        # A step of few coordinates that did not help: the linear model does not hold so far, and more share the next.
        share[rows[~better]] *= FLATTER
        going = (odds < wanted) & (gradient.abs().amax(dim=1) > 0)
        rows, odds, gradient = rows[going], odds[going], gradient[going]
        if step == steps or not len(rows):
            break
        taken[rows] += 1
        rise = (wanted + MARGIN - odds).clamp(max=REACH)
        ends = bottom[rows], top[rows]
        if sparse:
            moved, share[rows] = _proximal_step(u[rows], gradient, rise, *ends, share[rows])
        else:
            moved = _shortest_step(u[rows], gradient, rise, *ends)
        stuck = (moved == u[rows]).all(dim=1)  # at the end of every range
        taken[rows[stuck]] -= 1
        u = u.clone()
        u[rows] = moved
        path.append(u)
        rows = rows[~stuck]
        if not len(rows):
            break

    arrived = best >= wanted
    with torch.no_grad():
        if sparse:
            best_u, count = _fewest(odds_of, best_u, arrived, wanted)
            passes += count
        best_u, count = _least(odds_of, best_u, arrived, wanted)
        passes += count
        best = odds_of(best_u, everyone)
        path.append(best_u)
    return Counterfactuals(
        z=z + best_u * unit,
        delta=best_u * unit,
        prob_before=start.sigmoid(),
        prob_after=best.sigmoid(),
        arrived=arrived,
        steps=taken,
        coordinates=(best_u * unit != 0).sum(dim=1),
        distance=best_u.norm(dim=1),
        path=z + torch.stack(path) * unit,
        passes=passes + len(z),
    )


def _slope(odds_of: OddsOf, u: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The log-odds [B] at u [B, Z], and their gradient [B, Z]."""
    with differentiable():
        u = u.clone().detach().requires_grad_()
        odds = odds_of(u, rows)
        if not odds.requires_grad:
            raise MethodError(NO_GRADIENT.format(method="counterfactual"))
        (gradient,) = torch.autograd.grad(odds.sum(), u)
    return odds.detach(), gradient


def _shortest_step(u: Tensor, gradient: Tensor, rise: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The nearest point inside the range at which the linear model has risen by `rise` [B]; where it cannot rise as
    much, the point at which it has risen most."""
    return _line_search(lambda t: (u + t * gradient).clamp(low, high), u, gradient, rise)


def _proximal_step(
    u: Tensor, gradient: Tensor, rise: Tensor, low: Tensor, high: Tensor, share: Tensor
) -> tuple[Tensor, Tensor]:
    """A gradient step, then the proximal map of the L1 norm: what has less slope than `share` [B, 1] of the steepest
    shrinks, and what is near 0 is 0. The share falls until those above it can carry the rise.

    Returns:
        The point [B, Z] and the shares.
    """
    steepest = gradient.abs().amax(dim=1, keepdim=True)
    while True:
        threshold = share * steepest

        def proximal(t: Tensor, threshold: Tensor = threshold) -> Tensor:
            point = u + t * gradient
            return (point.sign() * (point.abs() - t * threshold).clamp(min=0)).clamp(low, high)

        moved = _line_search(proximal, u, gradient, rise)
        short = ((moved - u) * gradient).sum(dim=1) < 0.9 * rise
        if not short.any() or not (share[short] > 1e-3).any():
            return moved, share
        share = torch.where(short[:, None], share * FLATTER, share)


def _line_search(point_at: Callable[[Tensor], Tensor], u: Tensor, gradient: Tensor, rise: Tensor) -> Tensor:
    """`point_at(t)` for the t [B, 1] at which the linear model has risen by `rise` [B]; by halving, no pictures."""
    scale = (rise / gradient.square().sum(dim=1))[:, None]  # what it would be without a range
    few, many = torch.zeros_like(scale), scale
    for _ in range(30):
        enough = ((point_at(many) - u) * gradient).sum(dim=1) >= rise
        if enough.all():
            break
        many = torch.where(enough[:, None], many, 2 * many)
    for _ in range(30):
        middle = (few + many) / 2
        enough = (((point_at(middle) - u) * gradient).sum(dim=1) >= rise)[:, None]
        few, many = torch.where(enough, few, middle), torch.where(enough, middle, many)
    return point_at(many)


def _fewest(odds_of: OddsOf, u: Tensor, arrived: Tensor, wanted: float) -> tuple[Tensor, int]:
    """For pictures that have arrived: as few of the largest changes as still suffice, by halving their number."""
    rows = arrived.nonzero().flatten()
    if not len(rows):
        return u, 0
    order = u[rows].abs().argsort(dim=1, descending=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(u.shape[1], device=u.device).expand_as(order))
    few, many = torch.zeros_like(rows), (u[rows] != 0).sum(dim=1)  # `many` is known to suffice
    passes = 0
    while bool((many - few > 1).any()):
        middle = (few + many) // 2
        enough = odds_of(u[rows] * (rank < middle[:, None]), rows) >= wanted
        few, many = torch.where(enough, few, middle), torch.where(enough, middle, many)
        passes += len(rows)
    u = u.clone()
    u[rows] = u[rows] * (rank < many[:, None])
    return u, passes


def _least(odds_of: OddsOf, u: Tensor, arrived: Tensor, wanted: float) -> tuple[Tensor, int]:
    """For pictures that have arrived: the least share of their change that is still enough, by halving."""
    rows = arrived.nonzero().flatten()
    if not len(rows):
        return u, 0
    little, much = torch.zeros(len(rows), 1).to(u), torch.ones(len(rows), 1).to(u)
    for _ in range(HALVINGS):
        middle = (little + much) / 2
        enough = (odds_of(u[rows] * middle, rows) >= wanted)[:, None]
        little, much = torch.where(enough, little, middle), torch.where(enough, middle, much)
    u = u.clone()
    u[rows] = u[rows] * much
    return u, HALVINGS * len(rows)
