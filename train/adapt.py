"""Take a trained generator to a new look from one to a few pictures, and ask the same classifier about it.

    python train/adapt.py --model checkpoints/leaves --data PICTURES --name autumn --output runs/leaves-autumn

`stylespace` learns one change of the style coordinates, for looks that are near; `affine+` and `affinelight+` train
the affine layers and the kernels of one block against the discriminator, for looks that are far. The generator itself
is not changed: the look is written to domains/NAME.safetensors of the output, a copy of the model.
"""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from tqdm import tqdm

from stylex import Discriminator, ModelError, StylEx, losses
from stylex.attfind.effects import Attribute
from stylex.methods.domain import Adapter, Domain, Mode, check_name
from stylex.methods.records import MethodError
from stylex.networks.eye import EfficientNetLite0
from stylex.networks.generator import Generator
from stylex.pictures.images import list_images, to_pil, to_tensor
from stylex.pictures.render import grid
from stylex.stylespace import move
from train.engine.augment import jitter, zoom
from train.engine.device import device
from train.options.command import check_numbers, parse

# Published rates: of one change of s (JoJoGAN's recipe), and of the two that train against a discriminator.
RATES: dict[str, float] = {"stylespace": 0.05, "affine+": 0.02, "affinelight+": 0.02}
R1_WEIGHT, R1_EVERY = 5.0, 4
KEPT = (1.0, 0.5, 0.2, 0.1, 0.05)
AMOUNTS = (0.0, 0.5, 1.0)
ASKED = 16


@dataclass
class Options:
    """What to learn.

    Args:
        model: model folder or Hub repository, with its discriminator for affine+ and affinelight+.
        data: a picture of the new look, or a folder of a few.
        name: what the look is called.
        output: model folder that gets the look; the model's own if it is one.
        mode: stylespace, affine+ or affinelight+.
        steps: of Adam.
        batch_size: pictures a step.
        learning_rate: of Adam; left out, 0.05 for stylespace and 0.02 for the others, as published.
        l1_weight: stylespace: of the pixels of a reconstruction of the references.
        eye_weight: stylespace: of what a trained eye sees of them.
        look_weight: stylespace: of the colours and textures of random pictures beside the references'.
        keep_weight: stylespace: of where random pictures have light and dark, which is to stay.
        seed: of everything.
    """

    model: str
    data: str
    name: str
    output: str | None = None
    mode: Mode = "stylespace"
    steps: int = 250
    batch_size: int = 4
    learning_rate: float | None = None
    l1_weight: float = 1.0
    eye_weight: float = 1.0
    look_weight: float = 3.0
    keep_weight: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_name(self.name)
        check_numbers(self, ("steps", "batch_size"), lambda value: value >= 1, "use 1 or more", MethodError)
        weights = ("l1_weight", "eye_weight", "look_weight", "keep_weight")
        check_numbers(self, weights, lambda value: 0 <= value < math.inf, "use 0 or more", MethodError)
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise MethodError(f"learning_rate is {self.learning_rate}; use a number above 0")


def read_references(data: str, resolution: int) -> Tensor:
    """The pictures of the new look, [R, 3, H, W].

    Raises:
        MethodError: if there is none.
    """
    found = list_images(data) if Path(data).is_dir() else [Path(data)]
    if not found:
        raise MethodError(f"{data} has no picture of the new look; put one to a few into it")
    return to_tensor(found, resolution)


def adapted(generator: Generator, adapter: Adapter, latent: Tensor) -> Tensor:
    """Pictures of latents [N, L] by the generator with the adapter's differences, with a gradient to them."""
    differences = adapter.differences()
    if adapter.mode == "stylespace":
        s = generator.styles(latent)
        change = F.pad(differences["s"], (0, s.shape[1] - len(differences["s"])))
        return generator.synthesis(s + change, noise="const").clamp(-1, 1)
    own = dict(generator.named_parameters())
    changed = {name: own[name].detach() + value for name, value in differences.items()}
    return functional_call(generator, changed, (latent,), {"noise": "const"}).clamp(-1, 1)


def random_latents(model: StylEx, count: int, seed: int) -> Tensor:
    """Latents [count, L] of random pictures of random classes."""
    if model.mapping is None:
        raise ModelError("this model has no mapping network, so it cannot draw random pictures to adapt")
    rule = torch.Generator().manual_seed(seed)
    z = torch.randn(count, model.config.z_dim, generator=rule).to(model.device)
    classes = torch.randint(model.config.num_classes, (count,), generator=rule)
    probs = F.one_hot(classes, model.config.num_classes).float().to(model.device)
    with torch.no_grad():
        return torch.cat([model.mapping(z), probs], dim=1)


def look_of(features: list[Tensor]) -> list[Tensor]:
    """Mean and spread of each channel over positions: what a picture is made of, not where."""
    return [torch.cat([f.mean(dim=(2, 3)), f.std(dim=(2, 3))], dim=1) for f in features]


def one_shot(model: StylEx, x: Tensor, adapter: Adapter, o: Options) -> Iterator[tuple[Tensor, dict[str, float]]]:
    """The loss of each step of `stylespace`.

    References are met by their own reconstruction, and random pictures take on their colours and textures, in the eye's
    features and the discriminator's, while their light and dark stay in place.
    """
    eye = EfficientNetLite0().to(model.device)
    trunk = model.discriminator.trunk if isinstance(model.discriminator, Discriminator) else None

    def features(pictures: Tensor) -> list[Tensor]:
        return [*eye(pictures)[:3], *([trunk(pictures)] if trunk is not None else [])]

    latent = model.encode(x)
    with torch.no_grad():
        seen, wanted = eye(x), [f.mean(dim=0) for f in look_of(features(x))]
    for step in range(o.steps):
        row = torch.randint(len(x), (1,), generator=torch.Generator().manual_seed(o.seed * 7919 + step))
        drawn = random_latents(model, max(1, o.batch_size - 1), o.seed * 100_003 + step)
        pictures = adapted(model.generator, adapter, torch.cat([latent[row], drawn]))
        own, others = pictures[:1], pictures[1:]
        with torch.no_grad():
            before = model.synthesize(model.styles(drawn))
        parts = {
            "l1": o.l1_weight * losses.l1(own, x[row]).mean(),
            "eye": o.eye_weight * losses.perceptual(eye(own), [f[row] for f in seen]).mean(),
            "look": o.look_weight
            * torch.stack(
                [(a - b).abs().mean() for a, b in zip(look_of(features(others)), wanted, strict=True)]
            ).mean(),
            "keep": o.keep_weight * (standard(others) - standard(before)).abs().mean(),
        }
        yield torch.stack(list(parts.values())).sum(), {k: float(v.detach()) for k, v in parts.items()}


def standard(x: Tensor) -> Tensor:
    """Light and dark of each picture, whatever its colours, brightness and contrast: [N, H, W]."""
    grey = x.mean(dim=1)
    return (grey - grey.mean(dim=(1, 2), keepdim=True)) / grey.std(dim=(1, 2), keepdim=True).clamp(min=1e-3)


def few_shot(model: StylEx, x: Tensor, adapter: Adapter, o: Options) -> Iterator[tuple[Tensor, dict[str, float]]]:
    """The loss of each step of the two other modes: the game of the training, with the references as the real pictures
    and a discriminator that goes on from where it was. Real and generated are moved, turned and recoloured alike."""
    if not isinstance(model.discriminator, Discriminator):
        raise ModelError(
            f"{o.mode} trains against the model's own discriminator, and this model has none; use stylespace"
        )
    judge = copy.deepcopy(model.discriminator).requires_grad_(True)
    optimiser = torch.optim.Adam(judge.parameters(), lr=0.002, betas=(0.0, 0.99))
    probs = model.classify(x)

    def view(pictures: Tensor) -> Tensor:
        return jitter(zoom(pictures, 0.15, 8.0, 0.08), 0.1, 0.1, 0.1, 0.0)

    for step in range(o.steps):
        rows = torch.randint(len(x), (o.batch_size,), generator=torch.Generator().manual_seed(o.seed * 7919 + step))
        latent = random_latents(model, o.batch_size, o.seed * 100_003 + step)
        fake = adapted(model.generator, adapter, latent)
        fake_probs = latent[:, -model.config.num_classes :]
        real = view(x[rows]).detach().requires_grad_(step % R1_EVERY == 0)
        real_scores = judge(real, probs[rows])
        loss = losses.discriminator_logistic(real_scores, judge(view(fake.detach()), fake_probs))
        if step % R1_EVERY == 0:
            loss = loss + R1_WEIGHT / 2 * R1_EVERY * losses.r1(real_scores, real)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        judge.requires_grad_(False)
        game = losses.generator_nonsaturating(judge(view(fake), fake_probs))
        yield game, {"discriminator": float(loss.detach()), "generator": float(game.detach())}
        judge.requires_grad_(True)


def learn(model: StylEx, x: Tensor, o: Options) -> tuple[Domain, list[dict[str, float]]]:
    """The look of references x [R, 3, H, W], and the losses on the way."""
    torch.manual_seed(o.seed)
    adapter = Adapter(model.generator, o.mode, seed=o.seed).to(model.device)
    rate = o.learning_rate or RATES[o.mode]
    optimiser = torch.optim.Adam(adapter.parameters(), lr=rate, betas=(0.9 if o.mode == "stylespace" else 0.0, 0.999))
    told = []
    game = one_shot if o.mode == "stylespace" else few_shot
    for loss, parts in tqdm(game(model, x, adapter, o), total=o.steps, desc=o.name):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        told.append(parts)
    found = {"steps": o.steps, "references": len(x), "loss": json.dumps(told[-1])}
    return Domain.of(o.name, adapter, model.generator, **found), told


@torch.no_grad()
def still_deciding(model: StylEx, domain: Domain, count: int = ASKED, shown: int = 10) -> list[dict[str, Any]]:
    """The mean effect of each class-level attribute on the target's logit, in the old look and in the new one.

    On random pictures that were drawn as another class; what the classifier still looks at keeps its effect.
    """
    if model.stats is None or not model.attributes:
        return []
    after = copy.copy(model)
    after.generator = domain.apply(model.generator)
    latents = random_latents(model, count, seed=1)
    drawn_as = latents[:, -model.config.num_classes :].argmax(dim=1)

    def effect(of: StylEx, a: Attribute) -> float:
        assert of.stats is not None
        target = of.class_names.index(a.target)
        others = latents[drawn_as != target]
        s, old = of.styles(others), model.styles(others)
        # The range belongs to the old look; a change of s moves a coordinate and its range alike.
        moved = s + (move(old, a.index, a.direction, of.stats) - old)
        return float((of.logits_of(moved) - of.logits_of(s))[:, target].mean())

    return [
        {
            "attribute": f"{a.layer} {a.channel}",
            "target": a.target,
            "before": effect(model, a),
            "after": effect(after, a),
        }
        for a in model.attributes[:shown]
    ]


@torch.no_grad()
def left_after_pruning(model: StylEx, domain: Domain) -> list[dict[str, float]]:
    """How much of the look is left when only the largest changes are kept.

    1 - the distance to the whole look as a share of that look's distance from before, in pixels of random pictures.
    """
    if domain.mode != "stylespace":
        return []
    s = model.styles(random_latents(model, ASKED, seed=2))
    size = s.shape[1]
    before, whole = model.synthesize(s), model.synthesize(domain.edit(size).apply(s))
    far = float((whole - before).abs().mean())
    rows = []
    for share in KEPT:
        kept = model.synthesize(domain.pruned(share).edit(size).apply(s))
        rows.append({"kept": share, "left": 1 - float((whole - kept).abs().mean()) / max(far, 1e-9)})
    return rows


@torch.no_grad()
def sheet(model: StylEx, domain: Domain, x: Tensor, path: Path) -> None:
    """The references, and random pictures with none, half and all of the look."""
    latents = random_latents(model, 6, seed=3)
    rows: list[list[Any]] = [[to_pil(picture) for picture in x[:6]]]
    for amount in AMOUNTS:
        generator = domain.apply(model.generator, amount)
        rows.append([to_pil(p) for p in generator(latents, noise="const").clamp(-1, 1)])
    grid(rows, row_titles=["the look", *(f"{amount:.0%} of it" for amount in AMOUNTS)]).save(path)


def main(args: list[str] | None = None) -> dict[str, Any]:
    o = parse(Options, "Take a trained generator to a new look from one to a few pictures.", args)
    model = StylEx.from_pretrained(o.model, device=device())
    x = read_references(o.data, model.resolution).to(model.device)
    if o.output is None and not Path(o.model).is_dir():
        raise MethodError(f"{o.model} is a repository, so say where the look goes: --output FOLDER")
    folder = Path(o.output or o.model)
    start, cpu = time.perf_counter(), time.process_time()
    domain, told = learn(model, x, o)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    if o.output is not None and not (folder / "config.json").is_file():
        model.save_pretrained(folder)
    path = domain.save(folder)
    sheet(model, domain, x, path.with_suffix(".png"))
    numbers = {
        "name": o.name,
        "mode": o.mode,
        "numbers_learned": sum(value.numel() for value in domain.differences.values()),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "first_loss": told[0],
        "last_loss": told[-1],
        "pruned": left_after_pruning(model, domain),
        "attributes": still_deciding(model, domain),
    }
    print(json.dumps(numbers, indent=2))
    print(f"written to {path}")
    return numbers


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:  # ImageError, ModelError and MethodError are ValueErrors
        sys.exit(f"error: {error}")
