"""Every method on one picture: one row each, with the same numbers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from PIL import Image
from torch import Tensor

from .attfind.effects import effect_table, subset, top_moves
from .explain import Explainable, explanation, look, propose, shown
from .explanation import Explanation, ShownEdit
from .methods.maps import overlap
from .methods.records import Map, MethodError
from .neighbours import (
    MapOf,
    Space,
    coordinate_moves,
    counterfactuals,
    direction_edits,
    drawn_map,
    map_of,
    stats_of,
    within,
)
from .pictures.images import ImageSource, load_image
from .pictures.render import change_map, grid, probability
from .storage.files import write_json
from .storage.outputs import filling
from .stylespace import move_together

# What `Comparison.save` writes.
FILES = ("compare.png", "maps.png", "compare.json")
# Attributes that move together in a row of a method that ranks coordinates.
TOGETHER = 10
ROWS = (
    "AttFind, subset",
    "few coordinates",
    "shortest way",
    "way in w",
    "EigenFind",
    "GANalyze",
    "StyleSpace S2N",
    "random",
)
SPACE_OF: dict[str, Space] = {ROWS[1]: "few", ROWS[2]: "styles", ROWS[3]: "w"}


@dataclass(frozen=True)
class Row:
    """One method: the edit as it is shown, how many style coordinates it changes, and how long it took. `note` says why
    there is nothing to show."""

    name: str
    shown: ShownEdit | None
    coordinates: int
    seconds: float
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        row: dict[str, Any] = {"name": self.name, "coordinates": self.coordinates, "seconds": round(self.seconds, 3)}
        if self.shown is not None:
            row |= {k: v for k, v in self.shown.to_dict().items() if k != "name"}
        return row | ({"note": self.note} if self.note else {})


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    A row for each method, the maps of the photograph's class, and how much of each map lies where the shortest
    counterfactual changes the picture, from 0 to 1.
    """

    explanation: Explanation
    rows: Sequence[Row]
    maps: Sequence[tuple[Map, Image.Image]]
    overlaps: dict[str, float]

    def save(self, folder: str | Path) -> Path:
        """Write compare.png, maps.png if there are maps, and compare.json.

        Files of an earlier comparison that are as it left them are written over.

        Raises:
            OutputError: if the folder cannot be written, or holds another file of one of these names, which stays.
        """
        folder = Path(folder)
        e = self.explanation
        head = {"predicted": e.predicted, "target": e.target, "reconstruction_probs": e.reconstruction_probs}
        rows = [row.to_dict() for row in self.rows]
        with filling(folder, replaces=r"maps\.png", option="folder", spare=[e.path]) as aside:
            self.sheet().save(aside / "compare.png")
            if self.maps:
                self.map_sheet().save(aside / "maps.png")
            write_json(
                aside / "compare.json", {**head, "warnings": e.warnings, "methods": rows, "overlaps": self.overlaps}
            )
        return folder

    def sheet(self) -> Image.Image:
        """Before, after, and where it changed: a row for each method, with the target's probabilities."""
        cells: list[list[Image.Image | None]] = []
        titles = []
        for row in self.rows:
            if row.shown is None:
                continue
            a = row.shown
            cells.append([a.before, a.image, change_map(a.before, a.image)])
            count = "1 coordinate" if row.coordinates == 1 else f"{row.coordinates} coordinates"
            titles.append(f"{row.name}\n{probability(a.prob_before)} → {probability(a.prob_after)}\n{count}")
        return grid(cells, ["reconstruction", f"towards {self.explanation.target}", "where"], titles)

    def map_sheet(self) -> Image.Image:
        """The maps side by side, each over the picture that it is of."""
        pictures = [picture for _, picture in self.maps]
        heats = [drawn_map(found, picture) for found, picture in self.maps]
        return grid([pictures, heats], [found.name for found, _ in self.maps])


def compare(
    model: Explainable,
    image: ImageSource,
    target: str | int | None = None,
    map_methods: Sequence[MapOf] = get_args(MapOf),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Ask every method about one picture. A method that cannot answer has a row that says why.

    Args:
        target: class to reach; None for the runner-up.
        map_methods: which maps to draw.
        progress: called with the number of methods and maps that are done and of all of them.

    Raises:
        ImageError, ValueError, ModelError: as `StylEx.explain`.
    """
    stats_of(model)
    path = Path(image) if isinstance(image, (str, os.PathLike)) else None
    image = load_image(image)  # once, and not for each map again
    seen = replace(look(model, image, target), path=path)
    rows = []
    for name in ROWS:
        start = time.perf_counter()
        try:
            after = _changed(model, name, seen)
            seconds = time.perf_counter() - start
            (numbers,) = shown(model, seen.s, after, seen.aim)
            changed = int((after != seen.s).sum())
            rows.append(Row(name, ShownEdit(**{**numbers, "name": name}), changed, seconds))
        except (MethodError, ValueError) as error:
            rows.append(Row(name, None, 0, time.perf_counter() - start, str(error)))
        progress(len(rows), len(ROWS) + len(map_methods))
    found, notes = [], []
    for n, method in enumerate(map_methods, start=1):
        try:
            # A classifier's map is of what it sees; what it does not see has no place in the picture.
            found.append(map_of(model, image, seen.aim if method == "change" else None, method))
        except MethodError as error:
            notes.append(f"{method}: {error}")
        progress(len(ROWS) + n, len(ROWS) + len(map_methods))
    edits = next((m for m, _ in found if m.method == "change"), None)
    overlaps = {m.name: round(overlap(m, edits), 4) for m, _ in found if edits is not None and m is not edits}
    told = explanation(model, seen, [row.shown for row in rows if row.shown is not None])
    told.warnings.extend([*(f"{row.name}: {row.note}" for row in rows if row.note), *notes])
    return Comparison(told, rows, found, overlaps)


def _changed(model: Explainable, name: str, seen: Any) -> Tensor:
    """The styles [1, S] that a method makes of a picture's."""
    s, aim, stats = seen.s, seen.aim, stats_of(model)
    if name in SPACE_OF:
        found = counterfactuals(model, seen.latent, s, aim, space=SPACE_OF[name])
        return model.styles(found.z) if SPACE_OF[name] == "w" else found.z
    if name == ROWS[0]:
        candidates, ways = propose(model, s, aim)
        edits_of = model.edits_of(32)
        (effect,) = effect_table(model.logits_of, s, stats, candidates=candidates, edits_of=edits_of, moves=ways)
        moves = [(int(candidates[m]), d) for m, d in top_moves(effect, aim, len(candidates))]
        moves = subset(model.logits_of, s, stats, moves, aim, TOGETHER, edits_of=edits_of)
        return move_together(s, moves, stats)
    if name in (ROWS[6], ROWS[7]):
        moves = coordinate_moves(model, "s2n" if name == ROWS[6] else "random", aim, TOGETHER)
        return move_together(s, moves, stats)
    edits = direction_edits(model, "eigenfind" if name == ROWS[4] else "ganalyze", aim, s, 1)
    if not edits:
        raise MethodError("no eigen-direction raises the target one way only on this picture")
    with torch.no_grad():
        return within(model, s, edits[0].apply(s))
