"""Take a trained generator to a new look from one to a few pictures, and ask the same classifier about it.

    python train/adapt.py --model checkpoints/leaves --data LOOK --name autumn --pictures PICTURES --output runs/autumn

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
from collections.abc import Callable, Iterator
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
from stylex.folder import claim_model
from stylex.methods.domain import Adapter, Domain, Mode, check_name, file_of
from stylex.methods.records import MethodError
from stylex.neighbours import UNLIKE
from stylex.networks.discriminator import ProjectedDiscriminator
from stylex.networks.eye import EfficientNetLite0
from stylex.networks.generator import Generator
from stylex.pictures.images import list_images, to_pil, to_tensor
from stylex.pictures.render import grid
from stylex.storage.files import fingerprint
from stylex.storage.outputs import claim, filling
from stylex.stylespace import move, outside
from train.data.pictures import load_pictures, to_float
from train.engine.adversarial import Adversary, OwnNetwork, SharedEye, r1
from train.engine.clip import APART, Clip, apart, direction
from train.engine.device import device
from train.options.command import check_numbers, parse

# Published rates: of one change of s (JoJoGAN's recipe), and of the two that train against a discriminator.
RATES: dict[str, float] = {"stylespace": 0.05, "affine+": 0.02, "affinelight+": 0.02}
# Against a discriminator that looks through a trained eye the published rate of the two ends in a white square.
RATE_BEFORE_AN_EYE = 0.004
R1_WEIGHT, R1_EVERY = 5.0, 4
# The discriminator's rate; of one that looks through a trained eye, a part of it, as in training.
DISCRIMINATOR_RATE, PROJECTED_MUL = 0.002, 0.25
CHANGED = 0.8  # share of its pictures that are changed in each way: the references are few
OLD = 256  # pictures of the old look, where they are given
KEPT = (1.0, 0.5, 0.2, 0.1, 0.05)
AMOUNTS = (0.0, 0.5, 1.0)
ASKED = 16


# (count, seed) -> latents [count, L] of pictures of the old look.
Draw = Callable[[int, int], Tensor]


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
        learning_rate: of Adam; left out, 0.05 for stylespace and 0.02 for the others, as published; 0.004 for these
            if the model's discriminator is a projected one.
        l1_weight: stylespace: of the pixels of a reconstruction of the references.
        eye_weight: stylespace: of what a trained eye sees of them.
        look_weight: stylespace: of the colours and textures of random pictures beside the references'.
        keep_weight: stylespace: of where random pictures have light and dark, which is to stay.
        clip: stylespace: a folder of transformers' CLIP, or its name on the Hub, if you have one; random pictures then
            also change as CLIP says that the references differ from the old look. Needs transformers.
        clip_weight: of that.
        pictures: pictures of the old look, see train/train.py, for a model that draws no random ones, or no good ones.
        seed: of everything.
        classifier: the classifier again, if it is a TorchScript file or a function: a model does not hold such a one.
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
    clip: str | None = None
    clip_weight: float = 1.0
    pictures: str | None = None
    seed: int = 0
    classifier: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_numbers(self, ("steps", "batch_size"), lambda value: value >= 1, "use 1 or more", MethodError)
        weights = ("l1_weight", "eye_weight", "look_weight", "keep_weight", "clip_weight")
        check_numbers(self, weights, lambda value: 0 <= value < math.inf, "use 0 or more", MethodError)
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise MethodError(f"learning_rate is {self.learning_rate}; use a number above 0")
        if self.clip is not None and self.mode != "stylespace":
            raise MethodError(f"clip is a loss of stylespace, not of {self.mode}; leave it out")


def read_references(data: str, resolution: int, mode: Mode = "stylespace") -> Tensor:
    """The pictures of the new look, [R, 3, H, W].

    Raises:
        MethodError: if there is none, or one where the mode needs two.
    """
    found = list_images(data) if Path(data).is_dir() else [Path(data)]
    if not found:
        raise MethodError(f"{data} has no picture of the new look; put one to a few into it")
    if len(found) == 1 and mode != "stylespace":
        raise MethodError(
            f"{data} is one picture, and a discriminator that {mode} trains against would know it by heart; give two "
            "or more, or use stylespace"
        )
    return to_tensor(found, resolution)


def check_generator(model: StylEx, folder: Path) -> None:
    """Refuse to put a look of one generator beside another.

    Raises:
        MethodError: if the model in `folder` has other weights.
    """
    there = Generator.from_pretrained(folder, subfolder="generator")
    ours, theirs = fingerprint([model.generator]), fingerprint([there])
    if ours != theirs:
        raise MethodError(
            f"{folder} holds a model with the generator {theirs}, and the look would be of the generator {ours}; "
            "choose another --output"
        )


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


def drawer(model: StylEx, pictures: str | None = None) -> Draw:
    """Latents [count, L] of pictures of the old look, from (count, seed): random ones of random classes, or, of a model
    that draws none, those of given pictures.

    Raises:
        ModelError: if the model draws none and none are given.
        MethodError: if those that it draws are not like the training pictures.
    """
    classes = model.config.num_classes
    if pictures is not None:
        own = load_pictures(pictures, model.resolution, "train", model.class_names)
        rows = torch.randperm(len(own), generator=torch.Generator().manual_seed(0))[:OLD]
        x = to_float(own.x[rows]).to(model.device)
        known = torch.cat([model.encode(part) for part in x.split(16)])
        return lambda count, seed: known[torch.randint(len(known), (count,), generator=_rule(seed))]
    if model.mapping is None:
        raise ModelError(
            "this model has no mapping network, so it cannot draw random pictures; give some of its old look with "
            "--pictures FOLDER"
        )

    @torch.no_grad()
    def draw(count: int, seed: int) -> Tensor:
        rule = _rule(seed)
        z = torch.randn(count, model.config.z_dim, generator=rule).to(model.device)
        probs = F.one_hot(torch.randint(classes, (count,), generator=rule), classes).float().to(model.device)
        assert model.mapping is not None
        return torch.cat([model.mapping(z), probs], dim=1)

    s, searched = model.styles(draw(ASKED, 0)), model.space.num_conv
    if model.stats is not None and (share := outside(s, model.stats, searched)) > UNLIKE:
        raise MethodError(
            f"the random pictures of this model are unlike those it was trained on ({share:.0%} of their style "
            "coordinates lie outside of the range of all of those); give some of its old look with --pictures FOLDER"
        )
    return draw


def _rule(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def look_of(features: list[Tensor]) -> list[Tensor]:
    """Mean and spread of each channel over positions: what a picture is made of, not where."""
    return [torch.cat([f.mean(dim=(2, 3)), f.std(dim=(2, 3))], dim=1) for f in features]


def one_shot(
    model: StylEx, x: Tensor, adapter: Adapter, draw: Draw, o: Options
) -> Iterator[tuple[Tensor, dict[str, float]]]:
    """The loss of each step of `stylespace`.

    References are met by their own reconstruction, and random pictures take on their colours and textures, in the eye's
    features and the discriminator's, while their light and dark stay in place. Whoever has a CLIP can ask it, too.
    """
    eye = EfficientNetLite0().to(model.device)
    clip = None if o.clip is None else Clip(o.clip).to(model.device)
    trunk = model.discriminator.trunk if isinstance(model.discriminator, Discriminator) else None

    def features(pictures: Tensor) -> list[Tensor]:
        return [*eye(pictures)[:3], *([trunk(pictures)] if trunk is not None else [])]

    latent = model.encode(x)
    with torch.no_grad():
        seen, wanted = eye(x), [f.mean(dim=0) for f in look_of(features(x))]
        if clip is not None:
            old = torch.cat([clip(model.synthesize(model.styles(draw(16, 4 + n)))) for n in range(2)])
            towards = clip(x).mean(dim=0) - old.mean(dim=0)
    for step in range(o.steps):
        row = torch.randint(len(x), (1,), generator=_rule(o.seed * 7919 + step))
        drawn = draw(max(1, o.batch_size - 1), o.seed * 100_003 + step)
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
        if clip is not None:
            was, now = clip(before), clip(others)
            parts["clip"] = o.clip_weight * (direction(was, now, towards) + APART * apart(was, now))
        yield torch.stack(list(parts.values())).sum(), {k: float(v.detach()) for k, v in parts.items()}


def standard(x: Tensor) -> Tensor:
    """Light and dark of each picture, whatever its colours, brightness and contrast: [N, H, W]."""
    grey = x.mean(dim=1)
    return (grey - grey.mean(dim=(1, 2), keepdim=True)) / grey.std(dim=(1, 2), keepdim=True).clamp(min=1e-3)


def few_shot(
    model: StylEx, x: Tensor, adapter: Adapter, draw: Draw, o: Options
) -> Iterator[tuple[Tensor, dict[str, float]]]:
    """The loss of each step of the two other modes: the game of the training, with the references as the real pictures
    and a discriminator that goes on from where it was. Real and generated are recoloured, moved and covered alike."""
    if model.discriminator is None:
        raise ModelError(
            f"{o.mode} trains against the model's own discriminator, and this model has none; use stylespace"
        )
    judge = copy.deepcopy(model.discriminator).requires_grad_(True).train()
    own = isinstance(judge, Discriminator)
    adversary: Adversary = OwnNetwork(judge) if own else SharedEye(judge, _eye_of(model), measures=False)
    rate = DISCRIMINATOR_RATE * (1 if own else PROJECTED_MUL)
    optimiser = torch.optim.Adam(judge.parameters(), lr=rate, betas=(0.0, 0.99))
    probs = model.classify(x)
    for step in range(o.steps):
        rows = torch.randint(len(x), (o.batch_size,), generator=_rule(o.seed * 7919 + step))
        latent = draw(o.batch_size, o.seed * 100_003 + step)
        fake = adapted(model.generator, adapter, latent)
        asked = latent[:, -model.config.num_classes :]
        adversary.look(x[rows], fake, CHANGED, 0.0)
        loss = adversary.judge(probs[rows], asked).loss
        if own and step % R1_EVERY == 0:
            loss = loss + R1_WEIGHT / 2 * R1_EVERY * r1(judge, x[rows], probs[rows], CHANGED)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        judge.requires_grad_(False)
        game = adversary.persuade(asked)
        yield game, {"discriminator": float(loss.detach()), "generator": float(game.detach())}
        judge.requires_grad_(True)


def _eye_of(model: StylEx) -> EfficientNetLite0:
    return EfficientNetLite0(ProjectedDiscriminator.SIDE).to(model.device)


def rate_of(model: StylEx, o: Options) -> float:
    if o.learning_rate is not None:
        return o.learning_rate
    before_an_eye = o.mode != "stylespace" and isinstance(model.discriminator, ProjectedDiscriminator)
    return RATE_BEFORE_AN_EYE if before_an_eye else RATES[o.mode]


def learn(model: StylEx, x: Tensor, draw: Draw, o: Options) -> tuple[Domain, list[dict[str, float]]]:
    """The look of references x [R, 3, H, W], and the losses on the way."""
    torch.manual_seed(o.seed)
    adapter = Adapter(model.generator, o.mode, seed=o.seed).to(model.device)
    optimiser = torch.optim.Adam(
        adapter.parameters(), lr=rate_of(model, o), betas=(0.9 if o.mode == "stylespace" else 0.0, 0.999)
    )
    told = []
    game = one_shot if o.mode == "stylespace" else few_shot
    for loss, parts in tqdm(game(model, x, adapter, draw, o), total=o.steps, desc=o.name):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        told.append(parts)
    found = {"steps": o.steps, "references": len(x), "loss": json.dumps(told[-1])}
    return Domain.of(o.name, adapter, model.generator, **found), told


@torch.no_grad()
def still_deciding(model: StylEx, domain: Domain, draw: Draw, shown: int = 10) -> list[dict[str, Any]]:
    """The mean effect of each class-level attribute on the target's logit, in the old look and in the new one.

    On pictures of the old look that are of another class; what the classifier still looks at keeps its effect.
    """
    if model.stats is None or not model.attributes:
        return []
    after = copy.copy(model)
    after.generator = domain.apply(model.generator)
    latents = draw(ASKED, 1)
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
def left_after_pruning(model: StylEx, domain: Domain, draw: Draw) -> list[dict[str, float]]:
    """How much of the look is left when only the largest changes are kept.

    1 - the distance to the whole look as a share of that look's distance from before, in pixels of random pictures.
    """
    if domain.mode != "stylespace":
        return []
    s = model.styles(draw(ASKED, 2))
    size = s.shape[1]
    before, whole = model.synthesize(s), model.synthesize(domain.edit(size).apply(s))
    far = float((whole - before).abs().mean())
    rows = []
    for share in KEPT:
        kept = model.synthesize(domain.pruned(share).edit(size).apply(s))
        rows.append({"kept": share, "left": 1 - float((whole - kept).abs().mean()) / max(far, 1e-9)})
    return rows


@torch.no_grad()
def sheet(model: StylEx, domain: Domain, x: Tensor, draw: Draw, path: Path) -> None:
    """The references, and random pictures with none, half and all of the look."""
    latents = draw(6, 3)
    rows: list[list[Any]] = [[to_pil(picture) for picture in x[:6]]]
    for amount in AMOUNTS:
        generator = domain.apply(model.generator, amount)
        rows.append([to_pil(p) for p in generator(latents, noise="const").clamp(-1, 1)])
    grid(rows, row_titles=["the look", *(f"{amount:.0%} of it" for amount in AMOUNTS)]).save(path)


def main(args: list[str] | None = None) -> dict[str, Any]:
    o = parse(Options, "Take a trained generator to a new look from one to a few pictures.", args)
    if o.output is None and not Path(o.model).is_dir():
        raise MethodError(f"{o.model} is a repository, so say where the look goes: --output FOLDER")
    folder = Path(o.output or o.model)
    files = [Path(file_of(o.name)), Path(file_of(o.name)).with_suffix(".png")]
    claim(folder, map(str, files), spare=[o.data])
    model = StylEx.from_pretrained(o.model, classifier=o.classifier, device=device())
    x = read_references(o.data, model.resolution, o.mode).to(model.device)
    new = not (folder / "config.json").is_file()
    if new:
        claim_model(folder, "--output")
    else:
        check_generator(model, folder)
    draw = drawer(model, o.pictures)
    start, cpu = time.perf_counter(), time.process_time()
    domain, told = learn(model, x, draw, o)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    if new:
        model.save_pretrained(folder)
    path = domain.save(folder)
    with filling(path.parent, spare=[o.data]) as aside:
        sheet(model, domain, x, draw, aside / f"{o.name}.png")
    numbers = {
        "name": o.name,
        "mode": o.mode,
        "numbers_learned": sum(value.numel() for value in domain.differences.values()),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "first_loss": told[0],
        "last_loss": told[-1],
        "pruned": left_after_pruning(model, domain, draw),
        "attributes": still_deciding(model, domain, draw),
    }
    print(json.dumps(numbers, indent=2))
    print(f"written to {path}")
    return numbers


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:  # ImageError, ModelError and MethodError are ValueErrors
        sys.exit(f"error: {error}")
