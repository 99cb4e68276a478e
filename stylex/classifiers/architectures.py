"""Classifiers of torchvision, timm, transformers and wheels with weights from this machine; nothing is downloaded.

What they build can be saved with a model and built again anywhere: see `classifier.build`.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from ..storage.files import read_json
from .classifier import Classifier, build
from .config import IMAGENET_MEAN, IMAGENET_STD, ClassifierConfig, ClassifierError, checked_crop, numbered
from .lite import CROP, MEAN, SIDES, STD, WHEELS, WheelClassifier
from .probing import Reading, Unlike, measured, refused
from .reading import before_crop
from .weights import Misfit, misfit, the_state

BUILDERS = ("torchvision", "timm", "transformers")
# Where transformers keeps its image processors, and what an architecture calls its number of input channels.
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
CHANNELS = {"timm": "in_chans", "transformers": "num_channels"}
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


def from_library(
    library: str,
    what: str,
    weights: str | Path | None,
    given: dict[str, Any],
    arguments: dict[str, Any],
    number_names: bool,
) -> Classifier:
    """An architecture with `weights`, or a folder of timm or transformers.

    Args:
        given: what somebody said of it, by the names of `adopt`; a folder says the rest.
        arguments: of the architecture; a folder has its own.
        number_names: whether names of a folder that occur more than once get numbers.

    Raises:
        ClassifierError, ModelError: naming what is missing or does not fit.
    """
    folder = Path(what)
    if library != "torchvision" and folder.is_dir():
        if weights:
            raise ClassifierError(f"{library}:{what} is a folder with its own weights; leave {weights} out")
        if arguments:
            raise ClassifierError(f"{library}:{what} is a folder with its own arguments; leave {arguments} out")
        return (
            from_timm(folder, given, number_names)
            if library == "timm"
            else from_transformers(folder, given, number_names)
        )
    if weights is None:
        raise ClassifierError(
            f"{library}:{what} has random weights; give yours with --classifier_weights, a file of safetensors"
        )
    if library == "torchvision":
        check_transform_input(what, arguments)
    return filled(_described(library, what, given, arguments), Path(weights))


def unfilled(library: str, what: str, given: dict[str, Any], arguments: dict[str, Any]) -> Classifier:
    """An architecture with random weights, for somebody to train; it reads pictures as its library does.

    Args:
        given, arguments: see `from_library`.

    Raises:
        ClassifierError: naming what is missing, or that there is no such architecture.
    """
    return build(_described(library, what, given, arguments))


def _described(library: str, what: str, given: dict[str, Any], arguments: dict[str, Any]) -> ClassifierConfig:
    known = _read_by_timm(timm_defaults(what), crop=False) if library == "timm" else {}
    known.pop("resolution", None)
    return _config(library, what, arguments, known | needed(f"{library}:{what}", given))


def from_wheel(what: str, given: dict[str, Any]) -> Classifier:
    """A network of ImageNet whose weights are in a wheel; it reads pictures as it was trained to, unless `given` says
    otherwise, and no class name is missing.

    Raises:
        ClassifierError: if there is no such wheel, or it is not installed.
    """
    if what not in WHEELS:
        raise ClassifierError(f"there is no wheel:{what}; use wheel:{', wheel:'.join(WHEELS)}")
    how = {"mean": (MEAN,) * 3, "std": (STD,) * 3, "resolution": SIDES[WHEELS[what]], "interpolation": "bicubic"}
    known = {**how, "crop": CROP, "class_names": imagenet_names(), **given}
    config = _config("wheel", what, None, known)
    classifier = build(config)
    assert isinstance(classifier.network, WheelClassifier)
    classifier.config = replace(config, arguments={"sha256": classifier.network.sha256})
    return classifier


def imagenet_names() -> list[str]:
    """The 1,000 classes of ImageNet, in the order of everybody's outputs."""
    from torchvision.models import ResNet18_Weights

    return list(ResNet18_Weights.DEFAULT.meta["categories"])


def _config(
    library: str, architecture: str, arguments: dict[str, Any] | None, values: dict[str, Any]
) -> ClassifierConfig:
    everything: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD} | values
    crop = everything.pop("crop", None)
    arguments = dict(arguments or {})
    if len(everything["mean"]) == 1 and library in CHANNELS:
        arguments.setdefault(CHANNELS[library], 1)
    config = ClassifierConfig(library=library, architecture=architecture, arguments=arguments or None, **everything)
    return config if crop is None else replace(config, resize=before_crop(config.size, checked_crop(crop)))


def check_transform_input(architecture: str, arguments: dict[str, Any]) -> None:
    """Refuse to guess what no file of weights says: whether the network changes the range of its pictures itself.

    torchvision's own weights of Inception and GoogLeNet do (transform_input), and so do those that began as them.
    """
    from torchvision.models import get_model_builder

    try:
        module = sys.modules[get_model_builder(architecture).__module__]
    except ValueError:  # no such architecture; `build` says so
        return
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, nn.Module)]
    asks = any("transform_input" in inspect.signature(kind.__init__).parameters for kind in kinds)
    if asks and "transform_input" not in arguments:
        raise ClassifierError(
            f"torchvision:{architecture} may change the range of its pictures itself, and its weights do not say; add "
            "--classifier_arguments '{\"transform_input\": true}' if they began as torchvision's own, and false if not"
        )


# How a folder says that pictures are read: the library's own preprocessing is asked, see `probing`.


def timm_defaults(architecture: str) -> dict[str, Any]:
    """What timm says of the pictures of an architecture."""
    try:
        import timm

        found = timm.get_pretrained_cfg(architecture)
    except (ImportError, RuntimeError, ValueError):  # `build` says so
        return {}
    return found.to_dict() if found else {}


def _read_by_timm(how: dict[str, Any], crop: bool = True) -> dict[str, Any]:
    """By the names of `ClassifierConfig`; the size of 224 that timm takes for granted says nothing, nor does its cut.

    Raises:
        Unlike: if it cannot be followed.
    """
    if not how:
        return {}
    try:
        from timm.data import create_transform, resolve_data_config

        asked = resolve_data_config(pretrained_cfg=how)
        if not crop or not how.get("crop_pct"):
            asked["crop_pct"] = 1.0
        transform = create_transform(**asked)
        grey = asked["input_size"][0] == 1
    except ImportError:
        return {}
    except Exception as error:  # whatever a file says
        raise Unlike(f"timm fails on what it says ({' '.join(str(error).split())[:150]})") from None
    reading = measured(lambda picture: transform(picture.convert("L") if grey else picture))
    return _said(reading if how.get("input_size") else replace(reading, size=None, resize=None))


def _said(reading: Reading) -> dict[str, Any]:
    """A reading by the names of `ClassifierConfig`."""
    said: dict[str, Any] = {"mean": reading.mean, "std": reading.std, "colours": reading.colours}
    said["interpolation"] = reading.interpolation
    if reading.size:
        height, width = reading.size
        said |= {"resolution": height if height == width else reading.size, "resize": reading.resize}
    return said


def over(known: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What a folder says, and over it what somebody said; of another size, the same share is read."""
    said = known | given
    if "crop" in given:
        said.pop("resize", None)
    elif known.get("resize") and "resolution" in given:
        old, new = (r if isinstance(r, tuple) else (r, r) for r in (known["resolution"], given["resolution"]))
        said["resize"] = tuple(round(a * n / o) for a, n, o in zip(known["resize"], new, old, strict=True))
    return said


def from_timm(folder: Path, given: dict[str, Any], number_names: bool = False) -> Classifier:
    """A folder with the config.json of timm and its weights."""
    values = read_json(folder / "config.json")
    if not isinstance(values.get("architecture"), str):
        raise ClassifierError(f"{folder / 'config.json'} names no architecture; timm writes one")
    how, model_args = values.get("pretrained_cfg") or {}, values.get("model_args") or {}
    if not isinstance(how, dict) or not isinstance(model_args, dict):
        raise ClassifierError(f"{folder / 'config.json'}: pretrained_cfg and model_args must be objects")
    arguments = {k: v for k, v in model_args.items() if k != "num_classes"}
    try:
        known = _read_by_timm(how) if not {"mean", "std", "resolution", "crop"} <= set(given) else {}
    except Unlike as error:
        raise refused(f"{folder / 'config.json'}", error) from None
    known |= _names(values.get("label_names"), number_names)
    config = _config("timm", values["architecture"], arguments, needed(str(folder), over(known, given)))
    weights = [folder / name for name in ("model.safetensors", "pytorch_model.bin")]
    return filled(config, next(filter(Path.is_file, weights), weights[0]))


def from_transformers(folder: Path, given: dict[str, Any], number_names: bool = False) -> Classifier:
    """A folder of `AutoModelForImageClassification.save_pretrained`; its image processor's, too, says how to read."""
    try:
        from transformers import AutoConfig, AutoModelForImageClassification
    except ImportError as error:
        raise ClassifierError(f"{folder} needs transformers: pip install transformers") from error
    raw = read_json(folder / "config.json")
    try:
        theirs = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        shape = {k: v for k, v in theirs.to_diff_dict().items() if k not in BOOKKEEPING}
        known = _names(raw.get("id2label"), number_names)
        side = raw.get("image_size")
        known["resolution"] = tuple(side) if isinstance(side, list) else side
        known |= _read_by_transformers(folder, grey=raw.get("num_channels") == 1)
        said = over({k: v for k, v in known.items() if v is not None}, given)
        config = _config("transformers", theirs.model_type, shape, needed(str(folder), said))
        build(config)  # as another machine will build it; says what is wrong with it in our words
        loaded = AutoModelForImageClassification.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except ClassifierError:
        raise
    except Exception as error:  # transformers fails on bad folders with almost any exception
        raise ClassifierError(f"transformers cannot read {folder}: {' '.join(str(error).split())}") from None
    return filled(config, folder, loaded.state_dict())


def _read_by_transformers(folder: Path, grey: bool) -> dict[str, Any]:
    """By the names of `ClassifierConfig`; nothing if the folder has no image processor.

    Raises:
        ClassifierError: if it has one that cannot be followed.
    """
    path = next((p for name in PROCESSORS if (p := folder / name).is_file()), None)
    if path is None:
        return {}
    how = read_json(path)
    how = how.get("image_processor", how)
    # A file that names no processor was written by hand; no cut is made that it does not ask for.
    named = not isinstance(how, dict) or set(how) & {"image_processor_type", "feature_extractor_type"}
    unasked = {} if named else {k: v for k, v in {"crop_pct": 1.0, "do_center_crop": False}.items() if k not in how}
    try:
        from transformers import AutoImageProcessor

        processor = AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **unasked
        )
    except Exception as error:  # as above
        raise ClassifierError(f"transformers cannot read {path}: {' '.join(str(error).split())[:200]}") from None

    def process(picture: Image.Image) -> Tensor:
        read = picture.convert("L") if grey else picture
        return torch.as_tensor(processor(read, return_tensors="pt")["pixel_values"])[0]

    try:
        return _said(measured(process))
    except Unlike as error:
        raise refused(str(path), error) from None


def _names(names: Any, number: bool) -> dict[str, Any]:
    """Class names of a folder; a single one is of a network with one output, which tells two classes apart."""
    found = _in_order(names)
    return {"class_names": numbered(found) if number else found} if len(found) > 1 else {}


def _in_order(names: Any) -> list[str]:
    """A list of names, or an object from the number of an output to its name."""
    if isinstance(names, dict):
        return [names[key] for key in sorted(names, key=lambda key: int(key) if str(key).isdecimal() else -1)]
    return list(names or [])


# Weights.


def filled(config: ClassifierConfig, path: Path, state: dict[str, Tensor] | None = None) -> Classifier:
    """The classifier with weights from a file. Of two classes the network may have one output.

    Args:
        state: if they have been read already.
    """
    classifier = build(config)
    network = classifier.network
    assert isinstance(network, nn.Module)
    own, count = network.state_dict(), len(config.class_names)
    name = f"{config.library}:{config.architecture}"
    where = str(path)
    if state is None:
        try:
            state, where = the_state(path, own)
        except Misfit as error:
            raise ClassifierError(f"{error}; {name} is another network") from None
    elif told := misfit(state, own):
        raise ClassifierError(f"{path} {told}; {name} is another network")
    others = [key for key, tensor in state.items() if key in own and tensor.shape != own[key].shape]
    if others and count == 2 and not config.single and all(_is_single(state[key], own[key]) for key in others):
        return filled(replace(config, single=True), path, state)
    for key in others:
        raise _other_shape(where, key, state, own, classifier)
    network.load_state_dict(state, strict=False)
    return classifier


def begun(classifier: Classifier, path: Path) -> list[str]:
    """Put weights from a file into a classifier that is to be trained on.

    A last layer of other classes stays as it is, and so begins anew: what it is called is returned.

    Raises:
        ClassifierError: if the weights are of another network.
    """
    network, name = classifier.network, f"{classifier.config.library}:{classifier.config.architecture}"
    assert isinstance(network, nn.Module)
    own = network.state_dict()
    try:
        state, where = the_state(path, own)
    except Misfit as error:
        raise ClassifierError(f"{error}; {name} is another network") from None
    others = [key for key, tensor in state.items() if key in own and tensor.shape != own[key].shape]
    for key in others:
        if state[key].shape[1:] != own[key].shape[1:] or own[key].shape[:1] != (classifier.config.num_outputs,):
            raise _other_shape(where, key, state, own, classifier)
    network.load_state_dict({key: tensor for key, tensor in state.items() if key not in others}, strict=False)
    return others


def _other_shape(
    where: str, key: str, state: dict[str, Tensor], own: dict[str, Tensor], classifier: Classifier
) -> ClassifierError:
    config, names = classifier.config, classifier.class_names
    name, classes = f"{config.library}:{config.architecture}", ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    hint = "; one output tells two classes apart" if _is_single(state[key], own[key]) else ""
    return ClassifierError(
        f"{where} has {key} of shape {list(state[key].shape)}; {name} with {len(names)} classes ({classes}) has "
        f"{list(own[key].shape)}{hint}"
    )


def _is_single(tensor: Tensor, own: Tensor) -> bool:
    """Whether a weight of the last layer is of one output, where the network has more."""
    return tensor.ndim == own.ndim > 0 and tensor.shape[0] == 1 and tensor.shape[1:] == own.shape[1:]
