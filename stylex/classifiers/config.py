"""What has to travel with the weights of a classifier, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args
from unicodedata import normalize

from .reading import Colours, Interpolation, Size

MAX_INPUT, MAX_RESIZE, MAX_OUTPUTS = 1024, 2048, 2**16
GROUP = re.compile(r"\d{1,5}(-\d{1,5})?(\+\d{1,5}(-\d{1,5})?)*")
WRAPPED = "callable"  # where a library stands, for a network or function that nobody else can build
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# What a network returns: one logit for each class, of which softmax makes probabilities (of a single one, sigmoid); one
# logit for each class with a sigmoid of its own; or the probabilities themselves.
Outputs = Literal["logits", "sigmoid", "probabilities"]
SHOWN = 3  # names in a message


class ClassifierError(ValueError):
    """A classifier that cannot be used; the message says what came and what is needed."""


@dataclass(frozen=True, repr=False)
class ClassifierConfig:
    """What has to travel with the weights.

    Attributes:
        class_names: one name for each class, in the order of the outputs.
        resolution: side of the square picture the network reads, or its height and width.
        library, architecture: who builds the network ("stylex", "torchvision", "timm" or "transformers"), and its
            name there.
        arguments: keyword arguments of the architecture.
        mean, std: per channel, of pictures in [0, 1]; one number each for a network of one channel, which reads grey.
        temperature: the logits are divided by it (Guo et al. 2017, "On Calibration of Modern Neural Networks").
        outputs: what the network returns. Probabilities of several classes, and independent sigmoids, are brought to a
            sum of one.
        single: whether the network is built with one output for two classes, the logit of the second.
        colours: "rgb", "bgr", or "grey": the luma, in one channel or in three equal ones.
        interpolation: how pictures are brought to its size.
        resize: height and width to which a picture is brought before its middle is cut out; None: all of it is read.
        groups: which of the network's outputs each class stands for, as "281-285" or "1-3+7"; None: each output is a
            class. An output of no group is left out.
        network_outputs: of grouped outputs, how many the network has.
    """

    class_names: tuple[str, ...]
    resolution: int | Size
    library: str = "stylex"
    architecture: str = "ConvNet"
    arguments: dict[str, Any] | None = None
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    temperature: float = 1.0
    outputs: Outputs = "logits"
    single: bool = False
    colours: Colours = "rgb"
    interpolation: Interpolation = "bilinear"
    resize: Size | None = None
    groups: tuple[str, ...] | None = None
    network_outputs: int | None = None

    def __post_init__(self) -> None:
        for key, kind in (("outputs", Outputs), ("colours", Colours), ("interpolation", Interpolation)):
            if (value := getattr(self, key)) not in get_args(kind):
                raise ClassifierError(f"{key} is {value!r}; use one of {', '.join(get_args(kind))}")
        for name in ("class_names", "mean", "std"):
            value = getattr(self, name)
            if not isinstance(value, (list, tuple)):
                raise ClassifierError(f"{name} is {value!r}; use a list")
            object.__setattr__(self, name, tuple(value))
        if len(self.class_names) < 2 or not all(isinstance(n, str) and n for n in self.class_names):
            raise ClassifierError(
                f"class_names is {list(self.class_names)!r}; a classifier needs at least two named classes"
            )
        check_distinct(self.class_names)
        for key in ("resolution", "resize"):
            if isinstance(value := getattr(self, key), list):
                object.__setattr__(self, key, tuple(value))
        if not _is_size(self.resolution, MAX_INPUT):
            raise ClassifierError(f"the classifier's resolution is {self.resolution!r}; use 8 to {MAX_INPUT}")
        if self.resize is not None and not (
            isinstance(self.resize, tuple)
            and _is_size(self.resize, MAX_RESIZE)
            and all(a >= b for a, b in zip(self.resize, self.size, strict=True))
        ):
            raise ClassifierError(
                f"resize is {self.resize!r}; use a height and a width from those of the resolution, "
                f"{self.size[0]} and {self.size[1]}, to {MAX_RESIZE}"
            )
        if self.arguments is not None and not isinstance(self.arguments, dict):
            raise ClassifierError(f"arguments is {self.arguments!r}; use an object")
        if (
            len(self.mean) != len(self.std)
            or len(self.mean) not in (1, 3)
            or not all(map(_is_number, self.mean + self.std))
        ):
            raise ClassifierError(
                "mean and std need three numbers each, or one each where a network of one channel reads grey; they are "
                f"{list(self.mean)!r} and {list(self.std)!r}"
            )
        if not all(_is_number(v) and v > 0 for v in (*self.std, self.temperature)):
            raise ClassifierError("std and temperature must be above zero")
        if len(self.mean) == 1:
            object.__setattr__(self, "colours", "grey")
        if type(self.single) is not bool or (self.single and len(self.class_names) != 2):
            raise ClassifierError(
                f"single is {self.single!r} with {len(self.class_names)} classes; one output tells two classes apart"
            )
        if isinstance(self.groups, list):
            object.__setattr__(self, "groups", tuple(self.groups))
        self._check_groups()

    def _check_groups(self) -> None:
        groups, count = self.groups, self.network_outputs
        if groups is None and count is None:
            return
        if (
            not isinstance(groups, tuple)
            or len(groups) != len(self.class_names)
            or not all(isinstance(text, str) and GROUP.fullmatch(text) for text in groups)
            or type(count) is not int
            or not 2 <= count <= MAX_OUTPUTS
            or self.single
        ):
            raise ClassifierError(
                f"groups is {groups!r} of {count!r} outputs; use a text such as 281-285 for each of the "
                f"{len(self.class_names)} classes, and the number of outputs up to {MAX_OUTPUTS}"
            )

    def __repr__(self) -> str:
        """Without what goes without saying: checkpoints know a classifier by this text, older ones too."""
        shown = (f"{k}={v!r}" for k, v in vars(self).items() if k not in UNSAID or v != UNSAID[k])
        return f"{type(self).__name__}({', '.join(shown)})"

    def to_dict(self) -> dict[str, Any]:
        """What config.json holds, without what goes without saying."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {k: v for k, v in values.items() if not (k in (*UNSAID, "outputs") and v == DEFAULTS[k])}

    @property
    def size(self) -> Size:
        """Height and width of what the network reads."""
        return self.resolution if isinstance(self.resolution, tuple) else (self.resolution, self.resolution)

    @property
    def reading(self) -> str:
        """How it reads a picture, for a person."""
        height, width = self.size
        text = f"{height} px" if height == width else f"{height} x {width} px"
        if self.resize:
            text += f" out of the middle of {self.resize[0]} x {self.resize[1]}"
        text += "" if self.interpolation == "bilinear" else f" ({self.interpolation})"
        return text + {"rgb": "", "bgr": ", blue before red,", "grey": " in grey"}[self.colours]

    @property
    def num_outputs(self) -> int:
        """Of the network that is built."""
        return 1 if self.single else self.network_outputs or len(self.class_names)


DEFAULTS = {field.name: field.default for field in fields(ClassifierConfig)}
# What older versions did not know, with what they did.
UNSAID = {
    name: DEFAULTS[name] for name in ("single", "colours", "interpolation", "resize", "groups", "network_outputs")
}


def checked_crop(share: float) -> float:
    """The share of a picture's sides that is read."""
    if not _is_number(share) or not 0.1 <= share <= 1:
        raise ClassifierError(
            f"crop is {share!r}; use a share of the picture's sides from 0.1 to 1, which is all of it"
        )
    return share


def check_distinct(names: Sequence[str]) -> None:
    """Refuse names that nobody could tell apart, naming them and their outputs."""
    if twice := alike(names):
        told = [f"{names[at[0]]!r} is the name of {_outputs(at)}" for at in twice[:SHOWN]]
        more = f", and {len(twice) - SHOWN} more" if len(twice) > SHOWN else ""
        numbers = " and ".join(repr(numbered(names)[i]) for i in twice[0][:2])
        raise ClassifierError(
            f"class_names names a class twice: {'; '.join(told)}{more}. Give each a name of its own, or say "
            f"--number_class_names true for {numbers}"
        )


def numbered(names: Sequence[str]) -> list[str]:
    """The same names; those that occur more than once with the number of their output behind them."""
    twice = {i for at in alike(names) for i in at}
    return [f"{name} ({i})" if i in twice else name for i, name in enumerate(names)]


def alike(names: Sequence[str]) -> list[list[int]]:
    """The outputs of each name that occurs more than once, to the eye: composed, and without spaces around it."""
    at: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        at.setdefault(" ".join(normalize("NFC", name).split()), []).append(i)
    return [found for found in at.values() if len(found) > 1]


def _outputs(at: list[int]) -> str:
    return f"the outputs {', '.join(map(str, at[:-1]))} and {at[-1]}"


def _is_size(value: object, most: int) -> bool:
    sides = value if isinstance(value, tuple) else (value, value)
    return len(sides) == 2 and all(type(side) is int and 8 <= side <= most for side in sides)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
