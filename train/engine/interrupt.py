"""Ctrl-C and SIGTERM end a run after its step, with a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

# What a terminal sends, and what a cluster sends before it takes the machine away.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Within it the first of these signals is only noted in `number`; a second Ctrl-C ends the process, as usual.

    SIGTERM only ever asks: a launcher passes on to its workers what the cluster has sent them already, and a run that
    died of the second one would lose its checkpoint. Who means it has SIGKILL.
    """

    def __init__(self, say: bool = True) -> None:
        """
        Args:
            say: on stderr that the signal has come; one of several processes is enough.
        """
        self.number: int | None = None
        self.say = say
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python refuses
            self._before = {s: signal.signal(s, self._note) for s in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        first, self.number = self.number is None, self.number or number
        more = ""
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])
            more = "; once more ends it at once"
        if self.say and (first or more):  # past Python's buffers, which a signal may have caught in the middle
            os.write(2, f"\n{signal.Signals(number).name}: ends after this step{more}\n".encode())
