"""Down to the disk, and with the rights of other files, where a file system knows how to do that.

An effort, never a condition: some network and container file systems answer such calls with EINVAL, ENOTSUP, ENOSYS or
EPERM, and what was written there is none the worse for it.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

# What says that the content itself did not arrive. Everything else says that the call is unknown there.
LOST = {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE}


def sync_file(file: IO[bytes]) -> None:
    """The content of an open file, beyond the system's memory: a machine may lose power.

    Raises:
        OSError: if the content did not arrive, as on a disk that is full.
    """
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno in LOST:
            raise


def sync_folder(folder: Path) -> None:
    """The names in a folder."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def allow(path: Path, mode: int) -> None:
    """Give a file the rights `mode`; FAT and some shares have none to give."""
    with suppress(OSError):
        path.chmod(mode)
