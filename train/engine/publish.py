"""Model folders go to the Hub: at once, or from a training run that must not notice."""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from stylex import Explanation, ModelError, StylEx
from stylex.attfind.effects import REST
from stylex.classifiers.adopt import NOT_SHARED, is_reference
from stylex.folder import OWN_FILES
from stylex.pictures.images import to_pil
from stylex.pictures.render import flicker
from stylex.storage.alike import called, goes_for, groups
from stylex.storage.card import addressed, model_card
from stylex.storage.files import is_sealed, read_json, read_text, write_json, write_text
from stylex.storage.hub import push
from stylex.storage.outputs import is_ours
from train.engine.record import FILE as TRAINING
from train.engine.revision import revision_of

SOURCE = (
    "These pictures were made by this model: reconstructions of held-out pictures, no photographs. "
    "Origin and licence of the data are in ../README.md.\n"
)
MOVING = re.compile(r"\d+\.gif")
FLICKERS = 3  # attributes of a picture that move on the card
FLICKER_ROWS = 2  # such pictures
LAST_PUSH_S = 600.0  # how long the end of a run waits for the Hub


def publish(
    folder: Path, repo_id: str, *, about: str = "", metrics: dict[str, Any] | None = None, **options: Any
) -> str:
    """Push a model folder as one commit, with a card; returns the address of the commit or pull request.

    Args:
        about: see `card.model_card`.
        metrics: what was measured, instead of the folder's own metrics.json.
        options: of `hub.push`.

    Raises:
        ModelError: if the folder is no whole model; then nothing is pushed.
        HubError: see `hub.push`.
    """
    with TemporaryDirectory() as place:
        copy = copy_model(folder, Path(place))
        if metrics is not None:
            write_json(copy / "metrics.json", metrics)
        return publish_copy(copy, repo_id, about=about, **options)


def copy_model(folder: Path, place: Path) -> Path:
    return Path(shutil.copytree(folder, place / "model", ignore=shutil.ignore_patterns("*.part")))


def publish_copy(copy: Path, repo_id: str, *, about: str = "", **options: Any) -> str:
    """Write the card into a copy of a model folder, and push it."""
    if is_reference(copy / "classifier"):
        raise ModelError(NOT_SHARED)
    model = StylEx.from_pretrained(copy)
    card = copy / "README.md"
    if card.is_file() and not (about and is_sealed(read_text(card))):
        write_text(card, addressed(read_text(card), repo_id))
    else:
        write_text(card, folder_card(model, copy, repo_id, about))
    return push(copy, repo_id, remove=OWN_FILES, **options)


def measured(model: StylEx, folder: Path) -> dict[str, Any] | None:
    """metrics.json of a model folder, if it is there and about this model."""
    path = folder / "metrics.json"
    metrics = read_json(path) if path.is_file() else None
    return metrics if metrics is not None and metrics.get("revision") == revision_of(model) else None


def folder_card(model: StylEx, folder: Path, repo_id: str, about: str) -> str:
    """The card of a model folder, from what lies in it; numbers measured on other weights are left out."""
    metrics = measured(model, folder)
    training = read_json(folder / TRAINING) if (folder / TRAINING).is_file() else None
    pictures, facts = [], model.facts()
    if model.attributes and model.stats is not None and model.mapping is not None:
        shown = [explain_drawn(model, target) for target in range(len(model.class_names))[:FLICKER_ROWS]]
        pictures = flickers(shown, folder / "attributes", goes_for(groups(metrics, facts.attributes)))
    return model_card(facts, repo_id, metrics=metrics, training=training, about=about, pictures=pictures)


def explain_drawn(model: StylEx, target: int, tries: int = 16) -> Explanation:
    """Of pictures that the model draws, the one that its classifier is the surest of; no photograph is shared."""
    probs = torch.zeros(tries, len(model.class_names))
    probs[:, target] = 1
    x = model.synthesize(model.sample(probs))
    return model.explain(to_pil(x[model.classify(x)[:, target].argmax()]))


def told_apart(e: Explanation, dropped: Mapping[str, str]) -> list[Any]:
    """The attributes of a picture without those that cannot be told apart from another one of them; see `alike`."""

    def keys(a: Any) -> list[str]:
        return [called(a.coordinate, source, e.target) for source in (e.predicted, REST)]

    here = {key for a in e.attributes for key in keys(a)}
    return [a for a in e.attributes if not any(dropped.get(key) in here for key in keys(a))]


def flickers(
    explanations: list[Explanation], folder: Path, dropped: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """The first attributes of each explanation as pictures that move; returns their names, and captions of one line.

    Those of `dropped` are passed over, see `told_apart`. Earlier files are written over or go; a number that somebody
    else's picture has is passed over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.gif"):
        if MOVING.fullmatch(old.name) and is_ours(old, from_before):
            old.unlink()
    made: list[tuple[str, str]] = []
    free = (path for n in count(1) if not (path := folder / f"{n}.gif").exists())
    for e in explanations:
        for a in told_apart(e, dropped or {})[:FLICKERS]:
            path = flicker(a.before, a.image, next(free), caption=e.caption(a))
            made.append((f"{folder.name}/{path.name}", e.caption(a).replace("\n", "; ")))
    return made


def from_before(path: Path) -> bool:
    """Whether a picture on a card was made by a version that kept no list: its sentence is in samples/SOURCE.md."""
    output = path.parent if path.name == "attributes.png" else path.parent.parent
    said = output / "samples" / "SOURCE.md"
    return said.is_file() and said.read_text(encoding="utf-8", errors="replace") == SOURCE


class Publisher:
    """Pushes a run's model every so often, in the background. A Hub that is away costs the run a warning."""

    def __init__(self, repo_id: str, *, private: bool = False, every_minutes: float = 0.0) -> None:
        self.repo_id = repo_id
        self.private = private
        self.every_s = every_minutes * 60
        self.last = -float("inf")
        self.thread: threading.Thread | None = None

    def offer(self, folder: Path, nimg: int) -> None:
        """Push `folder` as it is now, unless a push is on its way or the last one is fresh. Returns at once."""
        if (self.thread is None or not self.thread.is_alive()) and time.monotonic() - self.last >= self.every_s:
            self._start(folder, nimg)

    def finish(self, folder: Path, nimg: int) -> None:
        """Push the end of the run, and wait for it a while."""
        until = time.monotonic() + LAST_PUSH_S
        if self.thread is not None:
            self.thread.join(LAST_PUSH_S)
        if self.thread is None or not self.thread.is_alive():
            self._start(folder, nimg)
        if self.thread is not None:
            self.thread.join(max(0.0, until - time.monotonic()))
            if self.thread.is_alive():
                self._warn(folder, f"the Hub has not taken the model within {LAST_PUSH_S:.0f} s")

    def _start(self, folder: Path, nimg: int) -> None:
        self.last = time.monotonic()
        place = TemporaryDirectory(ignore_cleanup_errors=True)
        try:
            copy = copy_model(folder, Path(place.name))  # now: the run goes on and writes the next one
        except OSError as error:
            place.cleanup()
            return self._warn(folder, f"the model could not be copied for the Hub ({error})")

        def work() -> None:
            with place:
                try:
                    message = f"Training: {nimg:,} pictures"
                    publish_copy(copy, self.repo_id, private=self.private or None, commit_message=message)
                except Exception as error:  # whatever it is, the run goes on
                    self._warn(folder, str(error))

        # A daemon: a Hub that never answers must not keep the process from ending.
        self.thread = threading.Thread(target=work, name="push to the Hub", daemon=True)
        self.thread.start()

    def _warn(self, folder: Path, what: str) -> None:
        print(
            f"warning: {what}. The run goes on, and the model is safe in {folder}; to push it later: "
            f"python train/push_to_hub.py --model {folder} --hub_model_id {self.repo_id}",
            file=sys.stderr,
            flush=True,
        )
