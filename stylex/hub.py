"""Folders and files of a model: strict, safetensors only, with errors that name the file and the way out."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

MAX_JSON_BYTES = 16_000_000
REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ModelError(ValueError):
    """A model folder that cannot be used; the message names the file, the key, and the way out."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ModelError: if it is missing, too large, not JSON, or not an object.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing; a model folder needs it (see `StylEx.save_pretrained`)")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ModelError(f"{path} is {path.stat().st_size:,} bytes; more than {MAX_JSON_BYTES:,} is not read")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not valid JSON ({type(error).__name__}: {error}); save or download the model again"
        ) from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds a {type(value).__name__}; it must hold an object")
    return value


def load_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, finite and in fp32 (whole numbers keep their type).

    Raises:
        ModelError: if the file is missing, cut short, not safetensors, or holds a number that is not finite.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing; save or download the model again")
    tensors = {}
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                tensor = file.get_tensor(name)
                tensors[name] = tensor.float() if tensor.is_floating_point() else tensor
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); save or download the model again") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(f"{path}: {name} holds numbers that are not finite; train or download the model again")
    return tensors


def check_weights(module: nn.Module, path: Path) -> None:
    """Compare names and shapes with the header of a safetensors file; the numbers stay unread.

    Raises:
        ModelError: if the file is missing or unreadable, or naming the first missing, unknown or misshapen weight.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if not path.is_file():
        raise ModelError(f"{path} is missing; save or download the model again")
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); save or download the model again") from None
    if missing := sorted(set(expected) - set(found)):
        raise ModelError(f"{path}: weight {missing[0]} is missing; the file does not belong to this config.json")
    if unknown := sorted(set(found) - set(expected)):
        raise ModelError(f"{path}: weight {unknown[0]} is unknown; the file does not belong to this config.json")
    for name, shape in expected.items():
        if found[name] != shape:
            raise ModelError(f"{path}: weight {name} has shape {list(found[name])}; config.json asks for {list(shape)}")


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill `module` from a safetensors file, strictly.

    Raises:
        ModelError: see `check_weights` and `load_tensors`.
    """
    check_weights(module, path)
    # A module built on the meta device has no memory of its own and takes the file's; others keep their memory format.
    empty = any(p.is_meta for p in module.parameters())
    tensors, own = load_tensors(path), module.state_dict()
    for name, tensor in tensors.items():
        if tensor.is_floating_point() != own[name].is_floating_point():
            raise ModelError(f"{path}: weight {name} is stored as {tensor.dtype}; save or download the model again")
    module.load_state_dict(tensors, strict=True, assign=empty)


def fingerprint(modules: Iterable[nn.Module]) -> str:
    """Twelve hex digits that name these weights: equal weights, equal name."""
    digest = hashlib.sha256()
    for module in modules:
        for name, tensor in module.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:12]


def save_weights(module: nn.Module, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write a module's weights; floating-point ones as `dtype`, which halves the file, where their range allows it."""
    largest = torch.finfo(dtype).max
    save_tensors(
        {
            k: v.to(dtype) if v.is_floating_point() and not (v.abs() > largest).any() else v
            for k, v in module.state_dict().items()
        },
        path,
    )


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file aside and rename it, so that nobody ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, aside)
    os.replace(aside, path)


def fetch(source: str | Path, *, revision: str | None = None, token: str | None = None) -> Path:
    """The folder of a model: `source` itself if it is one, else a snapshot of that repository.

    Raises:
        ModelError: if it is neither, or the Hub does not give it.
    """
    if Path(source).is_dir():
        return Path(source)
    if not REPO_ID.fullmatch(str(source)):
        raise ModelError(f"{source} is neither a folder nor a repository name such as someone/stylex-leaves")
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                str(source),
                revision=revision,
                token=token,
                allow_patterns=["*.json", "*.safetensors", "*.md", "samples/*"],
            )
        )
    except Exception as error:
        raise ModelError(
            f"{source} is not a folder here, and the Hub did not give it ({type(error).__name__}); "
            "check the name, the revision, your network, and for a private model your token"
        ) from error


def push(
    save: Callable[[Path], Any], repo_id: str, *, private: bool = False, commit_message: str, token: str | None = None
) -> str:
    """Upload the folder that `save` writes to `repo_id` as one commit; returns its address."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=commit_message).commit_url)
