"""The numbers of a run in TensorBoard, trackio or wandb."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from PIL import Image

from stylex.networks.config import ConfigError
from train.options.choices import Tracker
from train.options.training import Options


def require_tracker(name: Tracker) -> None:
    """
    Raises:
        ConfigError: if the tracker is not installed.
    """
    if name != "none" and importlib.util.find_spec(name) is None:
        raise ConfigError(f"report_to is {name}, which is not installed; pip install {name}, or use --report_to none")


def start_tracker(accelerator: Accelerator, options: Options, run: Path) -> None:
    """Begin a run named after its folder, in the project "stylex"; tensorboard's files lie in the run's folder."""
    plain = {n: v if isinstance(v, (bool, int, float, str)) else str(v) for n, v in asdict(options).items()}
    named: dict[str, dict[str, Any]] = {"trackio": {"name": run.name}, "wandb": {"name": run.name, "dir": str(run)}}
    if options.report_to != "none":
        accelerator.init_trackers("stylex", config=plain, init_kwargs=named)


def track(accelerator: Accelerator, nimg: int, numbers: dict[str, float], picture: Image.Image | None = None) -> None:
    """A tracker that fails, as one whose server is away, costs a warning and never the run."""
    for tracker in accelerator.trackers:
        try:
            tracker.log(numbers, step=nimg)
            if picture is None:
                continue
            if tracker.name == "tensorboard":
                tracker.log_images({"sheet": np.asarray(picture)[None]}, step=nimg, dataformats="NHWC")
            elif tracker.name == "wandb":
                tracker.log_images({"sheet": [picture]}, step=nimg)
            elif tracker.name == "trackio":
                import trackio

                tracker.log({"sheet": trackio.Image(picture)}, step=nimg)
        except Exception as error:
            print(f"warning: {tracker.name} failed ({type(error).__name__}: {error}).", file=sys.stderr)


def finish_tracker(accelerator: Accelerator) -> None:
    for tracker in accelerator.trackers:
        tracker.finish()
