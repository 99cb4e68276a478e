"""Explain one picture: which attributes would change the classifier's mind about it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args

import torch
from PIL import Image
from torch import Tensor

from . import metrics
from .attfind.effects import Attribute, EditsOf, effect_table, subset, subset_by_list, top_moves, towards
from .classifiers.classifier import Classifier
from .explanation import AttributeEdit, Explanation, Method, ShownEdit, Strategy
from .gradients import differentiable
from .methods.records import NO_GRADIENT, MethodError
from .networks.config import ModelConfig
from .networks.generator import Generator, Mapping
from .pictures.images import ImageSource, to_pil, to_tensor
from .pictures.names import propose_alone
from .pictures.render import probability
from .storage.files import ModelError
from .stylespace import Direction, StyleSpace, StyleStats, move_together

# Coordinates that the gradient proposes for one picture, beside the class-level attributes.
SCREENED = 80
# Pictures of 256 px that are drawn at once; each takes about 200 MB on its way through the generator.
AT_ONCE = 8
UNSURE = 0.5
# Copies with one coordinate changed that go through the generator at once; wider passes are no faster on a processor.
EDITED = 32
# Logits; a smaller effect is how two batches of different size round, and no effect.
ROUNDING = 1e-4


class Explainable(Protocol):
    """What an explanation asks of a model; `model.StylEx` says what each is, and is one."""

    config: ModelConfig
    device: torch.device
    generator: Generator
    mapping: Mapping | None
    classifier: Classifier
    stats: StyleStats | None
    attributes: list[Attribute]
    samples: list[Path]

    @property
    def class_names(self) -> list[str]: ...
    @property
    def resolution(self) -> int: ...
    @property
    def space(self) -> StyleSpace: ...
    def load_images(self, images: Iterable[ImageSource]) -> Tensor: ...
    def encode(self, x: Tensor) -> Tensor: ...
    def styles(self, latent: Tensor) -> Tensor: ...
    def synthesize(self, s: Tensor) -> Tensor: ...
    def logits(self, x: Tensor) -> Tensor: ...
    def classify(self, x: Tensor) -> Tensor: ...
    def logits_of(self, s: Tensor) -> Tensor: ...
    def logits_with_gradient(self, s: Tensor) -> Tensor: ...
    def sample(self, probs: Tensor, seed: int = 0) -> Tensor: ...
    def edits_of(self, batch_size: int) -> EditsOf: ...


def explain(
    model: Explainable,
    image: ImageSource,
    target: str | int | None = None,
    top_k: int = 5,
    strategy: Strategy = "independent",
    shift: float = 1.0,
) -> Explanation:
    """The attributes that change the classifier's mind about `image` most.

    Candidates are the class-level attributes and, but for the strategy "list", the coordinates whose gradient promises
    most; each is then really moved. With "independent" they are ranked by what they did to the target's logit, those
    that a person can see first.

    Arguments and errors are those of `model.StylEx.explain`.
    """
    if strategy not in get_args(Strategy):
        raise ValueError(f"strategy is {strategy!r}; use one of {', '.join(get_args(Strategy))}")
    check_asked(top_k, shift)
    if model.stats is None:
        raise ModelError("this model has no style statistics; run train/find_attributes.py on it first")
    seen = look(model, image, target)
    aim, s = seen.aim, seen.s

    names, edits_of = model.class_names, model.edits_of(min(at_once(model), EDITED))
    if strategy == "list":
        source = names[int(seen.logits_rec.argmax())]
        listed = [(a.index, a.direction) for a in towards(model.attributes, source, names[aim])]
        moves = subset_by_list(model.logits_of, s, model.stats, listed, aim, top_k, shift)
    else:
        candidates, ways = propose(model, s, aim, shift)
        (effect,) = effect_table(  # [2, M, K]
            model.logits_of, s, model.stats, candidates=candidates, shift=shift, edits_of=edits_of, moves=ways
        )
        effect[effect < ROUNDING] = 0
        moves = [(int(candidates[m]), direction) for m, direction in top_moves(effect, aim, len(candidates))]
    if strategy == "independent":
        numbers: list[dict[str, Any]] = []
        # Up to a few more than asked for, so that those nobody can see may step back.
        for start in range(0, min(len(moves), 4 * top_k), top_k):
            moved = [move_together(s, [m], model.stats, shift) for m in moves[start : start + top_k]]
            numbers += shown(model, s, torch.cat(moved), aim)
            if sum(row["changed_share"] >= metrics.VISIBLE_SHARE for row in numbers) >= top_k:
                break
        # Stable: the order by effect stays within each half.
        best = sorted(range(len(numbers)), key=lambda m: numbers[m]["changed_share"] < metrics.VISIBLE_SHARE)[:top_k]
        edits = named_edits(model, [moves[m] for m in best], [numbers[m] for m in best], aim)
    else:
        if strategy == "subset":
            moves = subset(model.logits_of, s, model.stats, moves, aim, top_k, shift, edits_of=edits_of)
        steps = [s]
        for move_ in moves:
            steps.append(move_together(steps[-1], [move_], model.stats, shift))
        edits = attribute_edits(model, moves, torch.cat(steps)[:-1], torch.cat(steps)[1:], aim)

    return explanation(model, seen, edits, strategy, shift)


def check_asked(top_k: int, shift: float) -> None:
    """Refuse how many edits are asked for, or how far they are to go.

    Raises:
        ValueError: naming what came, and the way out.
    """
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; use 1 or more")
    if not 0 <= shift < math.inf:
        raise ValueError(f"shift is {shift}; use 1 for the end of the range, or another number from 0 up")


@dataclass(frozen=True)
class Seen:
    """A picture as the model sees it: x and x_rec [1, 3, R, R], logits and logits_rec [K], the target class, the latent
    [1, L] and styles s [1, S]."""

    x: Tensor
    logits: Tensor
    aim: int
    latent: Tensor
    s: Tensor
    x_rec: Tensor
    logits_rec: Tensor
    path: Path | None = None
    """Where the picture was read from, if that is a file."""


def look(model: Explainable, image: ImageSource, target: str | int | None) -> Seen:
    """Read a picture; errors are those of `model.StylEx.explain`."""
    x = model.load_images([image])
    logits = model.logits(x)[0]
    aim = resolve_target(model.class_names, logits, target)
    latent = model.encode(x)
    s = model.styles(latent)
    x_rec = model.synthesize(s)
    path = Path(image) if isinstance(image, (str, os.PathLike)) else None
    return Seen(x, logits, aim, latent, s, x_rec, model.logits(x_rec)[0], path)


def explanation(
    model: Explainable,
    seen: Seen,
    edits: Sequence[ShownEdit],
    strategy: Strategy = "independent",
    shift: float = 1.0,
    method: Method = "attfind",
    progression: Sequence[tuple[Image.Image, float]] = (),
) -> Explanation:
    """The record of what was found on a picture, with what a reader should know before believing it."""
    names = model.class_names
    probs, probs_rec = seen.logits.softmax(0), seen.logits_rec.softmax(0)
    return Explanation(
        source=to_pil(seen.x),
        reconstruction=to_pil(seen.x_rec),
        probs=dict(zip(names, probs.tolist(), strict=True)),
        reconstruction_probs=dict(zip(names, probs_rec.tolist(), strict=True)),
        target=names[seen.aim],
        strategy=strategy,
        shift=shift,
        attributes=list(edits),
        warnings=_warnings(names, probs, probs_rec, seen.aim, strategy, edits),
        s=seen.s,
        method=method,
        progression=progression,
        path=seen.path,
    )


def at_once(model: Explainable) -> int:
    """How many pictures to draw together: `AT_ONCE` at 256 px, more of smaller ones, fewer of larger ones."""
    return min(256, max(1, AT_ONCE * 256**2 // model.resolution**2))


def resolve_target(class_names: list[str], logits: Tensor, target: str | int | None) -> int:
    """Number of the target class: by name, by number, or the runner-up of logits [K].

    Raises:
        ValueError: if there is no such class.
    """
    if target is None:
        return int(logits.argsort(descending=True)[1])
    if isinstance(target, str) and target in class_names:
        return class_names.index(target)
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(class_names):
        return target
    raise ValueError(f"there is no class {target!r}; this classifier knows {', '.join(class_names)}")


def promise(model: Explainable, s: Tensor, target: int, shift: float = 1.0) -> Tensor:
    """First-order guess of how far each move raises the target above the other classes: gradient times distance.

    s [N, S] -> [N, 2, M] over the conv coordinates. A guess, to choose what is worth moving; nothing is shown from it.
    """
    assert model.stats is not None
    ends = torch.stack([model.stats.s_min, model.stats.s_max]).to(s)  # [2, S]
    parts = []
    for part in s.split(at_once(model)):
        with differentiable():
            start = part.clone().detach().requires_grad_()
            logits = model.logits_with_gradient(start)
            if not logits.requires_grad:
                raise MethodError(NO_GRADIENT.format(method="a guess of what is worth moving"))
            rest = (logits.sum(dim=1) - logits[:, target]) / (logits.shape[1] - 1)
            (gradient,) = torch.autograd.grad((logits[:, target] - rest).sum(), start)
        parts.append(shift * (gradient[:, None] * (ends - part[:, None]))[..., : model.space.num_conv])
    return torch.cat(parts)


def propose(model: Explainable, s: Tensor, target: int, shift: float = 1.0) -> tuple[Tensor, Tensor]:
    """Conv coordinates worth moving on s [1, S]: the class-level attributes towards the target, and those that promise
    most on this picture.

    Returns:
        The coordinates [M], sorted, without doubles, and which way each is worth moving [2, M] bool. Of two classes
        that is the way that promises, or the attribute goes; of more it is both, for what is asked there is the
        target's own logit, and the gradient is of its lead.
    """
    listed = [a for a in model.attributes if a.target == model.class_names[target]]
    ways = torch.zeros(2, model.space.num_conv, dtype=torch.bool)
    ways[[int(a.direction) for a in listed], [a.index for a in listed]] = True
    two = len(model.class_names) == 2
    try:
        promised = promise(model, s, target, shift)[0].cpu()
    except MethodError:  # a classifier that nobody can ask for a gradient: the list has to do, or else every coordinate
        ways, two = ways if listed else ~ways, False
    else:
        best = promised if two else promised.amax(dim=0)
        ways.view(-1)[best.flatten().topk(min(SCREENED, best.numel())).indices] = True
    index = ways.any(dim=0).nonzero().flatten()
    return index, ways[:, index] if two else torch.ones(2, len(index), dtype=torch.bool)


def combine(model: Explainable, s: Tensor, moves: Iterable[tuple[int, Direction, float]]) -> Tensor:
    """Several moves on one picture, each of a coordinate by an amount of its own: s [1, S] -> [1, S].

    The amount 0 leaves a coordinate where it is, 1 takes it to the end of its range.
    """
    assert model.stats is not None
    for index, direction, amount in moves:
        s = move_together(s, [(index, direction)], model.stats, amount)
    return s


def attribute_edits(
    model: Explainable, moves: Sequence[tuple[int, Direction]], before: Tensor, after: Tensor, target: int
) -> list[AttributeEdit]:
    """Records of `moves`, from the styles before them, [M, S] or [1, S] for all, and after each, [M, S]."""
    return named_edits(model, moves, shown(model, before, after, target), target)


def named_edits(
    model: Explainable, moves: Sequence[tuple[int, Direction]], numbers: Sequence[dict[str, Any]], target: int
) -> list[AttributeEdit]:
    """Records of moves of which is known what they did, see `shown`, with what each is called."""
    target_name = model.class_names[target]
    known = {(a.index, a.direction): a for a in model.attributes if a.target == target_name}
    edits = []
    for (index, direction), row in zip(moves, numbers, strict=True):
        layer, channel = model.space.locate(index)
        of_many = known.get((index, direction))
        name, proposal = (of_many.name, of_many.proposal) if of_many else (None, None)
        if name is None and proposal is None:
            proposal = propose_alone(*(to_tensor([row[key]], model.resolution) for key in ("before", "image")))
        called = row | {"name": name, "proposal": proposal}
        edits.append(AttributeEdit(index=index, layer=layer, channel=channel, direction=direction, **called))
    return edits


def shown(model: Explainable, before: Tensor, after: Tensor, target: int) -> list[dict[str, Any]]:
    """The fields of `ShownEdit` for styles `before`, [M, S] or [1, S] for all, and `after` [M, S]."""
    if not len(after):
        return []
    x_before, x_after = (
        torch.cat([model.synthesize(part) for part in s.split(at_once(model))]) for s in (before, after)
    )
    logits_before, logits_after = model.logits(x_before).expand(len(after), -1), model.logits(x_after)
    x_before = x_before.expand_as(x_after)
    shares = metrics.changed_share(x_before, x_after).tolist()
    return [
        {
            "prob_before": float(logits_before[n].softmax(0)[target]),
            "prob_after": float(logits_after[n].softmax(0)[target]),
            "delta_logit": float(logits_after[n, target] - logits_before[n, target]),
            "changed_share": shares[n],
            "before": to_pil(x_before[n]),
            "image": to_pil(x_after[n]),
        }
        for n in range(len(after))
    ]


def _warnings(
    names: list[str], probs: Tensor, probs_rec: Tensor, target: int, strategy: Strategy, edits: Sequence[ShownEdit]
) -> list[str]:
    """What a reader should know before believing the explanation, in plain sentences."""
    top, top_rec = int(probs.argmax()), int(probs_rec.argmax())
    found = []
    if top != top_rec:
        found.append(
            f"The classifier calls the photograph {names[top]} but its reconstruction {names[top_rec]}: "
            "this explanation is of another decision."
        )
    if probs[top] < UNSURE:
        found.append(
            f"The classifier is unsure: its first choice {names[top]} has only {probability(float(probs[top]))}."
        )
    if strategy != "independent" and target == top_rec:
        found.append(f"The classifier calls the reconstruction {names[target]} already: there is no decision to flip.")
    elif not edits and strategy == "list":
        found.append(f"There is no list of attributes towards {names[target]}; the other strategies need none.")
    elif not edits:
        found.append("No single attribute moves the classifier towards the target on this picture.")
    elif target == top:
        found.append(f"The target {names[target]} is what the classifier sees already; these attributes make it surer.")
    if edits and not any(a.visible for a in edits):
        found.append("None of these changes is large enough for a person to see.")
    return found
