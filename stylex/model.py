"""The model: encoder + generator + classifier (+ mapping and discriminator, which explanations do not need)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import __version__, networks
from .attfind.edits import SingleEdits
from .attfind.effects import REST, Attribute, Edits, EditsOf
from .attfind.screening import Certificate
from .classifiers.adopt import NOT_SHARED, Network, is_reference, load_reference, save_reference
from .classifiers.classifier import Classifier, load_classifier, save_classifier
from .metrics import changed_share
from .networks.component import Component
from .networks.config import ConfigError, ModelConfig
from .networks.encoder import Encoder
from .networks.generator import Generator, Mapping
from .pictures.images import ImageSource, to_tensor
from .storage.card import addressed, model_card
from .storage.files import (
    ModelError,
    is_sealed,
    load_tensors,
    read_json,
    read_text,
    save_tensors,
    write_json,
    write_text,
)
from .storage.hub import fetch, push
from .stylespace import StyleSpace, StyleStats

if TYPE_CHECKING:
    from .explain import Explanation, Strategy

# Version 1 did not list the judge among the components; it was there if its folder was. Version 2 knew neither places
# nor other discriminators.
FORMAT_VERSION = 3
CLASSIFIERS = ("classifier", "judge")
REQUIRED = ("generator", "encoder", "classifier")
# What a push takes away where the model no longer has it; samples and everything else in a repository stays.
OWN_FILES = ("style_stats.safetensors", *(f"{name}/*" for name in (*networks.NAMES, *CLASSIFIERS)))


class StylEx:
    """Explains what an image classifier looks at.

    Mapping and discriminator are there to draw random pictures and to train on; `judge` is a second classifier that
    the metrics ask. An explanation needs none of them. `certificate` says how much of an exhaustive search the one for
    the attributes kept, if it was screened and that was measured.

    x [N, 3, R, R] in [-1, 1] -> `encode` -> latent [N, D+T+K] -> `styles` -> s [N, S] -> `synthesize` -> x_rec, and
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
        discriminator: Component | None = None,
        judge: Classifier | None = None,
        stats: StyleStats | None = None,
        attributes: Iterable[Attribute] = (),
        certificate: Certificate | None = None,
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
        self.certificate = certificate
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
        """x [N, 3, R, R] -> latent [N, D+T+K] = w ⊕ probs, with places t between the two if the model has them."""
        return torch.cat([self.encoder(x), self.classify(x)], dim=1)

    @torch.no_grad()
    def styles(self, latent: Tensor) -> Tensor:
        """latent [N, D+T+K] -> style coordinates s [N, S]."""
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
        subfolder: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        device: str | torch.device = "cpu",
        local_files_only: bool = False,
        classifier: str | Network | None = None,
    ) -> StylEx:
        """Load a model from a folder or from the Hub.

        Args:
            source: a folder, or a repository such as "someone/stylex-leaves".
            revision: branch, tag or commit of the repository; pin one where nothing may change under you.
            subfolder, token, cache_dir, local_files_only: see `hub.fetch`.
            classifier: the classifier of a model that could not be saved with it: the network, or the name of a program
                that makes it, which is run; see `adopt.network_of`. Other models bring theirs.

        Raises:
            ModelError: naming the file, the key and the way out.
        """
        folder = fetch(
            source,
            revision=revision,
            subfolder=subfolder,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        path = folder / "config.json"
        config, components = _read_config(path)
        parts: dict[str, Any] = {}
        for name in (n for n in CLASSIFIERS if n in components):
            if name == "classifier" and is_reference(folder / name):
                parts[name] = load_reference(folder / name, classifier)
            else:
                parts[name] = load_classifier(folder / name)
            if len(names := parts[name].class_names) != config.num_classes:
                raise ModelError(
                    f"{path}: num_classes is {config.num_classes}, but {name}/config.json names "
                    f"{len(names)} classes: {', '.join(names)}"
                )
        if classifier is not None and parts["classifier"].portable:
            raise ModelError(f"{folder} holds its own classifier; leave the other one out")
        for name, kind in networks.kinds(config).items():
            if name in components:
                parts[name] = kind.from_file(config, folder / name / "model.safetensors")
        space = parts["generator"].space
        card = folder / "README.md"
        return cls(
            config,
            **parts,
            stats=_read_stats(folder / "style_stats.safetensors", space),
            attributes=read_attributes(folder / "attributes.json", space, parts["classifier"].class_names),
            certificate=_read_certificate(folder / "attributes.json"),
            card=read_text(card) if card.is_file() else None,
        ).to(device)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the folder that `from_pretrained` reads.

        Of a classifier that cannot be saved (a wrapped callable, TorchScript) it holds what is known of it and how it
        answers; `from_pretrained` has to be given the same one.

        A README.md is left as it is unless `card` is set; and one that somebody edited, unless `card` is edited, too.
        """
        folder = Path(folder)
        parts = {n: getattr(self, n) for n in (*networks.NAMES, *CLASSIFIERS) if getattr(self, n) is not None}
        for name, part in parts.items():
            if name == "classifier" and not part.portable:
                save_reference(part, folder / name)
            elif name in CLASSIFIERS:
                save_classifier(part, folder / name)
            else:
                part.save_pretrained(folder / name)
        if self.stats is not None:
            fields = {f.name: getattr(self.stats, f.name) for f in dataclasses.fields(StyleStats)}
            fields["count"] = torch.tensor(self.stats.count)
            save_tensors(fields, folder / "style_stats.safetensors")
        else:  # of the weights that were here before
            (folder / "style_stats.safetensors").unlink(missing_ok=True)
        found: dict[str, Any] = {"attributes": [a.to_dict() for a in self.attributes]}
        if self.certificate is not None:
            found["certificate"] = self.certificate.to_dict()
        write_json(folder / "attributes.json", found)
        card = folder / "README.md"
        if self.card is not None and not (is_sealed(self.card) and card.is_file() and not is_sealed(read_text(card))):
            write_text(card, self.card)
        # Last, so that a folder with a config.json is a whole one.
        write_json(
            folder / "config.json",
            {
                "format_version": FORMAT_VERSION,
                "model": self.config.to_dict(),
                "class_names": self.class_names,
                "value_range": [-1, 1],
                "components": list(parts),
                "versions": {"stylex": __version__, "torch": torch.__version__.split("+")[0]},
            },
        )
        return folder

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        commit_message: str = "Upload StylEx",
        create_pr: bool = False,
        tag: str | None = None,
        token: str | None = None,
    ) -> str:
        """Upload as one commit, with a card if the model has none; see `hub.push` for the arguments.

        Returns:
            The address of the commit or pull request.

        Raises:
            HubError: one sentence with the way out. The repository is then as it was.
            ModelError: if the classifier cannot be saved.
        """
        if not self.classifier.portable:
            raise ModelError(NOT_SHARED)
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            card = addressed(self.card, repo_id) if self.card is not None else model_card(self, repo_id)
            write_text(Path(folder) / "README.md", card)
            return push(
                Path(folder),
                repo_id,
                private=private,
                commit_message=commit_message,
                create_pr=create_pr,
                tag=tag,
                token=token,
                remove=OWN_FILES,
            )


def _read_config(path: Path) -> tuple[ModelConfig, list[str]]:
    """The shapes and the names of the components that the config.json of a model names."""
    values = read_json(path)
    version = values.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise ModelError(
            f"{path}: format version {version!r}; this stylex reads 1 to {FORMAT_VERSION}. "
            "A newer model needs a newer stylex: pip install --upgrade stylex-pytorch"
        )
    if not isinstance(values.get("model"), dict):
        raise ModelError(f"{path}: key model is missing; it holds the shapes of the networks")
    try:
        config = ModelConfig.from_dict(values["model"])
    except ConfigError as error:
        raise ModelError(f"{path}: {error}") from None
    known = (*networks.NAMES, *CLASSIFIERS)
    components = values.get("components")
    if version == 1:
        components = [name for name in known if name in REQUIRED or (path.parent / name).is_dir()]
    if not isinstance(components, list) or not all(isinstance(n, str) and n in known for n in components):
        raise ModelError(f"{path}: components is {components!r}; use a list of {', '.join(known)}")
    if missing := [name for name in REQUIRED if name not in components]:
        raise ModelError(f"{path}: {missing[0]} is not among the components; no model can do without it")
    return config, components


def _read_stats(path: Path, space: StyleSpace) -> StyleStats | None:
    if not path.exists():
        return None
    each = ("s_min", "s_max", "s_mean", "s_std")
    tensors = load_tensors(path, {**dict.fromkeys(each, (space.size,)), "count": ()}, "statistic")
    if tensors["count"].is_floating_point() or tensors["count"] < 1 or (tensors["s_min"] > tensors["s_max"]).any():
        raise ModelError(f"{path}: these are no statistics of pictures; run train/find_attributes.py again")
    return StyleStats(**{name: tensors[name] for name in each}, count=int(tensors["count"]))


def read_attributes(path: Path, space: StyleSpace, class_names: list[str]) -> list[Attribute]:
    """The attributes of a model folder; none if there is no such file.

    Raises:
        ModelError: naming the attribute and what is wrong with it.
    """
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


def _read_certificate(path: Path) -> Certificate | None:
    values = read_json(path).get("certificate") if path.exists() else None
    try:
        return None if values is None else Certificate.from_dict(values)
    except ValueError as error:
        raise ModelError(f"{path}: certificate: {error}; run train/find_attributes.py again") from None
