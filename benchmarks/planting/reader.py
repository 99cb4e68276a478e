"""Reads the factors off a picture, so that what an edit changed has a name and an amount."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.planting.numbers import r_squared
from benchmarks.planting.scenes import NAMES, pixels, random_factors
from stylex.storage.files import load_weights, read_json, save_weights, write_json
from train.data.pictures import to_float

BAR = 0.95  # R² of every factor on pictures it has not seen, below which nobody should believe what it reads
STEPS, BATCH, RATE = 1000, 64, 3e-3
TRIED = 1000  # pictures on which it is measured
# What it learns from and what it is measured on never share a seed.
LEARNT_FROM, TRIED_FROM = 10_000_000, 20_000_000


class Reader(nn.Module):
    """A small convolutional network that keeps places apart: pictures [N, 3, side, side] in [-1, 1] -> [N, J]."""

    def __init__(self, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, here = 3, side
        for width, kernel in ((24, 5), (48, 3), (96, 3), (96, 3)):
            layers += [nn.Conv2d(channels, width, kernel, 2, kernel // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels, here = width, here // 2
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Sequential(nn.Linear(channels * here * here, 256), nn.ReLU(), nn.Linear(256, len(NAMES)))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x.contiguous(memory_format=torch.channels_last)))


def reader_of(folder: Path, side: int, steps: int = STEPS, bar: float = BAR) -> Callable[[Tensor], Tensor]:
    """The reader of a folder, trained first if there is none, with what it reaches in reader.json.

    Every step learns from pictures that were never drawn before.

    Raises:
        ValueError: if it reads a factor worse than `bar`.
    """
    reader = Reader(side).eval().requires_grad_(False)
    weights = folder / "reader.safetensors"
    if (folder / "reader.json").exists():
        load_weights(reader, weights)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        reached = fit(reader, side, steps)
        save_weights(reader, weights)
        write_json(folder / "reader.json", {"side": side, "steps": steps, "r_squared": reached})
    reached = read_json(folder / "reader.json")["r_squared"]
    if poor := {name: value for name, value in reached.items() if value < bar}:
        raise ValueError(f"{folder}: the reader's R² is {poor}, and {bar} is needed; delete it and give it more steps")

    def read(x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([reader(part) for part in x.split(256)])

    return read


def fit(reader: Reader, side: int, steps: int) -> dict[str, float]:
    """Train it, and say what R² it reaches on other pictures."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for part in reader.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                part.reset_parameters()
        reader.train().requires_grad_(True)
        optimizer = torch.optim.AdamW(reader.parameters(), lr=RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(steps, 2))
        generator = torch.Generator().manual_seed(0)
        for step in range(steps):
            factors = random_factors(BATCH, generator)
            first = LEARNT_FROM + step * BATCH
            loss = F.mse_loss(reader(to_float(pixels(factors, range(first, first + BATCH), side))), factors)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    reader.eval().requires_grad_(False)
    factors = random_factors(TRIED, torch.Generator().manual_seed(1))
    x = to_float(pixels(factors, range(TRIED_FROM, TRIED_FROM + TRIED), side))
    with torch.no_grad():
        read = torch.cat([reader(part) for part in x.split(256)])
    return dict(zip(NAMES, [round(v, 4) for v in r_squared(factors, read).tolist()], strict=True))
