"""Training a classifier to explain, and the judge beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from stylex.classifiers.classifier import ClassifierError, load_classifier, save_classifier
from train.classifying.certainty import fit_temperature, logits_of
from train.data.pictures import Pictures, load_pictures, to_float
from train.data.records import DataError
from train.train_classifier import LITE_FROZEN, RECIPES, Options, fit, main, report, untrained

TINY: dict[str, Any] = {
    "resolution": 16,
    "width": 12,
    "blocks": 1,
    "epochs": 12,
    "batch_size": 16,
    "learning_rate": 0.01,
    "flips": "dihedral",
    "turn": 0.0,
    "adversarial": 0.0,
}


def options(data: Path, output: Path, **changes: Any) -> Options:
    return Options(str(data), str(output), **{**TINY, **changes})


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory) -> Path:
    """Classifier and judge, written by the script itself."""
    output = tmp_path_factory.mktemp("classifier")
    args = ["--data", str(pictures), "--output", str(output)]
    for name, value in TINY.items():
        args += [f"--{name}", str(value)]
    main(args)
    return output


@pytest.fixture(scope="module")
def parts(pictures) -> tuple[Pictures, Pictures]:
    return load_pictures(pictures, 16, "train"), load_pictures(pictures, 16, "val")


def test_it_learns_what_tells_the_classes_apart(trained, pictures):
    val = load_pictures(pictures, 16, "val")
    for folder in (trained, trained / "judge"):
        classifier = load_classifier(folder)
        assert (classifier(to_float(val.x)).argmax(1) == val.labels).float().mean() >= 0.8


def test_class_names_and_preprocessing_travel_with_the_weights(trained):
    classifier = load_classifier(trained)
    assert classifier.class_names == ["plain", "spotted"]
    assert classifier.config.resolution == 16
    assert classifier.config.arguments == {"width": 12, "blocks": 1}


def test_a_width_that_crashes_some_processors_is_refused(pictures, tmp_path):
    with pytest.raises(ClassifierError, match=r"^width is 6; use a multiple of 4"):
        options(pictures, tmp_path, width=6)


def test_the_judge_is_of_another_family(trained, pictures, tmp_path):
    classifier, judge = load_classifier(trained), load_classifier(trained / "judge")
    assert judge.class_names == classifier.class_names
    assert (classifier.config.architecture, judge.config.architecture) == ("ConvNet", "EfficientNetLite0")
    for backbone in RECIPES:
        o = options(pictures, tmp_path, backbone=backbone)
        assert o.of_judge().backbone != backbone
        assert o.of_judge().seed != o.seed
        assert o.of_judge().recipe() == RECIPES[o.of_judge().backbone]
    judged = {"timm:vit_tiny_patch16_224": "efficientnet_lite0", "timm:efficientnet_lite0": "resnet18"}
    for backbone, judge in judged.items():
        o = options(pictures, tmp_path, backbone=backbone, backbone_arguments={}, backbone_resolution=64)
        assert o.of_judge().backbone == judge


def test_what_is_said_replaces_the_recipe_of_the_backbone(pictures, tmp_path):
    o = options(pictures, tmp_path, backbone="resnet18", epochs=None, batch_size=None, learning_rate=0.5)
    recipe = RECIPES["resnet18"]
    assert (o.recipe().epochs, o.recipe().batch_size, o.recipe().learning_rate) == (
        recipe.epochs,
        recipe.batch_size,
        0.5,
    )


def test_a_network_that_knows_imagenet_learns_in_one_pass_what_tells_the_classes_apart(pictures, parts, tmp_path):
    o = options(pictures, tmp_path, backbone="efficientnet_lite0", tune=False, zoom=0.1, translate=0.0)
    classifier = fit(o, "classifier", *parts)
    assert classifier.config.resolution == 128  # pictures of 16 px are enlarged
    assert (logits_of(classifier, parts[1].x).argmax(1) == parts[1].labels).float().mean() >= 0.8
    save_classifier(classifier, tmp_path)
    again = load_classifier(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 10_000_000
    x = to_float(parts[1].x)
    torch.testing.assert_close(again(x), classifier(x), rtol=0, atol=0.05)  # went through half precision


def test_tuning_leaves_edges_and_textures_as_imagenet_made_them(pictures, parts, tmp_path):
    o = options(pictures, tmp_path, backbone="efficientnet_lite0", epochs=1, learning_rate=None)
    before = untrained(o, parts[0].class_names).network.trunk
    few = parts[0].subset(torch.arange(0, len(parts[0]), 6))
    after = fit(o, "classifier", few, few).network.trunk
    for i, (a, b) in enumerate(zip(before.blocks, after.blocks, strict=True)):
        assert torch.equal(a.project.weight, b.project.weight) == (i < LITE_FROZEN), i
    assert torch.equal(before.stem.weight, after.stem.weight)


def test_a_residual_network_from_scratch_is_trained_and_saved(pictures, parts, tmp_path):
    o = options(pictures, tmp_path, backbone="resnet18", epochs=1)
    save_classifier(fit(o, "judge", *parts), tmp_path)
    assert load_classifier(tmp_path).config.architecture == "ResNet18"
    assert (tmp_path / "model.safetensors").stat().st_size < 10_000_000


VIT: dict[str, Any] = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2}


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        ("torchvision:shufflenet_v2_x0_5", {"backbone_resolution": 32, "epochs": 1}),
        ("timm:vit_tiny_patch16_224", {"backbone_arguments": VIT, "learning_rate": 3e-3}),
    ],
)
def test_an_architecture_of_a_library_is_trained_and_comes_back_from_its_folder(
    backbone, said, pictures, parts, tmp_path
):
    o = options(pictures, tmp_path, backbone=backbone, **said)
    classifier = fit(o, "classifier", *parts)
    x = to_float(parts[1].x)
    if o.epochs > 1:  # batch statistics take more steps than this
        assert (classifier(x).argmax(1) == parts[1].labels).float().mean() >= 0.8
    assert not any(p.requires_grad for p in classifier.parameters())
    save_classifier(classifier, tmp_path)
    again = load_classifier(tmp_path)
    assert again.config == classifier.config
    assert f"{again.config.library}:{again.config.architecture}" == backbone
    torch.testing.assert_close(again(x), classifier(x), rtol=0, atol=0.1)  # went through half precision


def test_it_goes_on_from_weights_of_other_classes(pictures, parts, tmp_path, capsys):
    how = {"backbone": "timm:vit_tiny_patch16_224", "backbone_arguments": VIT}
    o = options(pictures, tmp_path, **how)
    theirs = untrained(o, ["a", "b", "c"]).network
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    o = options(pictures, tmp_path, **how, backbone_weights=str(tmp_path / "theirs.safetensors"))
    ours = untrained(o, parts[0].class_names).network
    assert torch.equal(ours.blocks[0].attn.qkv.weight, theirs.blocks[0].attn.qkv.weight)
    assert ours.head.weight.shape == (2, 24)
    assert all(p.requires_grad for p in ours.parameters())
    assert capsys.readouterr().out.endswith("anew, for other classes: head.bias, head.weight\n")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"backbone": "resnet19"},
            "backbone is resnet19; use convnet, efficientnet_lite0, resnet18, or an",
        ),
        ({"backbone": "timm:"}, "backbone is timm:; use convnet"),
        (
            {"backbone_resolution": 32},
            "backbone_resolution is 32, and the backbone convnet; it is for an architec",
        ),
        ({"backbone": "torchvision:tomorrow"}, "torchvision cannot build 'tomorrow'"),
        (
            {"backbone": "timm:vit_tiny_patch16_224"},
            "timm:vit_tiny_patch16_224 cannot read pictures [4, 3, 16, 16] (AssertionError: Input height (16)",
        ),
        (
            {"backbone": "timm:vit_tiny_patch16_224", "backbone_arguments": VIT, "backbone_weights": "none.pt"},
            "none.pt is no file; give the weights as safetensors",
        ),
        (
            {
                "backbone": "timm:vit_tiny_patch16_224",
                "backbone_arguments": {**VIT, "embed_dim": 48},
                "backbone_weights": "vit.safetensors",
            },
            "; timm:vit_tiny_patch16_224 with 2 classes (plain, spotted) has [48",
        ),
        (
            {
                "backbone": "torchvision:shufflenet_v2_x0_5",
                "backbone_resolution": 32,
                "backbone_weights": "vit.safetensors",
            },
            "torchvision:shufflenet_v2_x0_5 is another network",
        ),
    ],
)
def test_a_backbone_that_will_not_do_is_one_sentence(changes, says, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    vit = options(pictures, tmp_path, backbone="timm:vit_tiny_patch16_224", backbone_arguments=VIT)
    save_file(untrained(vit, ["a", "b", "c"]).network.state_dict(), "vit.safetensors")
    with pytest.raises(ClassifierError) as caught:
        untrained(options(pictures, tmp_path, **changes), ["plain", "spotted"])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_metrics_are_those_of_the_validation_part(trained, pictures):
    metrics = json.loads((trained / "metrics.json").read_text())
    val = load_pictures(pictures, 16, "val")
    classifier = load_classifier(trained)
    logits = logits_of(classifier, val.x)
    assert metrics["n"] == len(val)
    assert metrics["accuracy"] == pytest.approx((logits.argmax(1) == val.labels).float().mean().item(), abs=1e-3)
    assert metrics["cross_entropy"] == pytest.approx(F.cross_entropy(logits, val.labels).item(), abs=0.02)
    assert metrics["temperature"] == pytest.approx(classifier.config.temperature, abs=1e-3)
    assert metrics["accuracy_under_4_levels"] <= metrics["accuracy"]


def test_the_temperature_is_fitted_on_the_validation_part(trained, pictures):
    classifier = load_classifier(trained)
    val = load_pictures(pictures, 16, "val")
    logits = logits_of(classifier, val.x)
    # Already calibrated: no other temperature is called for (weights went through half precision since).
    assert fit_temperature(logits, val.labels) == pytest.approx(1, rel=0.02)


def test_the_same_seed_trains_the_same_classifier(pictures, parts, tmp_path):
    def train(seed: int) -> torch.Tensor:
        classifier = fit(options(pictures, tmp_path, epochs=1, seed=seed), "classifier", *parts)
        return logits_of(classifier, parts[1].x)

    assert torch.equal(train(0), train(0))
    assert not torch.equal(train(0), train(1))


@pytest.mark.parametrize("adversarial", [0.0, 2.0])
def test_fewer_pictures_than_a_batch_are_enough(pictures, parts, tmp_path, adversarial):
    o = options(pictures, tmp_path, batch_size=1000, epochs=4, adversarial=adversarial)
    classifier = fit(o, "classifier", *parts)
    assert all(torch.isfinite(p).all() for p in classifier.parameters())


def test_a_report_takes_seconds_to_minutes(trained, parts):
    assert report(load_classifier(trained), parts[1], seconds=90.0)["minutes"] == 1.5


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (lambda folder: [p.unlink() for p in (folder / "plain").iterdir()], "holds one class (spotted)"),
        (lambda folder: [p.unlink() for p in folder.rglob("*.png")], "holds no pictures"),
        (
            lambda folder: [p.rename(folder / p.name) for p in list(folder.rglob("*.png"))],
            "have no labels, and a classifier learns from labels; give one sub-folder for each class",
        ),
    ],
)
def test_a_useless_folder_is_refused_before_training_starts(make_pictures, tmp_path, breaks, says):
    folder = make_pictures(count=3)
    breaks(folder)
    with pytest.raises(DataError) as caught:
        main(["--data", str(folder), "--output", str(tmp_path / "out")])
    assert says in str(caught.value)
    assert not (tmp_path / "out").exists()
