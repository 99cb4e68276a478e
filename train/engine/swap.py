"""Class swap: which other class a step asks for, and which coordinates follow it. Not in the paper.

The styles of a picture are computed twice, for its own probabilities and for the ones it is asked for; a mask says from
where each coordinate is taken. What follows may be few coordinates, and still has to convince the classifier: so the
class ends up in single coordinates that are strong enough to be seen, which is what AttFind looks for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylex.stylespace import StyleSpace

# Of the pictures that are swapped with `few`, this share has few coordinates that follow.
FEW_SHARE = 0.5


def swap_top(probs: Tensor) -> Tensor:
    """Exchange each picture's largest probability with that of a random other class: [N, K] -> [N, K]."""
    n, k = probs.shape
    top = probs.argmax(1)
    other = (top + torch.randint(1, k, (n,), device=probs.device)) % k
    rows = torch.arange(n, device=probs.device)
    swapped = probs.clone()
    swapped[rows, top], swapped[rows, other] = probs[rows, other], probs[rows, top]
    return swapped


def followers(class_weight: Tensor, space: StyleSpace, target: Tensor, dropout: float, few: int) -> Tensor:
    """Which coordinates follow the class that each picture is asked for: [N, S] bool.

    Never toRGB and places, which AttFind does not search.

    Args:
        class_weight: [S', K], what each coordinate that is a style adds for each class.
        space: of the S coordinates, the first M may follow.
        target: [N] the class asked for.
        dropout: up to this share of the M stays behind, another random share in each picture: no coordinate can rely
            on all the rest.
        few: in half of the pictures only so many follow, those of `owned`; 0 for none.
    """
    n, size, searched, device = len(target), space.size, space.num_conv, class_weight.device
    keep = 1 - torch.rand(n, 1, device=device) * dropout
    mask = torch.rand(n, size, device=device) < keep
    mask[:, searched:] = False
    if few:
        alone = torch.rand(n, 1, device=device) < FEW_SHARE
        mask = torch.where(alone, owned(class_weight[:searched], target, few, size), mask)
    return mask


def owned(class_weight: Tensor, target: Tensor, count: int, size: int) -> Tensor:
    """The `count` coordinates that take each picture's target furthest beyond all other classes: [N, S] bool.

    AttFind moves a coordinate to the end of its range. Where another class lies further out, that end is the other
    class, so a coordinate belongs to a class if this one alone has the largest or the smallest value.

    Args:
        class_weight: [M, K] of the coordinates to choose from.
        target: [N].
        size: S, of which the M are the first.
    """

    def beyond(values: Tensor) -> Tensor:
        """How far each class's value is above those of all others, [M, K]; negative if it is not."""
        best, second = values.topk(2, dim=1).values.split(1, dim=1)
        return values - torch.where(values == best, second, best)

    values = class_weight.detach()
    margin = torch.maximum(beyond(values), beyond(-values))[:, target]  # [M, N]
    mask = torch.zeros(len(target), size, dtype=torch.bool, device=values.device)
    return mask.scatter(1, margin.topk(min(count, len(values)), dim=0).indices.t(), True)
