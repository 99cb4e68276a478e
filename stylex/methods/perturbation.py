"""The smallest blur of a picture that the classifier no longer recognises, drawn by a network of 84 weights.

Written from the description of "deep-explanation": one convolution, applied again and again, learns to change a picture
so that the probability of a class falls while the picture stays near; where it had to change is where the classifier
looked. It needs no generator, so it works for any classifier, and for several pictures at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ..gradients import differentiable
from ..pictures.images import to_pil
from ..pictures.render import cross, curve, grid, heat_map, probability
from ..storage.files import write_json
from ..storage.outputs import filling
from .records import NO_GRADIENT, Map, MethodError

# What `Perturbed.save` writes.
FILES = ("perturbation.png", "loss.png", "perturbation.json")
BLOCKS, LAYERS, KERNEL = 3, 3, 3
STEPS, RATE, L1 = 200, 0.01, 1.0
POWER, DILATION, MARGIN = 6.0, 20 / 224, 0.1
# The first weights pass the picture on, with so much of a usual first draw on top: nine draws one after the other leave
# nothing of a picture, and a search that starts there does not come back.
NOISE = 0.1
ABOUT = 256  # pixels of a picture on the sheet
# A first choice below this is worth a warning.
UNSURE = 0.5


class Perturbation(nn.Module):
    """x [N, 3, H, W] in [-1, 1] -> the same, changed: blocks of `layers` convolutions and a ReLU, all with the same 84
    weights, and at the end stretched to the range of each picture."""

    def __init__(self, count: int, blocks: int = BLOCKS, layers: int = LAYERS, kernel: int = KERNEL) -> None:
        super().__init__()
        if kernel % 2 == 0:
            kernel += 1
        self.blocks, self.layers, self.kernel, self.count = blocks, layers, kernel, count
        # One network for each picture, side by side: what one learns is not the other's.
        first = nn.Conv2d(3, 3, kernel)
        assert first.bias is not None
        weight, bias = NOISE * first.weight.detach(), NOISE * first.bias.detach()
        for channel in range(3):
            weight[channel, channel, kernel // 2, kernel // 2] += 1
        self.weight = nn.Parameter(weight.repeat(count, 1, 1, 1))
        self.bias = nn.Parameter(bias.repeat(count))

    @property
    def weights_each(self) -> int:
        """How many numbers one picture's network has."""
        return (self.weight.numel() + self.bias.numel()) // self.count

    def forward(self, x: Tensor) -> Tensor:
        low, high = x.amin(dim=(1, 2, 3), keepdim=True), x.amax(dim=(1, 2, 3), keepdim=True)
        y = ((x + 1) / 2).reshape(1, 3 * self.count, *x.shape[2:])  # groups are pictures
        for _ in range(self.blocks):
            for _ in range(self.layers):
                y = F.conv2d(y, self.weight, self.bias, padding=self.kernel // 2, groups=self.count)
            y = F.relu(y)
        y = y.reshape(x.shape)
        least, most = y.amin(dim=(1, 2, 3), keepdim=True), y.amax(dim=(1, 2, 3), keepdim=True)
        span = most - least
        # A dead network, whose output is the same everywhere, has nothing to stretch: its picture stays as it was.
        return torch.where(span > 1e-6, low + (high - low) * (y - least) / span.clamp(min=1e-6), x)


@dataclass(frozen=True)
class Perturbed:
    """What the network did to each of N pictures.

    Attributes:
        x: [N, 3, H, W] the changed pictures.
        prob_before, prob_after: [N] of the target.
        difference: [N, H, W] how much the mean of the channels changed, in [0, 2].
        losses: [steps, N].
        warnings: one sentence or none for each picture.
    """

    x: Tensor
    prob_before: Tensor
    prob_after: Tensor
    difference: Tensor
    losses: Tensor
    warnings: list[str]

    def save(self, folder: str | Path, x: Tensor, class_name: str, n: int = 0, **how: float) -> Path:
        """Write what was done to picture n of x [N, 3, H, W]: perturbation.png (the picture, the picture changed, and
        where, with a cross at the centre), loss.png and perturbation.json.

        Args:
            class_name: of the class that was taken away.
            how: `power` and `dilation` of `map`.

        Raises:
            OutputError: if the folder cannot be written, or holds another file of one of these names, which stays.
        """
        heat = self.map(n, **how)
        folder = Path(folder)
        before, after = to_pil(x[n]), to_pil(self.x[n])
        where = heat_map(before, heat.values.cpu().numpy())
        scale = max(1, round(ABOUT / max(before.size)))
        where = cross(where.resize((scale * before.width, scale * before.height)), *heat.centre, of=before.size)
        titles = [
            f"{class_name}  {probability(float(self.prob_before[n]))}",
            f"{class_name}  {probability(float(self.prob_after[n]))}",
            "where it had to change",
        ]
        cells = [picture.resize(where.size, Image.Resampling.BICUBIC) for picture in (before, after)]
        losses = self.losses[:, n].tolist()
        numbers = {
            "class": class_name,
            "prob_before": float(self.prob_before[n]),
            "prob_after": float(self.prob_after[n]),
            "centre": list(heat.centre),
            "losses": losses,
            "warning": self.warnings[n],
        }
        with filling(folder, replaces=r"loss\.png", option="folder") as aside:
            grid([[*cells, where]], column_titles=titles).save(aside / "perturbation.png")
            if len(losses) > 1:
                curve(losses, "loss").save(aside / "loss.png")
            write_json(aside / "perturbation.json", numbers)
        return folder

    def map(self, n: int, power: float = POWER, dilation: float = DILATION) -> Map:
        """Where picture n had to change.

        Args:
            power: a larger one leaves the strongest places alone.
            dilation: side of the square over which they spread, as a share of the picture's; 0 for none.

        Raises:
            MethodError: if power is not above 0 or dilation not from 0 to 1.
        """
        if not power > 0 or not 0 <= dilation <= 1:
            raise MethodError(
                f"power is {power} and dilation {dilation}; use a power above 0 and a dilation from 0 to 1"
            )
        heat = self.difference[n].double()
        heat = (heat / heat.max().clamp(min=1e-12)) ** power  # before the power, or all of it would be next to nothing
        height, width = heat.shape
        rim_y, rim_x = int(height * MARGIN), int(width * MARGIN)
        inside = torch.zeros_like(heat)
        inside[rim_y : height - rim_y, rim_x : width - rim_x] = 1
        heat = heat * inside
        side = round(dilation * min(height, width))
        if side > 1:
            side += 1 - side % 2
            heat = F.max_pool2d(heat[None, None], side, stride=1, padding=side // 2)[0, 0]
        numbers = {"prob_before": float(self.prob_before[n]), "prob_after": float(self.prob_after[n])}
        return Map(heat.float(), "perturbation", "perturbation", numbers)


@differentiable()
def perturb(
    logits_of: Callable[[Tensor], Tensor],
    x: Tensor,
    target: Tensor | None = None,
    *,
    blocks: int = BLOCKS,
    layers: int = LAYERS,
    steps: int = STEPS,
    rate: float = RATE,
    l1: float = L1,
    seed: int = 0,
) -> Perturbed:
    """Lower the probability of a class with as little change of the picture as the network can.

    minimise  p_target(x') + l1 · mean |x' - x|     with Adam, x in [0, 1]

    Args:
        logits_of: x [N, 3, H, W] in [-1, 1] -> logits [N, K], with a gradient.
        x: the pictures.
        target: [N] classes to take away; None for each picture's own.

    Raises:
        MethodError: if the classifier passes no gradient, or a number makes no sense.
    """
    if min(blocks, layers, steps) < 1 or not rate > 0 or not l1 >= 0:
        raise MethodError(
            f"blocks {blocks}, layers {layers}, steps {steps}, rate {rate}, l1 {l1}: use whole numbers from 1, a rate "
            "above 0 and an l1 from 0"
        )
    x = x.clone()
    with torch.no_grad():
        probs = logits_of(x).softmax(dim=1)
    target = probs.argmax(dim=1) if target is None else target.clone()
    before = probs.gather(1, target[:, None])[:, 0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Perturbation(len(x), blocks, layers).to(x.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    losses, best, best_x, after = [], torch.full_like(before, torch.inf), x.clone(), before.clone()
    with differentiable():
        for _ in range(steps):
            changed = network(x)
            logits = logits_of(changed)
            if not logits.requires_grad:
                raise MethodError(NO_GRADIENT.format(method="perturbation"))
            p = logits.softmax(dim=1).gather(1, target[:, None])[:, 0]
            loss = p + l1 * (changed - x).abs().mean(dim=(1, 2, 3)) / 2
            optimiser.zero_grad()
            loss.sum().backward()  # pictures do not meet: each has its own weights
            optimiser.step()
            better = loss.detach() < best
            best = torch.where(better, loss.detach(), best)
            best_x = torch.where(better[:, None, None, None], changed.detach(), best_x)
            after = torch.where(better, p.detach(), after)
            losses.append(loss.detach())
    warnings = [
        f"The classifier is unsure: the class that is taken away has only {p:.2f}." if p < UNSURE else ""
        for p in before.tolist()
    ]
    difference = (best_x.mean(dim=1) - x.mean(dim=1)).abs()
    return Perturbed(best_x, before, after, difference, torch.stack(losses), warnings)
