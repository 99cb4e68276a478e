"""Files of weights as people have them: inside of a checkpoint, and under the names that wrappers gave them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..storage.pointers import stub_at
from .config import ClassifierError

State = dict[str, Tensor]
# Parts of a name that torch.compile, FSDP and activation checkpointing put anywhere into it.
WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# Counters that no answer depends on: of batch norm, of an averaged model, of programs that count operations.
COUNTERS = {"num_batches_tracked", "n_averaged", "total_ops", "total_params"}
DEEPEST = 6
SHOWN = 3  # names in a message


class Misfit(ClassifierError):
    """Weights under other names than those of the network."""


def states_of(path: Path) -> dict[str, State]:
    """The state_dicts in a file, by where they are in it: "" for one that is the file itself, "ema.model" …

    `run.pth#ema.model` names one. Nothing but tensors and plain values is unpickled.

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
        held = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise ClassifierError(
            f"{path} cannot be read as weights ({reason}); save them with safetensors.torch.save_file"
        ) from None
    found = dict(_states(held))
    if not found:
        raise ClassifierError(f"{path} holds no state_dict; save network.state_dict() with safetensors.torch.save_file")
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
        ClassifierError: if several are, and differ.
    """
    found = {where: stripped(state, own) for where, state in states_of(path).items()}
    fitting = {where: state for where, state in found.items() if misfit(state, own) is None}
    if not fitting:
        where = max(found, key=lambda w: (len(found[w].keys() & own.keys()), len(found[w])))
        place = f"{path} ({where})" if where else str(path)
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
