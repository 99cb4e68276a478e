"""What `train/train.py` may be asked for: every option with its meaning, its default and its bounds."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Any

from stylex.classifiers.config import Outputs
from stylex.classifiers.reading import Colours, Interpolation
from stylex.networks.config import ConfigError, DiscriminatorKind, ModelConfig
from stylex.networks.eye import Perceptual
from stylex.storage.hub import REPO_ID
from train.options import launch
from train.options.choices import Flips, Precision, Strength, Tracker
from train.options.command import check_numbers
from train.options.processor import has_bf16

# Pictures per process and step. A multiple of four, the group of the minibatch statistics: then two processes see the
# same groups as one with twice the batch.
BATCH_SIZE = {32: 16, 64: 16, 128: 16, 256: 16}

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
SHARES = ("style_mixing", "kl_views", "class_swap", "swap_dropout", "places_swap")
# Of the networks; of a model that a run begins from, they are its own.
SHAPES = ("channels", "trunk_channels", "w_dim", "places")


def r1_weight(resolution: int) -> float:
    """Gamma of R1: 1 up to 64 px, with which the bundled leaves were trained, and from there on in proportion to the
    number of pixels (the rule of Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data").

    Why: the same change of a picture, spread over four times as many pixels, has a quarter of the squared gradient.
    """
    return max(1.0, (resolution / 64) ** 2)


@dataclass
class Options:
    """What to train, on what, and for how long. Losses are for pictures in [-1, 1].

    Args:
        data: a folder with one sub-folder of pictures for each class; a folder of pictures without labels; a folder
            with a table labels.csv of its pictures, or the table; a zip of any of these; or a dataset of the Hub, such
            as hf://datasets/me/name. docs/data.md tells more. A fixed part is held out for the reports.
        output: folder of the run: checkpoints, sheets, log.jsonl, and model/, the averaged networks. An earlier run
            there goes on; files of your own are left alone.
        classifier: the classifier to explain: a folder of train/train_classifier.py; torchvision:NAME or timm:NAME with
            classifier_weights; timm:FOLDER or transformers:FOLDER; wheel:NAME; a TorchScript file; or
            package.module:function, which returns a network. The last two are programs, and no model holds them.
            docs/data.md tells more.
        classifier_weights: file of an architecture's weights: safetensors, or a checkpoint with a state_dict in it.
        classifier_arguments: of an architecture, such as {"transform_input": true}.
        class_names: what the outputs of the classifier are called, in their order: a list, names with commas between
            them, or a text file with one in each line.
        classifier_resolution: side of the pictures that it reads.
        number_class_names: names that occur more than once get the number of their output, such as crane (134).
        classifier_crop: share of a picture's sides that it reads, in the middle; 1 is all of it.
        classifier_interpolation: bilinear, bicubic or nearest; how pictures are brought to its size.
        classifier_colours: rgb, bgr or grey; in which order it reads the channels.
        classifier_mean: of each channel of pictures in [0, 1]; ImageNet's if nothing says otherwise. One number is of a
            network of one channel, which is given grey pictures.
        classifier_std: the same.
        classifier_outputs: logits, probabilities, or sigmoid (logits of one sigmoid for each class).
        classifier_groups: classes made of several outputs each, by number, range or name, such as
            cat=281-285,dog=151-268 or cat=tabby+Persian cat,other=rest; what is in no group is left out.
        classifier_temperature: its logits are divided by it, and the model keeps it. One that is surer than it is right
            leaves edits nothing to show, and training nothing to learn; about 1 is what train/train_classifier.py
            finds.
        judge: folder of a second classifier for the reports; by default the sub-folder judge of the first.
        resolution: side of the generated pictures; one of the presets.
        channels: generator channels from 4x4 up, instead of the preset's.
        trunk_channels: the same for encoder and discriminator.
        w_dim: width of w, instead of the preset's.
        places: channels of the map that says where things are, instead of the preset's; 0 leaves it to w, as the paper
            does.
        discriminator: projected, which reads what a frozen EfficientNet-Lite0 sees and needs no R1; or stylegan2, a
            network of its own, as in the paper.
        total_kimg: thousands of pictures to train on.
        decay_kimg: over the last so many of them the learning rates fall to 0; 0 keeps them.
        max_minutes: stop after so many minutes, with a checkpoint. 0 = no limit.
        decay_minutes: over the last so many of these the learning rates fall to 0, wherever the pictures are; for a
            machine of which nobody knows how many it sees. Not the same bits again.
        resume: latest, none, or a checkpoint folder.
        init_from: start from the weights of this model folder or repository, with fresh optimisers. Of a model with
            other classes, what reads them starts afresh; the rest still knows how to see and draw. A model of fewer
            pixels, or without places, grows: it draws what it drew, and what it lacks is added.
        batch_size: pictures per process and step; the preset's if not given.
        learning_rate: of Adam.
        encoder_lr_mul: the encoder's rate is so much of the others'.
        discriminator_lr_mul: the same for the discriminator; if not given, a quarter for projected and 1 for stylegan2.
        mixed_precision: auto takes what `accelerate launch --mixed_precision bf16` asks for, else bf16 where the
            processor itself computes in it, and does not only emulate it.
        compile: the networks through torch.compile: CUDA graphs on a GPU, ready after seconds, and compiled code on a
            processor, after minutes. docs/speed.md tells whether it pays.
        recompute: keep nothing of the levels of generator and encoder (and of the paper's discriminator) for the
            backward pass, and compute it once more there: less memory, a longer step, the same numbers. dry_run says
            where it is needed.
        deterministic: the same bits in every run on the same kind of GPU, for a slower step; of a processor they are
            anyway.
        flips: none, horizontal or dihedral; only what does not change the class.
        warmup_kimg: so long only encoder and generator, without the discriminator.
        fade_in_kimg: over so many kimg after the warm-up the discriminator's weight grows to adversarial_weight; over
            as many before it, it learns alone. What projected sees is blurred at first and ever less.
        places_swap: share of the encoder's steps that draw a picture with the places of another one; such a picture
            has its own class and no reconstruction loss, so the class cannot hide in places.
        random_path_every: one step in so many draws random pictures, the others go through the encoder. 0 = none does,
            and the model has no mapping: an explanation needs none, and in a short run random pictures, far from
            anything, only keep the discriminator from looking at the others.
        style_mixing: share of the random steps that mix two styles.
        temperature: the classifier's logits are divided by it wherever training reads probabilities.
        l1_weight: pixel reconstruction.
        perceptual: efficientnet, lpips or classifier; whose features say what looks alike.
        perceptual_weight: reconstruction in those features.
        pyramid_weight: reconstruction of the bands of a Laplacian pyramid, so tone and detail count apart. Not in the
            paper.
        w_weight: reconstruction of w from the generated picture.
        w_every: computed once in so many steps.
        kl_weight: KL(C(x) || C(G)), or of the swapped probabilities.
        kl_ramp_kimg: over so many kimg the classification loss grows from 0 to kl_weight.
        kl_views: for that loss the generated picture is zoomed, turned, moved and made grainy, at 1 as far as
            train_classifier.py goes by default, at 0 not at all: an edit has to persuade from every side. Not in the
            paper.
        adversarial_weight: of the generator's adversarial loss.
        balance: adversarial_weight is relative: 1 lets the discriminator pull at the pictures as strongly as the
            reconstruction does, measured by their gradients.
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
        r1_weight: gamma of R1; if not given the preset's for stylegan2, and 0 for projected, which has none.
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
    classifier_arguments: dict[str, Any] | None = None
    class_names: list[str] | str | None = None
    classifier_resolution: int | None = None
    number_class_names: bool = False
    classifier_crop: float | None = None
    classifier_interpolation: Interpolation | None = None
    classifier_colours: Colours | None = None
    classifier_mean: list[float] | None = None
    classifier_std: list[float] | None = None
    classifier_outputs: Outputs | None = None
    classifier_groups: str | None = None
    classifier_temperature: float | None = None
    judge: str | None = None
    resolution: int = 64
    channels: list[int] | None = None
    trunk_channels: list[int] | None = None
    w_dim: int | None = None
    places: int | None = None
    discriminator: DiscriminatorKind = "projected"
    total_kimg: float = 1000.0
    decay_kimg: float = 0.0
    max_minutes: float = 0.0
    decay_minutes: float = 0.0
    resume: str = "latest"
    init_from: str | None = None
    batch_size: int = None  # type: ignore[assignment]
    learning_rate: float = 2e-3
    encoder_lr_mul: float = 0.5
    discriminator_lr_mul: float = None  # type: ignore[assignment]
    mixed_precision: Precision = "auto"
    compile: bool = False
    recompute: bool = False
    deterministic: bool = False
    flips: Flips = "horizontal"
    warmup_kimg: float = 50.0
    fade_in_kimg: float = 2.0
    places_swap: float = 0.0
    random_path_every: int = 2
    style_mixing: float = 0.9
    temperature: float = 2.0
    l1_weight: float = 1.0
    perceptual: Perceptual = "efficientnet"
    perceptual_weight: float = 1.0
    pyramid_weight: float = 0.0
    w_weight: float = 0.1
    w_every: int = 4
    kl_weight: float = 1.0
    kl_ramp_kimg: float = 0.0
    kl_views: float = 0.0
    adversarial_weight: float = 1.0
    balance: bool = False
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
            self.mixed_precision = launch.precision(os.environ) or ("bf16" if has_bf16() else "no")
        # Numbers of the preset; a resolution that has none is refused by `model_config`.
        if self.batch_size is None:
            self.batch_size = BATCH_SIZE.get(self.resolution, 1)
        projected = self.discriminator == "projected"
        if self.r1_weight is None:
            self.r1_weight = 0.0 if projected else r1_weight(self.resolution)
        if self.discriminator_lr_mul is None:
            self.discriminator_lr_mul = 0.25 if projected else 1.0
        numbers = [name for name, value in vars(self).items() if isinstance(value, (int, float))]
        check_numbers(self, AT_LEAST_1, lambda v: v >= 1, "use 1 or more", ConfigError)
        check_numbers(self, ABOVE_0, lambda v: 0 < v < math.inf, "use a number above 0", ConfigError)
        check_numbers(self, numbers, lambda v: 0 <= v < math.inf, "use 0 or more", ConfigError)
        check_numbers(self, SHARES, lambda v: 0 <= v <= 1, "use a share from 0 to 1", ConfigError)
        if self.augment != "ada" and not 0 <= self.augment <= 1:
            raise ConfigError(f"augment is {self.augment}; use a share from 0 to 1, or ada")
        if 0 < self.random_path_every < 2:
            raise ConfigError("random_path_every is 1; then the encoder would never be trained; use 0, or 2 and more")

        if self.decay_minutes > self.max_minutes:
            raise ConfigError(
                f"decay_minutes is {self.decay_minutes:g}, and max_minutes {self.max_minutes:g}, of which they are the "
                "last; use more --max_minutes, or fewer --decay_minutes"
            )
        if self.recompute and self.compile:
            raise ConfigError(
                "recompute and compile are both asked for, and compiled networks choose what they keep; use one"
            )
        if projected and self.r1_weight:
            raise ConfigError(
                f"r1_weight is {self.r1_weight:g}, and a projected discriminator has no R1; leave it out, or use "
                "--discriminator stylegan2"
            )
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
        if self.places_swap and self.places == 0:
            found.append(f"places_swap {self.places_swap:g} does nothing where places is 0")
        if self.swap_few and not self.class_swap:
            found.append(f"swap_few {self.swap_few} does nothing where class_swap is 0")
        for name in ("class_swap", "kl_views"):
            if getattr(self, name) and not self.kl_weight:
                found.append(f"{name} {getattr(self, name):g} does nothing where kl_weight is 0")
        return found

    def model_config(self, num_classes: int, init: ModelConfig | None = None) -> ModelConfig:
        """The shapes of the run's networks: those of `init`, grown, if it begins from a model; else the preset's.

        Raises:
            ConfigError: if what is asked for does not follow from those of `init`, with the way out.
        """
        if init is not None:
            try:
                grown = init.grown(self.resolution, **{name: getattr(self, name) for name in SHAPES})
            except ConfigError as error:
                raise ConfigError(
                    f"{error}. That model is {self.init_from}: ask for what it has or leave the option out (null), or "
                    "start afresh with --init_from null"
                ) from None
            return replace(grown, num_classes=num_classes, discriminator=self.discriminator)
        changes = {name: value for name in SHAPES if (value := getattr(self, name)) is not None}
        return ModelConfig.preset(self.resolution, num_classes, discriminator=self.discriminator, **changes)
