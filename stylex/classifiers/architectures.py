"""Classifiers of torchvision, timm and transformers with weights from this machine; nothing is downloaded.

What they build can be saved with a model and built again anywhere: see `classifier.build`.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..storage.files import read_json
from ..storage.pointers import stub_at
from .classifier import IMAGENET_MEAN, IMAGENET_STD, Classifier, ClassifierConfig, ClassifierError, build

BUILDERS = ("torchvision", "timm", "transformers")
# Of a transformers config, what says nothing about the shape of the network.
BOOKKEEPING = {
    "_name_or_path",
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "model_type",
    "num_labels",
    "problem_type",
    "torch_dtype",
    "transformers_version",
}


def needed(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a classifier cannot do without."""
    for key, option in (("class_names", "--class_names cat,dog"), ("resolution", "--classifier_resolution 224")):
        if key not in given:
            raise ClassifierError(f"{name} does not say its {key.replace('_', ' ')}; add {option}")
    return given


def from_library(library: str, what: str, weights: str | Path | None, given: dict[str, Any]) -> Classifier:
    """An architecture with `weights`, or a folder of timm or transformers.

    Args:
        given: what somebody said of it, by the names of `ClassifierConfig`; a folder says the rest.

    Raises:
        ClassifierError, ModelError: naming what is missing or does not fit.
    """
    folder = Path(what)
    if library != "torchvision" and folder.is_dir():
        if weights:
            raise ClassifierError(f"{library}:{what} is a folder with its own weights; leave {weights} out")
        return from_timm(folder, given) if library == "timm" else from_transformers(folder, given)
    if weights is None:
        raise ClassifierError(
            f"{library}:{what} has random weights; give yours with --classifier_weights, a file of safetensors"
        )
    config = _config(library, what, None, needed(f"{library}:{what}", given))
    return filled(build(config), Path(weights))


def _config(
    library: str, architecture: str, arguments: dict[str, Any] | None, values: dict[str, Any]
) -> ClassifierConfig:
    everything: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD} | values
    return ClassifierConfig(library=library, architecture=architecture, arguments=arguments or None, **everything)


def from_timm(folder: Path, given: dict[str, Any]) -> Classifier:
    """A folder with the config.json of timm and its weights."""
    values = read_json(folder / "config.json")
    if not isinstance(values.get("architecture"), str):
        raise ClassifierError(f"{folder / 'config.json'} names no architecture; timm writes one")
    how = values.get("pretrained_cfg") or {}
    arguments = {k: v for k, v in (values.get("model_args") or {}).items() if k != "num_classes"}
    known = {"class_names": _in_order(values.get("label_names")), "mean": how.get("mean"), "std": how.get("std")}
    known["resolution"] = (how.get("input_size") or [None])[-1]
    said = {k: v for k, v in known.items() if v} | given
    config = _config("timm", values["architecture"], arguments, needed(str(folder), said))
    weights = [folder / name for name in ("model.safetensors", "pytorch_model.bin")]
    return filled(build(config), next(filter(Path.is_file, weights), weights[0]))


def from_transformers(folder: Path, given: dict[str, Any]) -> Classifier:
    """A folder of `AutoModelForImageClassification.save_pretrained`; its image processor's, too, says how to read."""
    try:
        from transformers import AutoConfig, AutoModelForImageClassification
    except ImportError as error:
        raise ClassifierError(f"{folder} needs transformers: pip install transformers") from error
    raw = read_json(folder / "config.json")
    path = folder / "preprocessor_config.json"
    how = read_json(path) if path.is_file() else {}
    known = {
        "class_names": _in_order(raw.get("id2label")),
        "mean": how.get("image_mean"),
    }
    known |= {"std": how.get("image_std"), "resolution": _side(how) or raw.get("image_size")}
    said = {k: v for k, v in known.items() if v} | given
    try:
        theirs = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        shape = {k: v for k, v in theirs.to_diff_dict().items() if k not in BOOKKEEPING}
        config = _config("transformers", theirs.model_type, shape, needed(str(folder), said))
        classifier = build(config)  # as another machine will build it
        loaded = AutoModelForImageClassification.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except ClassifierError:
        raise
    except Exception as error:  # transformers fails on bad folders with almost any exception
        raise ClassifierError(f"transformers cannot read {folder}: {' '.join(str(error).split())}") from None
    return filled(classifier, folder, loaded.state_dict())


def _in_order(names: Any) -> list[str]:
    """A list of names, or an object from the number of an output to its name."""
    if isinstance(names, dict):
        return [names[key] for key in sorted(names, key=lambda key: int(key) if str(key).isdecimal() else -1)]
    return list(names or [])


def _side(how: dict[str, Any]) -> int | None:
    """The side of the pictures that an image processor makes."""
    size = how.get("crop_size") if how.get("do_center_crop") else how.get("size")
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge")
    return size if isinstance(size, int) else None


def filled(classifier: Classifier, path: Path, state: dict[str, Tensor] | None = None) -> Classifier:
    """The classifier with weights from a file."""
    network = classifier.network
    assert isinstance(network, nn.Module)
    state = state_of(path) if state is None else state
    own, count = network.state_dict(), len(classifier.class_names)
    name = f"{classifier.config.library}:{classifier.config.architecture}"
    # Counters of batches that only training reads; older files have none.
    missing = sorted(k for k in set(own) - set(state) if not k.endswith("num_batches_tracked"))
    for what, names in (("lacks", missing), ("has besides", sorted(set(state) - set(own)))):
        if names:
            raise ClassifierError(f"{path} {what} the weight {names[0]}; it is not of {name}")
    for key, tensor in state.items():
        if tensor.shape != own[key].shape:
            raise ClassifierError(
                f"{path} has {key} of shape {list(tensor.shape)}; {name} with {count} classes "
                f"({', '.join(classifier.class_names[:5])}{' …' if count > 5 else ''}) has {list(own[key].shape)}"
            )
    network.load_state_dict(state, strict=False)
    return classifier


def state_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a state_dict as torch saves it; nothing else is unpickled."""
    if pointer := stub_at(path):
        raise ClassifierError(f"{path} {pointer}")
    if not path.is_file():
        raise ClassifierError(f"{path} is no file; give the weights as safetensors")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise ClassifierError(
            f"{path} cannot be read as weights ({reason}); save them with safetensors.torch.save_file"
        ) from None
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ClassifierError(f"{path} holds no state_dict; save network.state_dict() with safetensors.torch.save_file")
    return state
