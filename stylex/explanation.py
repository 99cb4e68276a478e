"""What an explanation of one picture holds, and how it is written to a folder; `explain` makes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from torch import Tensor

from . import metrics
from .methods.attribution import worth_drawing
from .methods.records import Edit
from .pictures.names import Proposal, Titled
from .pictures.render import animate, captioned, change_map, flicker, grid, probability, signed_bars
from .storage.files import write_json
from .storage.outputs import filling, looks_ours
from .stylespace import Direction

Strategy = Literal["independent", "subset", "list"]
Method = Literal["attfind", "counterfactual", "eigenfind", "ganalyze", "s2n", "random"]
# Names of the files of one attribute, and of a counterfactual's way.
ATTRIBUTE = r"attribute-\d+(-map\.png|\.png|\.gif|\.webp)|progression(\.(png|gif|webp)|-bars\.png)"


@dataclass(frozen=True, kw_only=True)
class ShownEdit:
    """A change of one picture.

    `image` is the picture with the change and `before` without it; the probabilities are the target's.
    """

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
        """Whether a person can see the change: enough of the pixels change by enough."""
        return self.changed_share >= metrics.VISIBLE_SHARE

    @property
    def title(self) -> str:
        return self.name or "edit"

    @property
    def heading(self) -> str:
        """What stands on a picture of it."""
        return self.title

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "prob_before": self.prob_before,
            "prob_after": self.prob_after,
            "delta": self.delta,
            "delta_logit": self.delta_logit,
            "changed_share": self.changed_share,
        }


@dataclass(frozen=True, kw_only=True)
class AttributeEdit(Titled, ShownEdit):
    """One attribute of one picture, changed.

    With the strategies "subset" and "list" each change comes on top of the ones before it.
    """

    index: int
    layer: str
    channel: int
    direction: Direction
    proposal: Proposal | None = None
    """A description that was measured; of many pictures, or where the coordinate is in no list, of this one alone."""

    def to_dict(self) -> dict[str, Any]:
        where = {"index": self.index, "layer": self.layer, "channel": self.channel}
        proposal = None if self.proposal is None else asdict(self.proposal)
        return {**where, "direction": self.direction.name.lower(), **super().to_dict(), "proposal": proposal}


@dataclass(frozen=True, kw_only=True)
class MethodEdit(ShownEdit):
    """The edit of another method, shown on one picture."""

    edit: Edit

    @property
    def title(self) -> str:
        return self.edit.name

    def to_dict(self) -> dict[str, Any]:
        made = {"method": self.edit.method, "coordinates": self.edit.coordinates, **self.edit.found}
        return {**super().to_dict(), "name": self.edit.name, "found": made}


@dataclass(frozen=True)
class Explanation:
    """What the classifier says of a picture, and what would change its mind.

    `attributes` are `AttributeEdit`s, or `MethodEdit`s where another method than AttFind was asked; `progression` are
    the pictures on the way of a counterfactual, each with the target's probability. An explanation is of the
    *reconstruction*: `probs` and `reconstruction_probs` show how far that can be trusted, and `warnings` says it in
    words.
    """

    source: Image.Image
    reconstruction: Image.Image
    probs: dict[str, float]
    reconstruction_probs: dict[str, float]
    target: str
    strategy: Strategy
    shift: float
    attributes: list[Any]
    warnings: list[str]
    s: Tensor
    method: Method = "attfind"
    progression: Sequence[tuple[Image.Image, float]] = ()
    path: Path | None = None
    """Where the picture was read from, if that is a file."""

    @property
    def predicted(self) -> str:
        """The class of the photograph."""
        return max(self.probs, key=self.probs.__getitem__)

    def to_dict(self) -> dict[str, Any]:
        return {
            "predicted": self.predicted,
            "target": self.target,
            "method": self.method,
            "strategy": self.strategy,
            "shift": self.shift,
            "probs": self.probs,
            "reconstruction_probs": self.reconstruction_probs,
            "warnings": self.warnings,
            "attributes": [a.to_dict() for a in self.attributes],
        }

    def caption(self, attribute: ShownEdit) -> str:
        """What was changed, and in a line of its own what that did to the target."""
        numbers = f"{probability(attribute.prob_before)} → {probability(attribute.prob_after)}"
        return f"{attribute.heading}\n{self.target}  {numbers}"

    def save(self, folder: str | Path) -> Path:
        """Write everything into `folder`.

        explanation.json, source.png, reconstruction.png, and for each attribute n: attribute-n.png (the picture with
        it changed), attribute-n.gif and .webp (the flicker), attribute-n-map.png (where it changed); overview.png
        shows all of it on one sheet. Of a counterfactual also progression.png, .gif and .webp, the pictures on the
        way, and progression-bars.png, how far they went along the model's attributes, in shares of each one's range.
        Files of an earlier explanation that are as it left them are written over, and go if this one has fewer.

        Raises:
            OutputError: if the folder cannot be written, or holds another file of one of these names, which stays.
        """
        folder = Path(folder)
        with filling(folder, replaces=ATTRIBUTE, option="folder", spare=[self.path], known=from_before) as aside:
            self.source.save(aside / "source.png")
            self.reconstruction.save(aside / "reconstruction.png")
            for n, attribute in enumerate(self.attributes, start=1):
                attribute.image.save(aside / f"attribute-{n}.png")
                captioned(change_map(attribute.before, attribute.image), attribute.heading).save(
                    aside / f"attribute-{n}-map.png"
                )
                for suffix in (".gif", ".webp"):
                    flicker(
                        attribute.before,
                        attribute.image,
                        aside / f"attribute-{n}{suffix}",
                        caption=self.caption(attribute),
                    )
            self.overview().save(aside / "overview.png")
            if self.progression:
                frames, numbers = zip(*self.progression, strict=True)
                captions = [f"{self.target}  {probability(p)}" for p in numbers]
                grid([frames], column_titles=captions).save(aside / "progression.png")
                if along := self.attributes[0].edit.found.get("along"):
                    signed_bars(worth_drawing(along), "along the model's attributes").save(
                        aside / "progression-bars.png"
                    )
                for suffix in (".gif", ".webp"):
                    animate(frames, aside / f"progression{suffix}", captions)
            write_json(aside / "explanation.json", self.to_dict())
        return folder

    def overview(self) -> Image.Image:
        """One sheet: the photograph and its reconstruction, then before, after and where, for each attribute."""
        columns: list[list[Image.Image]] = [[self.source, self.reconstruction]]
        titles = [f"{self.predicted} {probability(self.probs[self.predicted])}"]
        for a in self.attributes:
            columns.append([a.before, a.image, change_map(a.before, a.image)])
            titles.append(self.caption(a))
        rows = [[column[r] if r < len(column) else None for column in columns] for r in range(3)]
        return grid(rows, column_titles=titles)


def files_of(attributes: int) -> list[str]:
    """Names of what `Explanation.save` writes."""
    endings = (".png", "-map.png", ".gif", ".webp")
    each = [f"attribute-{n}{ending}" for n in range(1, attributes + 1) for ending in endings]
    return ["explanation.json", "source.png", "reconstruction.png", "overview.png", *each]


def from_before(path: Path) -> bool:
    """Whether a version that kept no list wrote a file: explanation.json came last, so what is newer is not ours."""
    said = path.with_name("explanation.json")
    known = path.name in files_of(0) or re.fullmatch(ATTRIBUTE, path.name) is not None
    try:
        return known and looks_ours(said) and path.stat().st_mtime <= said.stat().st_mtime
    except OSError:
        return False
