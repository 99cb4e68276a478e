"""The model: encoder + generator + classifier (+ mapping and discriminator, which explanations do not need)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import __version__
from .attfind import REST, Attribute, Edits, EditsOf
from .classifier import Classifier, load_classifier, save_classifier
from .config import ConfigError, ModelConfig
from .discriminator import Discriminator
from .edits import SingleEdits
from .encoder import Encoder
from .generator import Generator, Mapping
from .hub import ModelError, fetch, load_tensors, load_weights, read_json, save_tensors, save_weights
from .images import ImageSource, to_tensor
from .metrics import changed_share
from .stylespace import StyleSpace, StyleStats

if TYPE_CHECKING:
    from .explain import Explanation, Strategy

FORMAT_VERSION = 1
COMPONENTS: dict[str, type[nn.Module]] = {
    "generator": Generator,
    "encoder": Encoder,
    "mapping": Mapping,
    "discriminator": Discriminator,
}
OPTIONAL = ("mapping", "discriminator")


class StylEx:
    """Explains what an image classifier looks at.

    Mapping and discriminator are there to draw random pictures and to train on; `judge` is a second classifier that
    the metrics ask. An explanation needs none of them.

    x [N, 3, R, R] in [-1, 1] -> `encode` -> latent [N, D+K] -> `styles` -> s [N, S] -> `synthesize` -> x_rec, and
    `classify` for the probabilities of either picture. Nothing here changes a weight.
    """

    def __init__(
        self,
        config: ModelConfig,
        classifier: Classifier,
        *,
        generator: Generator | None = None,
        encoder: Encoder | None = None,
        mapping: Mapping | None = None,
        discriminator: Discriminator | None = None,
        judge: Classifier | None = None,
        stats: StyleStats | None = None,
        attributes: Iterable[Attribute] = (),
        card: str | None = None,
    ) -> None:
        if len(classifier.class_names) != config.num_classes:
            raise ConfigError(
                f"the classifier names {len(classifier.class_names)} classes ({', '.join(classifier.class_names)}), "
                f"the configuration has num_classes {config.num_classes}; they must agree"
            )
        self.config = config
        self.classifier = classifier
        self.generator = generator or Generator(config)
        self.encoder = encoder or Encoder(config)
        self.mapping = mapping
        self.discriminator = discriminator
        self.judge = judge
        self.stats = stats
        self.attributes = list(attributes)
        self.card = card
        self.device = torch.device("cpu")
        for module in self.modules():
            module.eval().requires_grad_(False)

    # The picture, one method an arrow.

    @property
    def class_names(self) -> list[str]:
        return self.classifier.class_names

    @property
    def resolution(self) -> int:
        return self.config.resolution

    @property
    def space(self) -> StyleSpace:
        return self.generator.space

    def load_images(self, images: Iterable[ImageSource]) -> Tensor:
        """Paths, bytes or PIL pictures -> x [N, 3, R, R] in [-1, 1]; see `images.load_image` for what is handled."""
        return to_tensor(images, self.resolution).to(self.device)

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """x [N, 3, H, W] in [-1, 1] -> the classifier's logits [N, K]."""
        return self.classifier(x)

    def classify(self, x: Tensor) -> Tensor:
        """x [N, 3, H, W] in [-1, 1] -> probabilities [N, K]."""
        return self.logits(x).softmax(dim=1)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """x [N, 3, R, R] -> latent [N, D+K] = w ⊕ probs."""
        return torch.cat([self.encoder(x), self.classify(x)], dim=1)

    @torch.no_grad()
    def styles(self, latent: Tensor) -> Tensor:
        """latent [N, D+K] -> style coordinates s [N, S]."""
        return self.generator.styles(latent)

    @torch.no_grad()
    def synthesize(self, s: Tensor) -> Tensor:
        """s [N, S] -> x_rec [N, 3, R, R], clamped to [-1, 1]. A pure function: the noise is constant."""
        return self.generator.synthesis(s, noise="const").clamp(-1, 1)

    def logits_of(self, s: Tensor) -> Tensor:
        """What the classifier says of the picture of s: [N, S] -> logits [N, K]."""
        return self.logits(self.synthesize(s))

    def edits_of(self, batch_size: int = 16, visible: bool = False) -> EditsOf:
        """What AttFind asks: the logits of a picture with one style coordinate changed, for many coordinates at once.

        s [1, S] -> (index [B], value [B]) -> [B, K], the same as `logits_of` for a fraction of the work; see `edits`.

        Args:
            batch_size: how many changed copies go through the generator at once.
            visible: one more column: the share of pixels in which a person sees the change (`metrics.changed_share`).
        """
        single = SingleEdits(self.generator.synthesis)

        def of(s: Tensor) -> Edits:
            pictures, before = single(s), self.synthesize(s)

            def edits(index: Tensor, value: Tensor) -> Tensor:
                seen = torch.empty(len(index), self.config.num_classes + visible, device=s.device)
                for part in single.batches(index, batch_size):
                    x = pictures(index[part], value[part]).clamp(-1, 1)
                    seen[part, : self.config.num_classes] = self.logits(x)
                    if visible:
                        seen[part, -1] = changed_share(before, x)
                return seen

            return edits

        return of

    @torch.no_grad()
    def sample(self, probs: Tensor, seed: int = 0) -> Tensor:
        """Random style coordinates [N, S] of pictures that the classifier should see as `probs` [N, K].

        Raises:
            ModelError: if the model was saved without its mapping network.
        """
        if self.mapping is None:
            raise ModelError("this model has no mapping network, so it cannot draw random pictures")
        z = torch.randn(len(probs), self.config.z_dim, generator=torch.Generator().manual_seed(seed)).to(self.device)
        return self.styles(torch.cat([self.mapping(z), probs.to(self.device)], dim=1))

    def explain(
        self,
        image: ImageSource,
        target: str | int | None = None,
        top_k: int = 5,
        strategy: Strategy = "independent",
        shift: float = 1.0,
    ) -> Explanation:
        """Why does the classifier not see `target` here, and what would change its mind? See `explain.explain`."""
        from .explain import explain

        return explain(self, image, target=target, top_k=top_k, strategy=strategy, shift=shift)

    # Files.

    def modules(self) -> list[nn.Module]:
        parts: list[nn.Module | None] = [self.generator, self.encoder, self.mapping, self.discriminator]
        parts += [self.classifier, self.judge]
        return [m for m in parts if m is not None]

    def to(self, device: str | torch.device) -> StylEx:
        self.device = torch.device(device)
        for module in self.modules():
            module.to(self.device)
        return self

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        device: str | torch.device = "cpu",
        token: str | None = None,
    ) -> StylEx:
        """Load a model from a folder or from the Hub.

        Args:
            source: a folder, or a repository such as "someone/stylex-leaves".
            revision: branch, tag or commit of the repository.

        Raises:
            ModelError: naming the file, the key and the way out.
        """
        folder = fetch(source, revision=revision, token=token)
        values = read_json(folder / "config.json")
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise ModelError(
                f"{folder / 'config.json'}: format version {version!r}; this stylex reads {FORMAT_VERSION}. "
                "A newer model needs a newer stylex: pip install --upgrade stylex-pytorch"
            )
        if not isinstance(values.get("model"), dict):
            raise ModelError(f"{folder / 'config.json'}: key model is missing; it holds the shapes of the networks")
        try:
            config = ModelConfig.from_dict(values["model"])
        except ConfigError as error:
            raise ModelError(f"{folder / 'config.json'}: {error}") from None
        classifier = load_classifier(folder / "classifier")
        if len(classifier.class_names) != config.num_classes:
            raise ModelError(
                f"{folder / 'config.json'}: num_classes is {config.num_classes}, but classifier/config.json names "
                f"{len(classifier.class_names)} classes: {', '.join(classifier.class_names)}"
            )
        parts: dict[str, Any] = {}
        for name, kind in COMPONENTS.items():
            if name in OPTIONAL and not (folder / name).is_dir():
                continue
            with torch.device("meta"):  # shapes first: memory is taken only for a file that fits
                module = kind(config)
            load_weights(module, folder / name / "model.safetensors")
            parts[name] = module.to(memory_format=torch.channels_last)
        space = parts["generator"].space
        card = folder / "README.md"
        return cls(
            config,
            classifier,
            **parts,
            judge=load_classifier(folder / "judge") if (folder / "judge").is_dir() else None,
            stats=_read_stats(folder / "style_stats.safetensors", space),
            attributes=_read_attributes(folder / "attributes.json", space, classifier.class_names),
            card=card.read_text(encoding="utf-8") if card.is_file() else None,
        ).to(device)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the folder that `from_pretrained` reads. A README.md is left as it is unless `card` is set."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_classifier(self.classifier, folder / "classifier")
        if self.judge is not None:
            save_classifier(self.judge, folder / "judge")
        for name in COMPONENTS:
            module = getattr(self, name)
            if module is not None:
                save_weights(module, folder / name / "model.safetensors")
                _write_json(folder / name / "config.json", {"class": type(module).__name__, **self.config.to_dict()})
        if self.stats is not None:
            fields = {f.name: getattr(self.stats, f.name) for f in dataclasses.fields(StyleStats)}
            fields["count"] = torch.tensor(self.stats.count)
            save_tensors(fields, folder / "style_stats.safetensors")
        _write_json(folder / "attributes.json", {"attributes": [a.to_dict() for a in self.attributes]})
        if self.card is not None:
            (folder / "README.md").write_text(self.card, encoding="utf-8")
        # Last, so that a folder with a config.json is a whole one.
        _write_json(
            folder / "config.json",
            {
                "format_version": FORMAT_VERSION,
                "model": self.config.to_dict(),
                "class_names": self.class_names,
                "value_range": [-1, 1],
                "components": [n for n in COMPONENTS if getattr(self, n) is not None] + ["classifier"],
                "versions": {"stylex": __version__, "torch": torch.__version__.split("+")[0]},
            },
        )
        return folder

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, commit_message: str = "Upload StylEx", token: str | None = None
    ) -> str:
        """Upload as one commit to the Hub; returns the address of the commit."""
        from .hub import push

        return push(self.save_pretrained, repo_id, private=private, commit_message=commit_message, token=token)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_stats(path: Path, space: StyleSpace) -> StyleStats | None:
    if not path.exists():
        return None
    tensors = load_tensors(path)
    for name in ("s_min", "s_max", "s_mean", "s_std", "count"):
        if name not in tensors:
            raise ModelError(f"{path}: {name} is missing; run train/find_attributes.py again")
        needed = () if name == "count" else (space.size,)
        if tensors[name].shape != needed:
            raise ModelError(
                f"{path}: {name} has shape {list(tensors[name].shape)}; it must be {list(needed)}, this generator has "
                f"{space.size} coordinates"
            )
    return StyleStats(
        s_min=tensors["s_min"],
        s_max=tensors["s_max"],
        s_mean=tensors["s_mean"],
        s_std=tensors["s_std"],
        count=int(tensors["count"]),
    )


def _read_attributes(path: Path, space: StyleSpace, class_names: list[str]) -> list[Attribute]:
    if not path.exists():
        return []
    rows = read_json(path).get("attributes")
    if not isinstance(rows, list):
        raise ModelError(f"{path}: key attributes is missing; run train/find_attributes.py again")
    attributes = []
    for i, row in enumerate(rows):
        try:
            attribute = Attribute.from_dict(row)
            if space.locate(attribute.index) != (attribute.layer, attribute.channel):
                raise ValueError(
                    f"coordinate {attribute.index} is not {attribute.layer} {attribute.channel} in this generator"
                )
            for name in {attribute.source, attribute.target} - {REST}:
                if name not in class_names:
                    raise ValueError(f"class {name!r} is not one of {', '.join(class_names)}")
        except (ValueError, TypeError, IndexError) as error:
            raise ModelError(f"{path}: attribute {i}: {error}") from None
        attributes.append(attribute)
    return attributes
