"""Every method that we have, asked the same question: at most five edits towards a class, the best first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.planting.numbers import TOP
from stylex import StylEx
from stylex.attfind.effects import effect_table, subset, subset_by_list, top_moves, towards
from stylex.explain import EDITED, propose
from stylex.methods.baselines import ganalyze, random_moves, rank_by_signal
from stylex.methods.eigenfind import affine_weight
from stylex.neighbours import counterfactuals, direction_edits, stats_of, within
from stylex.stylespace import Direction, move_together

# Latents [N, L] and styles [N, S] of pictures of other classes, and the target -> the styles that each edit makes of
# them, at most TOP of [N, S], best first.
Method = Callable[[Tensor, Tensor, int], list[Tensor]]
Move = tuple[int, Direction]

SAMPLED = 12  # pictures on which a search is made for each picture by itself
LONGEST = 10  # moves that a list or a subset may take on one picture
# Of moves chosen picture by picture, those that a smaller share of the pictures took are chance.
OFTEN = 0.1


def methods_of(model: StylEx, known: Tensor) -> dict[str, Method]:
    """Name -> what to ask.

    Args:
        known: [M, S] styles of training pictures, from which the methods that need random pictures draw: a model of
            the short recipe has no mapping network.
    """
    stats, names, searched = stats_of(model), model.class_names, model.space.num_conv

    def listed(target: int) -> list[Move]:
        source = names[1 - target] if len(names) == 2 else ""
        return [(a.index, a.direction) for a in towards(model.attributes, source, names[target])]

    def each(s: Tensor, moves: list[Move]) -> list[Tensor]:
        return [move_together(s, [move], stats) for move in moves[:TOP]]

    def attfind(latent: Tensor, s: Tensor, target: int) -> list[Tensor]:
        return each(s, listed(target))

    def attfind_list(latent: Tensor, s: Tensor, target: int) -> list[Tensor]:
        def moves_of(one: Tensor) -> list[Move]:
            return subset_by_list(model.logits_of, one, stats, listed(target), target, LONGEST)

        return each(s, often(s[:SAMPLED], moves_of))

    def attfind_subset(latent: Tensor, s: Tensor, target: int) -> list[Tensor]:
        edits_of = model.edits_of(EDITED)

        def moves_of(one: Tensor) -> list[Move]:
            candidates, ways = propose(model, one, target)
            (effect,) = effect_table(model.logits_of, one, stats, candidates=candidates, edits_of=edits_of, moves=ways)
            moves = [(int(candidates[m]), d) for m, d in top_moves(effect, target, len(candidates))]
            return subset(model.logits_of, one, stats, moves, target, LONGEST, edits_of=edits_of)

        return each(s, often(s[:SAMPLED], moves_of))

    def counterfactual(space: str) -> Method:
        def ask(latent: Tensor, s: Tensor, target: int) -> list[Tensor]:
            found = counterfactuals(model, latent, s, target, space=space)  # type: ignore[arg-type]
            return [model.styles(found.z) if space == "w" else found.z]

        return ask

    def eigenfind(latent: Tensor, s: Tensor, target: int) -> list[Tensor]:
        return [within(model, s, edit.apply(s)) for edit in direction_edits(model, "eigenfind", target, s, TOP)]

    def learned(latent: Tensor, s: Tensor, target: int) -> list[Tensor]:
        def some(count: int, seed: int) -> Tensor:
            return known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))[:count]]

        weight = affine_weight(model.styles, model.config.latent_dim, model.config.w_dim, model.device)
        edit = ganalyze(model.logits_with_gradient, some, weight, target, seed=target)
        return [within(model, s, edit.apply(s))]

    def signal(latent: Tensor, s: Tensor, target: int) -> list[Tensor]:
        probs = torch.cat([model.logits_of(part) for part in known.split(32)]).softmax(dim=1)
        return each(s, rank_by_signal(known, probs, target, stats, searched, TOP))

    def chance(latent: Tensor, s: Tensor, target: int) -> list[Tensor]:
        return each(s, random_moves(searched, TOP, stats, seed=target))

    return {
        "AttFind": attfind,
        "AttFind, its list until it flips": attfind_list,
        "AttFind, subset": attfind_subset,
        "counterfactual, few": counterfactual("few"),
        "counterfactual, shortest": counterfactual("styles"),
        "counterfactual, in w": counterfactual("w"),
        "EigenFind": eigenfind,
        "GANalyze": learned,
        "S2N": signal,
        "random": chance,
    }


def often(s: Tensor, moves_of: Callable[[Tensor], list[Move]]) -> list[Move]:
    """The moves taken on most pictures of s [N, S], of those that enough of them took."""
    taken = Counter(move for one in s.split(1) for move in moves_of(one))
    return [move for move, count in taken.most_common() if count >= OFTEN * len(s)]
