"""One face for any classifier: what goes in, what comes out, and that it never changes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from stylex.classifiers.classifier import (
    Classifier,
    ClassifierConfig,
    ClassifierError,
    build,
    load_classifier,
    save_classifier,
    wrap,
)
from stylex.storage.files import ModelError

NAMES = ("plain", "spotted")


def small(**changes) -> Classifier:
    torch.manual_seed(0)
    return build(ClassifierConfig(NAMES, 16, **{"arguments": {"width": 4, "blocks": 1}, **changes}))


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


# What goes in.


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (8, 8), (17, 40), (1, 1)])
def test_pictures_of_any_size_are_read(size):
    assert small()(torch.zeros(2, 3, *size)).shape == (2, 2)


def test_the_network_sees_its_own_size_and_its_own_normalisation():
    seen = []

    def network(x):
        seen.append(x)
        return x.mean(dim=(2, 3))[:, :2]

    classifier = wrap(network, NAMES, 8, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 0.1))
    classifier(torch.stack([-torch.ones(3, 16, 16), torch.ones(3, 16, 16)]))
    assert seen[0].shape == (2, 3, 8, 8)
    # black is 0 and white is 1, less the mean, over the deviation
    torch.testing.assert_close(seen[0][:, :, 0, 0], torch.tensor([[-1.0, -1.0, 0.0], [1.0, 3.0, 10.0]]))


def test_a_large_picture_is_filtered_before_it_is_shrunk():
    """Stripes of one pixel become their mean, not whichever stripe a sample falls on."""
    stripes = torch.ones(1, 3, 64, 64)
    stripes[..., ::2] = -1
    seen = []
    wrap(lambda x: seen.append(x) or x.mean(dim=(2, 3))[:, :2], NAMES, 16, mean=(0.5,) * 3, std=(0.5,) * 3)(stripes)
    torch.testing.assert_close(seen[0][..., 2:-2], torch.zeros(1, 3, 16, 12), atol=0.02, rtol=0)


def test_what_it_says_of_a_picture_does_not_depend_on_its_neighbours(x):
    classifier = small()
    torch.testing.assert_close(torch.cat([classifier(one) for one in x.split(1)]), classifier(x), rtol=1e-4, atol=1e-5)


# What comes out.


def test_the_temperature_divides_the_logits(x):
    hot, cold = wrap(lambda x: x[:, :2, 0, 0], NAMES, 16), wrap(lambda x: x[:, :2, 0, 0], NAMES, 16, temperature=4.0)
    torch.testing.assert_close(cold(x) * 4, hot(x))
    torch.testing.assert_close(hot.probs(x), hot(x).softmax(dim=1))


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_one_sigmoid_output_becomes_two_classes(shape, x):
    z = torch.tensor([-2.0, 0.0, 3.0])
    classifier = wrap(lambda x: z.reshape(shape), NAMES, 16)
    torch.testing.assert_close(classifier.probs(x)[:, 1], z.sigmoid())
    assert classifier(x).shape == (3, 2)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_one_probability_becomes_two(shape, x):
    p = torch.tensor([0.1, 0.5, 0.999])
    classifier = wrap(lambda x: p.reshape(shape), NAMES, 16, outputs="probabilities")
    torch.testing.assert_close(classifier.probs(x), torch.stack([1 - p, p], dim=1))


def test_probabilities_of_several_classes_are_the_softmax_of_their_logarithms(x):
    p = torch.tensor([[0.2, 0.3, 0.5]]).expand(3, 3)
    classifier = wrap(lambda x: p, ["a", "b", "c"], 16, outputs="probabilities")
    torch.testing.assert_close(classifier.probs(x), p)
    independent = wrap(lambda x: p * 1.5, ["a", "b", "c"], 16, outputs="probabilities")
    torch.testing.assert_close(independent.probs(x), p)  # brought to a sum of one


def test_one_sigmoid_for_each_class_is_brought_to_a_sum_of_one(x):
    z = torch.tensor([[-2.0, 0.0, 3.0]]).expand(3, 3)
    classifier = wrap(lambda x: z, ["a", "b", "c"], 16, outputs="sigmoid")
    torch.testing.assert_close(classifier.probs(x), z.sigmoid() / z.sigmoid().sum(dim=1, keepdim=True))


@pytest.mark.parametrize(("value", "outputs"), [(0.0, "probabilities"), (1.0, "probabilities"), (-200.0, "sigmoid")])
@pytest.mark.parametrize("count", [1, 2])
def test_a_classifier_that_is_quite_sure_still_has_finite_logits_and_gradients(value, outputs, count, x):
    x.requires_grad_()
    classifier = wrap(lambda x: x[:, :count, 0, 0] * 0 + value, NAMES, 16, outputs=outputs)
    logits = classifier(x)
    assert torch.isfinite(logits).all()
    (gradient,) = torch.autograd.grad(logits.sum(), x)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    "pack",
    [
        lambda logits: SimpleNamespace(logits=logits, hidden_states=None),  # transformers
        lambda logits: (logits, "features"),
        lambda logits: [logits],
    ],
    ids=["object with logits", "tuple", "list"],
)
def test_whatever_a_library_returns_the_logits_are_found(pack, x):
    classifier = wrap(lambda x: pack(x[:, :2, 0, 0]), NAMES, 16, mean=(0.5,) * 3, std=(0.5,) * 3)
    torch.testing.assert_close(classifier(x), x[:, :2, 0, 0])


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_torchscript_network_is_a_classifier(x, tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(768, 2))
    torch.jit.script(network).save(str(tmp_path / "network.pt"))
    classifier = wrap(torch.jit.load(str(tmp_path / "network.pt")), NAMES, 16)
    x.requires_grad_()
    assert torch.equal(classifier(x), classifier(x))
    torch.testing.assert_close(classifier(x), wrap(network, NAMES, 16)(x))
    classifier(x).sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (
            torch.zeros(3, 5),
            r"returned shape \(3, 5\); with class names \['plain', 'spotted'\] it must return \[N, 2\]",
        ),
        (torch.zeros(3, 2, 1, 1), r"returned shape \(3, 2, 1, 1\)"),
        (torch.zeros(()), r"returned shape \(\)"),
        ({"scores": 1}, "returned dict; it must return logits"),
        (None, "returned NoneType"),
        ((), "returned NoneType"),
    ],
)
def test_a_wrong_output_gives_a_sentence(output, says, x):
    with pytest.raises(ClassifierError, match=says):
        wrap(lambda x: output, NAMES, 16)(x)


# What never changes.


def test_frozen_and_in_eval_mode_even_after_a_parent_s_train(x):
    parent = nn.Module()
    parent.classifier = small()
    before = parent.classifier(x)
    parent.train()
    assert not any(m.training for m in parent.classifier.modules())
    assert not any(p.requires_grad for p in parent.classifier.parameters())
    parent.classifier.train(True)
    assert torch.equal(parent.classifier(x), before)
    assert all(torch.equal(a, b) for a, b in zip(parent.classifier.buffers(), small().buffers(), strict=True))


def test_dropout_and_batch_statistics_of_a_wrapped_network_are_asleep(x):
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(768, 2)).train()
    classifier = wrap(network, NAMES, 16)
    assert torch.equal(classifier(x), classifier(x))
    assert network[1].num_batches_tracked == 0


def test_the_gradient_flows_to_the_picture_and_not_into_the_weights(x):
    classifier = small()
    x.requires_grad_()
    classifier(F.interpolate(x, 32)).sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in classifier.parameters())


def test_a_classifier_reads_in_full_precision_under_autocast(x):
    classifier = small()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(classifier(x.bfloat16()), classifier(x.bfloat16().float()))


# Files.

ARCHITECTURES = {
    "stylex": {"architecture": "ConvNet", "arguments": {"width": 4, "blocks": 2}},
    "torchvision": {"library": "torchvision", "architecture": "mobilenet_v3_small", "arguments": {"width_mult": 0.25}},
    "timm": {
        "library": "timm",
        "architecture": "vit_tiny_patch16_224",
        "arguments": {"img_size": 16, "patch_size": 8, "embed_dim": 12, "depth": 1},
    },
}


@pytest.mark.parametrize("library", ARCHITECTURES)
def test_built_saved_and_loaded_it_says_the_same(library, x, tmp_path):
    torch.manual_seed(0)
    config = ClassifierConfig(("a", "b", "c"), 16, temperature=1.5, std=(0.2, 0.3, 0.4), **ARCHITECTURES[library])
    classifier = build(config)
    with torch.no_grad():
        for p in classifier.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    save_classifier(classifier, tmp_path / "first")
    loaded = load_classifier(tmp_path / "first")
    assert loaded.config == config
    assert not any(p.requires_grad for p in loaded.parameters())
    torch.testing.assert_close(loaded(x), classifier(x), rtol=2e-2, atol=2e-2)  # stored in half precision
    save_classifier(loaded, tmp_path / "second")
    assert torch.equal(load_classifier(tmp_path / "second")(x), loaded(x))
    assert sorted(p.name for p in (tmp_path / "first").iterdir()) == ["config.json", "model.safetensors"]


def test_what_the_outputs_are_travels_too_and_logits_go_without_saying(tmp_path):
    save_classifier(small(outputs="sigmoid"), tmp_path / "sigmoid")
    assert load_classifier(tmp_path / "sigmoid").config.outputs == "sigmoid"
    save_classifier(small(), tmp_path / "logits")
    assert "outputs" not in json.loads((tmp_path / "logits" / "config.json").read_text())


def test_a_number_too_large_for_half_precision_is_kept(tmp_path):
    """A running variance may be; stored as infinity it would make the file useless."""
    classifier = small()
    norm = next(m for m in classifier.modules() if isinstance(m, nn.BatchNorm2d))
    norm.running_var.fill_(1e6)
    save_classifier(classifier, tmp_path)
    loaded = load_classifier(tmp_path)
    assert next(m for m in loaded.modules() if isinstance(m, nn.BatchNorm2d)).running_var[0] == 1e6


@pytest.mark.parametrize("network", [lambda x: x[:, :2, 0, 0], nn.Sequential(nn.Flatten(), nn.Linear(768, 2))])
def test_a_wrapped_callable_explains_but_cannot_be_saved_and_says_so(network, x, tmp_path):
    classifier = wrap(network, NAMES, 16)
    assert classifier(x).shape == (3, 2)
    with pytest.raises(ClassifierError, match=r"wrapped callable, which cannot be saved; build it with .*build"):
        save_classifier(classifier, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"library": "keras"}, "classifier library 'keras' is unknown; use one of stylex, wheel, torchvision, timm"),
        ({"architecture": "Transformer"}, "stylex has no architecture 'Transformer'"),
        ({"arguments": {"depth": 3}}, r"stylex has no architecture 'ConvNet' with \['depth'\]"),
        ({"arguments": {"width": 10**9}}, "arguments are"),
        ({"arguments": {"blocks": 10**9}}, "arguments are"),
        ({"arguments": {"width": True}}, "arguments are"),
        (
            {"library": "timm", "architecture": "vit_tiny_patch16_224", "arguments": {"depth": 10**9}},
            "arguments has the number 1000000000; use at most 65536",
        ),
        ({"arguments": "width"}, "arguments is 'width'"),
        ({"library": "torchvision", "architecture": "resnet_of_tomorrow"}, "torchvision cannot build"),
        ({"library": "timm", "architecture": "resnet_of_tomorrow"}, "timm cannot build"),
        ({"library": "timm", "architecture": "hf-hub:someone/theirs"}, "timm cannot build 'hf-hub:someone/theirs'"),
        (
            {"library": "timm", "architecture": "resnet18", "arguments": {"checkpoint_path": "weights.pth"}},
            "arguments has the key 'checkpoint_path'; only what shapes the network may be there",
        ),
        ({"class_names": ["one"]}, "needs at least two named classes"),
        ({"class_names": "plain"}, "class_names is 'plain'; use a list"),
        ({"class_names": ["a", 2]}, "needs at least two named classes"),
        ({"class_names": ["a", "a"]}, "names a class twice"),
        ({"resolution": 10**9}, "resolution is 1000000000"),
        ({"resolution": "16"}, "resolution is '16'"),
        ({"std": [0.0, 1.0, 1.0]}, "std and temperature must be above zero"),
        ({"std": [1.0, 1.0]}, "mean and std need three numbers"),
        ({"mean": [0.1, "x", 0.3]}, "mean and std need three numbers"),
        ({"mean": [0.1, float("nan"), 0.3]}, "mean and std need three numbers"),
        ({"temperature": 0}, "std and temperature must be above zero"),
        ({"temperature": float("nan")}, "std and temperature must be above zero"),
        ({"temperature": float("inf")}, "std and temperature must be above zero"),
        ({"temperature": "hot"}, "std and temperature must be above zero"),
        ({"outputs": "odds"}, "outputs is 'odds'; use one of logits, sigmoid, probabilities"),
        ({"colour": 1}, "unknown key colour"),
    ],
)
def test_a_wrong_config_names_the_file_and_the_key(change, says, tmp_path):
    save_classifier(small(), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=says) as caught:
        load_classifier(tmp_path)
    assert str(path) in str(caught.value)


def test_missing_keys_are_named(tmp_path):
    save_classifier(small(), tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"config\.json: missing key class_names, resolution"):
        load_classifier(tmp_path)


def test_weights_of_another_network_are_refused(tmp_path):
    save_classifier(small(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "arguments": {"width": 8, "blocks": 1}}))
    with pytest.raises(ModelError, match=r"model\.safetensors: weight .* has shape \[4, 3, 3, 3\]; .* \[8, 3, 3, 3\]"):
        load_classifier(tmp_path)


def test_a_network_that_does_not_fit_its_file_is_refused_before_memory_is_taken(tmp_path):
    """This one is allowed by its numbers, and would take 25 GB."""
    save_classifier(small(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "arguments": {"width": 512, "blocks": 64}}))
    with pytest.raises(ModelError, match=r"weight .* is missing; the file does not belong to this config\.json"):
        load_classifier(tmp_path)


HUGE = {
    "wide": {"library": "timm", "architecture": "vit_tiny_patch16_224", "arguments": {"embed_dim": 3 * 2**14}},
    "deep": {"library": "timm", "architecture": "vit_tiny_patch16_224", "arguments": {"depth": 2**16}},
    "broad": {"library": "torchvision", "architecture": "mobilenet_v3_small", "arguments": {"width_mult": 1000.0}},
}


@pytest.mark.parametrize("name", HUGE)
def test_no_library_builds_more_than_the_file_holds(name, tmp_path):
    """Nobody can know all arguments of all libraries; so what is built is counted, in numbers and in tensors."""
    save_classifier(small(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **HUGE[name]}))
    with pytest.raises(
        ModelError, match=r"config\.json: (timm|torchvision) cannot build .*larger than the file of its"
    ):
        load_classifier(tmp_path)


def test_a_network_that_cannot_be_sketched_is_counted_while_it_is_built(tmp_path, monkeypatch):
    def build_with_numbers(name, width, **_) -> nn.Module:
        return nn.Linear(int(torch.zeros(()).item()) + width, 2)  # no number can be read on the meta device

    monkeypatch.setattr("torchvision.models.get_model", build_with_numbers)
    config = ClassifierConfig(NAMES, 16, "torchvision", "counting", {"width": 3})
    save_classifier(build(config), tmp_path)
    assert load_classifier(tmp_path).config == config
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "arguments": {"width": 10**10}}))
    monkeypatch.setattr("stylex.classifiers.classifier.MAX_ARGUMENT", 10**10)
    with pytest.raises(ModelError, match="larger than the file of its weights"):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"weights_backbone": "DEFAULT"}, "weights_backbone"),
        ({"pretrained_cfg": {"url": "http://example.org/x.pth"}}, "pretrained_cfg"),
        ({"auto_map": {"AutoModel": "someone/theirs--code.Model"}}, "auto_map"),
        ({"a": [{"use_timm_backbone": True}]}, "use_timm_backbone"),
        ({"a": {"trust_remote_code": True}}, "trust_remote_code"),
    ],
)
@pytest.mark.parametrize("library", ["torchvision", "timm", "transformers"])
def test_an_argument_that_would_fetch_weights_or_code_is_refused(library, arguments, key):
    with pytest.raises(ClassifierError, match=f"arguments has the key '{key}'; only what shapes the network"):
        build(ClassifierConfig(NAMES, 16, library, "resnet18", arguments))


def test_half_a_file_is_never_left_behind(tmp_path):
    save_classifier(small(), tmp_path)
    assert [p.name for p in tmp_path.rglob("*.part")] == []
    assert {v.dtype for v in load_file(tmp_path / "model.safetensors").values()} == {torch.float16, torch.int64}
