"""The search over a folder: what is stored is what every move really did, worked out once more by moving."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stylex import ModelError, StylEx, metrics
from stylex.attfind import REST, Attribute, effect_table
from stylex.classifier import wrap
from stylex.config import ModelConfig
from stylex.generator import Generator, Mapping
from stylex.stylespace import StyleStats, move
from train.data import DataError, load_folder
from train.find_attributes import Options, balanced, main, search, styles_of

NAMES = ["plain", "spotted"]


def options(**changes) -> Options:
    return Options(**{"model": "", "data": "", "images": 12, "count": 3, **changes})


@pytest.fixture(scope="module")
def x(pictures) -> Tensor:
    found = load_folder(pictures, 16)
    return found.x[balanced(found.labels, 12, seed=0)]


@pytest.fixture(scope="module")
def model(tiny_model) -> StylEx:
    model = copy.copy(tiny_model)
    model.attributes = []
    return model


@pytest.fixture(scope="module")
def attributes(model, x) -> list[Attribute]:
    return search(model, x, options())


@pytest.fixture
def find(model_folder, pictures) -> Callable[..., StylEx]:
    """The script on the tiny model's folder; what it made of it."""

    def run(**changes) -> StylEx:
        values = {"model": model_folder, "data": pictures, "images": 12, "count": 3, **changes}
        main([arg for name, value in values.items() for arg in (f"--{name}", str(value))])
        return StylEx.from_pretrained(model_folder)

    return run


def measured(model: StylEx, x: Tensor, a: Attribute) -> tuple[float, float, float, float]:
    """Mean change of the target's logit, of its probability, share that flips, share that a person sees."""
    rows = []
    for s in styles_of(model, x, batch_size=1).split(1):
        before, target = model.logits_of(s)[0], model.class_names.index(a.target)
        if int(before.argmax()) == target:
            continue
        moved = move(s, a.index, a.direction, model.stats)
        after = model.logits_of(moved)[0]
        rows.append(
            (
                float(after[target] - before[target]),
                float(after.softmax(0)[target] - before.softmax(0)[target]),
                float(after.argmax() == target),
                float(metrics.visible(model.synthesize(s), model.synthesize(moved))),
            )
        )
    return tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))


# The search.


def test_the_numbers_are_means_over_the_pictures_of_the_other_class(model, x, attributes):
    assert len(attributes) >= 4
    for a in attributes:
        logit, prob, flips, seen = measured(model, x, a)
        assert (a.layer, a.channel) == model.space.locate(a.index)
        assert (a.source, a.target) in (("plain", "spotted"), ("spotted", "plain"))
        assert a.delta_logit == pytest.approx(logit, abs=1e-3)
        assert a.delta_prob == pytest.approx(prob, abs=1e-3)
        assert a.images_share == pytest.approx(flips)
        assert a.visible_share == pytest.approx(seen)


def test_two_classes_share_one_list_walked_both_ways(attributes):
    towards = {name: [(a.index, a.direction) for a in attributes if a.target == name] for name in NAMES}
    assert towards["spotted"] == [(i, d.opposite) for i, d in towards["plain"]]
    assert [a.target for a in attributes] == NAMES * (len(attributes) // 2)
    assert len({i for i, _ in towards["plain"]}) == len(towards["plain"])


def test_how_many_copies_go_through_at_once_does_not_matter(model, x, attributes):
    found = search(model, x, options(batch_size=5))
    assert [(a.index, a.direction, a.target) for a in found] == [(a.index, a.direction, a.target) for a in attributes]


def test_only_what_people_see_is_kept(model, x, attributes, monkeypatch):
    everything = search(model, x, options(min_visible=0.0, count=8, explained=1e9))
    # Somebody with worse eyes: half of the moves are below what is seen.
    shares = [metrics.changed_share(*pictures(model, x, a)).median().item() for a in everything]
    monkeypatch.setattr(metrics, "VISIBLE_SHARE", sorted(shares)[len(shares) // 2])
    kept = search(model, x, options(min_visible=0.5, count=8, explained=1e9))
    assert 0 < len(kept) < len(everything)
    assert all(a.visible_share >= 0.5 for a in kept)
    monkeypatch.setattr(metrics, "VISIBLE_SHARE", 2.0)
    assert search(model, x, options(min_visible=0.5)) == []
    assert len(search(model, x, options(min_visible=0.0, count=8, explained=1e9))) == len(everything)


def pictures(model: StylEx, x: Tensor, a: Attribute) -> tuple[Tensor, Tensor]:
    s = styles_of(model, x, 64)
    s = s[model.logits_of(s).argmax(1) != model.class_names.index(a.target)]
    return model.synthesize(s), model.synthesize(move(s, a.index, a.direction, model.stats))


def test_enough_candidates_find_what_an_exhaustive_search_finds(model, x, attributes):
    found = search(model, x, options(candidates=model.space.num_conv))
    assert [(a.index, a.direction, a.target) for a in found] == [(a.index, a.direction, a.target) for a in attributes]
    few = search(model, x, options(candidates=2, count=8, explained=1e9))
    assert 0 < len({a.index for a in few}) <= 4  # two for each class


def test_an_unstable_picture_is_not_searched_but_counted(model, x, attributes):
    """Its effects decide nothing; the numbers still say what a move did on every picture."""
    assert search(model, x, options(unstable_threshold=0.0, unstable_count=0)) == []
    effect = effect_table(model.logits_of, styles_of(model, x, 64), model.stats, num_searched=model.space.num_conv)
    large = (effect.abs() > 0.5).sum(dim=(1, 2, 3)).tolist()
    limit = sorted(large)[len(large) // 2]
    assert limit < max(large)
    found = search(model, x, options(unstable_threshold=0.5, unstable_count=limit, min_visible=0.0))
    assert found
    for a in found:
        assert a.delta_logit == pytest.approx(measured(model, x, a)[0], abs=1e-3)


def test_three_classes_are_searched_one_against_the_rest():
    names = ["blue", "green", "red"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig(16, 3, (8, 8, 8), (8, 8, 8), w_dim=8, z_dim=8, mapping_layers=2)
        classifier = wrap(lambda x: 20 * x.mean(dim=(2, 3)).flip(1), names, 16, mean=(0, 0, 0), std=(1, 1, 1))
        generator, mapping = Generator(config), Mapping(config)
        torch.nn.init.normal_(generator.affine.class_weight, std=2.0)
        latent = torch.cat([mapping(torch.randn(64, 8)), torch.eye(3).repeat(22, 1)[:64]], dim=1)
        model = StylEx(config, classifier, generator=generator, stats=StyleStats.of(generator.styles(latent).detach()))
        colours = torch.eye(3).repeat(6, 1) * 200 + torch.randint(0, 50, (18, 3))
    x = colours.to(torch.uint8)[:, :, None, None].expand(-1, -1, 16, 16)
    found = search(model, x, options(count=3, min_visible=0.0))
    assert {a.target for a in found} == set(names)
    assert {a.source for a in found} == {REST}
    for a in found:
        assert a.delta_logit == pytest.approx(measured(model, x, a)[0], abs=1e-3)
        assert a.delta_logit > 0


def test_pictures_of_one_decision_alone_are_refused(model, x):
    labels = model.logits_of(styles_of(model, x, 64)).argmax(1)
    assert set(labels.tolist()) == {0, 1}
    with pytest.raises(DataError, match="every reconstruction is plain to the classifier: there is nothing to compare"):
        search(model, x[labels == 0], options())


def test_the_chosen_pictures_take_turns():
    labels = torch.tensor([0] * 20 + [1] * 5 + [2] * 3)
    chosen = balanced(labels, 12, seed=0)
    assert len(set(chosen.tolist())) == 12
    assert labels[chosen].bincount().tolist() == [5, 4, 3]
    assert labels[balanced(labels, 9, seed=0)].bincount().tolist() == [3, 3, 3]
    assert sorted(balanced(labels, 99, seed=0).tolist()) == list(range(28))
    assert balanced(labels, 12, seed=0).tolist() == chosen.tolist()
    assert balanced(labels, 12, seed=1).tolist() != chosen.tolist()


# The script.


def test_statistics_are_of_the_whole_part_and_attributes_of_the_chosen_pictures(find, model_folder, pictures):
    before = StylEx.from_pretrained(model_folder)
    after = find()
    train = load_folder(pictures, 16, "train")
    expected = StyleStats.of(styles_of(before, train.x, 256))
    assert after.stats.count == len(train) < 60
    for name in ("s_min", "s_max", "s_mean", "s_std"):
        torch.testing.assert_close(getattr(after.stats, name), getattr(expected, name))
    before.stats, before.attributes = after.stats, []
    searched = train.x[balanced(train.labels, 12, seed=0)]
    assert [(a.index, a.target) for a in after.attributes] == [
        (a.index, a.target) for a in search(before, searched, options())
    ]


def test_a_search_writes_statistics_and_attributes_and_touches_nothing_else(find, model_folder):
    before = {p.relative_to(model_folder): p.read_bytes() for p in model_folder.rglob("*") if p.is_file()}
    find()
    after = {p.relative_to(model_folder): p.read_bytes() for p in model_folder.rglob("*") if p.is_file()}
    assert set(after) == set(before)
    changed = {str(p) for p in before if before[p] != after[p]}
    assert changed <= {"attributes.json", "style_stats.safetensors"}
    rows = json.loads(after[next(p for p in after if p.name == "attributes.json")])["attributes"]
    assert rows
    for row in rows:
        assert {"index", "layer", "channel", "direction", "source", "target", "delta_logit", "delta_prob"} <= set(row)
        assert {"images_share", "visible_share", "name"} <= set(row)


def test_the_same_search_writes_the_same_bytes(find, model_folder):
    find()
    first = (model_folder / "attributes.json").read_bytes()
    find()
    assert (model_folder / "attributes.json").read_bytes() == first


def test_a_name_that_a_person_gave_survives_a_second_search(find, model_folder):
    find()
    path = model_folder / "attributes.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    rows["attributes"][0]["name"] = "dark spot"
    path.write_text(json.dumps(rows), encoding="utf-8")
    names = [a.name for a in find().attributes]
    assert names == ["dark spot"] + [None] * (len(names) - 1)


def test_what_was_found_is_said(find, capsys):
    attributes = find().attributes
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(attributes)
    a = attributes[0]
    assert lines[0].startswith(f"{a.source} → {a.target}  {a.layer} {a.channel} {a.direction.name.lower()}: logit ")
    assert f"flips {a.images_share:.0%}" in lines[0]


def test_another_folder_and_a_missing_model_are_refused(find, model_folder, make_pictures, tmp_path):
    folder = make_pictures(count=2)
    (folder / "plain").rename(folder / "striped")
    with pytest.raises(DataError, match="has the classes spotted, striped, the model plain, spotted; they must be"):
        find(data=folder)
    with pytest.raises(ModelError, match="nothing is neither a folder nor a repository name"):
        find(model=tmp_path / "nothing")
