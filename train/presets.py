"""The sizes to choose from: what each is made of, what it is trained with, and what memory it takes.

    python train/presets.py --measured training.json

prints the table of docs/training.md; networks of other sizes are planned by `train/train.py --dry_run`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import yaml
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from stylex import losses, networks
from stylex.networks.config import ModelConfig
from train.engine.networks import recompute_levels
from train.options.command import parse
from train.options.training import BATCH_SIZE, r1_weight

# What benchmarks/memory.py found beside what is counted: a process with torch in it, and buffers that come and go.
ON_TOP, BEYOND = 700_000_000, 1.3


@dataclass(frozen=True)
class Size:
    """Parameters of each network, and style coordinates: those that AttFind searches, and all."""

    parameters: dict[str, int]
    searched: int
    coordinates: int

    @classmethod
    def of(cls, config: ModelConfig) -> Size:
        """Counted on networks without memory."""
        with torch.device("meta"):
            built: dict[str, Any] = {name: network(config) for name, network in networks.kinds(config).items()}
        space = built["generator"].space
        counts = {name: sum(p.numel() for p in network.parameters()) for name, network in built.items()}
        return cls(counts, space.num_conv, space.size)


@dataclass(frozen=True)
class Memory:
    """Bytes that training takes, counted on tensors without content; torch itself and the pictures come on top.

    Attributes:
        held: weights, gradients and two moments of all networks; averages of all but the discriminator.
        kept: for the backward passes of the largest part of a step.
    """

    held: int
    kept: int

    @property
    def total(self) -> int:
        return self.held + self.kept

    @property
    def whole(self) -> int:
        """What a process will take about, torch and its passing buffers included."""
        return round(ON_TOP + BEYOND * self.total)

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        batch_size: int,
        *,
        bf16: bool = False,
        r1: bool = True,
        judges: tuple[Callable[[Tensor], Any], ...] = (),
        recompute: bool = False,
    ) -> Memory:
        """
        Args:
            judges: what else reads the generated picture: the classifier, the perceptual network.
            recompute: the levels of generator and encoder keep nothing.
        """
        parameters = Size.of(config).parameters
        held = 4 * (4 * sum(parameters.values()) + sum(parameters.values()) - parameters["discriminator"])
        with FakeTensorMode(allow_non_fake_inputs=True), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            built: dict[str, Any] = {name: network(config) for name, network in networks.kinds(config).items()}
            generator, encoder, discriminator = built["generator"], built["encoder"], built["discriminator"]
            largest = _largest_level(generator, encoder, batch_size) if recompute else 0
            if recompute:
                recompute_levels(built.values())
            x = torch.rand(batch_size, 3, config.resolution, config.resolution)
            probs = torch.rand(batch_size, config.num_classes)
            projected = config.discriminator == "projected"
            with counted() as drawing:
                fake = generator(torch.cat([encoder(x), probs], dim=1))
            with counted() as telling_apart:
                if projected:  # reads what the perceptual network, one of the judges, has seen
                    maps = [torch.rand(2 * batch_size, *s) for s in discriminator.map_shapes(config.resolution)]
                    scores = [discriminator(maps, torch.cat([probs, probs]))]
                else:
                    scores = [discriminator(torch.cat([x, fake.detach()]), torch.cat([probs, probs]), batches=2)]
                if r1 and not projected:
                    real = x.clone().requires_grad_()
                    scores.append(losses.r1(discriminator(real, probs), real))
            discriminator.requires_grad_(False)
            with counted() as judging:
                if projected:
                    scores.append(discriminator([m[:batch_size].requires_grad_() for m in maps], probs))
                else:
                    scores.append(discriminator(fake, probs))
                shown = fake.clamp(-1, 1)
                outputs = [judge(shown) for judge in judges]
        del scores, outputs
        # The generator's graph waits while the discriminator is trained. What is not kept comes back a level at a time.
        return cls(held, drawing[0] + max(telling_apart[0], judging[0], largest))


def _largest_level(generator: Any, encoder: Any, batch_size: int) -> int:
    """Bytes that the widest level of generator or encoder keeps, which is that of the largest pictures."""
    synthesis, channels = generator.synthesis, generator.config.channels
    i, half = len(channels) - 1, generator.config.resolution // 2
    x = torch.rand(batch_size, channels[i - 1], half, half, requires_grad=True)
    picture = torch.rand(batch_size, 3, half, half, requires_grad=True)
    conv, rgb, t = synthesis.parts(torch.rand(batch_size, synthesis.space.size))
    with counted() as drawing:
        drawn = synthesis.level(i, x, picture, t, (conv[2 * i - 1], conv[2 * i], rgb[i]), "random")
    wide = torch.rand(batch_size, generator.config.trunk_channels[-1], 2 * half, 2 * half, requires_grad=True)
    with counted() as reading:
        read = encoder.trunk.blocks[0](wide)
    del drawn, read
    return max(drawing[0], reading[0])


@contextmanager
def counted() -> Iterator[list[int]]:
    """Adds up the bytes of what autograd keeps within, weights aside."""
    kept: dict[int, Tensor] = {}
    total = [0]

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, nn.Parameter) and storage._cdata not in kept:
            kept[storage._cdata] = tensor  # kept, so that no other storage takes its place
            total[0] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield total


def too_large(memory: Memory, free: int, less: Memory | None) -> str:
    """That a plan does not fit into the bytes that are free, and what would; `less` is the plan with `--recompute`."""
    way_out = "a smaller --batch_size, or a smaller --resolution"
    if less is not None:
        fits = "fits" if less.whole <= free else "does not fit either"
        way_out = f"--recompute true takes {less.whole / 1e9:.1f} GB, which {fits}; else {way_out}"
    return (
        f"this run takes about {memory.whole / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on this device: {way_out}"
    )


def plan(config: ModelConfig, memory: Memory, options: dict[str, Any], class_names: list[str], processes: int) -> str:
    """What a run would be: all options as a configuration, networks, coordinates, memory."""
    size, pictures = Size.of(config), options["batch_size"]
    channels = {"generator": config.channels, "encoder": config.trunk_channels, "discriminator": config.trunk_channels}
    lines = [
        yaml.safe_dump(options, sort_keys=False, allow_unicode=True),
        f"{config.resolution} px, {len(class_names)} classes: {', '.join(class_names)}",
        *(
            f"{name:<14}{count:>12,} parameters  {' '.join(map(str, channels.get(name, ())))}".rstrip()
            for name, count in size.parameters.items()
        ),
        f"coordinates   {size.searched:>12,} searched, of {size.coordinates:,}",
        f"pictures      {pictures * processes:>12,} a step, {pictures} on each of {processes} processes",
        f"memory        {memory.total / 1e9:>12.2f} GB on each: {memory.held / 1e9:.2f} for weights, optimisers and "
        f"averages, {memory.kept / 1e9:.2f} for a step; counted, torch and the pictures come on top",
    ]
    return "\n".join(lines)


# The table.


@dataclass
class Options:
    """What to print.

    Args:
        measured: JSON file of benchmarks/training.py, or of benchmarks/memory.py, which knows no seconds.
    """

    measured: str | None = None


HEAD = (
    "| px | generator's channels, 4x4 up | encoder's, discriminator's | w | parameters | coordinates, searched of all "
    "| pictures a step | R1 weight, stylegan2 | memory, counted: fp32, bf16 | memory, measured "
    "| seconds for 1,000 pictures, measured |"
)


def row(resolution: int, measured: dict[str, Any] | None = None, memory: str = "") -> str:
    """One line of the table; `measured` is a run of benchmarks/training.py."""
    config = ModelConfig.preset(resolution, num_classes=2, discriminator="projected")
    size = Size.of(config)
    cells = [
        str(resolution),
        " ".join(map(str, config.channels)),
        " ".join(map(str, config.trunk_channels)),
        str(config.w_dim),
        f"{sum(size.parameters.values()) / 1e6:.1f} M",
        f"{size.searched:,} of {size.coordinates:,}",
        str(BATCH_SIZE[resolution]),
        f"{r1_weight(resolution):g}",
        memory,
    ]
    if measured is None:
        cells += ["not measured", "not measured"]
    else:
        peak = f"{measured['peak_memory_mb'] / 1e3:.1f} GB"
        if "images_per_second" in measured:
            threads = f"{measured['threads']} thread{'s' if measured['threads'] > 1 else ''}"
            on = f"{measured['device']}, {threads}, {measured['precision']}"
            cells += [peak, f"{1000 / measured['images_per_second']:.0f} ({on})"]
        else:
            cells += [f"{peak} ({measured['precision']})", "not measured"]
    return f"| {' | '.join(cells)} |"


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Print the table of the presets.", args)
    runs = json.loads(Path(o.measured).read_text(encoding="utf-8"))["runs"] if o.measured else {}
    if isinstance(runs, list):  # of the memory, several batches for each size
        rows = (r for r in runs if r["what"] == "training" and r.get("batch_size") == BATCH_SIZE.get(r["resolution"]))
        runs = {str(r["resolution"]): r for r in rows}
    print(HEAD)
    print("|" + " --- |" * (HEAD.count("|") - 1))
    for resolution, batch_size in BATCH_SIZE.items():
        measured = runs.get(str(resolution))
        if measured and measured["batch_size"] != batch_size:
            sys.exit(f"error: {o.measured} has {resolution} px with another batch size than the preset's {batch_size}")
        counted = (
            Memory.of(ModelConfig.preset(resolution, 2, discriminator="projected"), batch_size, bf16=bf16)
            for bf16 in (False, True)
        )
        print(row(resolution, measured, ", ".join(f"{memory.total / 1e9:.1f} GB" for memory in counted)))


if __name__ == "__main__":
    main()
