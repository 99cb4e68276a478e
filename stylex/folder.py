"""A model folder, which is a Hub repository as well: what lies in it, how it is read, and how it is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from . import networks
from .attfind.effects import REST, Attribute
from .attfind.screening import Certificate
from .classifiers.adopt import Network, is_reference, load_reference, save_reference
from .classifiers.classifier import load_classifier, save_classifier
from .classifiers.stranger import Stranger
from .methods.domain import Domain, file_of, read_domain
from .networks.config import ConfigError, ModelConfig
from .storage.files import (
    ModelError,
    is_sealed,
    load_tensors,
    read_json,
    read_text,
    save_tensors,
    write_json,
    write_text,
)
from .storage.outputs import claim, looks_ours
from .stylespace import StyleSpace, StyleStats
from .version import __version__

# Version 1 did not list the judge among the components; it was there if its folder was. Version 2 knew neither places
# nor other discriminators.
FORMAT_VERSION = 3
CLASSIFIERS = ("classifier", "judge")
COMPONENTS = (*networks.NAMES, *CLASSIFIERS, "stranger")  # each the folder that it lies in
REQUIRED = ("generator", "encoder", "classifier")
# What a push takes away where the model no longer has it; samples and everything else in a repository stays.
NETWORK_FILES = ("config.json", "model.safetensors", "answers.safetensors")
OWN_FILES = ("style_stats.safetensors", "domains/*.safetensors", *(f"{name}/*" for name in COMPONENTS))


def read_model(folder: Path, classifier: str | Network | None = None, without: Collection[str] = ()) -> dict[str, Any]:
    """Everything that lies in a model folder, by the names of the arguments of `model.StylEx`.

    Args:
        classifier: of a model that could not be saved with it; see `StylEx.from_pretrained`.
        without: networks that are not read, of those that a model can do without.

    Raises:
        ModelError: naming the file, the key and the way out.
    """
    path = folder / "config.json"
    config, components = _read_config(path)
    parts: dict[str, Any] = {}
    for name in (n for n in CLASSIFIERS if n in components):
        if name == "classifier" and is_reference(folder / name):
            parts[name] = load_reference(folder / name, classifier)
        else:
            parts[name] = load_classifier(folder / name)
        if len(names := parts[name].class_names) != config.num_classes:
            raise ModelError(
                f"{path}: num_classes is {config.num_classes}, but {name}/config.json names "
                f"{len(names)} classes: {', '.join(names)}"
            )
    if classifier is not None and parts["classifier"].portable:
        raise ModelError(f"{folder} holds its own classifier; leave the other one out")
    if "stranger" in components:
        parts["stranger"] = Stranger.load(folder / "stranger", parts["classifier"].class_names)
    for name, kind in networks.kinds(config).items():
        if name in components and name not in without:
            parts[name] = kind.from_file(config, folder / name / "model.safetensors")
    space = parts["generator"].space
    card = folder / "README.md"
    return {
        "config": config,
        **parts,
        "stats": _read_stats(folder / "style_stats.safetensors", space),
        "attributes": read_attributes(folder / "attributes.json", space, parts["classifier"].class_names),
        "certificate": _read_certificate(folder / "attributes.json"),
        "domains": [read_domain(path, parts["generator"]) for path in sorted(folder.glob("domains/*.safetensors"))],
        "samples": sorted(folder.glob("samples/*.png")),
        "card": read_text(card) if card.is_file() else None,
    }


def claim_model(folder: Path, option: str = "folder", card: str | None = None) -> None:
    """Make sure that a model can be written into a folder without a file of somebody else's being lost.

    Args:
        option: what a message tells to choose otherwise.
        card: see `write_model`.

    Raises:
        OutputError: naming the file and the way out; among them a README.md that is neither a card of ours nor in a
            model folder.
    """
    networks_of = [f"{name}/{file}" for name in COMPONENTS for file in NETWORK_FILES]
    names = ["config.json", "attributes.json", "style_stats.safetensors", *networks_of]

    def known(path: Path) -> bool:
        return path.name == "README.md" and (read_text(path) == card or looks_ours(path.with_name("config.json")))

    if card is not None and not _keeps_its_card(folder, card):
        names.append("README.md")
    claim(folder, names, option=option, known=known)


def _keeps_its_card(folder: Path, card: str) -> bool:
    """Whether somebody wrote or edited the README.md of a folder, and `card` is a generated one."""
    path = folder / "README.md"
    return is_sealed(card) and path.is_file() and not is_sealed(read_text(path))


def write_model(
    folder: Path,
    config: ModelConfig,
    parts: Mapping[str, Any],
    stats: StyleStats | None,
    attributes: Sequence[Attribute],
    certificate: Certificate | None,
    card: str | None,
    domains: Sequence[Domain] = (),
) -> None:
    """Write the folder that `read_model` reads.

    Args:
        parts: the networks and classifiers there are, by their names in `COMPONENTS`.
        card: for README.md, which is left as it is without one; and as somebody edited it, unless this is edited, too.

    Raises:
        OutputError: see `claim_model`.
    """
    claim_model(folder, card=card)
    claim(folder, [file_of(domain.name) for domain in domains], option="folder")
    for name, part in parts.items():
        if name == "classifier" and not part.portable:
            save_reference(part, folder / name)
        elif name in CLASSIFIERS:
            save_classifier(part, folder / name)
        else:
            part.save_pretrained(folder / name)
    if stats is not None:
        fields = {f.name: getattr(stats, f.name) for f in dataclasses.fields(StyleStats)}
        fields["count"] = torch.tensor(stats.count)
        save_tensors(fields, folder / "style_stats.safetensors")
    else:  # of the weights that were here before
        (folder / "style_stats.safetensors").unlink(missing_ok=True)
    write_attributes(folder, attributes, certificate)
    for domain in domains:
        domain.save(folder)
    if card is not None and not _keeps_its_card(folder, card):
        write_text(folder / "README.md", card)
    # Last, so that a folder with a config.json is a whole one.
    write_json(
        folder / "config.json",
        {
            "format_version": FORMAT_VERSION,
            "model": config.to_dict(),
            "class_names": parts["classifier"].class_names,
            "value_range": [-1, 1],
            "components": list(parts),
            "versions": {"stylex": __version__, "torch": torch.__version__.split("+")[0]},
        },
    )


def write_attributes(folder: Path, attributes: Sequence[Attribute], certificate: Certificate | None) -> None:
    """Write attributes.json alone."""
    found: dict[str, Any] = {"attributes": [a.to_dict() for a in attributes]}
    if certificate is not None:
        found["certificate"] = certificate.to_dict()
    write_json(folder / "attributes.json", found)


def _read_config(path: Path) -> tuple[ModelConfig, list[str]]:
    """The shapes and the names of the components that the config.json of a model names."""
    values = read_json(path)
    version = values.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise ModelError(
            f"{path}: format version {version!r}; this stylex reads 1 to {FORMAT_VERSION}. "
            "A newer model needs a newer stylex: pip install --upgrade stylex-pytorch"
        )
    if not isinstance(values.get("model"), dict):
        raise ModelError(f"{path}: key model is missing; it holds the shapes of the networks")
    try:
        config = ModelConfig.from_dict(values["model"])
    except ConfigError as error:
        raise ModelError(f"{path}: {error}") from None
    components = values.get("components")
    if version == 1:
        components = [name for name in COMPONENTS if name in REQUIRED or (path.parent / name).is_dir()]
    if not isinstance(components, list) or not all(isinstance(n, str) and n in COMPONENTS for n in components):
        raise ModelError(f"{path}: components is {components!r}; use a list of {', '.join(COMPONENTS)}")
    if missing := [name for name in REQUIRED if name not in components]:
        raise ModelError(f"{path}: {missing[0]} is not among the components; no model can do without it")
    return config, components


def _read_stats(path: Path, space: StyleSpace) -> StyleStats | None:
    if not path.exists():
        return None
    each = ("s_min", "s_max", "s_mean", "s_std")
    tensors = load_tensors(path, {**dict.fromkeys(each, (space.size,)), "count": ()}, "statistic")
    if tensors["count"].is_floating_point() or tensors["count"] < 1 or (tensors["s_min"] > tensors["s_max"]).any():
        raise ModelError(f"{path}: these are no statistics of pictures; run train/find_attributes.py again")
    return StyleStats(**{name: tensors[name] for name in each}, count=int(tensors["count"]))


def read_attributes(path: Path, space: StyleSpace, class_names: list[str]) -> list[Attribute]:
    """The attributes of a model folder; none if there is no such file.

    Raises:
        ModelError: naming the attribute and what is wrong with it.
    """
    if not path.exists():
        return []
    rows = read_json(path).get("attributes")
    if not isinstance(rows, list):
        raise ModelError(f"{path}: key attributes is missing; run train/find_attributes.py again")
    attributes = []
    for i, row in enumerate(rows):
        try:
            attribute = Attribute.from_dict(row)
            if space.locate(attribute.index) != (attribute.layer, attribute.channel):
                raise ValueError(
                    f"coordinate {attribute.index} is not {attribute.layer} {attribute.channel} in this generator"
                )
            for name in {attribute.source, attribute.target} - {REST}:
                if name not in class_names:
                    raise ValueError(f"class {name!r} is not one of {', '.join(class_names)}")
        except (ValueError, TypeError, IndexError) as error:
            raise ModelError(f"{path}: attribute {i}: {error}") from None
        attributes.append(attribute)
    return attributes


def _read_certificate(path: Path) -> Certificate | None:
    values = read_json(path).get("certificate") if path.exists() else None
    try:
        return None if values is None else Certificate.from_dict(values)
    except ValueError as error:
        raise ModelError(f"{path}: certificate: {error}; run train/find_attributes.py again") from None
