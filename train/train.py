"""Train a StylEx on a folder of pictures and a classifier.

accelerate launch train/train.py --config train/configs/leaves.yaml
"""

from __future__ import annotations

import math
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from accelerate import PartialState

from stylex.classifiers.adopt import NOT_SHARED, adopt, description, is_reference
from stylex.classifiers.classifier import Classifier, ClassifierError, Outputs, load_classifier
from stylex.model import StylEx, read_attributes
from stylex.networks.config import ConfigError, ModelConfig
from stylex.networks.eye import Perceptual, perceptual_features
from stylex.storage.files import ModelError, write_json
from stylex.storage.hub import REPO_ID
from train.data.pictures import DataError, load_pictures
from train.engine import checkpoint
from train.engine.adaptive import Strength
from train.engine.augment import Flips
from train.engine.interrupt import Interrupt
from train.engine.loop import Trainer, named, train
from train.engine.publish import Publisher
from train.engine.record import Record
from train.engine.report import Tracker, finish_tracker, require_tracker, start_tracker, track
from train.engine.watch import TrainingError
from train.evaluate import evaluate
from train.options.command import check_numbers, parse
from train.presets import BATCH_SIZE, Memory, plan, r1_weight

Precision = Literal["auto", "no", "bf16"]
# Of no consequence to what is trained.
HARMLESS = {
    "output",
    "resume",
    "max_minutes",
    "report_minutes",
    "save_minutes",
    "keep_checkpoints",
    "push_minutes",
    "dry_run",
}

# What numbers may be; all others, 0 or more.
AT_LEAST_1 = ("batch_size", "w_every", "r1_every", "path_every", "log_every", "report_pictures", "keep_checkpoints")
ABOVE_0 = ("total_kimg", "temperature", "ada_kimg")
SHARES = ("style_mixing", "encoder_mixing", "kl_views", "class_swap", "swap_dropout")


@dataclass
class Options:
    """What to train, on what, and for how long. Losses are for pictures in [-1, 1].

    Args:
        data: a folder with one sub-folder of pictures for each class; a folder of pictures without labels; a folder
            with a table labels.csv of its pictures, or the table; a zip of any of these; or a dataset of the Hub, such
            as hf://datasets/me/name. docs/data.md tells more. A fixed part is held out for the reports.
        output: folder of the run: checkpoints, sheets, log.jsonl, and model/, the averaged networks.
        classifier: the classifier to explain: a folder of train/train_classifier.py; torchvision:NAME or timm:NAME with
            classifier_weights; timm:FOLDER or transformers:FOLDER; a TorchScript file; or package.module:function,
            which returns a network. The last two are programs, and no model holds them. docs/data.md tells more.
        classifier_weights: safetensors file of an architecture's weights.
        class_names: what the outputs of the classifier are called, in their order: a list, names with commas between
            them, or a text file with one in each line.
        classifier_resolution: side of the pictures that it reads.
        classifier_mean: of each channel of pictures in [0, 1]; ImageNet's if nothing says otherwise.
        classifier_std: the same.
        classifier_outputs: logits, probabilities, or sigmoid (logits of one sigmoid for each class).
        judge: folder of a second classifier for the reports; by default the sub-folder judge of the first.
        resolution: side of the generated pictures; one of the presets.
        channels: generator channels from 4x4 up, instead of the preset's.
        trunk_channels: the same for encoder and discriminator.
        w_dim: width of w, instead of the preset's.
        total_kimg: thousands of pictures to train on.
        decay_kimg: over the last so many of them the learning rates fall to 0; 0 keeps them.
        max_minutes: stop after so many minutes, with a checkpoint. 0 = no limit.
        resume: latest, none, or a checkpoint folder.
        init_from: start from the weights of this model folder or repository, with fresh optimisers. Of a model with
            other classes, what reads them starts afresh; the rest still knows how to see and draw.
        batch_size: pictures per process and step; the preset's if not given.
        learning_rate: of Adam.
        encoder_lr_mul: the encoder's rate is so much of the others'.
        mixed_precision: auto takes bf16 where the processor has it.
        compile: the networks through torch.compile; minutes before the first step. docs/speed.md tells whether it pays.
        flips: none, horizontal or dihedral; only what does not change the class.
        warmup_kimg: so long only encoder and generator, without the discriminator.
        random_path_every: one step in so many draws random pictures, the others go through the encoder.
        style_mixing: share of the random steps that mix two styles.
        encoder_mixing: share of the encoder's steps after the warm-up that mix the styles of two pictures; such a
            picture keeps its class and has no reconstruction loss. Not in the paper.
        temperature: the classifier's logits are divided by it wherever training reads probabilities.
        l1_weight: pixel reconstruction.
        perceptual: efficientnet, lpips or classifier; whose features say what looks alike.
        perceptual_weight: reconstruction in those features.
        w_weight: reconstruction of w from the generated picture.
        w_every: computed once in so many steps.
        kl_weight: KL(C(x) || C(G)), or of the swapped probabilities.
        kl_ramp_kimg: over so many kimg the classification loss grows from 0 to kl_weight.
        kl_views: for that loss the generated picture is zoomed, turned, moved and made grainy, at 1 as far as
            train_classifier.py goes by default, at 0 not at all: an edit has to persuade from every side. Not in the
            paper.
        adversarial_weight: of the generator's adversarial loss.
        class_swap: share of the encoder steps that ask for another class than the picture's. Not in the paper.
        swap_after_kimg: none before.
        swap_closeness: weight of staying close to the picture on those steps.
        swap_dropout: on those steps, up to this share of the coordinates stays behind. Not in the paper.
        swap_few: on half of those steps' pictures only so many coordinates follow, the ones that the class asked for
            has most to itself; for many classes, which otherwise share theirs. 0 = off. Not in the paper.
        sparsity_weight: penalty on what the coordinates read of the class, so that few do, each of few classes. Not in
            the paper.
        augment: share of the discriminator's pictures that are changed in colour, place and by a hole; ada adapts it
            to how far the discriminator has learnt its pictures by heart, for a few thousand pictures or fewer.
        ada_target: with ada, the mean of sign(D(real)) to hold; higher changes fewer pictures.
        ada_kimg: with ada, thousands of pictures in which the share could rise from 0 to 1.
        r1_weight: gamma of R1; the preset's if not given.
        r1_every: computed once in so many steps.
        path_weight: path length regularisation; 0 = off.
        path_every: computed once in so many steps.
        ema_kimg: half-life of the averaged networks, in thousands of pictures.
        seed: of everything.
        log_every: steps between two looks at the losses.
        report_minutes: between two reports with a sheet.
        report_pictures: held-out pictures in a report.
        report_to: none, tensorboard, trackio or wandb; gets every report, beside log.jsonl and sheets.
        save_minutes: between two checkpoints.
        keep_checkpoints: so many of the newest stay.
        dry_run: say what the run would be, with parameters, coordinates and memory, and do nothing.
        push_to_hub: push the model to the Hub while training, in the background, and at the end.
        hub_model_id: repository to push to, such as me/stylex-mine; it is made if there is none.
        hub_private_repo: make a new repository private.
        push_minutes: between two pushes.
    """

    data: str
    output: str
    classifier: str
    classifier_weights: str | None = None
    class_names: list[str] | str | None = None
    classifier_resolution: int | None = None
    classifier_mean: list[float] | None = None
    classifier_std: list[float] | None = None
    classifier_outputs: Outputs | None = None
    judge: str | None = None
    resolution: int = 64
    channels: list[int] | None = None
    trunk_channels: list[int] | None = None
    w_dim: int | None = None
    total_kimg: float = 1000.0
    decay_kimg: float = 0.0
    max_minutes: float = 0.0
    resume: str = "latest"
    init_from: str | None = None
    batch_size: int = None  # type: ignore[assignment]
    learning_rate: float = 2e-3
    encoder_lr_mul: float = 0.5
    mixed_precision: Precision = "auto"
    compile: bool = False
    flips: Flips = "horizontal"
    warmup_kimg: float = 50.0
    random_path_every: int = 2
    style_mixing: float = 0.9
    encoder_mixing: float = 0.0
    temperature: float = 2.0
    l1_weight: float = 1.0
    perceptual: Perceptual = "efficientnet"
    perceptual_weight: float = 1.0
    w_weight: float = 0.1
    w_every: int = 4
    kl_weight: float = 1.0
    kl_ramp_kimg: float = 0.0
    kl_views: float = 0.0
    adversarial_weight: float = 1.0
    class_swap: float = 0.4
    swap_after_kimg: float = 20.0
    swap_closeness: float = 0.5
    swap_dropout: float = 0.8
    swap_few: int = 0
    sparsity_weight: float = 0.005
    augment: Strength = 0.3
    ada_target: float = 0.6
    ada_kimg: float = 100.0
    r1_weight: float = None  # type: ignore[assignment]
    r1_every: int = 16
    path_weight: float = 0.0
    path_every: int = 4
    ema_kimg: float = 10.0
    seed: int = 0
    log_every: int = 20
    report_minutes: float = 5.0
    report_pictures: int = 128
    report_to: Tracker = "none"
    save_minutes: float = 5.0
    keep_checkpoints: int = 2
    dry_run: bool = False
    push_to_hub: bool = False
    hub_model_id: str | None = None
    hub_private_repo: bool = False
    push_minutes: float = 30.0

    def __post_init__(self) -> None:
        if self.mixed_precision == "auto":
            has_bf16 = (
                torch.cuda.is_bf16_supported()
                if torch.cuda.is_available()
                else torch.ops.mkldnn._is_mkldnn_bf16_supported()
            )
            self.mixed_precision = "bf16" if has_bf16 else "no"
        # Numbers of the preset; a resolution that has none is refused by `model_config`.
        if self.batch_size is None:
            self.batch_size = BATCH_SIZE.get(self.resolution, 1)
        if self.r1_weight is None:
            self.r1_weight = r1_weight(self.resolution)
        numbers = [name for name, value in vars(self).items() if isinstance(value, (int, float))]
        check_numbers(self, AT_LEAST_1, lambda v: v >= 1, "use 1 or more", ConfigError)
        check_numbers(self, ABOVE_0, lambda v: 0 < v < math.inf, "use a number above 0", ConfigError)
        check_numbers(self, numbers, lambda v: 0 <= v < math.inf, "use 0 or more", ConfigError)
        check_numbers(self, SHARES, lambda v: 0 <= v <= 1, "use a share from 0 to 1", ConfigError)
        if self.augment != "ada" and not 0 <= self.augment <= 1:
            raise ConfigError(f"augment is {self.augment}; use a share from 0 to 1, or ada")
        if self.random_path_every < 2:
            raise ConfigError("random_path_every is below 2; then the encoder would never be trained")

        if self.push_to_hub and not REPO_ID.fullmatch(self.hub_model_id or ""):
            raise ConfigError(f"push_to_hub needs hub_model_id, such as me/stylex-mine; it is {self.hub_model_id!r}")

    def without_effect(self) -> list[str]:
        """What is asked for and will not happen."""
        found, end = [], f"and this run ends at {self.total_kimg:g}"
        if self.class_swap and self.swap_after_kimg >= self.total_kimg:
            found.append(f"no class swap, which would begin at swap_after_kimg {self.swap_after_kimg:g}, {end}")
        if self.warmup_kimg >= self.total_kimg:
            found.append(f"no discriminator, which would begin at warmup_kimg {self.warmup_kimg:g}, {end}")
        if self.kl_ramp_kimg >= self.total_kimg:
            found.append(
                f"the classification loss never has its full weight: kl_ramp_kimg {self.kl_ramp_kimg:g}, {end}"
            )
        if self.swap_few and not self.class_swap:
            found.append(f"swap_few {self.swap_few} does nothing where class_swap is 0")
        for name in ("class_swap", "kl_views"):
            if getattr(self, name) and not self.kl_weight:
                found.append(f"{name} {getattr(self, name):g} does nothing where kl_weight is 0")
        return found

    def model_config(self, num_classes: int) -> ModelConfig:
        changes = {"channels": self.channels, "trunk_channels": self.trunk_channels, "w_dim": self.w_dim}
        return ModelConfig.preset(self.resolution, num_classes, **{k: v for k, v in changes.items() if v is not None})


def check_init(o: Options, init: StylEx) -> None:
    """Refuse shapes that a run from a model cannot have.

    Raises:
        ConfigError: naming the option, what the model has, and the way out.
    """
    if init.resolution != o.resolution:
        raise ConfigError(
            f"{o.init_from} is a model of {init.resolution} px; this run is of {o.resolution} px. Use another "
            "--resolution, or start afresh with --init_from null"
        )
    for name in ("channels", "trunk_channels", "w_dim"):
        asked, has = getattr(o, name), getattr(init.config, name)
        has = list(has) if isinstance(has, tuple) else has
        if asked is not None and asked != has:
            raise ConfigError(
                f"{name} is {asked}, but {o.init_from} has {has}, and a run from a model has its shapes: give "
                f"--{name} null, or start afresh with --init_from null"
            )


def classifiers(o: Options) -> tuple[Classifier, Classifier | None]:
    """The classifier to explain, and the second judge."""
    classifier = adopt(
        o.classifier,
        weights=o.classifier_weights,
        class_names=o.class_names,
        resolution=o.classifier_resolution,
        mean=o.classifier_mean,
        std=o.classifier_std,
        outputs=o.classifier_outputs,
    )
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
    before, now = state["options"], asdict(o)
    changed = [f"{n} {before.get(n)} -> {v}" for n, v in now.items() if n not in HARMLESS and before.get(n) != v]
    return f"resumed at {state['nimg']} pictures" + (f"; changed: {', '.join(changed)}" if changed else "")


def alone_by_mistake() -> bool:
    """Whether this is the one process that `accelerate launch --cpu` starts however many it was asked for."""
    env = os.environ
    return env.get("ACCELERATE_USE_CPU", "").lower() == "true" and "MASTER_PORT" in env and "WORLD_SIZE" not in env


def dry_run(o: Options, classifier: Classifier, init: StylEx | None) -> None:
    """Say what a run would be."""
    state, classes = PartialState(), len(classifier.class_names)
    config = replace(init.config, num_classes=classes) if init else o.model_config(classes)
    judges = (classifier, perceptual_features(o.perceptual, classifier))
    memory = Memory.of(config, o.batch_size, bf16=o.mixed_precision == "bf16", r1=o.r1_weight > 0, judges=judges)
    state.print(plan(config, memory, asdict(o), classifier.class_names, state.num_processes))
    for note in o.without_effect():
        state.print(f"note: {note}")


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Train a StylEx on a folder of pictures and a classifier.", args)
    run = Path(o.output)
    require_tracker(o.report_to)
    classifier, judge = classifiers(o)
    init = read_model(o.init_from, classifier) if o.init_from else None
    if init:
        check_init(o, init)
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
    trainer.accelerator.print(f"{o.classifier}: {description(classifier)}")
    for note in o.without_effect():
        trainer.accelerator.print(f"note: {note}")
    run.mkdir(parents=True, exist_ok=True)
    if o.resume != "none" and (state := checkpoint.load(run, o.resume)):
        trainer.load_state(state)
        with suppress(ModelError):  # of another shape, or damaged
            path = run / "model" / "attributes.json"
            trainer.named = named(read_attributes(path, trainer.bare("generator").space, classifier.class_names))
        trainer.accelerator.print(resumed(state, o))
    start_tracker(trainer, run)
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
        numbers = evaluate(read_model(run / "model", classifier, device), val_part)
        write_json(run / "metrics.json", numbers)
        track(trainer, {f"final/{n}": v for n, v in numbers.items() if isinstance(v, float)})
        print(f"measured on {numbers['n']} held-out pictures: {run / 'metrics.json'}")
    finish_tracker(trainer)
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
        ModelError,
        TrainingError,
        checkpoint.ResumeError,
        OSError,
    ) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:  # before the first step, after the last, or twice
        print("stopped; what has been saved is whole", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
