"""How fast training is: pictures a second of a whole step, where its time goes, and how near that is to the machine.

    python benchmarks/training.py --resolution 32 64 --json training.json
    python benchmarks/training.py --resolution 64 --config train/configs/laptop.yaml
    python benchmarks/training.py --resolution 64 --config train/configs/laptop.yaml --compile
    python benchmarks/training.py --against lucidrains --batch_size 8 --discriminator stylegan2 --places 0

Options that are not listed below are those of `train/train.py` (`--batch_size 8`, `--channels "[64,64,32,16,16]"`), and
so are the defaults. Every resolution runs in a process of its own, so that its peak memory is its own. What is timed
is `Trainer.step` as `train/train.py` runs it, on random pictures, a random classifier and random weights, for as many
steps as the lazy regularisers need to come round once. Beside it stands the best convolution that the same machine
does in the same run on the shapes of these networks: a part's share of that peak says what could still be gained.

One thread on a processor is timed by the processor time of this process, so that other programs do not count; several
threads and GPUs are timed by the clock on the wall.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
import itertools
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks import page
from benchmarks.output import ready
from stylex.classifiers.classifier import ClassifierConfig, build
from stylex.networks.config import ModelConfig
from stylex.storage.outputs import put_json
from stylex.terminal import print_anything
from train.data.pictures import to_float
from train.engine import adversarial
from train.engine import trainer as engine
from train.options.command import parse
from train.options.training import Options

Read = Callable[[], float]
SPEED = "speed.md"  # where the tables go


# Where the time of a step goes.


class Timeline:
    """Books what `read` counts up (seconds, operations) to the part of the step that was named last."""

    def __init__(self, read: Read) -> None:
        self.read, self.spent = read, Counter[str]()
        self.part, self.since = "rest", read()
        self.ran = self.inside = "rest"

    def to(self, part: str) -> None:
        now = self.read()
        self.spent[self.part] += now - self.since
        self.part, self.since = part, now


@contextmanager
def watched(trainer: engine.Trainer, timeline: Timeline) -> Iterator[None]:
    """While it lasts, each part of `trainer.step` names itself on the timeline, forwards and backwards.

    Autograd runs the nodes of a module together, newest first, so a module's backward pass begins when the gradient of
    its output arrives and ends when that of another one's does.
    """

    def named(kind: str, args: tuple[Any, ...]) -> str:
        if timeline.inside == "path length":
            return "path length"
        if kind == "discriminator" and timeline.inside == "rest":
            return "discriminator, for the generator"
        if kind == "discriminator" and isinstance(args[0], Tensor) and args[0].requires_grad:
            return "R1"
        return kind

    def backwards(part: str) -> str:
        return part if part in ("R1", "path length", "augmentation") else f"{part}, backward"

    def part(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` as a part of the step; what it is called inside of gets the rest of the time."""

        def call(*args: Any, **kwargs: Any) -> Any:
            before, name = timeline.part, named(kind, args)
            timeline.to(name)
            output = function(*args, **kwargs)
            for tensor in output if isinstance(output, (list, tuple)) else [output]:
                if isinstance(tensor, Tensor) and tensor.requires_grad:
                    tensor.register_hook(lambda _: timeline.to(backwards(name)))
            timeline.ran = name
            timeline.to(before)
            return output

        return call

    def scope(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> None:
            timeline.inside = name
            function(*args)
            timeline.inside = "rest"

        return call

    def backward(loss: Tensor) -> None:
        timeline.to(backwards(timeline.ran))  # what ran last comes first
        plain_backward(loss)
        timeline.to("rest")

    def in_full(kind: str, *args: Tensor) -> Tensor:
        return part(kind, partial(plain_in_full, kind))(*args)

    plain_backward, plain_in_full = trainer.accelerator.backward, trainer.in_full
    modules: dict[str, nn.Module] = {name: trainer.bare(name) for name in engine.NETWORKS}
    modules |= {"classifier": trainer.classifier, "perceptual": trainer.features}
    changes = [(module, "forward", part(kind, module.forward)) for kind, module in modules.items()]
    if hasattr(trainer.features, "maps"):  # what an eye shows to the discriminator, too
        changes.append((trainer.features, "maps", part("eye", trainer.features.maps)))
    changes += [(ema, "update", part("moving averages", ema.update)) for ema in trainer.ema.values()]
    changes += [(o, "step", part("optimisers", o.step)) for o in (trainer.optimizer_g, trainer.optimizer_d)]
    changes += [
        (adversarial, "for_discriminator", part("augmentation", adversarial.for_discriminator)),
        (engine, "flip", part("data", engine.flip)),
        (trainer, "update_discriminator", scope("discriminator", trainer.update_discriminator)),
        (trainer, "regularize_paths", scope("path length", trainer.regularize_paths)),
        (trainer, "in_full", in_full),
        (trainer.accelerator, "backward", backward),
    ]
    with ExitStack() as stack:
        for owner, name, changed in changes:
            stack.enter_context(patch.object(owner, name, changed))
        yield


class Operations(TorchDispatchMode):
    """Floating point operations of the matrix products and convolutions that run while it lasts.

    By the formulas of `torch.utils.flop_counter`, whose own mode cannot look into `autograd.grad`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=output)
        return output


# What the machine can do.


def conv_shapes(config: ModelConfig) -> list[tuple[int, int, int]]:
    """Channels in, channels out and side of the networks' 3x3 convolutions."""
    shapes = set()
    for channels in (config.channels, config.trunk_channels):
        sides = [4 * 2**i for i in range(len(channels))]
        shapes |= {(c, c, side) for c, side in zip(channels, sides, strict=True)}
    return sorted(shapes)


def conv_peak(shapes: list[tuple[int, int, int]], batch: int, dtype: torch.dtype, device: str, read: Read) -> float:
    """Floating point operations a second of the fastest of these 3x3 convolutions, forwards, best of three tries."""
    best = 0.0
    for (c_in, c_out, side), layout in itertools.product(shapes, (torch.channels_last, torch.contiguous_format)):
        x = torch.randn(batch, c_in, side, side, device=device, dtype=dtype).to(memory_format=layout)
        weight = torch.randn(c_out, c_in, 3, 3, device=device, dtype=dtype).to(memory_format=layout)
        work = 2 * batch * side**2 * 9 * c_in * c_out

        def seconds(times: int) -> float:
            start = read()
            for _ in range(times):
                F.conv2d(x, weight, padding=1)  # noqa: B023
            return read() - start

        seconds(1)
        times = max(1, math.ceil(0.02 / max(seconds(1), 1e-6)))
        best = max(best, *(work * times / seconds(times) for _ in range(3)))
    return best


def reader(device: torch.device) -> Read:
    """What the time is read from; see the head of this file."""
    if device.type == "cuda":

        def read() -> float:
            torch.cuda.synchronize()
            return time.perf_counter()

        return read
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


# One training configuration.


def training_options(options: list[str], joint: bool) -> Options:
    """Options of `train/train.py` for one phase of training, the joint one from the first step on."""
    required = ["--data", "-", "--output", "-", "--classifier", "-"]
    phase = ["--warmup_kimg", "0" if joint else "1e9", "--swap_after_kimg", "0"]
    return parse(Options, "", [*required, *options, *phase])


class Runner:
    """A trainer on random pictures."""

    def __init__(self, options: list[str], joint: bool) -> None:
        self.o = training_options(options, joint)
        torch.manual_seed(0)
        classifier = build(ClassifierConfig(("a", "b"), self.o.resolution))
        self.trainer = engine.Trainer(self.o, classifier, None)
        shape = (4 * self.o.batch_size, 3, self.o.resolution, self.o.resolution)
        self.pictures = torch.randint(256, shape, dtype=torch.uint8)

    def cycle(self) -> int:
        """Steps until every lazy part of a step has had its turns."""
        o = self.o
        lazy = [o.w_every, *([o.r1_every, max(1, o.random_path_every)] if o.warmup_kimg == 0 else [])]
        return math.lcm(*lazy, *([o.path_every] if o.path_weight and o.warmup_kimg == 0 else []))

    def steps(self, count: int, batch_size: int | None = None) -> None:
        for _ in range(count):
            index = torch.randperm(len(self.pictures))[: batch_size or self.o.batch_size]
            self.trainer.step(to_float(self.pictures[index].to(self.trainer.accelerator.device)))


def measure(options: list[str], joint: bool, steps: int, rounds: int) -> dict[str, Any]:
    """Speed, parts and memory of one configuration, in this process.

    Args:
        options: of `train/train.py`.
        steps: timed in each round; 0 for one whole cycle of the lazy regularisers, fewer begin after the turn of R1.
    """
    runner = Runner(options, joint)
    trainer, o = runner.trainer, runner.o
    device = trainer.accelerator.device
    read = reader(device)
    cycle = runner.cycle()
    steps = steps or cycle
    first = 0 if steps >= cycle else 1  # R1 has its turn at step 0; a few steps alone would give it too much weight
    shapes, precision = conv_shapes(trainer.config), torch.bfloat16 if o.mixed_precision == "bf16" else torch.float32
    peak = partial(conv_peak, shapes, o.batch_size, precision, str(device), read)
    peaks = [peak()]
    runner.steps(1)
    timelines, wall = [], []
    for _ in range(rounds):
        trainer.step_number = first
        timeline, start = Timeline(read), time.perf_counter()
        with watched(trainer, timeline):
            runner.steps(steps)
            timeline.to("end")
        wall.append(time.perf_counter() - start)
        timelines.append(timeline.spent)
    seconds = statistics.median(sum(spent.values()) for spent in timelines)
    memory = (
        torch.cuda.max_memory_allocated() / 2**20
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    if device.type == "cuda":  # each part waited for the GPU; a real step does not
        seconds = math.inf
        for _ in range(rounds):
            trainer.step_number, start = first, read()
            runner.steps(steps)
            seconds = min(seconds, read() - start)
        wall = [seconds]
    peaks.append(peak())
    # Operations are in proportion to the pictures, so two are enough to count them.
    trainer.step_number = first
    with Operations() as operations:
        counted = Timeline(lambda: operations.total)
        with watched(trainer, counted):
            runner.steps(steps, batch_size=2)
            counted.to("end")
    best, images = max(peaks), steps * o.batch_size
    flops = {name: value * o.batch_size / 2 / steps for name, value in counted.spent.items()}  # of a step
    each = {name: statistics.median(spent[name] for spent in timelines) / steps for name in timelines[0]}
    return {
        "resolution": o.resolution,
        "phase": "joint" if joint else "warmup",
        "batch_size": o.batch_size,
        "steps": steps,
        "cycle": cycle,
        "parameters": {name: sum(p.numel() for p in trainer.bare(name).parameters()) for name in engine.NETWORKS},
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "precision": str(precision).removeprefix("torch."),
        "images_per_second": images / seconds,
        "images_per_second_by_the_clock": images / statistics.median(wall),
        "gflop_per_image": sum(flops.values()) / o.batch_size / 1e9,
        "peak_gflops": best / 1e9,
        "peak_share": sum(flops.values()) * steps / seconds / best,
        "peak_memory_mb": memory,
        "parts": {
            name: {
                "ms_per_step": 1e3 * each[name],
                "share": each[name] / sum(each.values()),
                "gflop_per_step": flops.get(name, 0.0) / 1e9,
                "peak_share": flops.get(name, 0.0) / each[name] / best if each[name] else 0.0,
            }
            for name in sorted(each, key=lambda name: -each[name])
        },
    }


# Compiled and not.


def compiled_in_turns(options: list[str], joint: bool, rounds: int) -> dict[str, Any]:
    """Pictures a second of the same trainer with its networks compiled and not, in turns, and what compiling took.

    Compiling, the C++ compiler included, is what the first cycle of steps took beyond another one.
    """
    runner = Runner(options, joint)
    read, steps = reader(runner.trainer.accelerator.device), runner.cycle()

    def cycle(compiled: bool) -> float:
        """Seconds of a step."""
        runner.trainer.step_number, start = 0, read()
        with nullcontext() if compiled else torch.compiler.set_stance("force_eager"):
            runner.steps(steps)
        return (read() - start) / steps

    cycle(compiled=False)
    children, wall, own = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), time.process_time()
    cycle(compiled=True)
    wall, own = time.perf_counter() - wall, time.process_time() - own
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = own + after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
    rows = []
    for _ in range(rounds):
        # Without before and after with, so that a machine that grows slower is no advantage to either.
        before, compiled = cycle(compiled=False), cycle(compiled=True)
        rows.append(((before + cycle(compiled=False)) / 2, compiled))
    plain, compiled = (statistics.median(times) for times in zip(*rows, strict=True))
    return {
        "resolution": runner.o.resolution,
        "batch_size": runner.o.batch_size,
        "threads": torch.get_num_threads(),
        "steps": steps,
        "rounds": rounds,
        "compile_s": wall - compiled * steps,
        "compile_processor_s": busy - compiled * steps,
        "images_per_second": runner.o.batch_size / compiled,
        "uncompiled_images_per_second": runner.o.batch_size / plain,
        "speedup": statistics.median(a / b for a, b in rows),
        "speedups": [a / b for a, b in rows],
    }


# Beside another trainer.


def lucidrains(resolution: int, batch_size: int, capacity: int, device: str, folder: Path) -> Any:
    """The trainer of `stylegan2-pytorch` (MIT) with its own defaults, on pictures that are in memory already.

    It wants a GPU: on a processor `.cuda()` does nothing here. Its experiment logger `aim` is not needed.
    """
    if device == "cpu":
        nn.Module.cuda = Tensor.cuda = lambda self, *_: self  # type: ignore[assignment,method-assign]
    if importlib.util.find_spec("aim") is None:
        sys.modules["aim"] = types.ModuleType("aim")
        sys.modules["aim"].__spec__ = importlib.machinery.ModuleSpec("aim", None)
    with patch.object(torch.cuda, "is_available", lambda: True):  # it asks when it is imported
        import stylegan2_pytorch

    trainer = stylegan2_pytorch.Trainer(
        base_dir=folder,
        image_size=resolution,
        network_capacity=capacity,
        batch_size=batch_size,
        gradient_accumulate_every=1,
        save_every=10**9,
        evaluate_every=10**9,
    )
    x = torch.rand(batch_size, 3, resolution, resolution)
    trainer.loader = (x.clone() for _ in itertools.count())
    # Past the step from which it is in its usual course. Up to 5,023 neither path lengths nor averages come due.
    trainer.steps = 5001
    trainer.train()
    return trainer


MORE = ("encoder", "classifier", "perceptual")  # parts of our step that a StyleGAN2 has not


def against_lucidrains(resolution: int, options: list[str], capacity: int, rounds: int) -> dict[str, Any]:
    """Pictures a second of both trainers in turns: same generator and discriminator channels, same batch.

    Theirs double with every halving of the side, so ours are set to theirs. What ours does beside (encoder, classifier,
    perceptual loss, moving averages, augmentation) counts; the second ratio leaves out the first three.
    """
    levels = resolution.bit_length() - 2
    channels = [min(512, capacity * 2 ** (i + 1)) for i in range(levels)][::-1]
    trunk = [min(512, capacity * 4 * 2**i) for i in range(levels)][::-1]
    options = [*options, "--resolution", str(resolution), "--channels", str(channels), "--trunk_channels", str(trunk)]
    ours = Runner([*options, "--w_dim", "512"], joint=True)
    device = ours.trainer.accelerator.device
    read = reader(device)
    with tempfile.TemporaryDirectory() as folder:
        theirs = lucidrains(resolution, ours.o.batch_size, capacity, device.type, Path(folder))
        ours.steps(1)
        steps = {"ours": ours.cycle(), "theirs": 4}  # their gradient penalty comes every fourth step

        def their_step() -> float:
            """Seconds, the mean of one cycle."""
            theirs.steps, start = 5001, read()
            for _ in range(steps["theirs"]):
                theirs.train()
            return (read() - start) / steps["theirs"]

        rows = []
        for _ in range(rounds):
            # Theirs before and after ours, so that a machine that grows slower is no advantage to either.
            before = their_step()
            ours.trainer.step_number, timeline = 0, Timeline(read)
            with watched(ours.trainer, timeline):
                ours.steps(steps["ours"])
                timeline.to("end")
            own = sum(timeline.spent.values()) / steps["ours"]
            more = sum(s for part, s in timeline.spent.items() if part.startswith(MORE)) / steps["ours"]
            rows.append((own, own - more, (before + their_step()) / 2))
    return {
        "resolution": resolution,
        "batch_size": ours.o.batch_size,
        "channels": channels,
        "trunk_channels": trunk,
        "threads": torch.get_num_threads(),
        "steps": steps,
        "rounds": rounds,
        "images_per_second": ours.o.batch_size / statistics.median(own for own, _, _ in rows),
        "their_images_per_second": ours.o.batch_size / statistics.median(their for _, _, their in rows),
        "speedup": statistics.median(their / own for own, _, their in rows),
        "speedup_of_the_gan_alone": statistics.median(their / gan for _, gan, their in rows),
    }


# The tables.


def in_children(o: argparse.Namespace, args: list[str], options: list[str]) -> dict[str, Any]:
    """Each resolution in a process of its own; the numbers of all, and a table on stdout."""
    runs = {}
    for resolution in o.resolution:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "numbers.json"
            more = ["--resolution", str(resolution), "--json", str(file), "--child"]
            if subprocess.run([sys.executable, __file__, *args, *more]).returncode:
                sys.exit(f"{resolution} px failed; what it said stands above")
            runs[str(resolution)] = json.loads(file.read_text(encoding="utf-8"))
    if o.against:
        for run in runs.values():
            print(
                f"{run['resolution']} px, batch {run['batch_size']}, {run['threads']} threads, channels "
                f"{run['channels']} and {run['trunk_channels']}: {run['images_per_second']:.2f} pictures a second, "
                f"{o.against} {run['their_images_per_second']:.2f}: {run['speedup']:.2f} times, "
                f"{run['speedup_of_the_gan_alone']:.2f} times without {', '.join(MORE)}"
            )
        keys = ("images_per_second", "their_images_per_second", "speedup", "speedup_of_the_gan_alone")
    elif all("compile_s" in run for run in runs.values()):
        for run in runs.values():
            print(
                f"{run['resolution']} px, batch {run['batch_size']}, {run['threads']} threads: "
                f"{run['images_per_second']:.2f} pictures a second compiled, "
                f"{run['uncompiled_images_per_second']:.2f} not: {run['speedup']:.3f} times "
                f"({min(run['speedups']):.3f} to {max(run['speedups']):.3f}); compiling took {run['compile_s']:.0f} s, "
                f"{run['compile_processor_s']:.0f} s of processor time"
            )
        keys = ("images_per_second", "uncompiled_images_per_second", "speedup", "compile_s", "compile_processor_s")
    else:
        for run in runs.values():
            print(f"\n{said_of(run)}\n{parts_of(run)}")
        print(f"\n{presets_of(list(runs.values()))}")
        if o.docs:
            publish(o.docs, runs, options)
        keys = ("images_per_second", "peak_share", "peak_memory_mb")
    numbers = {key: {name: run[key] for name, run in runs.items()} for key in keys} | {"runs": runs}
    if o.json:
        put_json(o.json, numbers, option="--json")
    return numbers


def said_of(run: dict[str, Any]) -> str:
    """What a table of parts is of."""
    return (
        f"{run['resolution']} px, {run['phase']} phase, {run['batch_size']} pictures a step, {run['device']}, threads: "
        f"{run['threads']}, {run['precision']}; best convolution {run['peak_gflops']:.1f} GFLOP/s"
    )


def parts_of(run: dict[str, Any]) -> str:
    """Where a step goes, as Markdown."""
    lines = ["| part | ms a step | share | GFLOP a step | of the peak |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {part['ms_per_step']:.1f} | {part['share']:.1%} | {part['gflop_per_step']:.2f} | "
        f"{part['peak_share']:.0%} |"
        for name, part in run["parts"].items()
    ]
    return "\n".join(lines)


def presets_of(runs: list[dict[str, Any]]) -> str:
    """A line for each size, as Markdown."""
    lines = [
        "| px | batch | steps timed | million parameters | pictures a second | of the peak | peak memory, MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {run['resolution']} | {run['batch_size']} | {run['steps']} of {run['cycle']} | "
        f"{sum(run['parameters'].values()) / 1e6:.1f} | {run['images_per_second']:.2f} | {run['peak_share']:.0%} | "
        f"{run['peak_memory_mb']:.0f} |"
        for run in runs
    ]
    return "\n".join(lines)


def publish(docs: Path, runs: dict[str, dict[str, Any]], options: list[str]) -> None:
    """The tables into speed.md, under the options that they were measured with."""
    head = f"{page.machine()}; {page.today()}."
    said = " ".join(word.removeprefix("--") for word in options)  # two dashes would end a comment for some readers
    for run in runs.values():
        name = f"a step, {run['resolution']} px, {run['phase']}, {said or 'preset'}"
        speed = f"{run['images_per_second']:.1f} pictures a second, {run['peak_share']:.0%} of the peak, "
        speed += f"{run['peak_memory_mb'] / 1e3:.1f} GB"
        text = f"{said_of(run)}. {head} **{speed}**.\n\n{parts_of(run)}"
        page.write(docs / SPEED, name, "training", text)
    if len(runs) > 1:
        name = f"sizes, {next(iter(runs.values()))['phase']}, {said or 'presets'}"
        page.write(docs / SPEED, name, "training", f"{head}\n\n{presets_of(list(runs.values()))}")


def main(args: list[str] | None = None) -> dict[str, Any]:
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, nargs="+", default=[64])
    parser.add_argument("--phase", choices=("warmup", "joint"), default="joint", help="without or with discriminator")
    parser.add_argument("--steps", type=int, default=0, help="timed in each round; 0 = all the lazy parts come round")
    parser.add_argument("--rounds", type=int, default=3, help="the median counts")
    parser.add_argument("--threads", type=int, help="of the processor")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="a GPU if there is one")
    parser.add_argument("--against", choices=("lucidrains",), help="in turns with another trainer, if it is installed")
    parser.add_argument("--capacity", type=int, default=16, help="the other trainer's one number for its channels")
    parser.add_argument("--docs", type=Path, help="folder whose speed.md gets the tables")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    o, options = parser.parse_known_args(args)
    if not o.child:
        ready(parser, o.json)
        if o.against and importlib.util.find_spec("stylegan2_pytorch") is None:
            parser.error(
                "--against lucidrains needs stylegan2-pytorch, best in a folder of its own: "
                "pip install --no-deps --target FOLDER stylegan2-pytorch einops kornia kornia-rs fire termcolor "
                "vector-quantize-pytorch==0.1.0, and then PYTHONPATH=FOLDER python benchmarks/training.py ..."
            )
        training_options(options, o.phase == "joint")  # a mistyped one is refused before anything is timed
        return in_children(o, sys.argv[1:] if args is None else args, options)
    if o.threads:
        torch.set_num_threads(o.threads)
    if o.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    (resolution,) = o.resolution
    if o.against:
        numbers = against_lucidrains(resolution, options, o.capacity, o.rounds)
    elif training_options(options, o.phase == "joint").compile:
        # A step is not taken apart: what is compiled cannot be watched from inside.
        numbers = compiled_in_turns([*options, "--resolution", str(resolution)], o.phase == "joint", o.rounds)
    else:
        numbers = measure([*options, "--resolution", str(resolution)], o.phase == "joint", o.steps, o.rounds)
    put_json(o.json, numbers, option="--json")
    return numbers


if __name__ == "__main__":
    main()
