"""The loop around the steps: pictures in, and reports, sheets and checkpoints on the way."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from tqdm import tqdm

from train.data.pictures import Pictures, epochs, to_float
from train.engine import checkpoint
from train.engine.device import batch_of, kept
from train.engine.interrupt import Interrupt
from train.engine.report import Reports
from train.engine.trainer import Trainer
from train.engine.watch import Watch, check, tried_again, weight_norms

# Beside the progress bar.
SHOWN = ("l1", "kl", "kl_swap", "g_adv", "d")


def agree(accelerator: Accelerator, *wishes: bool) -> list[bool]:
    """Of each wish, whether any process has it: they end together, or one would wait for the others forever."""
    if accelerator.num_processes == 1:
        return list(wishes)
    votes = torch.tensor(wishes, dtype=torch.float32, device=accelerator.device)
    return [vote > 0 for vote in accelerator.reduce(votes, "sum").tolist()]


def alike(accelerator: Accelerator, number: float) -> float:
    """The mean over all processes, whose clocks differ: what they step by has to be the same."""
    if accelerator.num_processes == 1:
        return number
    return float(accelerator.reduce(torch.tensor(number, device=accelerator.device), "mean"))


def save(trainer: Trainer, run: Path, saved: Callable[[Path], None], last: bool) -> None:
    """The checkpoint, to go on from, and the model folder, which is what a run is for: each whether or not the other
    can be written.

    Raises:
        OSError: if one of them could not.
    """
    failed, model = None, run / "model"
    try:
        checkpoint.save(run, trainer.nimg, trainer.state(), keep=trainer.o.keep_checkpoints)
    except OSError as error:
        failed = error
    trainer.model().save_pretrained(model)
    saved(model)
    if failed is not None:
        raise checkpoint.SaveError(f"{failed}. The model of these pictures is whole, in {model}") if last else failed


def train(
    trainer: Trainer,
    train_part: Pictures,
    val_part: Pictures,
    run: Path,
    interrupt: Interrupt,
    saved: Callable[[Path], None] = lambda model: None,
) -> int | None:
    """Train until `total_kimg` or `max_minutes`, with reports, sheets and checkpoints on the way.

    A report or a checkpoint that cannot be written is tried again at its next turn; only the last has to succeed.

    Args:
        interrupt: asked after each step.
        saved: called by the main process with the model folder, each time it has been written.

    Returns:
        The number of the signal that ended the run, with a checkpoint, before its time; None otherwise.
    """
    o, accelerator = trainer.o, trainer.accelerator
    device, main = accelerator.device, accelerator.is_main_process
    processes = accelerator.num_processes
    pictures = kept(train_part.x, device)
    batches = epochs(len(train_part), o.batch_size * processes, o.seed, start=trainer.nimg)
    shown = to_float(val_part.x[: o.report_pictures]).to(device).contiguous(memory_format=torch.channels_last)
    watch, reports = Watch(trainer, run), Reports(trainer, shown, run) if main else None
    start = last_save = time.monotonic()
    bar = tqdm(total=int(o.total_kimg * 1000), initial=trainer.nimg, unit="img", disable=not main, dynamic_ncols=True)
    done, interrupted = trainer.nimg >= o.total_kimg * 1000, False
    while not done:
        index = next(batches)[accelerator.process_index :: processes]
        trainer.step(to_float(batch_of(pictures, index, device)))
        bar.update(o.batch_size * processes)
        now = time.monotonic()
        done, look = trainer.nimg >= o.total_kimg * 1000, trainer.step_number % o.log_every == 0
        if processes == 1 or look:
            left = o.max_minutes - (now - start) / 60
            interrupted, late = agree(accelerator, interrupt.number is not None, o.max_minutes > 0 >= left)
            if o.decay_minutes:
                trainer.minutes_left = alike(accelerator, left)
            done = done or interrupted or late

        if look or done:
            numbers = trainer.numbers()
            watch.look(numbers)
            bar.set_postfix({n: f"{numbers[n]:.3f}" for n in SHOWN if n in numbers}, refresh=False)
        # Who was told to stop may have seconds left; the checkpoint is what counts.
        if reports and not interrupted and (done or now - reports.last >= o.report_minutes * 60):
            with tried_again(o.report_minutes):
                numbers = reports.make()
                values = "  ".join(f"{n} {v:.3f}" for n, v in numbers.items() if "train" not in n)
                bar.write(f"{trainer.nimg / 1000:.1f} kimg  {values}")
        if main and (done or now - last_save >= o.save_minutes * 60):
            check(trainer, weight_norms(trainer), run)
            with nullcontext() if done else tried_again(o.save_minutes):
                save(trainer, run, saved, last=done)
            last_save = time.monotonic()
    bar.close()
    return (interrupt.number or signal.SIGTERM) if interrupted else None
