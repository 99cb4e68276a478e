"""Where the numbers of a benchmark go: looked at before anything is measured."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stylex.storage.outputs import OutputError, claim


def ready(parser: argparse.ArgumentParser, path: Path | None) -> None:
    """End with one sentence if a file that was asked for cannot be written, or is somebody else's."""
    try:
        if path is not None:
            claim(path.parent, [path.name], option="--json")
    except OutputError as error:
        parser.error(str(error))
