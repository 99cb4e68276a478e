"""A classifier by its name on the command line: TorchScript, functions, and what is wrong with them in one sentence."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small import NAMES, tiny_classifier
from torch import nn

from stylex.classifiers.adopt import adopt, answers_of, description, load_reference, save_reference, trial_pictures
from stylex.classifiers.classifier import ClassifierError, load_classifier, save_classifier, wrap
from stylex.storage.files import ModelError

SAID: dict[str, Any] = {"class_names": ["plain", "spotted"], "resolution": 16}
# A module of somebody's: each name is a classifier, or what is wrong with it.
MODULE = """
import torch
from torch import nn
from stylex.classifiers.classifier import wrap

torch.manual_seed(0)
network = nn.Sequential(nn.Flatten(), nn.Linear(768, 2)).eval()

def awake():
    return lambda x: nn.functional.dropout(network(x), 0.5)

def load():
    return network

def function():
    return lambda x: network(x)

def one():
    return lambda x: network(x)[:, :1]

def softmax():
    return lambda x: network(x).softmax(dim=1)

def sigmoid():
    return lambda x: network(x)[:, :1].sigmoid()

def wrapped():
    return wrap(network, ["no", "yes"], 16, mean=(0, 0, 0), std=(1, 1, 1))

def grey():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))

def five():
    return lambda x: torch.cat([network(x), network(x), network(x)[:, :1]], dim=1)

def of_the_batch():
    return lambda x: network(x).mean(dim=0, keepdim=True)

def nan():
    return lambda x: network(x) * float("nan")

def numpy():
    return lambda x: torch.tensor(network(x).detach().numpy() * 3)

def large():
    return nn.Sequential(nn.Flatten(), nn.Linear(10_000, 2))

def text():
    return "network"

def fails():
    raise FileNotFoundError("weights.bin")

def takes(x):
    return network(x)

constant = 5
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Iterator[Path]:
    """A working directory with a module of ours; what it holds is forgotten afterwards."""
    folder = tmp_path / "here"
    (folder / "package").mkdir(parents=True)
    (folder / "mine_to_explain.py").write_text(MODULE)
    (folder / "package" / "inner.py").write_text("from mine_to_explain import load\n")
    (folder / "broken_to_explain.py").write_text("import no_such_library\n")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("mine_to_explain", "package", "package.inner", "broken_to_explain"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield folder
    for name in ("mine_to_explain", "package", "package.inner", "broken_to_explain"):
        sys.modules.pop(name, None)


@pytest.fixture
def torchscript(tmp_path) -> Callable[..., Path]:
    def save(network: nn.Module) -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(network).save(str(tmp_path / "network.pt"))
        return tmp_path / "network.pt"

    return save


def linear(outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(768, outputs))


def refusal(name: str | Path, **said: Any) -> str:
    """The one sentence."""
    with pytest.raises(ClassifierError) as caught:
        adopt(str(name), **{**SAID, **said})
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is adopted.


def test_a_folder_of_ours_says_everything_itself(tmp_path):
    save_classifier(tiny_classifier(), tmp_path / "ours")
    found = adopt(str(tmp_path / "ours"))
    assert found.config == load_classifier(tmp_path / "ours").config
    assert refusal(tmp_path / "ours").endswith(
        "ours is a folder that says itself what its classifier is; leave the rest out"
    )


def test_a_torchscript_file_is_a_classifier(torchscript):
    network = linear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = adopt(str(torchscript(network)), **SAID, mean=[0.1, 0.2, 0.3])
    assert not found.portable
    x = trial_pictures(16)
    torch.testing.assert_close(found(x), wrap(network, NAMES, 16, mean=(0.1, 0.2, 0.3))(x))
    assert torch.equal(found(x), found(x))  # dropout is asleep


@pytest.mark.parametrize("name", ["mine_to_explain:load", "mine_to_explain:network", "package.inner:load"])
def test_a_function_or_a_network_of_somebody_s_module_is_a_classifier(here, name):
    found = adopt(name, **SAID)
    import mine_to_explain

    x = trial_pictures(16)
    torch.testing.assert_close(found(x), wrap(mine_to_explain.network, NAMES, 16)(x))
    assert not found.portable


@pytest.mark.parametrize(
    ("function", "outputs"),
    [("function", None), ("one", None), ("softmax", "probabilities"), ("sigmoid", "probabilities")],
)
def test_whatever_the_outputs_are_the_probabilities_are_those_of_the_network(here, function, outputs):
    found, x = adopt(f"mine_to_explain:{function}", **SAID, outputs=outputs), trial_pictures(16)
    import mine_to_explain

    z = wrap(mine_to_explain.network, NAMES, 16)(x)
    expected = z[:, 0].sigmoid() if function in ("one", "sigmoid") else z.softmax(dim=1)[:, 1]
    torch.testing.assert_close(found.probs(x)[:, 1], expected)


def test_a_function_may_say_everything_itself(here):
    found = adopt("mine_to_explain:wrapped")
    assert (found.class_names, found.config.mean) == (["no", "yes"], (0, 0, 0))
    assert "returns a Classifier, which says itself what it is; leave the rest out" in refusal(
        "mine_to_explain:wrapped"
    )


@pytest.mark.parametrize("names", ["plain,spotted", "plain, spotted", "names.txt"])
def test_names_may_stand_between_commas_or_in_a_file(here, names):
    (here / "names.txt").write_text("plain\nspotted\n\n")
    assert adopt("mine_to_explain:load", class_names=names, resolution=16).class_names == ["plain", "spotted"]


def test_what_it_is_taken_for_is_said(here):
    assert description(adopt("mine_to_explain:load", **SAID)) == (
        "reads 16 px with mean 0.485, 0.456, 0.406 and std 0.229, 0.224, 0.225, returns logits of 2 classes: "
        "plain, spotted"
    )


# What is refused.


@pytest.mark.parametrize(
    ("name", "said", "says"),
    [
        ("mine_to_explain:load", {"class_names": None}, "does not say its class names; add --class_names cat,dog"),
        ("mine_to_explain:load", {"resolution": None}, "does not say its resolution; add --classifier_resolution 224"),
        ("mine_to_explain:load", {"class_names": "plain"}, "needs at least two named classes"),
        ("mine_to_explain:load", {"resolution": 2}, "the classifier's resolution is 2; use 8 to 1024"),
        ("mine_to_explain:load", {"mean": [1.0]}, "mean and std need three numbers each"),
        (
            "mine_to_explain:load",
            {"weights": "w.safetensors"},
            "has its own weights; those of w.safetensors are for torch",
        ),
        (
            "mine_to_explain:five",
            {},
            "mine_to_explain:five: the classifier returned shape (4, 5); with class names ['plain', 'spotted'] it "
            "must return [N, 2]",
        ),
        ("mine_to_explain:one", {"class_names": ["a", "b", "c"]}, "it must return [N, 3]"),
        ("mine_to_explain:of_the_batch", {}, "returned 1 rows for 4 pictures; it must return one for each"),
        ("mine_to_explain:awake", {}, "says another thing of the same pictures the second time; put it into eval mode"),
        ("mine_to_explain:nan", {}, "mine_to_explain:nan returned numbers that are not finite"),
        ("mine_to_explain:numpy", {}, "gives no gradient, and the generator learns by it; compute in torch alone"),
        ("mine_to_explain:large", {}, "mine_to_explain:large cannot read pictures [4, 3, 16, 16] (RuntimeError: "),
        ("mine_to_explain:text", {}, "mine_to_explain:text returned str; it must return a network, or a function"),
        ("mine_to_explain:fails", {}, "mine_to_explain:fails failed (FileNotFoundError: weights.bin)"),
        ("mine_to_explain:takes", {}, "mine_to_explain:takes asks for arguments; give a function without any"),
        ("mine_to_explain:constant", {}, "mine_to_explain has no function constant"),
        ("mine_to_explain:nothing", {}, "mine_to_explain has no function nothing"),
        (
            "nowhere_to_explain:load",
            {},
            "nowhere_to_explain of nowhere_to_explain:load cannot be imported (ModuleNotFound",
        ),
        ("broken_to_explain:load", {}, "cannot be imported (ModuleNotFoundError: No module named 'no_such_library')"),
        (
            "resnet18",
            {},
            "resnet18 is no classifier: use the folder of one, torchvision:NAME, timm:NAME or timm:FOLDER",
        ),
        ("nothing.pt", {}, "nothing.pt is no classifier: use the folder of one"),
        ("mine_to_explain.py", {}, "mine_to_explain.py is no classifier; a TorchScript file ends in .pt, .pth"),
    ],
)
def test_what_is_wrong_is_one_sentence(here, name, said, says):
    assert says in refusal(name, **said)


@pytest.mark.parametrize("function", ["softmax", "sigmoid"])
def test_probabilities_are_not_taken_for_logits_unless_somebody_says_so(here, function):
    assert "returned numbers that look like probabilities, and was taken to return logits; say what they are" in (
        refusal(f"mine_to_explain:{function}")
    )
    assert adopt(f"mine_to_explain:{function}", **SAID, outputs="logits").config.outputs == "logits"


def test_logits_are_no_probabilities(here):
    assert ", which are no probabilities; say what they are with --classifier_outputs logits or sigmoid" in (
        refusal("mine_to_explain:load", outputs="probabilities")
    )


@pytest.mark.parametrize("content", [b"", b"no network", None])
def test_a_file_that_is_no_torchscript_is_refused_and_never_unpickled(tmp_path, content):
    path = tmp_path / "network.pt"
    if content is None:
        torch.save(linear(), path)  # a pickle of a whole network: a program in disguise
    else:
        path.write_bytes(content)
    assert f"{path} is not TorchScript (" in refusal(path)
    assert "torch.jit.script(network).save(path) writes it" in refusal(path)


# What a model keeps of a classifier that it cannot hold.


@pytest.fixture
def reference(tmp_path) -> Path:
    save_reference(wrap(linear(), NAMES, 16, temperature=2.0, mean=(0.5,) * 3), tmp_path / "classifier")
    return tmp_path / "classifier"


def test_the_same_network_is_the_same_classifier_again(reference, torchscript):
    expected = wrap(linear(), NAMES, 16, temperature=2.0, mean=(0.5,) * 3)
    for network in (linear(), wrap(linear(), ["other", "names"], 99), str(torchscript(linear()))):
        found = load_reference(reference, network)
        assert found.config == expected.config
        torch.testing.assert_close(answers_of(found), answers_of(expected))
    assert sorted(p.name for p in reference.iterdir()) == ["answers.safetensors", "config.json"]


def test_another_network_is_refused(reference):
    torch.manual_seed(5)
    with pytest.raises(
        ModelError, match=r"the classifier answers otherwise than the classifier that the model of .* was"
    ):
        load_reference(reference, nn.Sequential(nn.Flatten(), nn.Linear(768, 2)))
    with pytest.raises(ModelError, match=r"returned shape \(4, 3\)"):
        load_reference(reference, linear(3))


def test_none_at_all_says_what_is_missing(reference):
    with pytest.raises(
        ModelError, match=r"the classifier of this model is a TorchScript file or a function.* --classifier"
    ):
        load_reference(reference, None)


# Grey pictures.


def test_one_number_of_mean_and_std_is_a_network_of_one_channel(here):
    found = adopt("mine_to_explain:grey", **SAID, mean=[0.1307], std=[0.3081])
    x = trial_pictures(16)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)  # ITU-R BT.601, as Pillow has it
    grey = ((x + 1) / 2 * weights).sum(dim=1, keepdim=True)
    torch.testing.assert_close(found(x), found.network((grey - 0.1307) / 0.3081))
    assert "reads 16 px in grey with mean 0.131 and std 0.308" in description(found)


def test_a_network_of_one_channel_that_nobody_called_grey_is_told_how(here):
    assert "; it reads grey pictures of one channel: say so with one number each of mean and std, such as " in (
        refusal("mine_to_explain:grey")
    )
    assert "mean and std need three numbers each, or one each where a network of one channel reads grey; they are" in (
        refusal("mine_to_explain:grey", mean=[0.1307])
    )


@pytest.mark.parametrize(
    ("colours", "mix"), [("bgr", lambda x: x.flip(1)), ("grey", lambda x: luma(x).expand(-1, 3, -1, -1))]
)
def test_channels_in_another_order_or_all_alike(here, colours, mix):
    plain, other = adopt("mine_to_explain:load", **SAID), adopt("mine_to_explain:load", colours=colours, **SAID)
    x = trial_pictures(16)
    torch.testing.assert_close(other(x), plain(mix(x)))


def luma(x: torch.Tensor) -> torch.Tensor:
    return 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]


# Names that occur twice.


def test_names_that_occur_twice_are_named_and_can_be_numbered(here):
    names = ["crane", "dog", "cafe\u0301", "crane", "caf\xe9", "Crane"]
    (here / "names.txt").write_text("\n".join(names), encoding="utf-8")
    assert refusal("mine_to_explain:load", class_names="names.txt") == (
        "class_names names a class twice: 'crane' is the name of the outputs 0 and 3; 'cafe\u0301' is the name of the "
        "outputs 2 and 4. Give each a name of its own, or say --number_class_names true for 'crane (0)' and 'crane (3)'"
    )
    assert "must return [N, 6]" in refusal("mine_to_explain:load", class_names="names.txt", number_names=True)
    found = adopt("mine_to_explain:load", class_names=["crane", " crane"], resolution=16, number_names=True)
    assert found.class_names == ["crane (0)", " crane (1)"]
