"""What is found is what every move really did, worked out once more by moving."""

from __future__ import annotations

import pytest
import torch
from small import NAMES, search_options
from torch import Tensor

from stylex import StylEx, metrics
from stylex.attfind.effects import REST, Attribute, effect_table
from stylex.classifiers.classifier import wrap
from stylex.networks.config import ModelConfig
from stylex.networks.generator import Generator, Mapping
from stylex.stylespace import StyleStats, move
from train.search.in_memory import search
from train.search.searched import styles_of


@pytest.fixture(scope="module")
def attributes(model, x) -> list[Attribute]:
    return search(model, x, search_options())


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
    assert [a.target for a in attributes] == list(NAMES) * (len(attributes) // 2)
    assert len({i for i, _ in towards["plain"]}) == len(towards["plain"])


def test_how_many_copies_go_through_at_once_does_not_matter(model, x, attributes):
    found = search(model, x, search_options(batch_size=5))
    assert [(a.index, a.direction, a.target) for a in found] == [(a.index, a.direction, a.target) for a in attributes]


def pictures(model: StylEx, x: Tensor, a: Attribute) -> tuple[Tensor, Tensor]:
    s = styles_of(model, x, 64)
    s = s[model.logits_of(s).argmax(1) != model.class_names.index(a.target)]
    return model.synthesize(s), model.synthesize(move(s, a.index, a.direction, model.stats))


def test_only_what_people_see_is_kept(model, x, attributes, monkeypatch):
    everything = search(model, x, search_options(min_visible=0.0, count=8, explained=1e9))
    # Somebody with worse eyes: half of the moves are below what is seen.
    shares = [metrics.changed_share(*pictures(model, x, a)).median().item() for a in everything]
    monkeypatch.setattr(metrics, "VISIBLE_SHARE", sorted(shares)[len(shares) // 2])
    kept = search(model, x, search_options(min_visible=0.5, count=8, explained=1e9))
    assert 0 < len(kept) < len(everything)
    assert all(a.visible_share >= 0.5 for a in kept)
    monkeypatch.setattr(metrics, "VISIBLE_SHARE", 2.0)
    assert search(model, x, search_options(min_visible=0.5)) == []
    assert len(search(model, x, search_options(min_visible=0.0, count=8, explained=1e9))) == len(everything)


def test_enough_candidates_find_what_an_exhaustive_search_finds(model, x, attributes):
    found = search(model, x, search_options(candidates=2 * model.space.num_conv))
    assert [(a.index, a.direction, a.target) for a in found] == [(a.index, a.direction, a.target) for a in attributes]
    few = search(model, x, search_options(candidates=2, count=8, explained=1e9))
    assert 0 < len({a.index for a in few}) <= 4  # two for each class


def test_an_unstable_picture_is_not_searched_but_counted(model, x, attributes):
    """Its effects decide nothing; the numbers still say what a move did on every picture."""
    assert search(model, x, search_options(unstable_threshold=0.0, unstable_count=0)) == []
    effect = effect_table(model.logits_of, styles_of(model, x, 64), model.stats, num_searched=model.space.num_conv)
    large = (effect.abs() > 0.5).sum(dim=(1, 2, 3)).tolist()
    limit = sorted(large)[len(large) // 2]
    assert limit < max(large)
    found = search(model, x, search_options(unstable_threshold=0.5, unstable_count=limit, min_visible=0.0))
    assert found
    for a in found:
        assert a.delta_logit == pytest.approx(measured(model, x, a)[0], abs=1e-3)


def test_with_few_moves_a_picture_that_half_of_them_change_is_unstable(model, x):
    """The notebook's 750 effects are more than a shortlist of two classes has."""
    assert search(model, x, search_options(candidates=2, unstable_threshold=0.0)) == []
    assert search(model, x, search_options(candidates=2, unstable_threshold=1e9))


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
    found = search(model, x, search_options(count=3, min_visible=0.0))
    assert {a.target for a in found} == set(names)
    assert {a.source for a in found} == {REST}
    for a in found:
        assert a.delta_logit == pytest.approx(measured(model, x, a)[0], abs=1e-3)
        assert a.delta_logit > 0


def test_the_discriminator_has_a_veto(model, x):
    free = search(model, x, search_options(min_visible=0.0, explained=1e9))
    lenient = search(model, x, search_options(min_visible=0.0, explained=1e9, discriminator=1e9))
    assert lenient == free
    # Every move changes the score a little, and every picture counts that has any effect at all.
    assert search(model, x, search_options(min_visible=0.0, discriminator=1e-6, effect_threshold=0.0)) == []
