"""The first signal is noted, the second is obeyed."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from train.engine.interrupt import SIGNALS, Interrupt


@pytest.mark.usefixtures("_ctrl_c_ends")
def test_the_first_ctrl_c_is_noted_and_the_second_ends_the_process(capfd):
    before = {s: signal.getsignal(s) for s in SIGNALS}
    with Interrupt() as interrupt:
        assert interrupt.number is None
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.number == signal.SIGINT
        assert capfd.readouterr().err == "\nSIGINT: ends after this step; once more ends it at once\n"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert {s: signal.getsignal(s) for s in SIGNALS} == before


def test_sigterm_may_come_as_often_as_it_likes(capfd):
    """torchrun passes on to its workers what a cluster has sent them already."""
    before = {s: signal.getsignal(s) for s in SIGNALS}
    with Interrupt() as interrupt:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.number == signal.SIGTERM
        assert capfd.readouterr().err == "\nSIGTERM: ends after this step\n"
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.number == signal.SIGTERM
        assert "SIGINT: ends after this step; once more" in capfd.readouterr().err
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
