"""Models that visitors bring: repositories of the Hub that whoever runs the app has allowed, and no others.

A few at a time, so that memory is bounded: the one that nobody has looked at for longest makes way. A model is fetched
without the app's token, so nobody sees by it what the Hub would not show them. It stays at the commit at which it was
first brought, since what was said of it is remembered.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from front.models import Exhibit, Wish, pulled_bytes
from front.surroundings import Unfit
from stylex import ModelError
from stylex.storage.hub import HubError, fetch, split_revision

# Models that are held, megabytes of a repository, and pixels on a side that a visitor's model may draw.
MOST, MAX_MB, MAX_RESOLUTION = 3, 500, 256
# Its samples: pixels on a side, and how many.
MAX_SAMPLE_SIDE, MAX_SAMPLES = 1024, 12
# For how long a visitor waits before being told that a model is still on its way.
PATIENCE_S = 60.0
MAX_NAME = 100
REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
RULE = re.compile(r"([\w-][\w.-]*)/(\*|[\w-][\w.-]*)", re.ASCII)
NOT_THERE = ("RepositoryNotFoundError", "GatedRepoError", "HFValidationError")


@dataclass(frozen=True)
class Rule:
    """One entry of what is allowed: a repository, perhaps at one revision, or "*" for all of an owner."""

    owner: str
    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    def holds_for(self, repo_id: str) -> bool:
        owner, _, name = repo_id.partition("/")
        return owner == self.owner and self.name in ("*", name)


def rules(setting: str) -> list[Rule]:
    """Of a setting such as "me/*,someone/stylex-leaves@v2".

    Raises:
        Unfit: naming the entry that is none.
    """
    found = []
    for text in (part.strip() for part in setting.split(",")):
        source, revision = split_revision(text)
        match = RULE.fullmatch(source)
        if match and not (match[2] == "*" and revision):
            found.append(Rule(match[1], match[2], revision))
        elif text:
            raise Unfit(
                f"STYLEX_ALLOW names {text}; use repositories such as someone/stylex-leaves or "
                "someone/stylex-leaves@v2, or someone/* for all of an owner, with commas between them"
            )
    return found


class Guests:
    """What visitors have brought."""

    def __init__(self, allowed: Sequence[Rule], most: int = MOST) -> None:
        self.allowed: Sequence[Rule] = list(allowed)
        self.most = most
        self._held: OrderedDict[str, Exhibit] = OrderedDict()
        self._commits: dict[str, str] = {}
        self._coming: Wish | None = None
        self._changed = threading.Condition()

    def get(self, name: str) -> Exhibit | None:
        """One that is held; it is then the last to make way."""
        with self._changed:
            if name in self._held:
                self._held.move_to_end(name)
            return self._held.get(name)

    def allows(self, name: str) -> bool:
        return self._rule(name) is not None

    def bring(self, name: str, patience: float = PATIENCE_S) -> Exhibit:
        """Fetch a model, unless it is held.

        Raises:
            ValueError: if it may not be shown, is not there, is no StylEx, or takes long; one sentence for a visitor.
        """
        rule = self._rule(name)
        if rule is None:
            raise ValueError(self._refusal(name))
        with self._changed:
            if (held := self.get(name)) is not None:
                return held
            if self._coming is None or not self._coming.is_waiting:
                self._coming = Wish(name, name, self._commits.get(name, rule.revision))
                threading.Thread(target=self._pull, args=(self._coming,), daemon=True, name="guest").start()
            wish = self._coming
            if wish.name != name:
                raise ValueError("another model is on its way at the moment; ask again in a minute")
            if not self._changed.wait_for(lambda: not wish.is_waiting, patience):
                raise ValueError(
                    f"{name} is on its way, {pulled_bytes(name) / 1e6:.0f} MB so far; ask again in a minute"
                )
            if wish.exhibit is None:
                raise ValueError(str(wish.error))
            return wish.exhibit

    def _rule(self, name: str) -> Rule | None:
        is_name = len(name) <= MAX_NAME and REPOSITORY.fullmatch(name)
        return next((rule for rule in self.allowed if rule.holds_for(name)), None) if is_name else None

    def _refusal(self, name: str) -> str:
        if not self.allowed:
            return "this app shows no other models; run it at home with yours"
        if len(name) > MAX_NAME or not REPOSITORY.fullmatch(name):
            return "that is no name of a repository; use one such as someone/stylex-leaves"
        listed = ", ".join(map(str, self.allowed[:8])) + (" …" if len(self.allowed) > 8 else "")
        return f"{name} is not among the models that may be shown here, which are {listed}; run the app at home with it"

    def _pull(self, wish: Wish) -> None:
        exhibit, error = None, None
        with self._changed:
            while len(self._held) >= self.most:
                self._held.popitem(last=False)
        try:
            exhibit, commit = read(wish.name, wish.revision)
        except ValueError as caught:
            error = caught
        except Exception as caught:  # a stranger's files; whatever is wrong with them, the app goes on
            print(f"warning: {wish.name} cannot be shown: {type(caught).__name__}: {caught}", file=sys.stderr)
            error = ValueError(f"{wish.name} cannot be shown here; the log of the app says why")
        with self._changed:
            if exhibit is not None:
                self._held[wish.name] = exhibit
                self._commits[wish.name] = commit
            wish.exhibit, wish.error = exhibit, error
            self._changed.notify_all()


def read(name: str, revision: str | None) -> tuple[Exhibit, str]:
    """A model of the Hub, and its commit.

    Raises:
        ValueError: saying in one sentence, without a path of this machine, why it cannot be shown.
    """
    if os.path.exists(name):
        raise ValueError(f"{name} is the name of a folder here, and none of those is shown")
    try:
        folder = fetch(name, revision=revision, token=False, max_bytes=MAX_MB * 10**6)
    except HubError as error:
        if type(error.__cause__).__name__ in NOT_THERE:
            raise ValueError(
                f"the Hub shows nobody a repository {name}; check the name, and that it is neither private nor gated"
            ) from None
        if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:  # names a folder
            raise RuntimeError(str(error)) from error
        raise ValueError(str(error)) from None
    try:
        exhibit = Exhibit.read(name, folder)
    except ModelError as error:
        reason = str(error).replace(f"{folder}/", "")
        if str(folder.parent) in reason or "models--" in reason:  # what is left of a path that was cut
            raise RuntimeError(str(error)) from error
        raise ValueError(f"{name} is no StylEx that can be shown here: {reason}") from None
    if exhibit.model.resolution > MAX_RESOLUTION:
        raise ValueError(
            f"{name} draws {exhibit.model.resolution} pixels on a side, which takes too long for a page that is "
            f"shared; at most {MAX_RESOLUTION} are shown here"
        )
    fitting = {stem: path for stem, path in exhibit.pictures.items() if fits(path)}
    return replace(exhibit, pictures=dict(list(fitting.items())[:MAX_SAMPLES])), folder.name


def fits(path: Path) -> bool:
    """Whether a sample is a picture of a size that is quickly shown."""
    try:
        with Image.open(path) as image:
            return max(image.size) <= MAX_SAMPLE_SIDE
    except (OSError, ValueError, Image.DecompressionBombError):
        return False
