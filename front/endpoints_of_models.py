"""What programs ask of a model as a whole, as `front/endpoints.py` of a picture."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from front import review
from front.models import Shelf
from front.replies import keep_copies, plainly
from front.rivals import against, rivals
from stylex.storage.outputs import MANIFEST


class EndpointsOfModels:
    """Each takes names and returns numbers and files; its docstring is what a program reads of it."""

    ON_GPU = ("versus",)

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def versus(self, second: str = "", model: str = "") -> tuple[dict[str, Any], str]:
        """Two classifiers on the same pictures: where they disagree, and which change moves the one and not the other.

        Args:
            second: whom the model's classifier is compared with: "judge" for the model's own second judge, the name of
                another model with the same classes, or a folder that the host has named; empty for the first of these.
            model: name of the model; empty for the first.

        Returns:
            {"first", "second", "n", "agree", "disagree": [{"file", "first", "second"}], "moves": [{"index",
            "direction", "target", "delta_prob": [first, second], "flips": [first, second], ...}]}, and a zip of the
            sheets.
        """
        with plainly():
            shown = self.shelf.get(model)
            found = against(self.shelf, shown, second or next(iter(rivals(self.shelf, shown)), ""))
            with TemporaryDirectory() as folder:
                saved = found.save(Path(folder) / "versus")
                (saved / MANIFEST).unlink(missing_ok=True)
                return found.to_dict(), keep_copies(sorted(saved.iterdir()), "versus")

    def review(self, said: Any = None, model: str = "") -> tuple[dict[str, Any], str]:
        """What a person says of a model's attributes, as files: attributes.json, for the model's folder and for
        train/repair.py --attributes, and review.csv, for a spreadsheet. Nothing of it is kept here.

        Args:
            said: a list such as [{"attribute": 3, "name": "brown rim", "ticks": ["confounder", "no reason"]}], where
                attribute counts from 0 in the list that comes back, and the ticks are known, confounder, artefact, new
                and no reason. A name of null takes the old one away; what is not in the list stays as it was.
            model: name of the model; empty for the first.

        Returns:
            {"attributes": [...]} with what was said, and a zip of the files.
        """
        with plainly():
            shown = self.shelf.get(model).model
            found = review.reviewed(shown.attributes, review.read_said(said or [], len(shown.attributes)))
            with TemporaryDirectory() as folder:
                saved = keep_copies(review.save(Path(folder), shown, found), "review")
            return {"attributes": [a.to_dict() for a in found]}, saved

    def bring(self, repository: str) -> dict[str, Any]:
        """Fetch a model from the Hub, if whoever runs this app has allowed it, to be named in other calls.

        Args:
            repository: such as someone/stylex-leaves; it has to be public.

        Returns:
            {"model": its name, "class_names": [...], "resolution": pixels on a side}
        """
        with plainly():
            shown = self.shelf.bring(repository)
            return {
                "model": shown.name,
                "class_names": shown.model.class_names,
                "resolution": shown.model.resolution,
            }
