"""The first signal is noted, the second is obeyed."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from train.interrupt import SIGNALS, Interrupt


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted_and_the_second_ends_the_process(number, capfd):
    before = {s: signal.getsignal(s) for s in SIGNALS}
    with Interrupt() as interrupt:
        assert interrupt.number is None
        os.kill(os.getpid(), number)
        assert interrupt.number == number
        assert capfd.readouterr().err == f"\n{number.name}: ends after this step; once more ends it at once\n"
        assert {s: signal.getsignal(s) for s in SIGNALS} == before
    assert {s: signal.getsignal(s) for s in SIGNALS} == before


def test_one_of_several_processes_is_enough_to_say_so(capfd):
    with Interrupt(say=False) as interrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.number == signal.SIGTERM
    assert capfd.readouterr().err == ""


def test_without_a_signal_everything_is_as_it_was():
    before = {s: signal.getsignal(s) for s in SIGNALS}
    with Interrupt() as interrupt:
        assert signal.getsignal(signal.SIGINT) != before[signal.SIGINT]
    assert interrupt.number is None
    assert {s: signal.getsignal(s) for s in SIGNALS} == before


def test_outside_the_main_thread_signals_are_left_alone():
    """As in a notebook that trains in the background."""
    seen = []

    def train() -> None:
        with Interrupt() as interrupt:
            seen.append(interrupt.number)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert seen == [None]
