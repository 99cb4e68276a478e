"""The model: encoder + generator + classifier (+ mapping and discriminator, which explanations do not need)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Unpack

import torch
from torch import Tensor, nn

from .attfind.edits import SingleEdits, filled
from .attfind.effects import Attribute, Edits, EditsOf
from .attfind.screening import Certificate
from .classifiers.adopt import NOT_SHARED, Network
from .classifiers.classifier import Classifier
from .classifiers.stranger import Stranger
from .explain import explain
from .explanation import Explanation, Method, Strategy
from .folder import COMPONENTS, OWN_FILES, read_model, write_model
from .gradients import differentiable
from .methods.domain import Domain
from .methods.records import Map, MethodError
from .metrics import changed_share
from .neighbours import PROB, MapOf, Space, counterfactual_of, explain_by, map_of
from .networks.component import Component
from .networks.config import ConfigError, ModelConfig
from .networks.encoder import Encoder
from .networks.generator import Generator, Mapping
from .pictures.images import ImageSource, to_tensor
from .storage.card import Facts, addressed, model_card
from .storage.files import ModelError, write_text
from .storage.hub import Where, fetch, push
from .stylespace import StyleSpace, StyleStats


class StylEx:
    """Explains what an image classifier looks at.

    Mapping and discriminator are there to draw random pictures and to train on; `judge` is a second classifier that
    the metrics ask, and `stranger` a third with other eyes. An explanation needs none of them. `certificate` says how
    much of an exhaustive search the one for the attributes kept, if it was screened and that was measured. `domains`
    are looks that the generator has been taken to. `samples` are pictures that lie beside the model it was read from;
    methods that learn from many pictures take them where it draws no good random ones.

    x [N, 3, R, R] in [-1, 1] -> `encode` -> latent [N, D+T+K] -> `styles` -> s [N, S] -> `synthesize` -> x_rec, and
    `classify` for the probabilities of either picture. Nothing here changes a weight.
    """

    @differentiable()
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
        stranger: Stranger | None = None,
        stats: StyleStats | None = None,
        attributes: Iterable[Attribute] = (),
        certificate: Certificate | None = None,
        domains: Iterable[Domain] = (),
        samples: Iterable[Path] = (),
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
        self.stranger = stranger
        self.stats = stats
        self.attributes = list(attributes)
        self.certificate = certificate
        self.domains = list(domains)
        self.samples = list(samples)
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
        """Paths, bytes or PIL pictures -> x [N, 3, R, R] in [-1, 1]; whatever their size, mode or orientation."""
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

    def logits_with_gradient(self, s: Tensor) -> Tensor:
        """`logits_of` for those who ask in which way it rises: [N, S] -> logits [N, K]."""
        return self.classifier(self.generator.synthesis(s, noise="const").clamp(-1, 1))

    def edits_of(self, batch_size: int = 16, visible: bool = False) -> EditsOf:
        """What AttFind asks: the logits of a picture with one style coordinate changed, for many coordinates at once.

        s [1, S] -> (index [B], value [B]) -> [B, K], the same as `logits_of` for a fraction of the work.

        Args:
            batch_size: how many changed copies go through the generator at once.
            visible: one more column: the share of pixels in which a person sees the change.
        """
        single = SingleEdits(self.generator.synthesis)

        def of(s: Tensor) -> Edits:
            pictures, before = single(s), self.synthesize(s)

            def edits(index: Tensor, value: Tensor) -> Tensor:
                seen = torch.empty(len(index), self.config.num_classes + visible, device=s.device)
                for part in single.batches(index, batch_size):
                    passed = filled(part, batch_size) if s.is_cuda else part
                    x = pictures(index[passed], value[passed]).clamp(-1, 1)
                    seen[part, : self.config.num_classes] = self.logits(x)[: len(part)]
                    if visible:
                        seen[part, -1] = changed_share(before, x)[: len(part)]
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
        method: Method = "attfind",
    ) -> Explanation:
        """Why does the classifier not see `target` here, and what would change its mind?

        Args:
            image: path, bytes, file or PIL picture.
            target: class whose logit should rise, by name or number; None for the runner-up.
            top_k: how many attributes, at most.
            strategy: "independent": each moved alone; "subset": each on top of the ones before, always the one that
                then helps most, until the decision flips (Lang et al. 2021, section 3.4, where both names come from);
                "list": the class-level attributes on top of each other in their own order, until the decision flips.
            shift: 0 stays, 1 arrives at the end of the range seen over the training pictures.
            method: "attfind", or another that has no strategy: "counterfactual" (with the defaults of
                `counterfactual`), "eigenfind", "ganalyze", "s2n" or "random" (docs/methods.md).

        Raises:
            ImageError: if the picture cannot be read.
            ValueError: if there is no such class, strategy or method, top_k is below 1, or shift is negative or not
                finite.
            ModelError: if the model has no style statistics yet.
            MethodError: if another method cannot answer this question.
        """
        if method != "attfind":
            return explain_by(self, image, method, target=target, top_k=top_k, shift=shift)
        return explain(self, image, target=target, top_k=top_k, strategy=strategy, shift=shift)

    def counterfactual(
        self, image: ImageSource, target: str | int | None = None, prob: float = PROB, space: Space = "styles"
    ) -> Explanation:
        """The smallest change of the picture's reconstruction that brings the target's probability to `prob`.

        Args:
            image, target: as in `explain`.
            prob: between 0 and 1.
            space: "styles", the shortest way in the searched style coordinates, each measured by how much it varies;
                "few", as few of them as will do, inside the range they have; "w", the shortest way in w alone.

        Returns:
            One edit, with the pictures on the way in `progression`; a warning says if it did not arrive.

        Raises:
            ImageError, ValueError, ModelError: as `explain`.
            MethodError: if `prob` is out of reach or reached already, or the classifier passes no gradient.
        """
        return counterfactual_of(self, image, target=target, prob=prob, space=space)

    def domain(self, name: str) -> Domain:
        """One of its looks, by name.

        Raises:
            MethodError: if there is none of that name.
        """
        for domain in self.domains:
            if domain.name == name:
                return domain
        known = ", ".join(domain.name for domain in self.domains) or "none"
        raise MethodError(f"there is no domain {name!r}; this model has {known} (train/adapt.py makes one)")

    def maps(self, image: ImageSource, target: str | int | None = None, method: MapOf = "gradcam") -> Map:
        """Where in the picture the classifier looks, or where an edit changes it.

        Args:
            image: as in `explain`.
            target: a class by name or number; None for the photograph's class, of "change" for the runner-up.
            method: "gradcam", "integrated_gradients" or "occlusion" (they need captum): where the classifier looks for
                the target; "perturbation": where the photograph has to change to lose it; "change": where the shortest
                counterfactual towards it changes the reconstruction.

        Raises:
            ImageError, ValueError, ModelError: as `explain`.
            MethodError: if the method cannot answer, or captum is missing.
        """
        return map_of(self, image, target=target, method=method)[0]

    # Files.

    def parts(self) -> dict[str, nn.Module]:
        """The networks and classifiers that it has, by name."""
        return {n: part for n in COMPONENTS if (part := getattr(self, n)) is not None}

    def modules(self) -> list[nn.Module]:
        return list(self.parts().values())

    def to(self, device: str | torch.device) -> StylEx:
        self.device = torch.device(device)
        for module in self.modules():
            module.to(self.device)
        return self

    @classmethod
    @differentiable()
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        device: str | torch.device = "cpu",
        classifier: str | Network | None = None,
        without: Collection[str] = (),
        **where: Unpack[Where],
    ) -> StylEx:
        """Load a model from a folder or from the Hub.

        Args:
            source: a folder, or a repository such as "someone/stylex-leaves".
            device: where its networks are put.
            classifier: the classifier of a model that could not be saved with it: the network, or the name of a program
                that makes it, which is run, such as package.module:function. Other models bring theirs.
            without: networks to leave out: no explanation needs the "discriminator".
            where: any of

                - revision: branch, tag or commit of the repository; pin one where nothing may change under you.
                - subfolder: a folder inside of either; of a repository only that is downloaded.
                - token: for a private repository; without one, the token that `hf auth login` or HF_TOKEN left.
                - cache_dir: where downloads are kept, instead of the usual place.
                - local_files_only: ask no network; what was downloaded before is enough.

        Raises:
            ModelError: naming the file, the key and the way out.
        """
        return cls(**read_model(fetch(source, **where), classifier, without)).to(device)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the folder that `from_pretrained` reads.

        Of a classifier that cannot be saved (a wrapped callable, TorchScript) it holds what is known of it and how it
        answers; `from_pretrained` has to be given the same one.

        A README.md is left as it is unless `card` is set; and one that somebody edited, unless `card` is edited, too.
        """
        folder = Path(folder)
        write_model(
            folder, self.config, self.parts(), self.stats, self.attributes, self.certificate, self.card, self.domains
        )
        return folder

    def facts(self) -> Facts:
        """What a model card tells of it. Attributes that were searched on other weights are left out."""
        return Facts(
            class_names=self.class_names,
            resolution=self.resolution,
            classifier=self.classifier.config_dict(),
            has_judge=self.judge is not None,
            attributes=[a.to_dict() | {"words": a.words, "coordinate": a.coordinate} for a in self.attributes]
            if self.stats is not None
            else [],
            certificate=None if self.certificate is None else self.certificate.to_dict(),
        )

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
        """Upload as one commit, with a card if the model has none. A card that somebody edited there is left alone.

        Args:
            repo_id: "me/stylex-leaves", or "stylex-leaves" in the namespace of the token; made if there is none.
            private: whether a new repository is; None for the namespace's default.
            create_pr: propose the commit as a pull request instead of making it.
            tag: name for the commit, such as v1.
            token: without one, the token that `hf auth login` or HF_TOKEN left.

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
            card = addressed(self.card, repo_id) if self.card is not None else model_card(self.facts(), repo_id)
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
