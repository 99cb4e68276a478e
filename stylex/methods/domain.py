"""A trained generator taken to a new look by few numbers (Alanov et al., "StyleDomain").

Three ways, from the fewest numbers to the most:

    stylespace     s' = s + Δ                 one change of the style coordinates, for looks that are near
    affinelight+   W' = W + B C,  k' = k + θ  a rank-5 change of each affine layer of w, and of the kernels of one block
    affine+        W', b' = W + Δ, b + β      the affine layers themselves and those kernels, for looks that are far

All of them are differences to the generator's weights, 0 at the start, so looks can be scaled, mixed, pruned, and taken
to a generator that was trained on. Nothing here knows how they are learned; `train/adapt.py` does that.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ..networks.generator import Generator
from ..storage.files import ModelError, fingerprint, load_tensors, read_shapes, save_tensors
from ..storage.outputs import claim
from .records import Edit, MethodError

Mode = Literal["stylespace", "affine+", "affinelight+"]
RANK = 5
# The block whose kernels the two dissimilar modes move: of 64 px, or of a quarter of a smaller picture.
BLOCK = 64


def block_of(resolution: int) -> int:
    return BLOCK if resolution > BLOCK else max(4, resolution // 4)


class Adapter(nn.Module):
    """The numbers that are learned, 0 where the generator is to stay what it is.

    Args:
        generator: its shapes count, its weights stay untouched.
        block: side of the block whose kernels move; None for `block_of`.
    """

    def __init__(self, generator: Generator, mode: Mode, block: int | None = None, seed: int = 0) -> None:
        super().__init__()
        if mode not in get_args(Mode):
            raise MethodError(f"mode is {mode!r}; use one of {', '.join(get_args(Mode))}")
        self.mode, space = mode, generator.space
        shapes = {name: tuple(p.shape) for name, p in generator.named_parameters()}
        self.layers = [layer for layer in space.layers if layer.start < space.num_styles]
        self.values = nn.ParameterDict()
        if mode == "stylespace":
            self.add("s", (space.num_styles,))
            return
        side = block or block_of(generator.config.resolution)
        level = side.bit_length() - 3
        kernels = [f"synthesis.layers.{n}.conv.weight" for n in (2 * level - 1, 2 * level) if n >= 0]
        for name in [*kernels, f"synthesis.to_rgb.{level}.conv.weight"]:
            if name not in shapes:
                raise MethodError(f"block is {side}; this generator has blocks from 4 to {generator.config.resolution}")
            self.add(name, (*shapes[name][:2], 1, 1))
        if mode == "affine+":
            for name in ("affine.w.weight", "affine.w.bias", "affine.class_weight"):
                self.add(name, shapes[name])
        else:
            rows = torch.randn(
                len(self.layers), RANK, generator.config.w_dim, generator=torch.Generator().manual_seed(seed)
            )
            self.values["low_c"] = nn.Parameter(rows / rows.norm(dim=2, keepdim=True))
            self.add("low_b", (space.num_styles, RANK))

    def add(self, name: str, shape: Sequence[int]) -> None:
        self.values[name.replace(".", "/")] = nn.Parameter(torch.zeros(*shape))

    def differences(self) -> dict[str, Tensor]:
        """Name of a weight of the generator -> what is added to it; "s" is the style coordinates themselves."""
        found = {key.replace("/", "."): value for key, value in self.values.items() if not key.startswith("low_")}
        if "low_b" in self.values:
            low_b, low_c = self.values["low_b"], self.values["low_c"]
            rows = [low_b[layer.slice] @ low_c[n] for n, layer in enumerate(self.layers)]
            found["affine.w.weight"] = torch.cat(rows)
        return found


@dataclass(frozen=True)
class Domain:
    """A look that a generator has been taken to.

    Attributes:
        name: what a reader calls it; also its file, domains/NAME.safetensors.
        mode: how.
        differences: name of a weight -> what is added to it; "s" [num_styles] is the style coordinates themselves.
        generator: fingerprint of the weights of the generator it is of.
        found: what else is known, numbers and texts.
    """

    name: str
    mode: Mode
    differences: Mapping[str, Tensor]
    generator: str
    found: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, adapter: Adapter, generator: Generator, **found: Any) -> Domain:
        """What an adapter has learned."""
        values = {k: v.detach().clone() for k, v in adapter.differences().items()}
        texts = {key: str(value) for key, value in found.items()}
        return cls(check_name(name), adapter.mode, values, fingerprint([generator]), texts)

    def edit(self, size: int) -> Edit:
        """The look as a change of the styles [size].

        Raises:
            MethodError: if it is no such change.
        """
        if self.mode != "stylespace":
            raise MethodError(
                f"the domain {self.name!r} changes weights ({self.mode}), so it is no change of s; use apply"
            )
        own = self.differences["s"]
        delta = torch.zeros(size)
        delta[: len(own)] = own.cpu()
        return Edit(delta, self.name, "stylespace", dict(self.found))

    def apply(self, generator: Generator, amount: float = 1.0, *, transfer: bool = False) -> Generator:
        """A copy of the generator with the look in its weights.

        A change of the style coordinates becomes one of the affine layers' bias, so the classifier, AttFind and every
        edit work with the copy as with any generator.

        Args:
            amount: 0 is none of it, 1 all of it, more is more.
            transfer: take it to another generator than its own, of the same shape: one that was trained on from it.

        Raises:
            MethodError: if the look is of another generator and `transfer` is not set, or the shapes differ.
        """
        if not transfer and fingerprint([generator]) != self.generator:
            raise MethodError(
                f"the domain {self.name!r} was learned with the generator {self.generator}, this one is "
                f"{fingerprint([generator])}; use it with its own model, or transfer it to one trained on from there"
            )
        made = copy.deepcopy(generator)
        weights = dict(made.named_parameters())
        with torch.no_grad():
            for name, value in self.differences.items():
                target = weights.get("affine.w.bias" if name == "s" else name)
                scale = 1 / made.affine.w.lr_mul if name == "s" else 1.0
                try:
                    if target is None:
                        raise RuntimeError("no such weight")
                    target.add_(amount * scale * value.to(target))
                except RuntimeError:
                    raise MethodError(
                        f"the domain {self.name!r} does not fit this generator: {name} has another shape there"
                    ) from None
        return made

    def scaled(self, amount: float) -> Domain:
        values = {name: amount * value for name, value in self.differences.items()}
        return Domain(self.name, self.mode, values, self.generator, self.found)

    def pruned(self, share: float) -> Domain:
        """Only the largest changes of the style coordinates.

        Args:
            share: how many of them are kept, above 0 and up to 1.

        Raises:
            MethodError: if `share` is another number, or the look is no change of s.
        """
        if not 0 < share <= 1:
            raise MethodError(f"share is {share}; keep more than 0 and up to 1 of the coordinates")
        self.edit(len(self.differences.get("s", ())))
        delta = self.differences["s"]
        kept = max(1, round(share * len(delta)))
        least = delta.abs().sort(descending=True).values[kept - 1]
        return Domain(
            self.name, self.mode, {"s": torch.where(delta.abs() >= least, delta, 0)}, self.generator, self.found
        )

    def save(self, folder: str | Path) -> Path:
        """Write domains/NAME.safetensors into a model folder.

        Raises:
            OutputError: if there is a file of this name that is not ours.
        """
        path = Path(folder) / file_of(self.name)
        claim(path.parent, [path.name], option="name")
        found = {f"found.{key}": value for key, value in self.found.items()}
        save_tensors(self.differences, path, {"mode": self.mode, "generator": self.generator, **found})
        return path


def mix(domains: Sequence[tuple[Domain, float]], name: str) -> Domain:
    """Several looks at once, each by its weight.

    Raises:
        MethodError: if there is none, or they are of different generators or modes.
    """
    if not domains:
        raise MethodError("there are no domains to mix; give at least one")
    first = domains[0][0]
    for domain, _ in domains:
        if (domain.generator, domain.mode) != (first.generator, first.mode):
            raise MethodError(
                f"{first.name!r} ({first.mode} of {first.generator}) and {domain.name!r} ({domain.mode} of "
                f"{domain.generator}) cannot be mixed; both have to be of one generator and one mode"
            )
    values = {key: torch.stack([w * d.differences[key] for d, w in domains]).sum(dim=0) for key in first.differences}
    made_of = " + ".join(f"{weight:g} {domain.name}" for domain, weight in domains)
    return Domain(check_name(name), first.mode, values, first.generator, {"mixed": made_of})


def file_of(name: str) -> str:
    """Where a model folder keeps a look."""
    return f"domains/{name}.safetensors"


def check_name(name: str) -> str:
    """A name that can be a file's.

    Raises:
        MethodError: if it cannot.
    """
    if not name or not all(c.isalnum() or c in "-_" for c in name) or len(name) > 64:
        raise MethodError(f"a domain cannot be called {name!r}; use up to 64 letters, digits, - and _")
    return name


def read_domain(path: str | Path, generator: Generator) -> Domain:
    """A domains/NAME.safetensors of a model folder.

    Raises:
        ModelError: if the file cannot be used; naming it and the way out.
    """
    path = Path(path)
    shapes = read_shapes(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    mode = metadata.get("mode")
    if mode not in get_args(Mode):
        raise ModelError(f"{path}: mode is {mode!r}; this is no domain that train/adapt.py wrote")
    expected: dict[str, tuple[int, ...]] = {}
    own = {name: tuple(p.shape) for name, p in generator.named_parameters()}
    for name, shape in shapes.items():
        if name == "s" and mode == "stylespace":
            expected[name] = (generator.space.num_styles,)
        elif name in own and mode != "stylespace":
            spread = len(shape) == 4 and shape == (*own[name][:2], 1, 1)
            expected[name] = shape if spread else own[name]
        else:
            raise ModelError(f"{path}: {name} is no weight of this model's generator; adapt it anew")
    if not expected:
        raise ModelError(f"{path}: it changes nothing; adapt it anew")
    found = {key.removeprefix("found."): value for key, value in metadata.items() if key.startswith("found.")}
    try:
        name = check_name(path.stem)
    except MethodError as error:
        raise ModelError(f"{path}: {error}") from None
    values = load_tensors(path, expected, "difference")
    return Domain(name, cast(Mode, mode), values, metadata.get("generator", ""), found)
