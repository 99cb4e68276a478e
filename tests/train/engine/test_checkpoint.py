"""Checkpoints: a kill leaves a whole one or none, and a broken one says which to try instead."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
import torch

from train.engine import checkpoint
from train.engine.checkpoint import ResumeError, SaveError


def names(run) -> list[str]:
    return sorted(p.name for p in run.iterdir())


def test_the_state_comes_back_as_it_was(tmp_path):
    state = {"step": 3, "spread": None, "weights": {"a": torch.rand(4).double()}, "options": {"flips": "none"}}
    folder = checkpoint.save(tmp_path, 48, state)
    for which in ("latest", str(folder)):
        loaded = checkpoint.load(tmp_path, which)
        assert torch.equal(loaded.pop("weights")["a"], state["weights"]["a"])
        assert loaded == {k: v for k, v in state.items() if k != "weights"}


def test_the_newest_two_are_kept(tmp_path):
    for nimg in (16, 32, 48, 1_000_000):
        checkpoint.save(tmp_path, nimg, {"nimg": nimg})
    assert names(tmp_path) == ["checkpoint-000000048", "checkpoint-001000000"]
    assert checkpoint.load(tmp_path, "latest") == {"nimg": 1_000_000}


def test_there_is_none_yet(tmp_path):
    assert checkpoint.load(tmp_path, "latest") is None
    assert checkpoint.load(tmp_path / "no such run", "latest") is None


def test_half_a_checkpoint_is_ignored_and_cleared_away(tmp_path):
    checkpoint.save(tmp_path, 16, {"nimg": 16})
    half = tmp_path / ".checkpoint-000000032.part"
    half.mkdir()
    (half / "state.pt").write_bytes(b"half of it")
    assert checkpoint.load(tmp_path, "latest") == {"nimg": 16}
    checkpoint.save(tmp_path, 32, {"nimg": 32})
    assert names(tmp_path) == ["checkpoint-000000016", "checkpoint-000000032"]


def test_a_kill_while_writing_leaves_the_older_ones(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 16, {"nimg": 16})
    checkpoint.save(tmp_path, 32, {"nimg": 32})

    def killed(state, file):
        file.write(b"so far")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, 48, {"nimg": 48})
    assert checkpoint.load(tmp_path, "latest") == {"nimg": 32}


class Killed(BaseException):
    """No handler of errors sees a SIGKILL."""


@pytest.mark.parametrize("again", [False, True], ids=["a new one", "the same once more"])
def test_a_kill_before_any_change_on_the_disk_leaves_a_whole_checkpoint(tmp_path, monkeypatch, again):
    """Every rename, removal and write-out of a save is the last one in its turn."""
    nimg, survived = 32 if again else 48, False
    for moment in range(40):
        run = tmp_path / str(moment)
        run.mkdir()
        for before in (16, 32):
            checkpoint.save(run, before, {"nimg": before})
        calls = iter(range(1000))

        def one_too_many(function, calls=calls, moment=moment):
            def call(*args, **kwargs):
                if next(calls) == moment:
                    if function is shutil.rmtree:  # it was half way through
                        for file in args[0].glob("*"):
                            file.unlink()
                    raise Killed
                return function(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for module, name in ((os, "replace"), (os, "fsync"), (shutil, "rmtree")):
                patch.setattr(module, name, one_too_many(getattr(module, name)))
            try:
                checkpoint.save(run, nimg, {"nimg": nimg, "again": True})
                survived = True
            except Killed:
                pass
        assert checkpoint.load(run, "latest")["nimg"] in (32, nimg)
        for folder in checkpoint.found(run):
            assert checkpoint.load(run, str(folder))["nimg"] == int(folder.name[-9:])
        checkpoint.save(run, 64, {"nimg": 64})
        assert [name for name in names(run) if name.startswith(".")] == []
        if survived:
            break
    assert survived
    assert moment > 4


def test_a_full_disk_is_one_sentence_and_costs_no_checkpoint(tmp_path):
    """The real thing: the system refuses to write on."""
    resource = pytest.importorskip("resource")
    safe = checkpoint.save(tmp_path, 16, {"nimg": 16})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(SaveError) as caught:
            checkpoint.save(tmp_path, 32, {"nimg": 32, "weights": torch.rand(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == (
        f"the checkpoint of 32 pictures cannot be written into {tmp_path} (File too large); {safe} is whole. "
        "Make room, or choose another --output"
    )
    assert names(tmp_path) == [safe.name]
    assert checkpoint.load(tmp_path, "latest") == {"nimg": 16}
    checkpoint.save(tmp_path, 32, {"nimg": 32})
    assert checkpoint.load(tmp_path, "latest") == {"nimg": 32}


def test_a_disk_that_is_full_from_the_start_says_so(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(SaveError, match=r"\(No space left on device\); there is none before it"):
        checkpoint.save(tmp_path, 16, {})
    assert names(tmp_path) == []


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    seen = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append("fsync") or fsync(handle))
    monkeypatch.setattr(os, "replace", lambda a, b: seen.append("replace") or replace(a, b))
    checkpoint.save(tmp_path, 16, {})
    assert seen == ["fsync", "fsync", "replace", "fsync"]  # file, its folder; the name; the run's folder


@pytest.mark.parametrize("keep", [1, 3])
def test_so_many_are_kept(tmp_path, keep):
    for nimg in range(5):
        checkpoint.save(tmp_path, nimg, {}, keep=keep)
    assert [int(p.name[-9:]) for p in checkpoint.found(tmp_path)] == list(range(5))[-keep:]


def test_the_same_checkpoint_may_be_written_again(tmp_path):
    checkpoint.save(tmp_path, 16, {"try": 1})
    checkpoint.save(tmp_path, 16, {"try": 2})
    assert checkpoint.load(tmp_path, "latest") == {"try": 2}


def test_other_files_of_the_run_are_none_of_its_business(tmp_path):
    (tmp_path / "checkpoint-mine").mkdir()
    (tmp_path / "sheets").mkdir()
    for nimg in (16, 32, 48):
        checkpoint.save(tmp_path, nimg, {})
    assert set(names(tmp_path)) >= {"checkpoint-mine", "sheets"}


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None], ids=["empty", "garbage", "missing"])
def test_an_unreadable_checkpoint_says_which_older_one_to_try(tmp_path, content):
    checkpoint.save(tmp_path, 16, {})
    newest = checkpoint.save(tmp_path, 32, {})
    if content is None:
        (newest / "state.pt").unlink()
    else:
        (newest / "state.pt").write_bytes(content)
    with pytest.raises(ResumeError) as caught:
        checkpoint.load(tmp_path, "latest")
    assert str(caught.value).startswith(f"{newest} cannot be read")
    assert str(caught.value).endswith(f"try --resume {tmp_path / 'checkpoint-000000016'}")


def test_without_an_older_one_it_says_to_start_again(tmp_path):
    newest = checkpoint.save(tmp_path, 32, {})
    (newest / "state.pt").write_bytes(b"")
    with pytest.raises(ResumeError, match="start again with --resume none"):
        checkpoint.load(tmp_path, "latest")
    with pytest.raises(ResumeError, match="start again with --resume none"):
        checkpoint.load(tmp_path / "elsewhere", str(tmp_path / "elsewhere" / "checkpoint-000000001"))


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return print, ("the trap has sprung",)

    checkpoint.save(tmp_path, 16, {"step": Trap()})
    with pytest.raises(ResumeError, match="cannot be read"):
        checkpoint.load(tmp_path, "latest")


def test_starting_again_from_before_takes_over_the_run(tmp_path):
    """What an abandoned run got to later must neither push the new checkpoints out nor be resumed from."""
    checkpoint.save(tmp_path, 900, {"try": 1})
    checkpoint.save(tmp_path, 1000, {"try": 1})
    checkpoint.save(tmp_path, 500, {"try": 2})
    assert checkpoint.load(tmp_path, "latest") == {"try": 2}
    checkpoint.save(tmp_path, 600, {"try": 2})
    assert names(tmp_path) == ["checkpoint-000000500", "checkpoint-000000600"]
