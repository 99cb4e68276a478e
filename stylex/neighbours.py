"""The other methods asked about a model: which callables they get, and how what they find is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar, get_args
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .explain import (
    Explainable,
    Seen,
    at_once,
    attribute_edits,
    check_asked,
    explanation,
    look,
    shown,
)
from .explanation import Explanation, Method, MethodEdit, ShownEdit
from .methods import maps
from .methods.attribution import by_attributes, strongest
from .methods.baselines import EXEMPLARS, ganalyze, random_moves, rank_by_signal
from .methods.counterfactual import Counterfactuals, counterfactual
from .methods.eigenfind import affine_weight, eigen_directions, find_directions
from .methods.perturbation import perturb
from .methods.records import Edit, Map, MethodError
from .pictures.images import ImageSource, to_pil
from .pictures.render import heat_map
from .storage.files import ModelError
from .stylespace import Direction, StyleStats, move_together, outside

Space = Literal["styles", "few", "w"]
# What a reader calls the search in each of them.
SPACES: dict[str, str] = {"styles": "shortest way", "few": "fewest coordinates", "w": "way in w"}
# A picture whose target is as probable as this already has no counterfactual worth showing; also what is asked for.
PROB = 0.9
# Coordinates of a counterfactual that its record names, those that move farthest first; and attributes for each class
# by which it is described.
NAMED = 10
# Pictures of a progression, at most.
FRAMES = 8
# Pictures among which s2n looks for exemplars, and of which ganalyze learns, at most.
DRAWN = 200
# Random pictures with more of their coordinates than this outside of the training pictures' range are no pictures; and
# so many of them tell.
UNLIKE, ASKED = 0.2, 16

T = TypeVar("T")
MapOf = Literal["gradcam", "integrated_gradients", "occlusion", "perturbation", "change"]
_REMEMBERED: WeakKeyDictionary[Explainable, dict[tuple[str, int], Any]] = WeakKeyDictionary()


def explain_by(
    model: Explainable,
    image: ImageSource,
    method: Method,
    target: str | int | None = None,
    top_k: int = 5,
    shift: float = 1.0,
) -> Explanation:
    """An explanation by another method than AttFind, each edit alone on the picture.

    "counterfactual" gives the one edit of `counterfactual_of`. "eigenfind" tries the first eigen-directions of the
    affine weights, both ways, and keeps those that raise the target one way only. "ganalyze" learns one direction from
    many pictures, once per model and target. "s2n" ranks coordinates by how those of many pictures that the classifier
    is surest of differ from the others, and "random" takes coordinates by chance. Many pictures are random ones, or, of
    a model that draws no good ones, its samples. `shift` is how far: 1 is the end of a coordinate's range, or the whole
    of a direction.

    Raises:
        ValueError: if there is no such method or class, top_k is below 1, or shift is negative or not finite.
        ModelError: if the model has no style statistics yet.
        MethodError: if the method cannot answer this question, or has no pictures to learn from.
    """
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}; use one of {', '.join(get_args(Method))}")
    check_asked(top_k, shift)
    if method == "counterfactual":
        return counterfactual_of(model, image, target)
    stats = stats_of(model)
    seen = look(model, image, target)
    edits: Sequence[ShownEdit]
    if method in ("s2n", "random"):
        moves = coordinate_moves(model, method, seen.aim, top_k)
        moved = torch.cat([move_together(seen.s, [m], stats, shift) for m in moves])
        edits = attribute_edits(model, moves, seen.s, moved, seen.aim)
    else:
        found = direction_edits(model, method, seen.aim, seen.s, top_k)
        moved = torch.cat([seen.s, *(within(model, seen.s, edit.apply(seen.s, shift)) for edit in found)])[1:]
        rows = shown(model, seen.s, moved, seen.aim)
        real = [replace(edit, delta=row - seen.s[0]) for edit, row in zip(found, moved, strict=True)]
        edits = [MethodEdit(edit=edit, **row) for edit, row in zip(real, rows, strict=True)]
    return explanation(model, seen, edits, shift=shift, method=method)


def coordinate_moves(
    model: Explainable, method: Method, target: int, count: int, known: Tensor | None = None
) -> list[tuple[int, Direction]]:
    """The moves of a baseline that ranks coordinates for a class.

    Args:
        known: styles [N, S] of pictures to rank by, the same whenever it is asked; None for those that the model draws
            or has.
    """
    stats, searched = stats_of(model), model.space.num_conv
    if method == "random":
        return random_moves(searched, count, stats, seed=target)

    def rank() -> list[tuple[int, Direction]]:
        given = own_pictures(model) if known is None else known
        s = drawn(model, DRAWN, seed=target) if given is None else given
        probs = torch.cat([model.logits_of(part) for part in s.split(at_once(model))]).softmax(dim=1)
        exemplars = EXEMPLARS
        if given is not known:  # of a few samples the surest need not be of the class at all
            exemplars = min(exemplars, int((probs.argmax(dim=1) == target).sum()))
        return rank_by_signal(s, probs, target, stats, searched, searched, exemplars)

    return remembered(model, ("s2n" if known is None else "s2n of known", target), rank)[:count]


def direction_edits(
    model: Explainable, method: Method, target: int, s: Tensor, count: int, known: Tensor | None = None
) -> list[Edit]:
    """The directions in w of a method, for the pictures s [N, S]; not yet bounded. `known` as in `coordinate_moves`."""
    weight = affine_weight(model.styles, model.config.latent_dim, model.config.w_dim, model.device)
    if method == "ganalyze":

        def learn() -> Edit:
            given = own_pictures(model) if known is None else known

            def draw(count: int, seed: int) -> Tensor:
                if given is None:
                    return drawn(model, count, seed)
                rows = torch.randperm(len(given), generator=torch.Generator().manual_seed(seed))
                return given[rows.repeat(math.ceil(count / len(rows)))[:count]]

            return ganalyze(model.logits_with_gradient, draw, weight, target, seed=target)

        return [remembered(model, ("ganalyze" if known is None else "ganalyze of known", target), learn)]
    stats = stats_of(model)
    directions = eigen_directions(weight, model.space.num_conv)
    found = find_directions(
        model.logits_of,
        s,
        directions,
        target,
        kept=count,
        low=stats.s_min,
        high=stats.s_max,
        batch_size=at_once(model),
    )
    return found.edits


def within(model: Explainable, before: Tensor, after: Tensor) -> Tensor:
    """`after` [N, S] with every coordinate kept inside of the range that the training pictures have, or, where it was
    outside before, from going farther: a direction in w moves all coordinates, and some would leave it."""
    stats = stats_of(model)
    low, high = torch.minimum(stats.s_min.to(before), before), torch.maximum(stats.s_max.to(before), before)
    return torch.minimum(torch.maximum(after, low), high)


def own_pictures(model: Explainable) -> Tensor | None:
    """Styles [N, S] of the samples that lie beside a model, or None if its random pictures serve as well.

    Raises:
        MethodError: if it has neither.
    """

    def known() -> Tensor | None:
        if model.mapping is None:
            why = "this model has no mapping network, so it cannot draw random pictures"
        elif (share := outside(drawn(model, ASKED, seed=0), stats_of(model), model.space.num_conv)) > UNLIKE:
            why = (
                f"the random pictures of this model are unlike those it was trained on ({share:.0%} of their style "
                "coordinates lie outside of the range of all of those)"
            )
        else:
            return None
        if not model.samples:
            raise MethodError(f"{why}, and it has no folder samples to learn from instead; use another method")
        x = model.load_images(model.samples[:DRAWN])
        return torch.cat([model.styles(model.encode(part)) for part in x.split(at_once(model))])

    return remembered(model, ("own pictures", 0), known)


def drawn(model: Explainable, count: int, seed: int) -> Tensor:
    """Styles [count, S] of random pictures of random classes."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(model.config.num_classes, (count,), generator=generator)
    return model.sample(F.one_hot(classes, model.config.num_classes).float(), seed=seed)


def remembered(model: Explainable, question: tuple[str, int], answer: Callable[[], T]) -> T:
    """What was found for a question, asked once for each loaded model."""
    known = _REMEMBERED.setdefault(model, {})
    if question not in known:
        known[question] = answer()
    return known[question]


def counterfactual_of(
    model: Explainable,
    image: ImageSource,
    target: str | int | None = None,
    prob: float = PROB,
    space: Space = "styles",
) -> Explanation:
    """The smallest change of the picture's reconstruction that brings the target's probability to `prob`.

    Args:
        target: class to reach, by name or number; None for the runner-up.
        prob: between 0 and 1.
        space: where to search: "styles", the shortest way in the searched style coordinates, each measured by how much
            it varies; "few", as few of them as will do, inside the range they have; "w", the shortest way in w alone.

    Returns:
        One edit, with the pictures on the way in `progression`; a warning says if it did not arrive.

    Raises:
        ValueError, ModelError, MethodError: as `explain_by`; if the target is as probable as `prob` already.
    """
    seen = look(model, image, target)
    name = model.class_names[seen.aim]
    if (already := float(seen.logits_rec.softmax(0)[seen.aim])) >= prob:
        raise MethodError(
            f"the classifier gives {name} {already:.2f} on this reconstruction already, and {prob} is asked for; "
            "choose another target or a higher prob"
        )
    found = counterfactuals(model, seen.latent, seen.s, seen.aim, prob, space)
    edit = counterfactual_edit(model, found, 0, name, space, seen.s)
    along = strongest(by_attributes(edit.delta[None], words(model, [name]), stats_of(model)), 0)
    edit = replace(edit, found={**edit.found, "along": along})
    (numbers,) = shown(model, seen.s, edit.apply(seen.s), seen.aim)
    told = explanation(
        model,
        seen,
        [MethodEdit(edit=edit, **numbers)],
        method="counterfactual",
        progression=progression(model, seen, edit),
    )
    if not found.arrived[0]:
        told.warnings.append(f"The counterfactual {found.sentence(0, name)}; what is shown is as far as it came.")
    return told


def words(model: Explainable, targets: Sequence[str], count: int = NAMED) -> list[tuple[str, int, Direction]]:
    """The words by which a change is described: (title, coordinate, direction) of the first `count` attributes towards
    each of these classes, none twice."""
    chosen: dict[int, tuple[str, int, Direction]] = {}
    for a in model.attributes:
        title = f"{a.words} ({a.coordinate})" if a.words else a.coordinate
        if a.target in targets and len(chosen) < count * len(targets):
            # The other direction of a coordinate would say the same with the other sign.
            chosen.setdefault(a.index, (title, a.index, a.direction))
    return list(chosen.values())


def counterfactuals(
    model: Explainable, latent: Tensor, s: Tensor, target: int | Tensor, prob: float = PROB, space: Space = "styles"
) -> Counterfactuals:
    """`methods.counterfactual.counterfactual` of many pictures, from their latents [N, L] and styles [N, S]."""
    if space not in SPACES:
        raise ValueError(f"space is {space!r}; use one of {', '.join(SPACES)}")
    stats = stats_of(model)
    if space == "w":
        free = torch.arange(latent.shape[1], device=latent.device) < model.config.w_dim
        return counterfactual(
            lambda z: model.logits_with_gradient(model.generator.styles(z)), latent, target, prob, free=free
        )
    free = torch.arange(s.shape[1], device=s.device) < model.space.num_conv
    return counterfactual(
        model.logits_with_gradient,
        s,
        target,
        prob,
        free=free,
        scale=stats.s_std,
        low=stats.s_min,
        high=stats.s_max,
        sparse=space == "few",
    )


def counterfactual_edit(model: Explainable, found: Counterfactuals, n: int, name: str, space: Space, s: Tensor) -> Edit:
    """What was found for picture n, as a change of its styles s [1, S]."""
    delta = model.styles(found.z[n : n + 1])[0] - s[0] if space == "w" else found.delta[n]
    farthest = (delta / stats_of(model).s_std.to(delta).clamp(min=1e-6))[: model.space.num_conv]
    order = farthest.abs().argsort(descending=True)[:NAMED].tolist()
    return Edit(
        delta,
        f"{name}, {SPACES[space]}",
        "counterfactual",
        {
            "space": space,
            "arrived": bool(found.arrived[n]),
            "steps": int(found.steps[n]),
            "searched": int(found.coordinates[n]),
            "distance": float(found.distance[n]),
            "sentence": found.sentence(n, name),
            "farthest": [
                {"layer": layer, "channel": channel, "std": round(float(farthest[i]), 3)}
                for i in order
                if farthest[i] != 0
                for layer, channel in [model.space.locate(i)]
            ],
        },
    )


def progression(model: Explainable, seen: Seen, edit: Edit, frames: int = FRAMES) -> list[tuple[Image.Image, float]]:
    """The picture on its way along an edit, in even steps, each with the target's probability."""
    amounts = torch.linspace(0, 1, frames).tolist()
    s = torch.cat([edit.apply(seen.s, amount) for amount in amounts])
    x = torch.cat([model.synthesize(part) for part in s.split(at_once(model))])
    probs = model.classify(x)[:, seen.aim].tolist()
    return [(to_pil(picture), p) for picture, p in zip(x, probs, strict=True)]


def stats_of(model: Explainable) -> StyleStats:
    """The range of the coordinates.

    Raises:
        ModelError: if the model has none yet.
    """
    if model.stats is None:
        raise ModelError("this model has no style statistics; run train/find_attributes.py on it first")
    return model.stats


def map_of(
    model: Explainable, image: ImageSource, target: str | int | None = None, method: MapOf = "gradcam"
) -> tuple[Map, Image.Image]:
    """Where in a picture something is, and the picture that it lies on.

    "gradcam", "integrated_gradients" and "occlusion" are captum's and show where the classifier looks for the target in
    the photograph; "perturbation" where the photograph has to change to lose it; "change" where the shortest
    counterfactual towards it changes the reconstruction.

    Args:
        target: a class by name or number; None for the photograph's class, of "change" for the runner-up.

    Raises:
        ValueError, ModelError, MethodError: as `explain_by`.
    """
    if method not in get_args(MapOf):
        raise ValueError(f"method is {method!r}; use one of {', '.join(get_args(MapOf))}")
    seen = look(model, image, target)
    if method == "change":
        found = counterfactuals(model, seen.latent, seen.s, seen.aim)
        return maps.change(seen.x_rec, model.synthesize(found.z)), to_pil(seen.x_rec)
    aim = int(seen.logits.argmax()) if target is None else seen.aim
    if method == "perturbation":
        found_ = perturb(model.classifier, seen.x, torch.tensor([aim], device=seen.x.device))
        return found_.map(0), to_pil(seen.x)
    return maps.attribute(model.classifier, seen.x, aim, method), to_pil(seen.x)


def drawn_map(found: Map, picture: Image.Image) -> Image.Image:
    """A map laid over its picture."""
    return heat_map(picture, found.values.cpu().numpy())
