"""The other methods on a whole model: every number that is shown is of the picture that is shown."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from stylex import MethodError, ModelError, StylEx
from stylex.classifiers.classifier import wrap
from stylex.compare import ROWS, compare
from stylex.methods.baselines import ganalyze, rank_by_signal
from stylex.methods.eigenfind import affine_weight
from stylex.neighbours import (
    coordinate_moves,
    counterfactuals,
    direction_edits,
    drawn_map,
    map_of,
    own_pictures,
    within,
    words,
)
from stylex.networks.config import ModelConfig
from stylex.networks.encoder import Encoder
from stylex.networks.generator import Generator, Mapping
from stylex.pictures.images import to_pil, to_tensor
from stylex.storage.outputs import MANIFEST
from stylex.stylespace import StyleStats


@pytest.fixture(scope="module")
def leaf() -> Image.Image:
    """A picture of 16 px that the tiny model calls spotted, and its reconstruction plain."""
    noise = np.random.default_rng(1).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((16, 16))


@pytest.fixture(scope="module")
def seen(tiny_model, leaf) -> tuple[torch.Tensor, torch.Tensor]:
    """The latent and styles of the picture."""
    latent = tiny_model.encode(to_tensor([leaf], 16))
    return latent, tiny_model.styles(latent)


def with_classifier(model: StylEx, function) -> StylEx:
    changed = copy.copy(model)
    changed.classifier = wrap(function, tuple(model.class_names), 16, mean=(0, 0, 0), std=(1, 1, 1))
    return changed


@pytest.mark.parametrize("space", ["styles", "few", "w"])
def test_a_counterfactual_arrives_at_what_the_classifier_says_of_its_picture(tiny_model, leaf, seen, space):
    e = tiny_model.counterfactual(leaf, "spotted", prob=0.8, space=space)
    (a,) = e.attributes
    assert a.edit.found["arrived"]
    assert a.prob_after >= 0.8 - 1e-3
    after = tiny_model.classify(tiny_model.synthesize(a.edit.apply(seen[1])))
    assert float(after[0, 1]) == pytest.approx(a.prob_after, abs=1e-4)
    assert len(e.progression) == 8
    assert e.progression[0][1] == pytest.approx(a.prob_before, abs=1e-4)
    assert e.progression[-1][1] == pytest.approx(a.prob_after, abs=1e-4)


def test_the_search_in_s_leaves_torgb_alone_and_stays_in_the_range(tiny_model, seen):
    found = counterfactuals(tiny_model, *seen, target=1, prob=0.8)
    searched = tiny_model.space.num_conv
    assert found.delta[0, searched:].abs().max() == 0
    stats = tiny_model.stats
    inside = (found.z >= torch.minimum(stats.s_min, seen[1])) & (found.z <= torch.maximum(stats.s_max, seen[1]))
    assert inside.all()


def test_few_need_fewer_coordinates_than_the_shortest_way(tiny_model, seen):
    few = counterfactuals(tiny_model, *seen, target=1, prob=0.8, space="few")
    many = counterfactuals(tiny_model, *seen, target=1, prob=0.8)
    assert 0 < int(few.coordinates) < int(many.coordinates) / 2


def test_noise_is_constant_so_two_searches_are_one(tiny_model, seen):
    for space in ("styles", "w"):
        first, again = (counterfactuals(tiny_model, *seen, target=1, prob=0.8, space=space) for _ in range(2))
        assert torch.equal(first.z, again.z)
        assert torch.equal(first.prob_after, again.prob_after)


def test_the_search_in_w_changes_w_alone(tiny_model, seen):
    found = counterfactuals(tiny_model, *seen, target=1, prob=0.8, space="w")
    assert found.delta[0, tiny_model.config.w_dim :].abs().max() == 0


def test_places_stay_where_they_are():
    """A model with places has them between w and the class, and behind toRGB in s; no method moves them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig(32, 2, (8, 8, 8, 8), (8, 8, 8, 8), w_dim=8, z_dim=8, mapping_layers=2, places=2)
        generator, mapping = Generator(config), Mapping(config)
        torch.nn.init.normal_(generator.affine.class_weight)
        classifier = wrap(lambda x: x.mean(dim=(2, 3))[:, :2] * 4, ("red", "green"), 32, mean=(0, 0, 0), std=(1, 1, 1))
        model = StylEx(config, classifier, generator=generator, encoder=Encoder(config), mapping=mapping)
        s = model.sample(torch.eye(2).repeat(32, 1))
        model.stats = StyleStats.of(s)
        x = model.synthesize(s[:1])
        latent = model.encode(x)
        s = model.styles(latent)
        aim = int(model.logits_of(s)[0].argmin())
    tail = model.space.num_styles
    for space in ("styles", "few", "w"):
        found = counterfactuals(model, latent, s, aim, prob=0.6, space=space)
        after = model.styles(found.z) if space == "w" else found.z
        torch.testing.assert_close(after[:, tail:], s[:, tail:])
        assert (after != s).any()
    picture = Image.fromarray(((x[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy())
    for method in ("eigenfind", "random"):
        for a in model.explain(picture, aim, method=method).attributes:
            if method == "eigenfind":
                assert a.edit.delta[tail:].abs().max() < 1e-5


@pytest.mark.parametrize("method", ["eigenfind", "ganalyze", "s2n", "random"])
def test_every_method_explains_a_picture(tiny_model, leaf, method, tmp_path):
    e = tiny_model.explain(leaf, "spotted", top_k=3, method=method)
    assert e.method == method
    folder = e.save(tmp_path)
    told = json.loads((folder / "explanation.json").read_text(encoding="utf-8"))
    assert told["method"] == method
    assert len(told["attributes"]) == len(e.attributes) <= 3
    assert (folder / "overview.png").is_file()
    if method in ("eigenfind", "ganalyze"):
        for a in e.attributes:
            after = tiny_model.classify(tiny_model.synthesize(a.edit.apply(e.s)))
            assert float(after[0, 1]) == pytest.approx(a.prob_after, abs=1e-4)


@pytest.fixture
def lost(tiny_model, tmp_path) -> StylEx:
    """A model whose mapping draws what no training picture is like, and which has five samples beside it."""
    lost = copy.copy(tiny_model)
    middle = tiny_model.stats.s_mean
    lost.stats = replace(tiny_model.stats, s_min=middle - 1e-3, s_max=middle + 1e-3)
    samples = lost.save_pretrained(tmp_path / "lost") / "samples"
    samples.mkdir()
    s = tiny_model.sample(torch.eye(2)[[0, 1, 1, 0, 1]], seed=5)
    for n, picture in enumerate(tiny_model.synthesize(s)):
        to_pil(picture).save(samples / f"{n}.png")
    return StylEx.from_pretrained(tmp_path / "lost")


def styles_of_samples(model: StylEx) -> torch.Tensor:
    return model.styles(model.encode(model.load_images(model.samples)))


def test_a_model_whose_random_pictures_are_none_learns_from_its_samples(lost, leaf):
    """By what the classifier says of its five samples, those of a class are its exemplars, and no others."""
    known = styles_of_samples(lost)
    probs = lost.logits_of(known).softmax(dim=1)
    target = int(probs.argmax(dim=1).mode().values)
    of_class = int((probs.argmax(dim=1) == target).sum())
    assert 2 <= of_class <= 5
    searched = lost.space.num_conv
    by_hand = rank_by_signal(known, probs, target, lost.stats, searched, 3, of_class)
    assert coordinate_moves(lost, "s2n", target, 3) == by_hand

    def draw(count: int, seed: int) -> torch.Tensor:
        rows = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
        return known[torch.cat([rows, rows])[:count]]

    weight = affine_weight(lost.styles, lost.config.latent_dim, lost.config.w_dim, lost.device)
    (learned,) = direction_edits(lost, "ganalyze", target, known[:1], 1)
    again = ganalyze(lost.logits_with_gradient, draw, weight, target, seed=target)
    torch.testing.assert_close(learned.delta, again.delta)
    (told,) = lost.explain(leaf, target, method="ganalyze").attributes
    assert told.edit.method == "ganalyze"


def test_so_does_one_that_draws_none_at_all(lost):
    with_range = copy.copy(lost)
    with_range.stats = StyleStats.of(styles_of_samples(lost))
    with_range.mapping = None
    torch.testing.assert_close(own_pictures(with_range), styles_of_samples(lost))


def test_one_that_draws_good_ones_asks_for_no_samples(tiny_model):
    assert own_pictures(tiny_model) is None


def test_without_either_it_is_refused_in_one_sentence(lost, leaf):
    lost.samples = []
    for method in ("ganalyze", "s2n"):
        with pytest.raises(
            MethodError, match=r"unlike those it was trained on \(\d+% of .* no folder samples to learn"
        ):
            lost.explain(leaf, "spotted", method=method)
    notes = {row.name: row.note for row in compare(lost, leaf, "spotted", map_methods=()).rows}
    assert "no folder samples" in notes["GANalyze"]
    assert "no folder samples" in notes["StyleSpace S2N"]
    lost.mapping = None
    assert lost.explain(leaf, "spotted", method="random").attributes
    bare = copy.copy(lost)  # what was said of a model is remembered
    with pytest.raises(MethodError, match=r"^this model has no mapping network, .* no folder samples to learn from"):
        bare.explain(leaf, "spotted", method="s2n")


def test_a_saved_counterfactual_shows_the_way(tiny_model, leaf, tmp_path):
    folder = tiny_model.counterfactual(leaf, "spotted", prob=0.8).save(tmp_path)
    assert (folder / "progression.png").is_file()
    assert (folder / "progression-bars.png").is_file()
    (told,) = json.loads((folder / "explanation.json").read_text(encoding="utf-8"))["attributes"]
    titles = {a.coordinate for a in tiny_model.attributes}
    assert set(told["found"]["along"]) <= titles
    named = [index for _, index, _ in words(tiny_model, tiny_model.class_names)]
    assert len(named) == len(set(named))  # a coordinate is named in one direction alone
    with Image.open(folder / "progression.gif") as film:
        assert film.n_frames >= 3
    tiny_model.explain(leaf, "spotted").save(tmp_path)  # nothing of the old one stays
    assert not list(folder.glob("progression.*"))


def test_what_did_not_arrive_says_how_far_it_came(tiny_model, leaf):
    e = with_classifier(tiny_model, lambda x: x.mean(dim=(2, 3))[:, :2] * 1e-3).counterfactual(leaf, "spotted")
    assert any(w.startswith("The counterfactual did not arrive: spotted 0.5") for w in e.warnings)


@pytest.mark.parametrize("method", ["gradcam", "integrated_gradients", "occlusion", "perturbation", "change"])
def test_every_map_has_the_size_of_the_picture(tiny_model, leaf, method):
    found, picture = map_of(tiny_model, leaf, "spotted", method)
    assert found.values.shape == (16, 16)
    assert drawn_map(found, picture).size == (16, 16)
    torch.testing.assert_close(tiny_model.maps(leaf, "spotted", method).values, found.values)


def test_without_a_gradient_attfind_and_occlusion_still_work_and_the_others_say_so(tiny_model, leaf):
    silent = with_classifier(tiny_model, lambda x: x.detach().mean(dim=(2, 3))[:, :2] * 9)
    assert silent.explain(leaf).attributes
    assert silent.maps(leaf, method="occlusion").values.abs().max() > 0
    for ask in (
        lambda: silent.counterfactual(leaf),
        lambda: silent.explain(leaf, method="ganalyze"),
        lambda: silent.maps(leaf, method="gradcam"),
        lambda: silent.maps(leaf, method="perturbation"),
        lambda: silent.maps(leaf, method="change"),
    ):
        with pytest.raises(MethodError, match="passes no gradient"):
            ask()


def test_bad_questions_get_one_sentence(tiny_model, leaf):
    with pytest.raises(MethodError, match=r"gives plain 0.\d\d on this reconstruction already, and 0.5 is asked for"):
        tiny_model.counterfactual(leaf, "plain", prob=0.5)
    with pytest.raises(MethodError, match="prob is 1"):
        tiny_model.counterfactual(leaf, "spotted", prob=1)
    with pytest.raises(ValueError, match="method is 'lime'; use one of attfind, counterfactual"):
        tiny_model.explain(leaf, method="lime")
    with pytest.raises(ValueError, match="space is 'z'; use one of styles, few, w"):
        tiny_model.counterfactual(leaf, "spotted", space="z")
    with pytest.raises(ValueError, match="method is 'lime'; use one of gradcam"):
        tiny_model.maps(leaf, method="lime")
    bare = copy.copy(tiny_model)
    bare.stats = None
    with pytest.raises(ModelError, match="no style statistics"):
        bare.counterfactual(leaf, "spotted")


def test_a_direction_ends_where_the_pictures_end(tiny_model, seen):
    s = seen[1]
    assert torch.equal(within(tiny_model, s, s), s)
    far = within(tiny_model, s, s + 100)
    torch.testing.assert_close(far, torch.maximum(tiny_model.stats.s_max, s))


def test_compare_has_a_row_for_each_method_and_the_maps_beside_them(tiny_model, leaf, tmp_path):
    found = compare(tiny_model, leaf, "spotted")
    assert [row.name for row in found.rows] == list(ROWS)
    few, shortest = found.rows[1], found.rows[2]
    assert 0 < few.coordinates < shortest.coordinates
    assert few.shown.prob_after >= 0.9 - 1e-3
    assert set(found.overlaps) == {"Grad-CAM", "integrated gradients", "occlusion", "perturbation"}
    folder = found.save(tmp_path)
    told = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in told["methods"]] == list(ROWS)
    assert {p.name for p in folder.iterdir()} == {"compare.png", "maps.png", "compare.json", MANIFEST}


def test_a_method_that_cannot_answer_has_a_row_that_says_why(tiny_model, leaf, tmp_path):
    found = compare(tiny_model, leaf, "plain", map_methods=())  # the reconstruction is plain already
    notes = [row.note for row in found.rows if row.shown is None]
    assert any("gives every picture the target already" in note for note in notes)
    assert any("gives every picture the target already" in w for w in found.explanation.warnings)
    found.save(tmp_path)


def test_under_inference_mode_the_other_methods_answer_as_without_it(tiny_model, leaf):
    expected = tiny_model.counterfactual(leaf, "spotted", prob=0.8, space="few")
    where = tiny_model.maps(leaf, "spotted", "gradcam")
    with torch.inference_mode():
        assert tiny_model.counterfactual(leaf, "spotted", prob=0.8, space="few").to_dict() == expected.to_dict()
        torch.testing.assert_close(tiny_model.maps(leaf, "spotted", "gradcam").values, where.values)
        assert tiny_model.maps(leaf, "spotted", "perturbation").values.shape == (16, 16)
