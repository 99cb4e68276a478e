"""Files of weights as people have them: inside of a checkpoint, and under the names that wrappers gave them."""

from __future__ import annotations

import pickle
import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path, PosixPath, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from ..storage.pointers import stub_at
from .config import ClassifierError

State = dict[str, Tensor]
# Parts of a name that torch.compile, FSDP and activation checkpointing put anywhere into it.
WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# Counters that no answer depends on: of batch norm, of an averaged model, of programs that count operations.
COUNTERS = {"num_batches_tracked", "n_averaged", "total_ops", "total_params"}
NUMBER: Any = np.float64(0).__reduce__()[0]  # makes one from bytes


def number_of(module: str) -> Any:
    """`NUMBER` under the name that the numpy that wrote a file has for it: torch goes by what a function is called."""

    def scalar(*parts: Any) -> Any:
        return NUMBER(*parts)

    scalar.__module__, scalar.__qualname__ = f"{module}.multiarray", "scalar"
    return scalar


# What training scripts keep beside weights, and which holds values and no code: their options, and best accuracies.
PLAIN: list[Any] = [
    Namespace,
    SimpleNamespace,
    PosixPath,
    PurePosixPath,
    *map(number_of, ("numpy._core", "numpy.core")),  # since numpy 2, and before
    np.dtype,
    *(type(np.dtype(kind)) for kind in (bool, "int32", "int64", "float16", "float32", "float64")),
]
UNKNOWN = re.compile(r"GLOBAL (\S+)")
DEEPEST = 6
SHOWN = 3  # names in a message


class Misfit(ClassifierError):
    """Weights under other names than those of the network."""


def states_of(path: Path) -> dict[str, State]:
    """The state_dicts in a file, by where they are in it: "" for one that is the file itself, "ema.model" …

    `run.pth#ema.model` names one, or the part of one whose names begin so. Nothing but tensors and plain values is
    unpickled.

    Raises:
        ClassifierError: if there is no such file, or no tensor in it.
    """
    asked = ""
    if not path.is_file() and "#" in path.name:
        name, _, asked = path.name.partition("#")
        path = path.with_name(name)
    if pointer := stub_at(path):
        raise ClassifierError(f"{path} {pointer}")
    if not path.is_file():
        raise ClassifierError(f"{path} is no file; give the weights as safetensors")
    try:
        with torch.serialization.safe_globals(PLAIN):
            held = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # the unpickler fails on what is no pickle with almost any exception
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if isinstance(error, pickle.UnpicklingError):
            unknown = UNKNOWN.search(str(error))
            reason = f"it holds {unknown[1]}, which would run code" if unknown else "it holds something else"
        raise ClassifierError(
            f"{path} cannot be read as weights ({reason}); save them with safetensors.torch.save_file"
        ) from None
    found = dict(_states(held))
    if not found:
        raise ClassifierError(f"{path} holds no state_dict; save network.state_dict() with safetensors.torch.save_file")
    if asked and asked not in found and (part := _part(found, asked)):
        return {asked: part}
    if asked and asked not in found:
        raise ClassifierError(f"{path} holds no state_dict {asked!r}; it holds {shown(list(found))}")
    return {asked: found[asked]} if asked else found


def _states(held: Any, where: str = "", depth: int = 0) -> Iterator[tuple[str, State]]:
    if not isinstance(held, dict) or depth > DEEPEST:
        return
    own = {key: value for key, value in held.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if own:
        yield where, own
    for key, value in held.items():
        if isinstance(key, str):
            yield from _states(value, f"{where}.{key}" if where else key, depth + 1)


def _part(found: dict[str, State], asked: str) -> State | None:
    """Of the tensors in a file those whose whole names begin with `asked`, without that."""
    for where, state in found.items():
        begin = f"{asked.removeprefix(f'{where}.')}."
        part = {key.removeprefix(begin): value for key, value in state.items() if key.startswith(begin)}
        if part and (not where or asked.startswith(f"{where}.")):
            return part
    return None


def _below(state: State, own: State) -> str | None:
    """The part of a name behind which all names of `own` are; None if there is none, or several."""
    names = [key for key in own if not counts(key)]
    ends = {key[: -len(names[0]) - 1] for key in state if key.endswith(f".{names[0]}")} if names else set()
    found = [end for end in ends if all(f"{end}.{name}" in state for name in names)]
    return found[0] if len(found) == 1 else None


def stripped(state: State, own: State) -> State:
    """The same tensors without what a wrapper put before all names (`module.`, `model.`, …), as far as that helps."""
    names = {
        ".".join(part for part in key.split(".") if part not in WRAPPERS): value
        for key, value in state.items()
        if not counts(key) or key in own
    }
    best = names
    while names and len({key.split(".")[0] for key in names}) == 1 and all("." in key for key in names):
        names = {key.partition(".")[2]: value for key, value in names.items()}
        if len(own.keys() & names.keys()) > len(own.keys() & best.keys()):
            best = names
    return best


def counts(key: str) -> bool:
    """Whether a name is of something that only training reads; older files have none of them, and others more."""
    return key.rsplit(".", 1)[-1] in COUNTERS


def misfit(state: State, own: State) -> str | None:
    """What `state` lacks of `own` and has besides, by name; None if nothing. Shapes are another question."""
    lacks = sorted(key for key in own.keys() - state.keys() if not counts(key))
    besides = sorted(state.keys() - own.keys())
    told = [f"lacks {shown(lacks)}"] if lacks else []
    told += [f"has besides {shown(besides)}"] if besides else []
    return " and ".join(told) or None


def shown(names: Sequence[str]) -> str:
    """Names for a message."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name or "the file itself" for name in names[:SHOWN]) + more


def the_state(path: Path, own: State) -> tuple[State, str]:
    """The one state_dict in a file whose names are those of `own`, with them; and where it is, for messages.

    Raises:
        Misfit: if none is, naming what the nearest lacks.
        ClassifierError: if several are, and differ; or if one is a part of the names.
    """
    states = states_of(path)
    found = {where: stripped(state, own) for where, state in states.items()}
    fitting = {where: state for where, state in found.items() if misfit(state, own) is None}
    if not fitting:
        where = max(found, key=lambda w: (len(found[w].keys() & own.keys()), len(found[w])))
        place = f"{path} ({where})" if where else str(path)
        if (begin := _below(states[where], own)) and "#" not in path.name:
            besides = sorted(key for key in states[where] if not key.startswith(f"{begin}."))
            raise ClassifierError(
                f"{place} has this network below {begin}, and besides {shown(besides)}; if the network answers without "
                f"that, take {path}#{where and f'{where}.'}{begin}"
            )
        raise Misfit(f"{place} {misfit(found[where], own)}")
    first, *others = fitting
    if any(not _same(fitting[first], fitting[other]) for other in others):
        raise ClassifierError(
            f"{path} holds weights of this network in {' and in '.join(fitting)}; name the one to take, such as "
            f"{path}#{others[-1]}"
        )
    return fitting[first], f"{path} ({first})" if first else str(path)


def _same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
