"""The models that visitors may choose from: those that ship here, and those that whoever runs the app has named.

Folders are read before the app opens. What lies on the Hub is pulled by a thread of its own, so that a Hub that is slow
or away keeps nobody waiting. A visitor names one of these models and nothing else.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from front.gpu import device
from stylex import Classifier, ModelError, StylEx
from stylex.classifiers.adopt import is_reference
from stylex.storage.files import read_json
from stylex.storage.hub import HubError, fetch, split_revision

T = TypeVar("T")
# Of the bundled models: its single attributes change the decision most often, so a page begins well with it.
FIRST = "leaves"
MAX_SAMPLES = 30
# What no answer needs; to read one of these can take longer than the rest of the model.
UNUSED = ("discriminator",)
ORDER = "order.json"
PAPERS = ("README.md", "attributes.json", "metrics.json", "training.json", "config.json")
# For how long the app waits with its opening for a model that is named before those that are here.
PATIENCE_S = 3.0
# A Hub that has sent nothing for that long is said to be away.
SILENCE_S = 4.0
# A model that the Hub did not give is asked for again after a pause, each twice as long as the one before.
PAUSE_S = 30.0
LONGEST_PAUSE_S = 3600.0


@dataclass(frozen=True)
class Exhibit:
    """A model to look at, and what lies beside it; shared by all visitors and changed by nobody.

    Attributes:
        pictures: sample pictures by name, the first of which opens the page.
        metrics: what train/evaluate.py measured, if it did.
        papers: files of numbers and words about it, to take home.
    """

    name: str
    model: StylEx
    pictures: dict[str, Path]
    metrics: dict[str, Any] | None = None
    papers: tuple[Path, ...] = ()

    @classmethod
    def read(cls, name: str, folder: Path, classifier: str | None = None) -> Exhibit:
        """From the folder of a model.

        Args:
            classifier: the name of a program that makes the classifier of a model that came without it, see
                docs/data.md; only whoever trained the model has that.

        Raises:
            ModelError: saying what is wrong with it.
        """
        measured = folder / "metrics.json"
        given = classifier if is_reference(folder / "classifier") else None
        return cls(
            name,
            StylEx.from_pretrained(folder, device=device(), classifier=given, without=UNUSED),
            {path.stem: path for path in in_order(spread(sorted((folder / "samples").glob("*.png")), MAX_SAMPLES))},
            read_json(measured) if measured.is_file() else None,
            tuple(folder / name for name in PAPERS if (folder / name).is_file()),
        )


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, from all over the list."""
    return [items[n * len(items) // most] for n in range(most)] if len(items) > most else list(items)


def in_order(samples: Sequence[Path]) -> list[Path]:
    """As samples/order.json has it, a list of names with the most striking first; what it leaves out at the end.

    scripts/order_samples.py writes it.
    """
    listed = samples[0].parent / ORDER if samples else Path(ORDER)
    order = read_json(listed).get("order") if listed.is_file() else None
    rank = {name: n for n, name in enumerate(order)} if isinstance(order, list) else {}
    return sorted(samples, key=lambda path: rank.get(path.stem, len(rank)))


@dataclass
class Wish:
    """A model that is to be shown, and what has become of it.

    It goes by `name`: on the page, in links and for programs. `error` is why it is not here.
    """

    name: str
    source: str
    revision: str | None = None
    exhibit: Exhibit | None = None
    error: Exception | None = None
    since: float = field(default_factory=time.monotonic)

    @property
    def is_waiting(self) -> bool:
        return self.exhibit is None and self.error is None

    @property
    def is_remote(self) -> bool:
        return not os.path.isdir(self.source)


def wishes(named: str, bundled: Path) -> list[Wish]:
    """The models of a setting such as "runs/mine/model,me/stylex-mine@v2", and after them those of a folder of models.

    A repository goes by its name, a bundled model by that of its folder, another folder by the end of its path.
    """
    found: dict[str, Wish] = {}
    configs = sorted(bundled.glob("*/config.json"), key=lambda path: (path.parent.name != FIRST, path))
    shipped = {path.parent.resolve(): path.parent.name for path in configs}
    for text in [*named.split(","), *map(str, shipped)]:
        if not (text := text.strip()):
            continue
        source, revision = split_revision(text)
        name = text
        if os.path.isdir(source):
            folder = Path(source).resolve()
            name = shipped.get(folder) or "/".join(folder.parts[-2:])
        found.setdefault(name, Wish(name, source, revision))
    return list(found.values())


class FurtherModels(Protocol):
    """Models that visitors bring; front/guests.py."""

    @property
    def allowed(self) -> Sequence[object]:
        """What they may bring, each to be printed."""

    def get(self, name: str) -> Exhibit | None: ...

    def allows(self, name: str) -> bool: ...

    def bring(self, name: str) -> Exhibit: ...


class Shelf:
    """The models in the order in which they are offered, each as soon as it is here.

    Args:
        guests: further models, each known only to those who name it.
        classifiers: by name, those that a model's own can be compared with, beside those of the other models.
    """

    def __init__(
        self,
        wanted: Sequence[Wish],
        guests: FurtherModels | None = None,
        classifiers: Mapping[str, Classifier] | None = None,
    ) -> None:
        self.wanted = list(wanted)
        self.guests = guests
        self.classifiers = dict(classifiers or {})
        self._changed = threading.Condition()

    def fill(self, patience: float = PATIENCE_S) -> None:
        """Read the folders, and begin to pull the rest; return once the first model is here, or any after `patience`.

        Raises:
            ModelError: of the last one that was tried, if none can be had at all.
        """
        start = time.monotonic()
        remote = [wish for wish in self.wanted if wish.is_remote]
        if remote:
            threading.Thread(target=self._pull, args=(remote,), daemon=True, name="models").start()
        for wish in self.wanted:
            if not wish.is_remote:
                self._try(wish)
        with self._changed:
            while any(wish.is_waiting for wish in self.wanted):
                best = next(wish for wish in self.wanted if wish.error is None)
                left = start + patience - time.monotonic()
                if best.exhibit is not None or (left <= 0 and self.names()):
                    break
                self._changed.wait(left if self.names() else None)
        if not self.names():
            raise ModelError(str(self.wanted[-1].error) if self.wanted else "there is no model to show")

    def exhibits(self, beside: str | None = None) -> dict[int, Exhibit]:
        """The models that are here, by a number that stays theirs whatever else comes, and a guest that is named."""
        found = {n: wish.exhibit for n, wish in enumerate(self.wanted) if wish.exhibit is not None}
        guest = self._guest(beside)
        return found if guest is None else {**found, len(self.wanted): guest}

    def names(self, beside: str | None = None) -> list[str]:
        """What these go by."""
        return [exhibit.name for exhibit in self.exhibits(beside).values()]

    def _guest(self, name: str | None) -> Exhibit | None:
        return self.guests.get(name) if self.guests is not None and name else None

    def get(self, name: str | None = None) -> Exhibit:
        """A model by its name; without one, the first that is here.

        Raises:
            ValueError: if there is no such model.
        """
        for wish in self.wanted:
            if wish.exhibit is not None and name in (None, "", wish.name):
                return wish.exhibit
        if (guest := self._guest(name)) is not None:
            return guest
        raise ValueError(f"there is no model {name!r} here; choose one of {', '.join(self.names())}")

    def bring(self, name: str) -> Exhibit:
        """A model that a visitor names, fetched if that is allowed.

        Raises:
            ValueError: one sentence why it cannot be had.
        """
        if self.guests is None:
            raise ValueError("this app shows no other models; run it at home with yours")
        return self.guests.bring(name.strip())

    @property
    def is_waiting(self) -> bool:
        """Whether a model is still on its way."""
        return any(wish.is_waiting for wish in self.wanted)

    def news(self) -> list[str]:
        """What visitors should know of the models that are not here, one sentence each."""
        shown = self.names()
        instead = f"Meanwhile you see {shown[0]}." if shown else ""
        said = []
        for wish in self.wanted:
            if wish.exhibit is not None:
                continue
            if wish.error is not None:
                # Other errors name folders, which are no business of a visitor's.
                why = wish.error if isinstance(wish.error, HubError) else "the log of the app says why"
                said.append(f"{wish.name} cannot be shown: {why}. {instead}")
            elif (size := pulled_bytes(wish.source)) or time.monotonic() - wish.since < SILENCE_S:
                said.append(f"Fetching {wish.name} from the Hub: {size / 1e6:.1f} MB so far. {instead}")
            else:
                said.append(f"The Hub does not answer; {wish.name} will be here if it does. {instead}")
        return said

    def arrivals(self) -> list[str]:
        """The same of those that came from the Hub."""
        return [f"{wish.name} is here now." for wish in self.wanted if wish.is_remote and wish.exhibit is not None]

    def _pull(self, remote: Sequence[Wish]) -> None:
        pause, left = PAUSE_S, list(remote)
        while True:
            left = [wish for wish in left if self._try(wish)]
            if not left:
                return
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _try(self, wish: Wish) -> bool:
        """Get a model, or write down why not; whether another try may help."""
        try:
            folder = fetch(wish.source, revision=wish.revision)
            exhibit, error = Exhibit.read(wish.name, folder, os.environ.get("STYLEX_CLASSIFIER")), None
        except Exception as caught:  # whatever is wrong with one model, the others are shown
            exhibit, error = None, caught
            if str(error) != str(wish.error):
                print(f"warning: {wish.name} cannot be shown: {error or type(error).__name__}", file=sys.stderr)
        with self._changed:
            wish.exhibit, wish.error = exhibit, error
            self._changed.notify_all()
        return isinstance(error, HubError)


def pulled_bytes(repo_id: str) -> int:
    """How much of a repository lies in the cache of the Hub's client, half a file included."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    blobs = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo_id, repo_type="model") / "blobs"
    total = 0
    for path in blobs.glob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # renamed meanwhile
            continue
    return total
