"""Train a classifier to explain, and a second, independent judge, on a folder of pictures.

    python train/train_classifier.py --config train/configs/leaves-classifier.yaml

The judge never sees the first classifier, and is nothing like it: another family of networks, another start, another
recipe. The metrics ask it whether an edit that convinces the first one also convinces somebody else.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stylex.classifiers.architectures import BUILDERS, begun, unfilled
from stylex.classifiers.classifier import Classifier, ClassifierConfig, ClassifierError, build, save_classifier
from stylex.classifiers.lite import MEAN, STD, LiteClassifier, load_wheel
from stylex.classifiers.trial import tried
from stylex.probe import fit_linear
from stylex.storage.files import ModelError
from stylex.storage.outputs import claim, put_json
from train.classifying.certainty import device_of, fit_temperature, logits_of
from train.classifying.descent import Descent, attack, descend
from train.classifying.views import Views, augment
from train.data.pictures import Pictures, load_pictures, to_float
from train.data.records import DataError
from train.data.sources import TABLE, find_pictures
from train.engine.device import device
from train.options.choices import Flips
from train.options.command import parse

# What is written into a classifier's folder.
FILES = ("config.json", "model.safetensors", "metrics.json")


@dataclass(frozen=True)
class Recipe:
    """How a family of networks is trained where nobody says otherwise, and which other family judges it."""

    epochs: int
    batch_size: int
    learning_rate: float
    judged_by: str
    gradient_norm: float = Descent.gradient_norm


# Nobody is judged by their own kind: neither the same layers nor the same start.
RECIPES: dict[str, Recipe] = {
    "convnet": Recipe(30, 64, 3e-3, "efficientnet_lite0", math.inf),
    "efficientnet_lite0": Recipe(4, 32, 5e-4, "resnet18"),
    "resnet18": Recipe(14, 64, 3e-3, "efficientnet_lite0"),
}
# Of an architecture of torchvision, timm or transformers, from scratch: a rate at which transformers learn, too.
FOREIGN = Recipe(14, 64, 1e-3, "efficientnet_lite0", 1.0)
# EfficientNet-Lite halves a picture five times: a smaller one is enlarged to this side.
LITE_READS = 128
# Blocks that stay as ImageNet made them, down to an eighth of the picture: edges and textures are the same everywhere.
LITE_FROZEN = 5
TIMES = 3  # each picture is seen, where only a linear layer is fitted
RESNET_READS = 96  # at most: what begins from scratch sees every picture often


@dataclass
class Options:
    """How to train.

    Args:
        data: pictures with labels, see train/train.py.
        output: where the classifier goes; the judge goes into the sub-folder `judge`. An earlier one there is written
            over, files of your own are not.
        resolution: side of the pictures.
        backbone: the network: convnet, small and from scratch; efficientnet_lite0, which knows ImageNet and reads
            128 px or more; resnet18, narrow and from scratch; or torchvision:NAME, timm:NAME or transformers:NAME, an
            architecture of theirs. The judge is always of another kind.
        backbone_arguments: of an architecture of theirs, such as {"img_size": 64, "depth": 4}.
        backbone_weights: file of weights from which it is trained on, of other classes, too; none: from scratch.
        backbone_resolution: side of the pictures that it reads, where that is not `resolution`.
        tune: of efficientnet_lite0: train its later blocks; otherwise a linear layer is fitted to its features as they
            are, in a minute, and what no eye sees may fool it.
        width: channels of the first stage of convnet, a multiple of 4; they double twice.
        blocks: residual blocks in each of the three stages of convnet.
        epochs: passes over the training part; none: as many as the backbone is used to.
        batch_size: pictures per step; none: as the backbone is used to.
        learning_rate: highest rate of the one-cycle schedule; none: as the backbone is used to.
        weight_decay: of AdamW.
        flips: none, horizontal or dihedral (mirrors and quarter turns).
        brightness: largest relative change.
        contrast: largest relative change.
        saturation: largest relative change.
        hue: largest turn, as a share of the colour circle.
        zoom: largest relative change of size.
        turn: largest turn in degrees.
        translate: largest move, as a share of the side.
        noise: standard deviation of grain, in levels of 255.
        adversarial: half of each batch is moved by up to so many levels of 255 in the direction that hurts most
            (Wong et al. 2020, "Fast is better than free"), so that a change nobody sees cannot decide. 0 turns it off.
        judge: also train the judge.
        seed: of everything.
    """

    data: str
    output: str
    resolution: int = 64
    backbone: str = "convnet"
    backbone_arguments: dict[str, Any] | None = None
    backbone_weights: str | None = None
    backbone_resolution: int | None = None
    tune: bool = True
    width: int = 24
    blocks: int = 2
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float = Descent.weight_decay
    flips: Flips = Views.flips
    brightness: float = Views.brightness
    contrast: float = Views.contrast
    saturation: float = Views.saturation
    hue: float = Views.hue
    zoom: float = Views.zoom
    turn: float = Views.turn
    translate: float = Views.translate
    noise: float = Views.noise
    adversarial: float = Descent.adversarial
    judge: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        # Backward through 6 or 10 channels corrupts memory in torch 2.15 on one thread of a processor without AVX-512.
        if self.width < 4 or self.width % 4:
            raise ClassifierError(f"width is {self.width}; use a multiple of 4")
        if self.backbone not in RECIPES and not self.foreign:
            raise ClassifierError(
                f"backbone is {self.backbone}; use {', '.join(RECIPES)}, or an architecture, such as "
                "torchvision:resnet18"
            )
        for name in ("backbone_arguments", "backbone_weights", "backbone_resolution"):
            if getattr(self, name) is not None and not self.foreign:
                raise ClassifierError(
                    f"{name} is {getattr(self, name)}, and the backbone {self.backbone}; it is for an architecture of "
                    f"{', '.join(BUILDERS)}"
                )

    @property
    def foreign(self) -> bool:
        """Whether the backbone is an architecture of somebody else's."""
        library, _, name = self.backbone.partition(":")
        return library in BUILDERS and bool(name)

    def of_backbone(self) -> Recipe:
        """How its family is trained."""
        if not self.foreign:
            return RECIPES[self.backbone]
        return dataclasses.replace(FOREIGN, judged_by="resnet18") if "efficientnet" in self.backbone else FOREIGN

    def recipe(self) -> Recipe:
        """The backbone's, and what these options say instead."""
        said = {n: getattr(self, n) for n in ("epochs", "batch_size", "learning_rate")}
        return dataclasses.replace(self.of_backbone(), **{n: v for n, v in said.items() if v is not None})

    def descent(self) -> Descent:
        r = self.recipe()
        return Descent(
            r.epochs, r.batch_size, r.learning_rate, self.weight_decay, r.gradient_norm, adversarial=self.adversarial
        )

    def views(self) -> Views:
        return Views(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Views)})

    def of_judge(self) -> Options:
        """How the judge is trained: by its own family's recipe, from other random numbers, through other noise."""
        return dataclasses.replace(
            self,
            backbone=self.of_backbone().judged_by,
            backbone_arguments=None,
            backbone_weights=None,
            backbone_resolution=None,
            tune=False,
            epochs=None,
            batch_size=None,
            learning_rate=None,
            adversarial=0.0,
            noise=2 * self.noise,
            seed=self.seed + 1,
        )


def untrained(o: Options, class_names: list[str]) -> Classifier:
    """The network to train, with what is to be trained ready for gradients."""
    names = tuple(class_names)
    if o.backbone == "efficientnet_lite0":
        side = max(o.resolution, LITE_READS)
        classifier = build(
            ClassifierConfig(names, side, architecture="EfficientNetLite0", mean=(MEAN,) * 3, std=(STD,) * 3)
        )
        assert isinstance(classifier.network, LiteClassifier)
        trunk = classifier.network.requires_grad_(True).trunk
        load_wheel(trunk)
        for part in (trunk.stem, *trunk.blocks[:LITE_FROZEN]):
            part.requires_grad_(False)
        return classifier
    if o.foreign:
        return foreign(o, class_names)
    if o.backbone == "resnet18":
        classifier = build(ClassifierConfig(names, min(o.resolution, RESNET_READS), architecture="ResNet18"))
    else:
        classifier = build(ClassifierConfig(names, o.resolution, arguments={"width": o.width, "blocks": o.blocks}))
    classifier.requires_grad_(True)
    return classifier


def foreign(o: Options, class_names: list[str]) -> Classifier:
    """An architecture of somebody else's, which has shown that it reads such pictures."""
    library, _, what = o.backbone.partition(":")
    given = {"class_names": class_names, "resolution": o.backbone_resolution or o.resolution}
    classifier = unfilled(library, what, given, o.backbone_arguments or {})
    if o.backbone_weights and (anew := begun(classifier, Path(o.backbone_weights))):
        print(f"{o.backbone} goes on from {o.backbone_weights}; anew, for other classes: {', '.join(anew)}")
    return tried(classifier.requires_grad_(True), o.backbone, "logits")


def fit(o: Options, name: str, train: Pictures, val: Pictures) -> Classifier:
    """Train one classifier on the training part and calibrate it on the validation part."""
    assert val.labels is not None
    torch.manual_seed(o.seed)
    classifier = untrained(o, train.class_names).to(device())
    if isinstance(classifier.network, LiteClassifier) and not o.tune:
        fit_head(o, name, classifier, train)
    else:
        fit_network(o, name, classifier, train, val)
    temperature = fit_temperature(logits_of(classifier, val.x), val.labels)
    assert isinstance(classifier.network, nn.Module)
    return Classifier(classifier.network, dataclasses.replace(classifier.config, temperature=temperature)).to(device())


@torch.no_grad()
def fit_head(o: Options, name: str, classifier: Classifier, train: Pictures) -> None:
    """Fit the linear layer to what the trunk sees in several views of each picture."""
    network, place, views = classifier.network, device_of(classifier), o.views()
    assert isinstance(network, LiteClassifier)
    assert train.labels is not None
    head = network.head
    network.add_module("head", nn.Identity())
    parts = [part for _ in range(TIMES) for part in train.x.split(o.recipe().batch_size)]
    seen = [classifier.outputs_of(augment(to_float(part).to(place), views)) for part in tqdm(parts, desc=name)]
    network.head, labels = head, train.labels.repeat(TIMES).to(place)
    weight, bias = fit_linear(torch.cat(seen), labels, len(train.class_names))
    network.head.weight.copy_(weight)
    network.head.bias.copy_(bias)


def fit_network(o: Options, name: str, classifier: Classifier, train: Pictures, val: Pictures) -> None:
    """Epochs of gradient descent on all that is to be trained."""
    assert train.labels is not None
    assert val.labels is not None
    x, labels, place, views = train.x, train.labels, device_of(classifier), o.views()

    def shown(index: Tensor) -> tuple[Tensor, Tensor]:
        pictures = augment(to_float(x[index]).to(place), views)
        return pictures.contiguous(memory_format=torch.channels_last), labels[index].to(place)

    how = o.descent()
    bar = tqdm(descend(classifier, len(train), shown, how), desc=name, total=how.epochs)
    for loss in bar:
        accuracy = (logits_of(classifier, val.x).argmax(1) == val.labels).float().mean().item()
        bar.set_postfix(loss=f"{loss:.3f}", val_accuracy=f"{accuracy:.3f}")


def report(classifier: Classifier, val: Pictures, seconds: float) -> dict[str, float | int]:
    """What the validation part says of a classifier."""
    assert val.labels is not None
    logits = logits_of(classifier, val.x)
    y, hits = val.labels, []
    for a, b in zip(val.x.split(256), y.split(256), strict=True):
        a, b = to_float(a).to(device_of(classifier)), b.to(device_of(classifier))
        moved = attack(classifier, a, b, 4.0)
        with torch.no_grad():
            hits.append(classifier(moved).argmax(1) == b)
    under_attack = torch.cat(hits).float().mean().item()
    return {
        "n": len(val),
        "accuracy": round((logits.argmax(1) == y).float().mean().item(), 4),
        "accuracy_under_4_levels": round(under_attack, 4),
        "cross_entropy": round(F.cross_entropy(logits, y).item(), 4),
        "median_top_probability": round(logits.softmax(1).amax(1).median().item(), 4),
        "temperature": round(classifier.config.temperature, 4),
        "minutes": round(seconds / 60, 1),
    }


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Train a classifier to explain, and an independent judge.", args)
    jobs = [("classifier", o, Path(o.output))]
    if o.judge:
        jobs.append(("judge", o.of_judge(), Path(o.output) / "judge"))
    for _, _, folder in jobs:
        claim(folder, FILES)
    if find_pictures(o.data).class_names is None:
        raise DataError(
            f"the pictures of {o.data} have no labels, and a classifier learns from labels; give one sub-folder for "
            f"each class, or a table {TABLE} with the columns file,label"
        )
    train, val = load_pictures(o.data, o.resolution, "train"), load_pictures(o.data, o.resolution, "val")
    for name, options, folder in jobs:
        start = time.perf_counter()
        classifier = fit(options, name, train, val)
        save_classifier(classifier, folder)
        numbers = report(classifier, val, time.perf_counter() - start)
        put_json(folder / "metrics.json", numbers)
        print(name, json.dumps(numbers))


if __name__ == "__main__":
    try:
        main()
    except (ClassifierError, DataError, ImportError, ModelError) as error:
        sys.exit(f"error: {error}")
