"""A whole StylEx of 16 px with random weights, and folders of pictures small enough to train on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

if os.environ.get("STYLEX_GPU_TESTS") != "cuda":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what is compared to the last digit is computed in one place

import loopback  # before anything imports the Hub's client
import pytest
import torch
from hub.server import Hub
from small import NAMES, draw_pictures, tiny_classifier

from stylex.attfind.effects import Attribute, effect_table
from stylex.attfind.selection import select_one_vs_rest
from stylex.classifiers.classifier import save_classifier
from stylex.model import StylEx
from stylex.networks.config import ModelConfig
from stylex.networks.discriminator import Discriminator
from stylex.networks.encoder import Encoder
from stylex.networks.generator import Generator, Mapping
from stylex.stylespace import StyleStats


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # Networks of this size gain nothing from more, and the numbers no longer depend on the machine's cores.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_config() -> ModelConfig:
    return ModelConfig(16, 2, (8, 8, 8), (8, 8, 8), w_dim=8, z_dim=8, mapping_layers=2)


@pytest.fixture(scope="session")
def tiny_model(tiny_config) -> StylEx:
    """Random weights, and yet an edit of one coordinate changes the picture, and some edits the decision.

    One for all tests: read it, or change a copy that went through `save_pretrained` and `from_pretrained`.
    """
    with torch.random.fork_rng():
        torch.manual_seed(3)
        classifier = tiny_classifier()
        generator, mapping = Generator(tiny_config), Mapping(tiny_config)
        encoder, discriminator = Encoder(tiny_config), Discriminator(tiny_config)
        with torch.no_grad():
            generator.affine.class_weight.normal_(std=0.5)  # zero before any training
            for layer in generator.synthesis.layers:
                layer.noise_strength.fill_(0.1)
            for rgb in generator.synthesis.to_rgb:
                rgb.conv.weight.mul_(0.4)
            # What speaks for one class speaks against the other; half of the pictures are of each, some clearly.
            classifier.network.head.weight[1].copy_(-classifier.network.head.weight[0])
            classifier.network.head.bias.zero_()
            w = mapping(torch.randn(64, tiny_config.z_dim))
            probs = torch.rand(64, 1)
            latent = torch.cat([w, probs, 1 - probs], dim=1)
            s = generator.styles(latent)
            logits = classifier(generator.synthesis(s).clamp(-1, 1))
            classifier.network.head.weight.mul_(4 / (logits[:, 1] - logits[:, 0]).std())
            logits = classifier(generator.synthesis(s).clamp(-1, 1))
            classifier.network.head.bias.sub_(logits.median(dim=0).values)
        model = StylEx(
            tiny_config,
            classifier,
            generator=generator,
            encoder=encoder,
            mapping=mapping,
            discriminator=discriminator,
            stats=StyleStats.of(s),
            card="# A tiny model for tests\n",
        )
        effect = effect_table(model.logits_of, s[:16], model.stats, num_searched=model.space.num_conv)
        logits = model.logits_of(s[:16])
        labels, before = logits.argmax(dim=1), logits.softmax(dim=1)
        for target, name in enumerate(NAMES):
            rest = labels != target
            for index, direction in select_one_vs_rest(effect, labels, target, 3, explained=100.0):
                change = effect[rest, direction, index]
                after = (logits[rest] + change).softmax(dim=1)
                layer, channel = model.space.locate(index)
                model.attributes.append(
                    Attribute(
                        index=index,
                        layer=layer,
                        channel=channel,
                        direction=direction,
                        source=NAMES[1 - target],
                        target=name,
                        delta_logit=float(change[:, target].mean()),
                        delta_prob=float((after - before[rest])[:, target].mean()),
                        images_share=float((change[:, target] > 0).float().mean()),
                    )
                )
    return model


@pytest.fixture
def model_folder(tiny_model, tmp_path) -> Path:
    """The tiny model on disk, free to be broken."""
    return tiny_model.save_pretrained(tmp_path / "model")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Two classes of thirty 16 px pictures; read only."""
    return draw_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory) -> Path:
    """A classifier with random weights that names the classes of `pictures`."""
    folder = tmp_path_factory.mktemp("classifier")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_classifier(tiny_classifier(), folder)
    return folder


@pytest.fixture
def make_pictures(tmp_path) -> Callable[..., Path]:
    """A fresh folder of pictures to break."""
    return lambda **options: draw_pictures(tmp_path / "pictures", **options)


@pytest.fixture(scope="session")
def _hub() -> Iterator[Hub]:
    hub = Hub()
    hub.start(loopback.PORT)
    yield hub
    if hub.server is not None:
        hub.stop()


@pytest.fixture
def hub(_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub without repositories, and a client without a cache. Large files go through LFS."""
    from huggingface_hub import constants

    if _hub.server is None:  # a test stopped it
        _hub.start(loopback.PORT)
    _hub.reset()
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield _hub
    _hub.faults.clear()
