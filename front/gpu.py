"""Where the models compute, on any machine: a GPU if there is one, on a ZeroGPU Space one that is lent for each answer.

Import this before torch: on ZeroGPU the package `spaces` must come first. Elsewhere it is not needed and not missed.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

try:
    import spaces
except ImportError:
    spaces = None

LENT_S = 30  # for one answer at most


class Answers(Protocol):
    """What runs a network among the methods of a class that answers."""

    @property
    def ON_GPU(self) -> tuple[str, ...]: ...


T = TypeVar("T", bound=Answers)


def lent(handlers: T) -> T:
    """Give those methods of `handlers` that its ON_GPU names a GPU while they answer; without ZeroGPU nothing changes.

    The methods are bound first, so that the models stay where they are and only the arguments travel.
    """
    if spaces is not None:
        for name in handlers.ON_GPU:
            setattr(handlers, name, spaces.GPU(duration=LENT_S)(getattr(handlers, name)))
    return handlers


def device() -> str:
    """Where to put the models: on ZeroGPU "cuda" already stands for the GPU that will be lent."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
