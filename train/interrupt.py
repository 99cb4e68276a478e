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
    """Within it the first of these signals is only noted in `number`; the second ends the process at once, as usual."""

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
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self.__exit__()
        if self.say:  # past Python's buffers, which a signal may have caught in the middle
            os.write(2, f"\n{signal.Signals(number).name}: ends after this step; once more ends it at once\n".encode())
