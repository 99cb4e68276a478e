"""A network of somebody's: we take a copy, so that eval mode, frozen weights and another device are ours alone."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def own_copy(network: nn.Module) -> nn.Module:
    """The same network with weights of its own, on the same device, in the same mode and memory format.

    What only spreads or compiles a network (DataParallel, torch.compile) is taken off: it would bring the original
    along.

    Raises:
        Exception: whatever keeps a stranger's network from being copied.
    """
    network = bare(network)
    if isinstance(network, torch.jit.ScriptModule):
        return _script_copy(network)
    memo: dict[int, Any] = {}
    for part in _parts(network):
        if isinstance(part, torch.jit.ScriptModule):
            memo[id(part)] = _script_copy(part)
            continue
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:  # computed in the last pass, as by weight_norm
                memo[id(value)] = value.detach().clone()
    return copy.deepcopy(network, memo)


def bare(network: nn.Module) -> nn.Module:
    """The network inside of what spreads or compiles it."""
    while True:
        if isinstance(network, (nn.DataParallel, DistributedDataParallel)):
            network = network.module
        elif isinstance(inner := dict(network.named_children()).get("_orig_mod"), nn.Module):
            network = inner
        else:
            return network


def _parts(network: nn.Module) -> Iterator[nn.Module]:
    """All modules, but none inside of TorchScript."""
    yield network
    if not isinstance(network, torch.jit.ScriptModule):
        for child in network.children():
            yield from _parts(child)


def _script_copy(network: torch.jit.ScriptModule) -> nn.Module:
    # deepcopy makes weights of it that are no leaves, which can neither be frozen nor trained.
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have torch.export
        torch.jit.save(network, file)
        file.seek(0)
        return torch.jit.load(file)
