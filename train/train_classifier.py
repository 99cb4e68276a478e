"""Train a classifier to explain, and a second, independent judge, on a folder of pictures.

    python train/train_classifier.py --config train/configs/leaves-classifier.yaml

The judge never sees the first classifier: another size, another seed, other noise. The metrics ask it whether an edit
that convinces the first one also convinces somebody else.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stylex.classifiers.classifier import Classifier, ClassifierConfig, ClassifierError, build, save_classifier
from train.data.pictures import Pictures, load_pictures, to_float
from train.data.records import DataError
from train.data.sources import TABLE, find_pictures
from train.engine.augment import flip, jitter, zoom
from train.engine.device import device
from train.options.choices import Flips
from train.options.command import parse


@dataclass
class Options:
    """How to train.

    Args:
        data: pictures with labels, see train/train.py.
        output: where the classifier goes; the judge goes into the sub-folder `judge`.
        resolution: side of the pictures the network reads.
        width: channels of the first stage, a multiple of 4; they double twice.
        blocks: residual blocks in each of the three stages.
        epochs: passes over the training part.
        batch_size: pictures per step.
        learning_rate: highest rate of the one-cycle schedule.
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
    width: int = 24
    blocks: int = 2
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    flips: Flips = "horizontal"
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.05
    zoom: float = 0.2
    turn: float = 15.0
    translate: float = 0.1
    noise: float = 4.0
    adversarial: float = 4.0
    judge: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        # Backward through 6 or 10 channels corrupts memory in torch 2.15 on one thread of a processor without AVX-512.
        if self.width < 4 or self.width % 4:
            raise ClassifierError(f"width is {self.width}; use a multiple of 4")


def augment(x: Tensor, o: Options) -> Tensor:
    x = zoom(flip(x, o.flips), o.zoom, o.turn, o.translate)
    x = jitter(x, o.brightness, o.contrast, o.saturation, o.hue)
    grain = torch.rand(x.shape[0], 1, 1, 1, device=x.device) * (o.noise / 127.5)
    return (x + torch.randn_like(x) * grain).clamp(-1, 1)


def attack(classifier: Classifier, x: Tensor, y: Tensor, levels: float) -> Tensor:
    """One step against the classifier from a random start inside the ball of `levels` of 255."""
    radius = levels / 127.5
    step = (torch.rand_like(x) * 2 - 1) * radius
    step.requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(classifier(x + step), y), step)
    step = (step.detach() + 1.25 * radius * gradient.sign()).clamp(-radius, radius)
    return (x + step).clamp(-1, 1)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the least cross-entropy on held-out logits [N, K] (Guo et al. 2017), found on a fine grid.

    Nobody can be surer than N pictures allow: the probability to reach is not 1 but (N + 1) / (N + K), Laplace's rule
    of succession. Without it a classifier that makes no mistake would become infinitely sure, and no picture could be
    drawn that changes its mind.
    """
    n, classes = logits.shape
    grid = torch.logspace(-1, 1, 401)
    losses = torch.stack([F.cross_entropy(logits / t, labels, label_smoothing=classes / (n + classes)) for t in grid])
    return float(grid[losses.argmin()])


def logits_of(classifier: Classifier, x: Tensor, batch_size: int = 256) -> Tensor:
    place = device_of(classifier)
    with torch.no_grad():
        return torch.cat([classifier(to_float(part).to(place)).cpu() for part in x.split(batch_size)])


def device_of(classifier: Classifier) -> torch.device:
    return next(classifier.parameters()).device


def fit(o: Options, name: str, train: Pictures, val: Pictures) -> Classifier:
    """Train one classifier on the training part and calibrate it on the validation part."""
    assert train.labels is not None
    assert val.labels is not None
    torch.manual_seed(o.seed)
    classifier = build(
        ClassifierConfig(tuple(train.class_names), o.resolution, arguments={"width": o.width, "blocks": o.blocks})
    )
    place = device()
    network = classifier.to(place).network
    assert isinstance(network, nn.Module)
    network.requires_grad_(True)
    steps = o.epochs * max(1, len(train) // o.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=o.learning_rate, weight_decay=o.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, o.learning_rate, total_steps=max(steps, 2))
    bar = tqdm(range(o.epochs), desc=name)
    for _ in bar:
        for index in torch.randperm(len(train)).split(o.batch_size):
            if len(index) < o.batch_size and len(train) >= o.batch_size:
                continue
            x, y = to_float(train.x[index]).to(place), train.labels[index].to(place)
            x = augment(x, o).contiguous(memory_format=torch.channels_last)
            if o.adversarial:
                half = len(x) // 2
                network.eval()
                x = torch.cat([attack(classifier, x[:half], y[:half], o.adversarial), x[half:]])
            network.train()
            loss = F.cross_entropy(classifier(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        network.eval()
        accuracy = (logits_of(classifier, val.x).argmax(1) == val.labels).float().mean().item()
        bar.set_postfix(loss=f"{loss.item():.3f}", val_accuracy=f"{accuracy:.3f}")
    temperature = fit_temperature(logits_of(classifier, val.x), val.labels)
    return Classifier(network, dataclasses.replace(classifier.config, temperature=temperature)).to(place)


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
        other = dataclasses.replace(o, width=4 * round(o.width / 3), blocks=1, noise=2 * o.noise, seed=o.seed + 1)
        jobs.append(("judge", other, Path(o.output) / "judge"))
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
        (folder / "metrics.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
        print(name, json.dumps(numbers))


if __name__ == "__main__":
    try:
        main()
    except (ClassifierError, DataError) as error:
        sys.exit(f"error: {error}")
