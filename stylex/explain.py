"""Explain one picture: which attributes would change the classifier's mind about it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from PIL import Image
from torch import Tensor

from . import metrics
from .attfind.effects import effect_table, subset, subset_by_list, top_moves, towards
from .pictures.images import ImageSource, load_image, to_pil, to_tensor
from .pictures.render import captioned, change_map, flicker, grid, probability
from .storage.files import ModelError
from .stylespace import Direction, move_together

if TYPE_CHECKING:
    from .model import StylEx

Strategy = Literal["independent", "subset", "list"]
# Coordinates that the gradient proposes for one picture, beside the class-level attributes.
SCREENED = 100
# Pictures of 256 px that are drawn at once; each takes about 200 MB on its way through the generator.
AT_ONCE = 8
UNSURE = 0.5
# Copies with one coordinate changed that go through the generator at once; wider passes are no faster on a processor.
EDITED = 32
# Logits; a smaller effect is how two batches of different size round, and no effect.
ROUNDING = 1e-4


@dataclass(frozen=True)
class AttributeEdit:
    """One attribute of one picture, changed.

    `image` is the picture with the change and `before` without it; the probabilities are the target's. With the
    strategies "subset" and "list" each change comes on top of the ones before it.
    """

    index: int
    layer: str
    channel: int
    direction: Direction
    prob_before: float
    prob_after: float
    delta_logit: float
    changed_share: float
    before: Image.Image
    image: Image.Image
    name: str | None = None

    @property
    def delta(self) -> float:
        """Change of the target's probability."""
        return self.prob_after - self.prob_before

    @property
    def visible(self) -> bool:
        """Whether a person can see the change (`metrics.VISIBLE_SHARE`)."""
        return self.changed_share >= metrics.VISIBLE_SHARE

    @property
    def title(self) -> str:
        """The name a person gave, else the coordinate's place in StyleSpace."""
        return self.name or f"{self.layer} · {self.channel} {'↑' if self.direction == Direction.UP else '↓'}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "layer": self.layer,
            "channel": self.channel,
            "direction": self.direction.name.lower(),
            "name": self.name,
            "prob_before": self.prob_before,
            "prob_after": self.prob_after,
            "delta": self.delta,
            "delta_logit": self.delta_logit,
            "changed_share": self.changed_share,
        }


@dataclass(frozen=True)
class Explanation:
    """What the classifier says of a picture, and what would change its mind.

    An explanation is of the *reconstruction*: `probs` and `reconstruction_probs` show how far that can be trusted, and
    `warnings` says it in words.
    """

    source: Image.Image
    reconstruction: Image.Image
    probs: dict[str, float]
    reconstruction_probs: dict[str, float]
    target: str
    strategy: Strategy
    shift: float
    attributes: list[AttributeEdit]
    warnings: list[str]
    s: Tensor

    @property
    def predicted(self) -> str:
        """The class of the photograph."""
        return max(self.probs, key=self.probs.__getitem__)

    def to_dict(self) -> dict[str, Any]:
        return {
            "predicted": self.predicted,
            "target": self.target,
            "strategy": self.strategy,
            "shift": self.shift,
            "probs": self.probs,
            "reconstruction_probs": self.reconstruction_probs,
            "warnings": self.warnings,
            "attributes": [a.to_dict() for a in self.attributes],
        }

    def caption(self, attribute: AttributeEdit) -> str:
        return f"{self.target}  {probability(attribute.prob_before)} → {probability(attribute.prob_after)}"

    def save(self, folder: str | Path) -> Path:
        """Write everything into `folder`.

        explanation.json, source.png, reconstruction.png, and for each attribute n: attribute-n.png (the picture with
        it changed), attribute-n.gif and .webp (the flicker), attribute-n-map.png (where it changed); overview.png
        shows all of it on one sheet.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("attribute-[0-9]*"):  # of an explanation that had more of them
            old.unlink()
        self.source.save(folder / "source.png")
        self.reconstruction.save(folder / "reconstruction.png")
        for n, attribute in enumerate(self.attributes, start=1):
            attribute.image.save(folder / f"attribute-{n}.png")
            captioned(change_map(attribute.before, attribute.image), attribute.title).save(
                folder / f"attribute-{n}-map.png"
            )
            for suffix in (".gif", ".webp"):
                flicker(
                    attribute.before,
                    attribute.image,
                    folder / f"attribute-{n}{suffix}",
                    caption=self.caption(attribute),
                )
        self.overview().save(folder / "overview.png")
        (folder / "explanation.json").write_text(
            json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        return folder

    def overview(self) -> Image.Image:
        """One sheet: the photograph and its reconstruction, then before, after and where, for each attribute."""
        columns: list[list[Image.Image]] = [[self.source, self.reconstruction]]
        titles = [f"{self.predicted} {probability(self.probs[self.predicted])}"]
        for a in self.attributes:
            columns.append([a.before, a.image, change_map(a.before, a.image)])
            titles.append(f"{a.title}\n{self.caption(a)}")
        rows = [[column[r] if r < len(column) else None for column in columns] for r in range(3)]
        return grid(rows, column_titles=titles)


def explain(
    model: StylEx,
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

    Args:
        image: path, bytes, file or PIL picture.
        target: class whose logit should rise, by name or number; None for the runner-up.
        top_k: how many attributes, at most.
        strategy: "independent": each moved alone; "subset": each on top of the ones before, always the one that then
            helps most, until the decision flips (Lang et al. 2021, section 3.4, where both names come from); "list":
            the class-level attributes on top of each other in their own order, until the decision flips.
        shift: 0 stays, 1 arrives at the end of the range seen over the training pictures.

    Raises:
        ImageError: if the picture cannot be read.
        ValueError: if there is no such class or strategy, top_k is below 1, or shift is negative or not finite.
        ModelError: if the model has no style statistics yet.
    """
    if strategy not in get_args(Strategy):
        raise ValueError(f"strategy is {strategy!r}; use one of {', '.join(get_args(Strategy))}")
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; use 1 or more")
    if not 0 <= shift < math.inf:
        raise ValueError(f"shift is {shift}; use 1 for the end of the range, or another number from 0 up")
    if model.stats is None:
        raise ModelError("this model has no style statistics; run train/find_attributes.py on it first")
    x = to_tensor([load_image(image)], model.resolution).to(model.device)
    logits = model.logits(x)[0]
    aim = resolve_target(model.class_names, logits, target)
    latent = model.encode(x)
    s = model.styles(latent)
    x_rec = model.synthesize(s)
    logits_rec = model.logits(x_rec)[0]

    names, edits_of = model.class_names, model.edits_of(min(at_once(model), EDITED))
    if strategy == "list":
        source = names[int(logits_rec.argmax())]
        listed = [(a.index, a.direction) for a in towards(model.attributes, source, names[aim])]
        moves = subset_by_list(model.logits_of, s, model.stats, listed, aim, top_k, shift)
    else:
        candidates = propose(model, s, aim, shift)
        (effect,) = effect_table(  # [2, M, K]
            model.logits_of, s, model.stats, candidates=candidates, shift=shift, edits_of=edits_of
        )
        effect[effect < ROUNDING] = 0
        moves = [(int(candidates[m]), direction) for m, direction in top_moves(effect, aim, len(candidates))]
    if strategy == "independent":
        # A few more than asked for, so that those nobody can see may step back.
        moves = moves[: 4 * top_k]
        moved = torch.cat([s, *(move_together(s, [m], model.stats, shift) for m in moves)])[1:]
        edits = _edits(model, moves, s, moved, aim)
        edits.sort(key=lambda a: not a.visible)  # stable: the order by effect stays within each half
        edits = edits[:top_k]
    else:
        if strategy == "subset":
            moves = subset(model.logits_of, s, model.stats, moves, aim, top_k, shift, edits_of=edits_of)
        steps = [s]
        for move_ in moves:
            steps.append(move_together(steps[-1], [move_], model.stats, shift))
        edits = _edits(model, moves, torch.cat(steps)[:-1], torch.cat(steps)[1:], aim)

    probs, probs_rec = logits.softmax(0), logits_rec.softmax(0)
    return Explanation(
        source=to_pil(x),
        reconstruction=to_pil(x_rec),
        probs=dict(zip(names, probs.tolist(), strict=True)),
        reconstruction_probs=dict(zip(names, probs_rec.tolist(), strict=True)),
        target=names[aim],
        strategy=strategy,
        shift=shift,
        attributes=edits,
        warnings=_warnings(names, probs, probs_rec, aim, strategy, edits),
        s=s,
    )


def at_once(model: StylEx) -> int:
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


def promise(model: StylEx, s: Tensor, target: int, shift: float = 1.0) -> Tensor:
    """First-order guess of how far each move raises the target above the other classes: gradient times distance.

    s [N, S] -> [N, 2, M] over the conv coordinates. A guess, to choose what is worth moving; nothing is shown from it.
    """
    assert model.stats is not None
    ends = torch.stack([model.stats.s_min, model.stats.s_max]).to(s)  # [2, S]
    parts = []
    for part in s.split(at_once(model)):
        with torch.enable_grad():
            start = part.detach().clone().requires_grad_()
            logits = model.classifier(model.generator.synthesis(start, noise="const").clamp(-1, 1))
            rest = (logits.sum(dim=1) - logits[:, target]) / (logits.shape[1] - 1)
            (gradient,) = torch.autograd.grad((logits[:, target] - rest).sum(), start)
        parts.append(shift * (gradient[:, None] * (ends - part[:, None]))[..., : model.space.num_conv])
    return torch.cat(parts)


def propose(model: StylEx, s: Tensor, target: int, shift: float = 1.0) -> Tensor:
    """Conv coordinates worth moving on s [1, S]: the class-level attributes towards the target, and those that promise
    most on this picture. [M] sorted, without doubles."""
    promised = promise(model, s, target, shift)[0].amax(dim=0)
    top = promised.topk(min(SCREENED, len(promised))).indices.cpu()
    name = model.class_names[target]
    known = torch.tensor([a.index for a in model.attributes if a.target == name], dtype=torch.long)
    return torch.cat([known, top]).unique()


def combine(model: StylEx, s: Tensor, attributes: Sequence[AttributeEdit], amounts: Sequence[float]) -> Tensor:
    """Move several attributes at once, each as far as its knob says: s [1, S] -> [1, S].

    0 leaves an attribute alone, 1 takes it to the end of its range.
    """
    assert model.stats is not None
    for attribute, amount in zip(attributes, amounts, strict=True):
        s = move_together(s, [(attribute.index, attribute.direction)], model.stats, amount)
    return s


def _edits(
    model: StylEx, moves: Sequence[tuple[int, Direction]], before: Tensor, after: Tensor, target: int
) -> list[AttributeEdit]:
    """Records of `moves`, from the styles before them, [M, S] or [1, S] for all, and after each, [M, S]."""
    if not moves:
        return []
    x_before, x_after = (
        torch.cat([model.synthesize(part) for part in s.split(at_once(model))]) for s in (before, after)
    )
    logits_before, logits_after = model.logits(x_before).expand(len(moves), -1), model.logits(x_after)
    x_before = x_before.expand_as(x_after)
    shares = metrics.changed_share(x_before, x_after).tolist()
    target_name = model.class_names[target]
    given = {(a.index, a.direction): a.name for a in model.attributes if a.target == target_name}
    edits = []
    for n, (index, direction) in enumerate(moves):
        layer, channel = model.space.locate(index)
        edits.append(
            AttributeEdit(
                index=index,
                layer=layer,
                channel=channel,
                direction=direction,
                prob_before=float(logits_before[n].softmax(0)[target]),
                prob_after=float(logits_after[n].softmax(0)[target]),
                delta_logit=float(logits_after[n, target] - logits_before[n, target]),
                changed_share=shares[n],
                before=to_pil(x_before[n]),
                image=to_pil(x_after[n]),
                name=given.get((index, direction)),
            )
        )
    return edits


def _warnings(
    names: list[str], probs: Tensor, probs_rec: Tensor, target: int, strategy: Strategy, edits: list[AttributeEdit]
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
