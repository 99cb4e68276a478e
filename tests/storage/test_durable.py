"""What a file system cannot do costs nothing that was written; what it loses is said."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from stylex.storage.files import save_tensors
from train.engine import checkpoint
from train.engine.checkpoint import SaveError


def refuse(number: int):
    def call(*_, **__):
        raise OSError(number, os.strerror(number))

    return call


UNKNOWN = [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EPERM, errno.EROFS]


@pytest.mark.parametrize("number", UNKNOWN, ids=[errno.errorcode[n] for n in UNKNOWN])
def test_a_checkpoint_needs_no_file_system_that_syncs(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "fsync", refuse(number))
    checkpoint.save(tmp_path, 16, {"nimg": 16})
    checkpoint.save(tmp_path, 32, {"nimg": 32})
    assert checkpoint.load(tmp_path, "latest") == {"nimg": 32}


def test_nor_one_whose_folders_can_be_opened(tmp_path, monkeypatch):
    real = os.open

    def opened(path, flags, *rest, **options):
        if flags & os.O_DIRECTORY:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", opened)
    checkpoint.save(tmp_path, 16, {"nimg": 16})
    assert checkpoint.load(tmp_path, "latest") == {"nimg": 16}


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_content_that_did_not_arrive_is_no_checkpoint(tmp_path, monkeypatch, number):
    checkpoint.save(tmp_path, 16, {"nimg": 16})
    monkeypatch.setattr(os, "fsync", refuse(number))
    with pytest.raises(SaveError, match="is whole"):
        checkpoint.save(tmp_path, 32, {"nimg": 32})
    assert checkpoint.load(tmp_path, "latest") == {"nimg": 16}


def test_weights_are_saved_where_files_have_no_rights(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "chmod", refuse(errno.EPERM))
    save_tensors({"a": torch.ones(2)}, tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").is_file()
