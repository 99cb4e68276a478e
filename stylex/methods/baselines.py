"""The neighbours that StylEx argues with: one learned direction, channels ranked by signal to noise, and chance."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..gradients import differentiable
from ..stylespace import Direction, StyleStats
from .records import NO_GRADIENT, Edit, LogitsOf, MethodError, log_odds

# GANalyze: steps of Adam, pictures a step, its rate, and the amounts of the direction that are asked for.
STEPS, BATCH, RATE = 30, 8, 0.1
AMOUNTS = (-1.0, 1.0)
# StyleSpace: this many pictures the classifier is surest of, on each side.
EXEMPLARS = 10


@differentiable()
def ganalyze(
    logits_of: LogitsOf,
    draw: Callable[[int, int], Tensor],
    weight: Tensor,
    target: int,
    *,
    rise: float = 4.0,
    steps: int = STEPS,
    seed: int = 0,
) -> Edit:
    """One direction in w, learned so that a step along it changes a class by the same amount on every picture
    (Goetschalckx et al. 2019, "GANalyze: Toward Visual Definitions of Cognitive Image Properties").

    minimise  E_{s, a} (L(s + a A θ) - (L(s) + a r))²    over θ, with L the log-odds of the class

    The paper asks a score in [0, 1] for a + a of it; the log-odds of a sure classifier have room for that where its
    probability has none.

    Args:
        logits_of: s [B, S] -> logits [B, K], with a gradient.
        draw: (count, seed) -> random styles [count, S].
        weight: A [S, D], how s follows w.
        rise: r, in log-odds.
        steps: of Adam.

    Raises:
        MethodError: if the classifier passes no gradient.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = weight.clone()
    theta = torch.zeros(weight.shape[1], device=weight.device, requires_grad=True)
    optimiser = torch.optim.Adam([theta], lr=RATE)
    losses = []
    for step in range(steps):
        s = draw(BATCH, seed + step)
        pick = torch.randint(len(AMOUNTS), (BATCH,), generator=generator)
        amount = torch.tensor(AMOUNTS)[pick].to(s)
        with torch.no_grad():
            wanted = log_odds(logits_of(s), target) + amount * rise
        with differentiable():
            odds = log_odds(logits_of(s + amount[:, None] * (weight @ theta)), target)
            if not odds.requires_grad:
                raise MethodError(NO_GRADIENT.format(method="ganalyze"))
            loss = (odds - wanted).square().mean()
            (theta.grad,) = torch.autograd.grad(loss, theta)
        optimiser.step()
        losses.append(float(loss.detach()))
    last = losses[-10:]
    found = {"loss": sum(last) / len(last), "first_loss": losses[0], "rise": rise, "steps": steps}
    return Edit((weight @ theta).detach(), "learned direction", "ganalyze", found)


def signal_to_noise(s: Tensor, exemplars: Tensor, stats: StyleStats) -> Tensor:
    """How far and how evenly the exemplars differ from everybody in each coordinate: [S].

    S2N = |mean z| / std z with z = (s - mean) / std (Wu et al. 2021, "StyleSpace Analysis", section 4). A coordinate
    that does not vary has 0.

    Args:
        s: [S] or [N, S]; only its kind is used.
        exemplars: [E, S], two or more.

    Raises:
        MethodError: if there are fewer than two exemplars.
    """
    if len(exemplars) < 2:
        raise MethodError(f"signal to noise needs at least two pictures of a class, got {len(exemplars)}")
    varies = stats.s_std.to(s) > 1e-6
    z = (exemplars - stats.s_mean.to(s)) / stats.s_std.to(s).clamp(min=1e-6)
    ratio = z.mean(dim=0).abs() / z.std(dim=0).clamp(min=1e-6)
    return torch.where(varies, ratio, 0)


def rank_by_signal(
    s: Tensor, probs: Tensor, target: int, stats: StyleStats, searched: int, count: int, exemplars: int = EXEMPLARS
) -> list[tuple[int, Direction]]:
    """The first `count` of the searched coordinates by signal to noise, each towards where the exemplars lie.

    Args:
        s: [N, S] pictures, drawn or real.
        probs: [N, K] what the classifier says of them; those of which it is surest are the exemplars.
    """
    order = probs[:, target].argsort(descending=True)
    chosen = s[order[:exemplars]]
    ratio = signal_to_noise(s, chosen, stats)[:searched]
    above = chosen.mean(dim=0) > stats.s_mean.to(s)
    best = ratio.argsort(descending=True, stable=True)[:count]
    return [(int(i), Direction.UP if above[i] else Direction.DOWN) for i in best]


def random_moves(searched: int, count: int, stats: StyleStats, seed: int = 0) -> list[tuple[int, Direction]]:
    """`count` different coordinates by chance, of those that vary, each towards an end by chance."""
    generator = torch.Generator().manual_seed(seed)
    varies = (stats.s_max > stats.s_min)[:searched].cpu().nonzero().flatten()
    chosen = varies[torch.randperm(len(varies), generator=generator)[:count]]
    ups = torch.randint(2, (len(chosen),), generator=generator)
    return [(int(i), Direction(int(d))) for i, d in zip(chosen, ups, strict=True)]
