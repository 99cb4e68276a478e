"""Where in the picture: maps of the classifier itself, by captum (BSD-3), and of an edit.

What captum does is its own; this chooses its arguments and gives what comes back one form. It is asked for only when it
is called: `pip install stylex-pytorch[maps]`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..gradients import differentiable
from .records import NO_GRADIENT, Map, MethodError

MapMethod = Literal["gradcam", "integrated_gradients", "occlusion"]
# Points on the way from grey to the picture at which integrated gradients looks.
STEPS = 32
# Side of the square that occlusion covers, and how far it moves, as shares of the picture's side.
WINDOW, STRIDE = 1 / 6, 1 / 12
GREY = 0.0
NO_CAPTUM = "maps need captum, which is not installed: pip install captum"


@differentiable()
def attribute(
    network: nn.Module | Callable[[Tensor], Tensor],
    x: Tensor,
    target: int,
    method: str,
    layer: nn.Module | None = None,
) -> Map:
    """Where a classifier looks for a class, by one of captum's methods.

    Args:
        network: x [N, 3, H, W] in [-1, 1] -> logits [N, K]. Occlusion takes any callable, the others need a gradient.
        x: [1, 3, H, W].
        layer: Grad-CAM's; None for the last convolution whose map is larger than a pixel.

    Raises:
        MethodError: if captum is missing, there is no such method, the classifier passes no gradient, or it has no
            layer for Grad-CAM.
    """
    try:
        from captum.attr import IntegratedGradients, LayerGradCam, Occlusion
    except ImportError:
        raise MethodError(NO_CAPTUM) from None
    side, x = x.shape[-1], x.clone()
    if method == "occlusion":
        window, stride = max(1, round(side * WINDOW)), max(1, round(side * STRIDE))
        with torch.no_grad():
            values = Occlusion(network).attribute(
                x,
                (3, window, window),
                strides=(3, stride, stride),
                baselines=GREY,
                target=target,
                perturbations_per_eval=16,
            )
        return Map(values[0].mean(dim=0).float(), "occlusion", method, {"window": window, "stride": stride})
    if method not in ("gradcam", "integrated_gradients"):
        raise MethodError(f"there is no map {method!r}; use gradcam, integrated_gradients or occlusion")
    with differentiable():
        x = x.clone().detach().requires_grad_()
        if not network(x).requires_grad:
            raise MethodError(NO_GRADIENT.format(method=method))
        if method == "gradcam":
            layer = layer or last_convolution(network, x)
            values = LayerGradCam(network, layer).attribute(x, target=target)
            assert isinstance(values, Tensor)
            values = F.interpolate(values.detach().float(), x.shape[-2:], mode="bilinear", align_corners=False)
            return Map(values[0, 0], "Grad-CAM", method, {"layer": layer_name(network, layer)[0]})
        values, gap = IntegratedGradients(network).attribute(
            x, baselines=GREY, target=target, n_steps=STEPS, internal_batch_size=16, return_convergence_delta=True
        )
    return Map(values[0].sum(dim=0).detach().float(), "integrated gradients", method, {"gap": float(gap)})


def change(before: Tensor, after: Tensor, name: str = "change") -> Map:
    """Where an edit changes a picture: how much the channel that changes most does, in levels of 255.

    From pictures [3, H, W] or [1, 3, H, W] in [-1, 1].
    """
    levels = (after.clamp(-1, 1) - before.clamp(-1, 1)).abs().reshape(3, *after.shape[-2:]).amax(dim=0) * 127.5
    return Map(levels.float(), name, "change", {"largest": float(levels.max())})


def overlap(a: Map, b: Map) -> float:
    """How much of two maps lies in the same places, from 0 to 1: sum min of what is above 0, each summing to 1."""
    first, second = (m.values.clamp(min=0).double() for m in (a, b))
    if not first.sum() or not second.sum():
        return 0.0
    return float(torch.minimum(first / first.sum(), second / second.sum()).sum())


def last_convolution(network: Any, x: Tensor) -> nn.Module:
    """The last convolution to run whose output is larger than one pixel.

    Raises:
        MethodError: if there is none.
    """
    ran: list[nn.Module] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[-2:]) > 1:
            ran.append(module)

    modules = network.modules() if isinstance(network, nn.Module) else ()
    hooks = [m.register_forward_hook(note) for m in modules if isinstance(m, nn.Conv2d)]
    try:
        network(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not ran:
        raise MethodError(
            "this classifier has no convolution for Grad-CAM to look at; use integrated_gradients or occlusion"
        )
    return ran[-1]


def layer_name(network: Any, layer: nn.Module) -> list[str]:
    """What the network calls a layer of its own; its kind where it has no name for it."""
    return [name for name, module in network.named_modules() if module is layer] or [type(layer).__name__]
