"""What an explanation of one picture holds, and how it is written to a folder; `explain` makes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from torch import Tensor

from . import metrics
from .pictures.render import captioned, change_map, flicker, grid, probability
from .stylespace import Direction

Strategy = Literal["independent", "subset", "list"]


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
        """Whether a person can see the change: enough of the pixels change by enough."""
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
