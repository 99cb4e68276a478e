"""The numbers of a model card, each worked out once more, picture by picture."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
import torch

from stylex import Direction, ModelError, StylEx, losses, metrics
from stylex.attfind.effects import Attribute
from stylex.classifiers.classifier import wrap
from stylex.networks.config import ModelConfig
from stylex.networks.eye import EfficientNetLite0, EfficientNetLite1, EfficientNetLite2
from stylex.pictures.images import to_pil
from train.data.pictures import Pictures, load_pictures, to_float
from train.data.records import DataError
from train.engine.revision import revision_of
from train.evaluate import evaluate, main
from train.measure.interventions import searched_alike, some
from train.measure.judges import fit_stranger
from train.measure.leaks import leaks

NAMES = ["plain", "spotted"]
SIDE = 32
KEYS = {
    "n",
    "classifier_accuracy",
    "second_classifier_accuracy",
    "agreement",
    "second_agreement",
    "retrieval",
    "retrieval_among",
    "visibility",
    "mean_abs_delta_prob",
    "l1",
    "perceptual",
    "kid",
    "kid_std",
    "sufficiency",
    "sufficiency_at_10_by_target",
    "sufficiency_at_10_median",
    "second_sufficiency",
    "second_sufficiency_among",
    "composition_l1",
    "composition_agreement",
    "needed_median",
    "flip_shift_median",
    "diversity",
    "cout",
    "identity_distance",
    "identity_nearest_other",
    "identity_kept",
    "two_afc",
    "two_afc_questions",
    "two_afc_by_attribute",
    "two_afc_alike",
    "intervals",
    "shift",
    "seed",
    "revision",
    "class_names",
}
RATES = {"sufficiency", "second_sufficiency"}
MEDIANS = {"needed_median", "flip_shift_median"}  # not there where the median picture never flips
# What of the attributes a model without any has not.
OF_EDITS = ("sufficiency", "identity", "two_afc", "needed", "flip_shift", "diversity", "cout", "visibility")


@pytest.fixture(scope="module", autouse=True)
def _small_eye() -> Iterator[None]:
    """These pictures have 16 px: the eye that measures need not enlarge them eightfold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.evaluate.MEASURED_AT", SIDE)
        yield


@pytest.fixture(scope="module")
def model(tiny_model) -> StylEx:
    """The tiny model, turned around so that it often keeps the class, and a judge to whom spotted means dark."""
    model = copy.copy(tiny_model)
    model.generator = copy.deepcopy(tiny_model.generator)
    model.generator.affine.class_weight.data.neg_()
    model.judge = wrap(
        lambda x: torch.stack([x.mean(dim=(1, 2, 3)), x.mean(dim=(1, 2, 3)) * 0 + 0.45], dim=1),
        NAMES,
        16,
        mean=(0, 0, 0),
        std=(1, 1, 1),
    )
    return model


@pytest.fixture(scope="module")
def parts(model, pictures) -> Pictures:
    """Twelve photographs, and twelve pictures that the model drew itself, which it knows better."""
    found = load_pictures(pictures, 16)
    found = found.subset(torch.arange(0, 60, 5))
    plain = torch.linspace(0, 1, 12)
    drawn = model.synthesize(model.sample(torch.stack([plain, 1 - plain], dim=1), seed=1))
    levels = ((drawn + 1) * 127.5).round().to(torch.uint8)
    labels = model.logits(drawn).argmax(1)
    return Pictures(torch.cat([found.x, levels]), torch.cat([found.labels, labels]), found.names * 2, NAMES)


@pytest.fixture(scope="module")
def numbers(model, parts) -> dict:
    return evaluate(model, parts, batch_size=7)


def one_by_one(model: StylEx, parts: Pictures) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """(x, s, x_rec) of each picture, alone."""
    rows = []
    for picture in parts.x:
        x = to_float(picture[None])
        s = model.styles(model.encode(x))
        rows.append((x, s, model.synthesize(s)))
    return rows


def says(classifier, x: torch.Tensor) -> int:
    return int(classifier(x)[0].argmax())


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def without(part: str, numbers: dict) -> dict:
    """What has no `part` in its name, of the intervals, too."""
    rest = {k: v for k, v in numbers.items() if part not in k}
    return rest | {"intervals": {k: v for k, v in numbers["intervals"].items() if part not in k}}


def close(value: float) -> object:
    return pytest.approx(value, abs=6e-5)  # rounded to four places


def test_the_keys_are_those_of_the_format(numbers):
    assert set(numbers) | MEDIANS == KEYS
    for name in RATES:
        assert list(numbers[name]) == [str(k) for k in range(1, 21)]
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
    assert (numbers["n"], numbers["shift"], numbers["seed"], numbers["class_names"]) == (24, 1.0, 0, NAMES)


def test_accuracy_and_agreement_count_pictures(model, parts, numbers):
    rows = one_by_one(model, parts)
    for prefix, c in (("", model.classifier), ("second_", model.judge)):
        right = [says(c, x) == int(label) for (x, _, _), label in zip(rows, parts.labels, strict=True)]
        kept = [says(c, x) == says(c, x_rec) for x, _, x_rec in rows]
        assert numbers[f"{prefix}classifier_accuracy"] == close(share(right))
        assert numbers[f"{prefix}agreement"] == close(share(kept))
        assert 0 < share(kept) < 1


def test_the_distances_are_means_over_pictures(model, parts, numbers):
    rows = one_by_one(model, parts)
    drift = [(model.classify(x) - model.classify(x_rec)).abs().mean().item() for x, _, x_rec in rows]
    pixel = [(x - x_rec).abs().mean().item() for x, _, x_rec in rows]
    network = EfficientNetLite0()
    look = [losses.perceptual(network(x), network(x_rec)).item() for x, _, x_rec in rows]
    assert numbers["mean_abs_delta_prob"] == pytest.approx(sum(drift) / 24, abs=1e-3)
    assert numbers["l1"] == close(sum(pixel) / 24)
    assert numbers["perceptual"] == pytest.approx(sum(look) / 24, abs=2e-4)
    eye = EfficientNetLite1(SIDE)
    embedded = [torch.cat([eye.embed(row[i]) for row in rows]) for i in (0, 2)]
    assert (numbers["kid"], numbers["kid_std"]) == pytest.approx(metrics.kid(*embedded), rel=1e-2, abs=2e-5)


def test_retrieval_asks_whether_a_reconstruction_is_nearest_to_its_own_picture(model, parts, numbers):
    network = EfficientNetLite1(SIDE)
    rows = [(network(x), network(x_rec)) for x, _, x_rec in one_by_one(model, parts)]
    found = []
    for n, (_, own) in enumerate(rows):
        distances = [losses.perceptual(maps, own).item() for maps, _ in rows]
        found.append(distances.index(min(distances)) == n)
    assert numbers["retrieval"] == close(share(found))
    assert numbers["retrieval_among"] == 24


def ends(model: StylEx, s: torch.Tensor, moves, shift: float) -> torch.Tensor:
    """s with each coordinate on its way to the end of its range."""
    s = s.clone()
    for index, direction in moves:
        end = model.stats.s_max[index] if direction == Direction.UP else model.stats.s_min[index]
        s[0, index] += shift * (end - s[0, index])
    return s


@pytest.mark.parametrize("shift", [1.0, 1.5])
def test_sufficiency_and_visibility_count_pairs(model, parts, numbers, shift):
    """Pairs of a picture and the class it is not: do k attributes towards it, moved together, make it the decision?"""
    said = numbers if shift == 1.0 else evaluate(model, parts, shift=shift)
    flips = {k: [] for k in (1, 2, 3, 10, 20)}  # there are three attributes towards each class
    second = {k: [] for k in flips}
    at_10, seen = {name: [] for name in NAMES}, []
    for _, s, x_rec in one_by_one(model, parts):
        target = 1 - says(model.classifier, x_rec)
        moves = [(a.index, a.direction) for a in model.attributes if a.target == NAMES[target]]
        for k in flips:
            moved = model.synthesize(ends(model, s, moves[:k], shift))
            flips[k].append(says(model.classifier, moved) == target)
            if says(model.judge, x_rec) != target:
                second[k].append(says(model.judge, moved) == target)
        at_10[NAMES[target]].append(flips[10][-1])
        for one in moves[:5]:
            x_moved = model.synthesize(ends(model, s, [one], shift))
            levels = [torch.tensor(list(to_pil(x).get_flattened_data()), dtype=torch.int) for x in (x_rec, x_moved)]
            changed = (levels[0] - levels[1]).abs().amax(dim=1) > 16
            seen.append(changed.float().mean().item() >= 0.01)
    for k in flips:
        assert said["sufficiency"][str(k)] == close(share(flips[k]))
        assert said["second_sufficiency"][str(k)] == close(share(second[k]))
    assert said["sufficiency_at_10_by_target"] == {name: close(share(v)) for name, v in at_10.items() if v}
    assert said["sufficiency_at_10_median"] == close(median(share(v) for v in at_10.values() if v))
    assert said["visibility"] == close(share(seen))
    assert said["shift"] == shift
    assert len(set(said["sufficiency"].values())) > 1


def test_a_list_from_one_class_is_for_its_pictures_and_the_list_from_the_rest_for_all_others():
    config = ModelConfig(16, 3, (8, 8, 8), (8, 8, 8), w_dim=8, z_dim=8, mapping_layers=2)
    model = StylEx(config, wrap(lambda x: x.mean(dim=(2, 3)), ["blue", "green", "red"], 16))
    rows = [("green", "red", 3), ("rest", "red", 7), ("green", "red", 4), ("rest", "blue", 5)]
    model.attributes = [
        Attribute(index, *model.space.locate(index), Direction.UP, source, target, 1.0, 0.1, 0.1)
        for source, target, index in rows
    ]
    labels = torch.tensor([0, 1, 2, 1, 0, 0])

    def lists(target: int) -> list[tuple[list[int], list[int]]]:
        found = searched_alike(model, labels, target, batch_size=2)
        return [([index for index, _ in moves], part.tolist()) for moves, part in found]

    assert lists(2) == [([7], [0, 4]), ([7], [5]), ([3, 4], [1, 3])]
    assert lists(0) == [([5], [1, 2]), ([5], [3])]
    assert lists(1) == [([], [0, 2]), ([], [4, 5])]  # nothing is moved, and nothing flips


def test_without_a_pair_there_is_no_rate(model, parts, monkeypatch):
    """A classifier of one class, for instance; there is nothing to divide by."""
    monkeypatch.setattr("train.measure.interventions.searched_alike", lambda *_: iter([]))
    assert "sufficiency" not in evaluate(model, parts)


def test_how_the_pictures_are_cut_into_batches_does_not_matter(model, parts, numbers):
    again = evaluate(model, parts, batch_size=24)
    assert set(again) == set(numbers)
    for name, value in numbers.items():
        assert again[name] == (pytest.approx(value, abs=1e-3) if isinstance(value, float) else value), name


def test_a_shift_of_nothing_shows_nothing_and_decides_nothing(model, parts):
    said = evaluate(model, parts, shift=0.0)
    assert said["visibility"] == 0
    assert set(said["sufficiency"].values()) == {0}
    assert set(said["second_sufficiency"].values()) == {0}


def test_the_revision_names_everything_that_is_measured(model, numbers):
    assert numbers["revision"] == revision_of(model)
    named = copy.copy(model)
    named.attributes = [dataclasses.replace(a, name="dark spots") for a in model.attributes]
    assert revision_of(named) == numbers["revision"]

    encoder, stats, attributes = copy.copy(model), copy.copy(model), copy.copy(model)
    encoder.encoder = copy.deepcopy(model.encoder)
    next(encoder.encoder.parameters()).data.add_(0.5)
    stats.stats = dataclasses.replace(model.stats, s_max=model.stats.s_max + 1)
    attributes.attributes = model.attributes[1:]
    revisions = {revision_of(other) for other in (model, encoder, stats, attributes)}
    assert len(revisions) == 4


def test_what_cannot_be_asked_is_left_out(tiny_model, parts):
    said = evaluate(tiny_model, parts)  # no judge
    assert set(said) | MEDIANS == {key for key in KEYS if not key.startswith("second_")}
    bare = copy.copy(tiny_model)
    bare.attributes = []
    assert set(evaluate(bare, parts)) == {key for key in said if not key.startswith(OF_EDITS)}


def test_a_judge_that_sees_every_target_already_leaves_nothing_to_count(model, parts):
    """Then there is no rate, and JSON has no word for 0 / 0."""
    contrary = copy.copy(model)
    contrary.judge = wrap(lambda x: -model.classifier(x * 2 - 1), NAMES, 16, mean=(0, 0, 0), std=(1, 1, 1))
    said = evaluate(contrary, parts)
    json.dumps(said, allow_nan=False)
    assert "second_sufficiency" not in said
    assert "sufficiency" in said


def test_every_number_of_pictures_has_an_interval_around_it(numbers):
    for name, interval in numbers["intervals"].items():
        pairs = [(numbers[name], interval)] if isinstance(interval, list) else zip_keys(numbers[name], interval)
        for value, (low, high) in pairs:
            assert low <= value, name
            assert high is None or value <= high, name
    assert {"agreement", "l1", "retrieval", "sufficiency", "visibility", "cout", "two_afc"} <= set(numbers["intervals"])


def zip_keys(values: dict, intervals: dict) -> list:
    assert values.keys() == intervals.keys()
    return [(values[key], intervals[key]) for key in values]


def test_the_number_of_attributes_needed_is_that_of_the_median_pair(model, parts, numbers):
    needed = []
    for _, s, x_rec in one_by_one(model, parts):
        target = 1 - says(model.classifier, x_rec)
        moves = [(a.index, a.direction) for a in model.attributes if a.target == NAMES[target]]
        flips = [
            k for k in (1, 2, 3) if says(model.classifier, model.synthesize(ends(model, s, moves[:k], 1.0))) == target
        ]
        needed.append(min(flips, default=float("inf")))
    assert numbers.get("needed_median", float("inf")) == sorted(needed)[(len(needed) - 1) // 2]


def test_ten_rounds_are_made_of_one(model, parts, numbers):
    error, kept = [], []
    for x, _, _ in one_by_one(model, parts):
        again = x
        for _ in range(10):
            again = model.synthesize(model.styles(model.encode(again)))
        error.append((x - again).abs().mean().item())
        kept.append(says(model.classifier, x) == says(model.classifier, again))
    assert numbers["composition_l1"] == pytest.approx(sum(error) / len(error), abs=1e-3)
    assert numbers["composition_agreement"] == close(share(kept))


# The stranger.


@pytest.fixture(scope="module")
def stranger(pictures):
    return fit_stranger(load_pictures(pictures, 16, "train"), torch.device("cpu"))


def test_the_stranger_learns_the_classes_and_is_the_same_every_time(stranger, pictures):
    val = load_pictures(pictures, 16, "val")
    seen = EfficientNetLite2(128).embed(to_float(val.x))
    assert (stranger(seen).argmax(1) == val.labels).float().mean() >= 0.8
    again = fit_stranger(load_pictures(pictures, 16, "train"), torch.device("cpu"))
    assert torch.equal(again.weight, stranger.weight)


def test_the_stranger_is_asked_what_the_judge_is_asked(model, parts, stranger):
    few = parts.subset(torch.arange(0, 24, 3))
    said = evaluate(model, few, stranger=stranger)
    eye, own = EfficientNetLite2(128), evaluate(model, few)
    assert set(said) - set(own) >= {"stranger_accuracy", "stranger_agreement"}
    assert without("stranger", said) == own
    right, kept, flips = [], [], []
    for (x, s, x_rec), label in zip(one_by_one(model, few), few.labels, strict=True):
        before, after = (int(stranger(eye.embed(u))[0].argmax()) for u in (x, x_rec))
        right.append(before == int(label))
        kept.append(before == after)
        target = 1 - says(model.classifier, x_rec)
        if after != target:
            moves = [(a.index, a.direction) for a in model.attributes if a.target == NAMES[target]]
            moved = model.synthesize(ends(model, s, moves[:3], 1.0))
            flips.append(int(stranger(eye.embed(moved))[0].argmax()) == target)
    assert said["stranger_accuracy"] == close(share(right))
    assert said["stranger_agreement"] == close(share(kept))
    assert said.get("stranger_sufficiency_among", 0) == len(flips)
    if flips:
        assert said["stranger_sufficiency"]["3"] == close(share(flips))


def test_of_many_pictures_the_stranger_is_asked_about_some():
    assert some(10, None, 3, 0).all()
    assert some(1000, 400, 11, 0).sum() == 40  # with each of ten classes it is not
    assert some(2, 400, 3, 0).all()
    assert some(5, 1, 11, 0).sum() == 1
    assert torch.equal(some(1000, 400, 11, 0), some(1000, 400, 11, 0))


# Leaks.


def planted() -> StylEx:
    """A model of which only the classifier and the synthesis matter: a picture is as bright as its places."""
    config = ModelConfig(16, 2, (8, 8, 8), (8, 8, 8), w_dim=8, z_dim=8, mapping_layers=2, places=2)

    def bright(x: torch.Tensor) -> torch.Tensor:
        light = x.mean(dim=(1, 2, 3))
        return torch.stack([-light, light], dim=1)

    model = StylEx(config, wrap(bright, NAMES, 16, mean=(0.5,) * 3, std=(0.5,) * 3))
    model.synthesize = lambda s: s[:, -1].reshape(-1, 1, 1, 1).expand(-1, 3, 16, 16)
    return model


def test_a_class_that_lies_in_the_places_is_found_there():
    classes = torch.arange(40) % 2
    model = planted()
    noise = torch.randn(40, model.space.size, generator=torch.Generator().manual_seed(0))
    s = noise.clone()
    s[:, model.space.num_styles :] = (classes * 2.0 - 1)[:, None] + 0.1 * noise[:, model.space.num_styles :]
    logits = model.logits_of(s)
    found = leaks(model, s, logits, batch_size=7, seed=0)
    assert not found["places_swapped_agreement"].any()  # the places of the other class make the other class
    assert found["places_probe_accuracy"].all()
    assert found["styles_probe_accuracy"].float().mean() < 0.8


def test_a_model_without_places_has_no_leaks(model, parts):
    assert leaks(model, torch.zeros(8, model.space.size), torch.zeros(8, 2), batch_size=7, seed=0) == {}


# The script.


def test_a_model_without_a_stranger_gets_one_from_the_training_part_and_keeps_it(model_folder, pictures, tmp_path):
    given = ["--model", str(model_folder), "--data", str(pictures), "--output", str(tmp_path / "metrics.json")]

    def measured(*more: str) -> dict:
        main([*given, *more])
        return json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))

    assert "stranger_accuracy" not in measured()  # all pictures: none to learn from
    first = measured("--split", "val")
    kept = StylEx.from_pretrained(model_folder)
    assert kept.stranger is not None
    assert revision_of(kept) == first["revision"]
    assert measured("--split", "val") == first
    assert "stranger_accuracy" in measured()


def test_the_numbers_are_written_and_printed(model_folder, pictures, tmp_path, capsys):
    output = tmp_path / "new" / "metrics.json"
    main(["--model", str(model_folder), "--data", str(pictures), "--split", "val", "--output", str(output)])
    said = json.loads(output.read_text(encoding="utf-8"))
    model, val = StylEx.from_pretrained(model_folder), load_pictures(pictures, 16, "val")
    assert said == evaluate(model, val)  # with the stranger that it has now
    assert said["n"] == len(val) < 60
    assert json.loads(capsys.readouterr().out) == said


def test_without_labels_all_but_the_accuracies_is_the_same(model, parts, numbers):
    found = evaluate(model, dataclasses.replace(parts, labels=None), batch_size=7)
    assert found == without("classifier_accuracy", numbers)


def test_all_pictures_of_the_folder_are_measured_unless_asked_otherwise(model_folder, make_pictures, tmp_path):
    folder = make_pictures(count=3)
    main(["--model", str(model_folder), "--data", str(folder), "--output", str(tmp_path / "metrics.json")])
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["n"] == 6


def test_another_folder_and_a_missing_model_are_refused(model_folder, make_pictures, tmp_path):
    folder = make_pictures(count=2)
    (folder / "plain").rename(folder / "striped")
    given = ["--data", str(folder), "--output", str(tmp_path / "metrics.json")]
    with pytest.raises(DataError, match="has the classes spotted, striped, the classifier plain, spotted; they"):
        main(["--model", str(model_folder), *given])
    with pytest.raises(ModelError, match=r"nothing is neither a folder nor a repository name"):
        main(["--model", str(tmp_path / "nothing"), *given])
    assert not Path(tmp_path / "metrics.json").exists()
