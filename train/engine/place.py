"""The folder of a run: new, empty, of an earlier run, or with other files of a person's, none of which is touched."""

from __future__ import annotations

import re
from pathlib import Path

from stylex.folder import claim_model
from stylex.storage.outputs import OutputError, claim, looks_ours
from train.engine import checkpoint
from train.engine.record import FILE

SHEET = re.compile(r"\d{9}\.png")


def claim_run(run: Path) -> None:
    """Make sure, before anything is trained, that a run can be written into a folder and that nothing of a person's
    would be lost.

    Raises:
        OutputError: naming the file and the way out.
    """
    claim(run, ["log.jsonl", "metrics.json", f"model/{FILE}"])
    claim_model(run / "model", "--output")
    sheets = run / "sheets"
    if sheets.is_dir() and not looks_ours(run / "log.jsonl"):
        for path in sorted(sheets.iterdir()):
            if SHEET.fullmatch(path.name):
                raise OutputError(f"{path} is of no run of ours, and would be lost; choose another --output")
    for folder in checkpoint.found(run):
        for path in sorted(folder.iterdir()) if folder.is_dir() else [folder]:
            if path.name != checkpoint.STATE:
                raise OutputError(
                    f"{path} would be lost when {folder.name} is cleared away; move it out of there, or choose another "
                    "--output"
                )
