"""Where gradients are taken, and networks made, whatever mode the caller is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def differentiable() -> Iterator[None]:
    """As outside of torch.no_grad and torch.inference_mode; a decorator, too.

    What is made in inference mode can take part in no gradient, then or ever after: not only gradients are taken in
    here, weights are made here as well. Tensors of the caller's have to be cloned in here first.
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield
