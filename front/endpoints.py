"""What programs ask of a picture: by REST, with gradio_client, or as tools of a language model (MCP)."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from front.closer import overlays
from front.methods import maps_here
from front.models import Shelf
from front.place import asked, cells_of, reach
from front.replies import KNOB_END, TOP_K, keep, keep_all, keep_copies, keep_pictures, load, named, plainly
from front.trust import trust as checked
from stylex import Direction, Method, ModelError, Strategy, compare
from stylex.explain import combine, resolve_target
from stylex.pictures.images import to_pil
from stylex.storage.files import read_json
from stylex.storage.outputs import MANIFEST

MAX_TOP_K = 50
MAX_MOVES = 64


class Endpoints:
    """Each takes files and numbers and returns files and numbers; its docstring is what a program reads of it."""

    ON_GPU = ("classify", "explain", "counterfactual", "compare", "trust", "place")

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def classify(self, image: str, model: str = "") -> dict[str, Any]:
        """What the classifier says of a picture, and of the reconstruction on which explanations are built.

        Args:
            image: the picture.
            model: name of the model; empty for the first.

        Returns:
            {"photograph": {class: probability}, "reconstruction": {class: probability}}
        """
        with plainly():
            chosen = self.shelf.get(model).model
            x = chosen.load_images([load(image)])
            x_rec = chosen.synthesize(chosen.styles(chosen.encode(x)))
            return {
                "photograph": named(chosen.class_names, chosen.classify(x)[0]),
                "reconstruction": named(chosen.class_names, chosen.classify(x_rec)[0]),
            }

    def explain(
        self,
        image: str,
        target: str = "",
        strategy: Strategy = "independent",
        top_k: int = TOP_K,
        model: str = "",
        method: Method = "attfind",
    ) -> tuple[dict[str, Any], str]:
        """Which attributes would change the classifier's mind about a picture, with the probability before and after.

        Args:
            image: the picture.
            target: the class to move towards; empty for the runner-up.
            strategy: "independent" moves each attribute alone, "subset" each on top of the ones before,
                "list" those of the class's list in its order, until the decision flips.
            top_k: how many attributes, at most.
            model: name of the model; empty for the first.
            method: "attfind" changes single attributes; "counterfactual" makes the smallest change that is enough,
                "eigenfind" and "ganalyze" follow directions of the generator, "s2n" and "random" change coordinates
                that go along with the class, or any. Only "attfind" has strategies.

        Returns:
            The numbers, and a zip of all pictures and flickers.
        """
        with plainly():
            e = self.shelf.get(model).model.explain(load(image), target or None, top_k, strategy, method=method)
            return e.to_dict(), keep_all(e)

    def counterfactual(self, image: str, moves: Any, target: str = "", model: str = "") -> tuple[dict[str, Any], str]:
        """A picture with chosen style coordinates moved, and what the classifier then says.

        Args:
            image: the picture.
            moves: a list such as [{"index": 17, "direction": "up", "amount": 1.0}], with index and direction as
                `explain` returns them; amount 0 stays, 1 (when left out) goes to the end of the range.
            target: the class whose probability is asked for; empty for the runner-up.
            model: name of the model; empty for the first.

        Returns:
            {"target", "prob_before", "prob_after", "probs"}, and the picture as PNG.
        """
        with plainly():
            chosen = self.shelf.get(model).model
            if chosen.stats is None:
                raise ModelError("this model has no style statistics; run train/find_attributes.py on it first")
            x = chosen.load_images([load(image)])
            aim = resolve_target(chosen.class_names, chosen.logits(x)[0], target or None)
            s = chosen.styles(chosen.encode(x))
            x_moved = chosen.synthesize(combine(chosen, s, read_moves(moves, chosen.space.num_conv)))
            before, after = chosen.classify(chosen.synthesize(s))[0], chosen.classify(x_moved)[0]
            numbers = {
                "target": chosen.class_names[aim],
                "prob_before": float(before[aim]),
                "prob_after": float(after[aim]),
                "probs": named(chosen.class_names, after),
            }
            with TemporaryDirectory() as folder:
                path = Path(folder) / "counterfactual.png"
                to_pil(x_moved).save(path)
                return numbers, keep(path)

    def compare(self, image: str, target: str = "", model: str = "") -> tuple[dict[str, Any], str]:
        """Every method on one picture: what each changes, what the classifier then says, and where it looks.

        Args:
            image: the picture.
            target: the class to move towards; empty for the runner-up.
            model: name of the model; empty for the first.

        Returns:
            {"predicted", "target", "methods": [{"name", "coordinates", "seconds", "prob_before", "prob_after", ...}]},
            with a "note" instead of numbers where a method has no answer, and a zip of the sheets.
        """
        with plainly():
            found = compare(self.shelf.get(model).model, load(image), target or None, maps_here())
            with TemporaryDirectory() as folder:
                saved = found.save(Path(folder) / "comparison")
                (saved / MANIFEST).unlink(missing_ok=True)
                return read_json(saved / "compare.json"), keep_copies(sorted(saved.iterdir()), "comparison")

    def trust(
        self,
        image: str,
        target: str = "",
        strategy: Strategy = "independent",
        top_k: int = TOP_K,
        model: str = "",
        method: Method = "attfind",
    ) -> tuple[dict[str, Any], str]:
        """How far an explanation can be trusted: what was checked of it, and each change laid on the photograph itself.

        Args:
            image, target, strategy, top_k, model, method: as of `explain`, whose attributes these are.

        Returns:
            {"target", "picture": {"grade", "checks": [{"says", "holds"}]}, "attributes": [{"title", "grade", "checks",
            "photograph": {"prob", "agrees"}}]}: the grade is good, fair or weak; "photograph" is what the classifier
            says of the photograph plus the change, and whether it decides there as on the reconstruction. And a zip of
            these pictures.
        """
        with plainly():
            chosen = self.shelf.get(model).model
            e = chosen.explain(load(image), target or None, top_k, strategy, method=method)
            laid = overlays(chosen, e)
            of_picture, of_edits = checked(chosen, e, laid)
            numbers = {
                "target": e.target,
                "picture": of_picture.to_dict(),
                "attributes": [
                    {"title": a.title, **found.to_dict(), "photograph": {"prob": over.prob, "agrees": over.agrees}}
                    for a, found, over in zip(e.attributes, of_edits, laid, strict=True)
                ],
            }
            named = {"photograph": e.source} | {f"photograph-{n}": o.image for n, o in enumerate(laid, start=1)}
            return numbers, keep_pictures(named, "trust")

    def place(self, image: str, cells: Any, target: str = "", model: str = "") -> tuple[dict[str, Any], str]:
        """Which attributes change a place of a picture, and the classifier's answer with it.

        Args:
            image: the picture.
            cells: the place, as a list of numbers of cells: 16 in a row and 16 rows, counted from 0 at the upper left.
            target: the class to move towards; empty for the runner-up.
            model: name of the model; empty for the first.

        Returns:
            {"target", "attributes": [{"index", "layer", "channel", "direction", "prob_before", "prob_after", "inside",
            ...}]}, best first, where "inside" is the share of what it changes that lies in the place; and a zip of the
            pictures, without a change and with each.
        """
        with plainly():
            where = cells_of(cells)
            chosen = self.shelf.get(model).model
            e = chosen.explain(load(image), target or None, 1)
            found = asked(chosen, e, reach(chosen, e), where)
            numbers = {
                "target": e.target,
                "attributes": [{**one.edit.to_dict(), "inside": one.inside} for one in found],
            }
            named = {"before": e.reconstruction} | {
                f"attribute-{n}": o.edit.image for n, o in enumerate(found, start=1)
            }
            return numbers, keep_pictures(named, "place")


def read_moves(moves: Any, size: int) -> list[tuple[int, Direction, float]]:
    """(coordinate, direction, amount) of each move that a program sent.

    Raises:
        ValueError: saying which entry is wrong.
    """
    if not isinstance(moves, list) or len(moves) > MAX_MOVES:
        raise ValueError(f"moves must be a list of at most {MAX_MOVES} objects with index, direction and amount")
    found = []
    for n, row in enumerate(moves):
        row = row if isinstance(row, dict) else {}
        index, direction, amount = row.get("index"), row.get("direction"), row.get("amount", 1.0)
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < size:
            raise ValueError(f"move {n}: index is {index!r}; use a whole number from 0 to {size - 1}")
        if direction not in ("up", "down"):
            raise ValueError(f"move {n}: direction is {direction!r}; use 'up' or 'down'")
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 <= amount <= KNOB_END:
            raise ValueError(f"move {n}: amount is {amount!r}; use a number from 0 to {KNOB_END}")
        found.append((index, Direction[direction.upper()], float(amount)))
    return found
