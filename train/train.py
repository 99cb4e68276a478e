"""Train a StylEx on a folder of pictures and a classifier.

python train/train.py --config train/configs/laptop.yaml --data PICTURES --classifier CLASSIFIER --output RUN
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from accelerate import PartialState

from stylex.classifiers.adopt import NOT_SHARED, adopt_as_said, description, is_reference
from stylex.classifiers.classifier import Classifier, ClassifierError, load_classifier
from stylex.folder import read_attributes
from stylex.model import StylEx
from stylex.networks.config import ConfigError
from stylex.storage.files import ModelError
from stylex.storage.outputs import put_json
from train.data.pictures import load_pictures
from train.data.records import DataError
from train.engine import checkpoint
from train.engine.device import free_memory, no_such_way
from train.engine.eyes import eyes
from train.engine.interrupt import Interrupt
from train.engine.loop import train
from train.engine.place import claim_run
from train.engine.publish import Publisher
from train.engine.record import Record
from train.engine.tracker import finish_tracker, require_tracker, start_tracker, track
from train.engine.trainer import Trainer, judged
from train.engine.watch import TrainingError
from train.evaluate import evaluate
from train.options.command import parse
from train.options.launch import check_launch
from train.options.training import HARMLESS, Options
from train.presets import Memory, plan, too_large


def classifiers(o: Options) -> tuple[Classifier, Classifier | None]:
    """The classifier to explain, and the second judge."""
    classifier = adopt_as_said(o)
    if o.push_to_hub and not classifier.portable:
        raise ConfigError(f"{o.classifier}: {NOT_SHARED}")
    own = Path(o.classifier) / "judge"
    folder = Path(o.judge) if o.judge else own if own.is_dir() else None
    judge = load_classifier(folder) if folder else None
    if judge and judge.class_names != classifier.class_names:
        raise ConfigError(
            f"the judge {folder} names {', '.join(judge.class_names)}, the classifier "
            f"{', '.join(classifier.class_names)}; they must be the same"
        )
    return classifier, judge


def read_model(folder: str | Path, classifier: Classifier, device: str | torch.device = "cpu") -> StylEx:
    """A model of some run; if it came without its classifier, that has to be this one."""
    given = classifier if is_reference(Path(folder) / "classifier") else None
    return StylEx.from_pretrained(folder, device=device, classifier=given)


def resumed(state: dict[str, Any], o: Options) -> str:
    """Where a run goes on, and which options are others than they were: most may change, and none does so unseen."""
    # An option that the checkpoint is older than was as it is by default.
    before = {name: getattr(Options, name, None) for name in asdict(o)} | state["options"]
    changed = [f"{n} {before[n]} -> {v}" for n, v in asdict(o).items() if n not in HARMLESS and before[n] != v]
    return f"resumed at {state['nimg']} pictures" + (f"; changed: {', '.join(changed)}" if changed else "")


def alone_by_mistake() -> bool:
    """Whether this is the one process that `accelerate launch --cpu` starts however many it was asked for."""
    env = os.environ
    return env.get("ACCELERATE_USE_CPU", "").lower() == "true" and "MASTER_PORT" in env and "WORLD_SIZE" not in env


def one_thread_by_mistake(device: torch.device) -> int:
    """How many cores lie idle because `accelerate launch` gives each process one thread unless it is told otherwise."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    launched = "ACCELERATE_MIXED_PRECISION" in os.environ and PartialState().num_processes == 1
    return cores - 1 if launched and device.type == "cpu" and torch.get_num_threads() == 1 else 0


def dry_run(o: Options, classifier: Classifier, init: StylEx | None) -> None:
    """Say what a run would be."""
    state, classes = PartialState(), len(classifier.class_names)
    config = o.model_config(classes, init.config if init else None)
    features, eye = eyes(o.perceptual, classifier, config)
    judges = (classifier, features) if eye is None or eye is features else (classifier, features, eye)
    counted = partial(
        Memory.of, config, o.batch_size, bf16=o.mixed_precision == "bf16", r1=o.r1_weight > 0, judges=judges
    )
    memory = counted(recompute=o.recompute)
    state.print(plan(config, memory, asdict(o), classifier.class_names, state.num_processes))
    notes = o.without_effect()
    if (free := free_memory(state.device)) is not None and memory.whole > free:
        less = None if o.recompute or o.compile else counted(recompute=True)
        notes.append(too_large(memory, free, less))
    for note in notes:
        state.print(f"note: {note}")


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Train a StylEx on a folder of pictures and a classifier.", args)
    check_launch(o.mixed_precision, os.environ)
    run = Path(o.output)
    require_tracker(o.report_to)
    claim_run(run)
    classifier, judge = classifiers(o)
    init = read_model(o.init_from, classifier) if o.init_from else None
    if init:  # shapes that do not follow are refused before pictures are read
        o.model_config(len(classifier.class_names), init.config)
    if o.dry_run:
        return dry_run(o, classifier, init)
    train_part = load_pictures(o.data, o.resolution, "train", classifier.class_names)
    val_part = load_pictures(o.data, o.resolution, "val", classifier.class_names)
    if alone_by_mistake():
        print(
            "warning: `accelerate launch --cpu` starts one process, whatever --num_processes says. For more: "
            "ACCELERATE_USE_CPU=true torchrun --nproc_per_node N train/train.py …",
            file=sys.stderr,
        )
    order = torch.randperm(len(val_part), generator=torch.Generator().manual_seed(0))
    trainer = Trainer(o, classifier, judge, init)
    if idle := one_thread_by_mistake(trainer.accelerator.device):
        print(
            f"note: one core computes and {idle} {'is' if idle == 1 else 'are'} idle, as `accelerate launch` has it on "
            f"a processor; add --num_cpu_threads_per_process {idle + 1} to it, or start with python train/train.py",
            file=sys.stderr,
        )
    trainer.accelerator.print(f"{o.classifier}: {description(classifier)}")
    for note in o.without_effect():
        trainer.accelerator.print(f"note: {note}")
    run.mkdir(parents=True, exist_ok=True)
    if o.resume != "none" and (state := checkpoint.load(run, o.resume)):
        trainer.load_state(state)
        with suppress(ModelError):  # of another shape, or damaged
            path = run / "model" / "attributes.json"
            trainer.judged = judged(read_attributes(path, trainer.bare("generator").space, classifier.class_names))
        trainer.accelerator.print(resumed(state, o))
    start_tracker(trainer.accelerator, o, run)
    record = Record(run / "model", resumed=trainer.nimg > 0, processes=trainer.accelerator.num_processes)
    publisher = None
    if o.push_to_hub and o.hub_model_id and trainer.accelerator.is_main_process:
        publisher = Publisher(o.hub_model_id, private=o.hub_private_repo, every_minutes=o.push_minutes)

    def saved(model: Path) -> None:
        record.write(model, trainer.nimg)
        if publisher is not None:
            publisher.offer(model, trainer.nimg)

    main_process, device = trainer.accelerator.is_main_process, trainer.accelerator.device
    with Interrupt(say=main_process) as interrupt:
        number = train(trainer, train_part, val_part.subset(order), run, interrupt, saved)
        trainer.leave()  # the checkpoint of an interrupted run is written, or another process still writes it
    if number is None and interrupt.number == signal.SIGINT:
        raise KeyboardInterrupt
    if main_process and number is None:
        # What ships, as `evaluate.py` would measure it.
        try:
            numbers = evaluate(read_model(run / "model", classifier, device), val_part)
        except ImportError as error:  # the eyes that only measure; hours of training do not fail for the want of one
            print(f"not measured, and nothing else is missing: {error}, then train/evaluate.py", file=sys.stderr)
        else:
            put_json(run / "metrics.json", numbers)
            shown = {f"final/{n}": v for n, v in numbers.items() if isinstance(v, float)}
            track(trainer.accelerator, trainer.nimg, shown)
            print(f"measured on {numbers['n']} held-out pictures: {run / 'metrics.json'}")
    finish_tracker(trainer.accelerator)
    if number is not None:
        trainer.accelerator.print(
            f"stopped by {signal.Signals(number).name} at {trainer.nimg} pictures; the checkpoint is "
            f"{checkpoint.found(run)[-1]}. To go on: the same command with --resume latest"
        )
        sys.exit(128 + number)  # as a shell reports who ends by a signal
    if publisher is not None:
        publisher.finish(run / "model", trainer.nimg)


if __name__ == "__main__":
    try:
        main()
    except (
        ClassifierError,
        ConfigError,
        DataError,
        ImportError,
        ModelError,
        TrainingError,
        checkpoint.ResumeError,
        OSError,
    ) as error:
        sys.exit(f"error: {error}")
    except RuntimeError as error:
        if (said := no_such_way(error)) is None:
            raise
        sys.exit(f"error: {said}")
    except KeyboardInterrupt:  # before the first step, after the last, or twice
        print("stopped; what has been saved is whole", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
