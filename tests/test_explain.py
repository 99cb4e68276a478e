"""One picture explained: every number of an explanation is the number of the move it names."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from stylex import Direction, Explanation, ImageError, ModelError, StylEx, metrics
from stylex.attfind.effects import REST, Attribute, effect_table
from stylex.classifiers.classifier import wrap
from stylex.explain import at_once, combine, promise, propose, resolve_target
from stylex.networks.config import ModelConfig
from stylex.networks.generator import Generator, Mapping
from stylex.pictures.images import to_pil
from stylex.pictures.names import Proposal
from stylex.storage.outputs import MANIFEST
from stylex.stylespace import StyleStats, move, move_together

COLOURS = ("red", "green", "blue")
# So short a way that one attribute alone does not flip the decision.
SHORT = 0.25


@pytest.fixture(scope="module")
def leaf() -> Image.Image:
    """A picture of 16 px that the tiny model calls spotted, and its reconstruction plain."""
    return blotches(1)


def blotches(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((16, 16))


def colour_model(temperature: float) -> StylEx:
    """Three classes: the classifier names the strongest colour of a picture."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig(16, 3, (8, 8, 8), (8, 8, 8), w_dim=8, z_dim=8, mapping_layers=2)
        classifier = wrap(
            lambda x: x.mean(dim=(2, 3)), COLOURS, 16, mean=(0, 0, 0), std=(1, 1, 1), temperature=temperature
        )
        generator, mapping = Generator(config), Mapping(config)
        torch.nn.init.normal_(generator.affine.class_weight, std=0.5)
        latent = torch.cat([mapping(torch.randn(64, 8)), torch.rand(64, 3).softmax(dim=1)], dim=1)
        stats = StyleStats.of(generator.styles(latent).detach())
        return StylEx(config, classifier, generator=generator, stats=stats)


@pytest.fixture(scope="module")
def colours() -> StylEx:
    return colour_model(temperature=1.0)


@pytest.fixture(scope="module")
def explained(tiny_model, leaf) -> Explanation:
    return tiny_model.explain(leaf, target="spotted", top_k=3)


@pytest.fixture(scope="module")
def grown(tiny_model, leaf) -> Explanation:
    """The same, each attribute on top of the ones before."""
    return tiny_model.explain(leaf, target="spotted", top_k=10, strategy="subset", shift=SHORT)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.int16)


def assert_alike(a: Image.Image, b: Image.Image) -> None:
    """Equal but for rounding, which depends on how many pictures went through the network at once."""
    assert np.abs(pixels(a) - pixels(b)).max() <= 1


# What the classifier says.


def test_an_explanation_begins_with_the_photograph_and_its_reconstruction(tiny_model, leaf, explained):
    x = tiny_model.load_images([leaf])
    s = tiny_model.styles(tiny_model.encode(x))
    x_rec = tiny_model.synthesize(s)
    assert torch.equal(explained.s, s)
    assert np.array_equal(pixels(explained.source), pixels(leaf))
    assert np.array_equal(pixels(explained.reconstruction), pixels(to_pil(x_rec)))
    for said, picture in ((explained.probs, x), (explained.reconstruction_probs, x_rec)):
        assert list(said) == ["plain", "spotted"]
        assert list(said.values()) == pytest.approx(tiny_model.classify(picture)[0].tolist())
    assert explained.predicted == max(explained.probs, key=explained.probs.get)


def test_every_kind_of_source_gives_the_same_explanation(tiny_model, leaf, explained, tmp_path):
    leaf.save(tmp_path / "leaf.png")
    for source in (tmp_path / "leaf.png", str(tmp_path / "leaf.png"), (tmp_path / "leaf.png").read_bytes()):
        assert tiny_model.explain(source, target="spotted", top_k=3).to_dict() == explained.to_dict()


def test_explaining_changes_nothing(tiny_model, leaf, explained):
    torch.manual_seed(0)
    before = [p.clone() for m in tiny_model.modules() for p in m.state_dict().values()]
    state, attributes, given = torch.get_rng_state(), list(tiny_model.attributes), pixels(leaf).copy()
    again = tiny_model.explain(leaf, target="spotted", top_k=3)
    assert again.to_dict() == explained.to_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert tiny_model.attributes == attributes
    assert np.array_equal(pixels(leaf), given)
    after = [p for m in tiny_model.modules() for p in m.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not any(p.requires_grad for p in before)


@pytest.mark.parametrize(("target", "k"), [("red", 0), ("blue", 2), (0, 0), (2, 2), (None, 1)])
def test_a_target_is_a_name_a_number_or_the_runner_up(target, k):
    assert resolve_target(list(COLOURS), torch.tensor([0.0, 2.0, 3.0]), target) == k


@pytest.mark.parametrize("target", ["purple", "Red", "1", "", 3, -1, True, 1.0])
def test_a_class_that_does_not_exist_is_answered_with_those_that_do(target):
    with pytest.raises(ValueError, match=r"there is no class .*; this classifier knows red, green, blue"):
        resolve_target(list(COLOURS), torch.zeros(3), target)


def test_the_runner_up_is_the_photograph_s_and_not_the_reconstruction_s(tiny_model, leaf):
    e = tiny_model.explain(leaf, top_k=1)
    assert e.target == min(e.probs, key=e.probs.get)


# Attributes, each alone.


def test_each_attribute_is_its_own_move(tiny_model, explained):
    e = explained
    assert len(e.attributes) == 3
    before = tiny_model.logits_of(e.s)[0]
    for a in e.attributes:
        moved = move(e.s, a.index, a.direction, tiny_model.stats)
        x_rec, x_moved = tiny_model.synthesize(e.s), tiny_model.synthesize(moved)
        after = tiny_model.logits(x_moved)[0]
        assert (a.layer, a.channel) == tiny_model.space.locate(a.index)
        assert a.prob_before == pytest.approx(e.reconstruction_probs["spotted"], abs=1e-5)
        assert a.prob_after == pytest.approx(float(after.softmax(0)[1]), abs=1e-5)
        assert a.delta == a.prob_after - a.prob_before
        assert a.delta_logit == pytest.approx(float(after[1] - before[1]), abs=1e-4)
        assert a.changed_share == pytest.approx(float(metrics.changed_share(x_rec, x_moved)), abs=0.01)
        assert a.visible == (a.changed_share >= metrics.VISIBLE_SHARE)
        assert_alike(a.before, e.reconstruction)
        assert_alike(a.image, to_pil(x_moved))


def best_moves(model: StylEx, s: torch.Tensor, target: int) -> list[tuple[int, Direction, float]]:
    """Every conv coordinate moved the better way, those that help, best first: what a search without haste finds."""
    effect = effect_table(model.logits_of, s, model.stats, num_searched=model.space.num_conv)[0, :, :, target]
    gain, direction = effect.max(dim=0)
    return [
        (i, Direction(int(direction[i])), float(gain[i])) for i in gain.argsort(descending=True).tolist() if gain[i] > 0
    ]


def test_the_best_are_shown_best_first_and_each_coordinate_once(tiny_model, explained):
    expected = best_moves(tiny_model, explained.s, 1)
    e = tiny_model.explain(explained.source, target="spotted", top_k=100)
    assert {a.index for a in e.attributes} == {i for i, _, _ in expected}
    assert len(e.attributes) == len(expected) > 10
    assert all(a.delta_logit > 0 for a in e.attributes)
    seen = [a for a in e.attributes if a.visible]
    assert [a.index for a in seen[:3]] == [a.index for a in explained.attributes]
    assert [(a.index, a.direction) for a in seen] == [(i, d) for i, d, _ in expected if i in {a.index for a in seen}]


def test_what_nobody_can_see_steps_back(tiny_model, leaf, explained, monkeypatch):
    everything = tiny_model.explain(leaf, target="spotted", top_k=8).attributes
    # Somebody with worse eyes: half of these are not visible any more.
    shares = sorted(a.changed_share for a in everything)
    monkeypatch.setattr(metrics, "VISIBLE_SHARE", shares[4])
    shown = tiny_model.explain(leaf, target="spotted", top_k=8).attributes
    assert [a.visible for a in shown] == sorted((a.visible for a in shown), reverse=True)
    for visible in (True, False):
        gains = [a.delta_logit for a in shown if a.visible == visible]
        assert gains == sorted(gains, reverse=True)
    monkeypatch.setattr(metrics, "VISIBLE_SHARE", 1.1)
    e = tiny_model.explain(leaf, target="spotted", top_k=8)
    assert [a.index for a in e.attributes] == [i for i, _, _ in best_moves(tiny_model, e.s, 1)[:8]]
    assert "None of these changes is large enough for a person to see." in e.warnings


def test_a_longer_shift_goes_further(tiny_model, leaf, explained):
    (a,) = tiny_model.explain(leaf, target="spotted", top_k=1, shift=0.5).attributes
    half = move(explained.s, a.index, a.direction, tiny_model.stats, 0.5)
    assert_alike(a.image, to_pil(tiny_model.synthesize(half)))
    assert a.delta < explained.attributes[0].delta


def test_attributes_pull_the_picture_towards_the_class_that_they_name(colours):
    """The classifier reads the strongest colour, so whatever is found must make the picture redder or bluer."""
    grey = Image.new("RGB", (16, 16), (120, 130, 120))
    for k, target in enumerate(COLOURS):
        e = colours.explain(grey, target=target, top_k=4)
        assert e.attributes
        for a in e.attributes:
            assert pixels(a.image)[..., k].mean() > pixels(a.before)[..., k].mean()


def test_a_name_that_a_person_gave_is_the_title_and_then_a_proposal(tiny_model, leaf):
    model = copy.copy(tiny_model)
    shown = tiny_model.explain(leaf, target="spotted", top_k=100).attributes
    here = {(a.index, a.direction) for a in shown}
    listed = [a for a in tiny_model.attributes if a.target == "spotted" and (a.index, a.direction) in here]
    sure = Proposal("darker", 0.9, 40)
    model.attributes = [dataclasses.replace(listed[0], name="dark spots", proposal=sure)]
    model.attributes += [dataclasses.replace(a, proposal=sure) for a in listed[1:]]
    found = {(a.index, a.direction): a for a in model.explain(leaf, target="spotted", top_k=100).attributes}
    named = found.pop((listed[0].index, listed[0].direction))
    assert (named.title, named.doubt) == ("dark spots", "")
    assert named.coordinate == f"{named.layer} · {named.channel} {'↑' if named.direction == Direction.UP else '↓'}"
    for a in listed[1:]:
        said = found.pop((a.index, a.direction))
        assert (said.title, said.doubt) == ("darker", "proposed: holds on 90% of 40 held-out pictures")
    for a in found.values():  # in no list: what was done to this picture
        assert a.proposal.pictures == 1
        assert a.title == str(a.proposal)


# Attributes, each on top of the ones before.


def test_a_subset_grows_until_the_decision_flips(tiny_model, grown):
    assert grown.reconstruction_probs["plain"] > 0.5
    assert len(grown.attributes) > 1
    assert [a.prob_after > 0.5 for a in grown.attributes] == [False] * (len(grown.attributes) - 1) + [True]
    assert len({a.index for a in grown.attributes}) == len(grown.attributes)


def test_a_subset_s_attributes_are_on_top_of_each_other(tiny_model, grown):
    moves = [(a.index, a.direction) for a in grown.attributes]
    for n, a in enumerate(grown.attributes):
        before, after = (move_together(grown.s, moves[:k], tiny_model.stats, SHORT) for k in (n, n + 1))
        assert_alike(a.before, to_pil(tiny_model.synthesize(before)))
        assert_alike(a.image, to_pil(tiny_model.synthesize(after)))
        assert a.prob_before == pytest.approx(float(tiny_model.logits_of(before).softmax(1)[0, 1]), abs=1e-5)
        assert a.prob_after == pytest.approx(float(tiny_model.logits_of(after).softmax(1)[0, 1]), abs=1e-5)
        assert a.delta > 0


def test_a_subset_has_no_more_attributes_than_asked_for(tiny_model, leaf, grown):
    e = tiny_model.explain(leaf, target="spotted", top_k=1, strategy="subset", shift=SHORT)
    assert [a.index for a in e.attributes] == [grown.attributes[0].index]


def test_where_the_decision_is_the_target_already_a_subset_is_empty_and_says_why(tiny_model, leaf, grown):
    e = tiny_model.explain(leaf, target="plain", strategy="subset")
    assert e.attributes == []
    assert "The classifier calls the reconstruction plain already: there is no decision to flip." in e.warnings
    assert not any("No single attribute" in w or "make it surer" in w for w in e.warnings)


def test_by_list_the_class_s_attributes_are_made_in_their_order_until_the_decision_flips(tiny_model, leaf):
    model = copy.copy(tiny_model)
    weak_first = tiny_model.explain(leaf, target="spotted", top_k=40, shift=SHORT).attributes[::-1]
    listed = [
        Attribute(a.index, a.layer, a.channel, a.direction, "plain", "spotted", 1.0, 0.1, 0.1) for a in weak_first
    ]
    model.attributes = [dataclasses.replace(listed[0], source=REST), *listed]
    e = model.explain(leaf, target="spotted", top_k=40, strategy="list", shift=SHORT)
    assert [a.index for a in e.attributes] == [a.index for a in listed[: len(e.attributes)]]
    assert [a.prob_after > 0.5 for a in e.attributes] == [False] * (len(e.attributes) - 1) + [True]
    s = move_together(e.s, [(a.index, a.direction) for a in e.attributes], model.stats, SHORT)
    assert e.attributes[-1].prob_after == pytest.approx(float(model.logits_of(s).softmax(1)[0, 1]), abs=1e-5)
    assert len(model.explain(leaf, target="spotted", top_k=1, strategy="list", shift=SHORT).attributes) == 1


def test_a_class_without_a_list_says_so(tiny_model, leaf):
    bare = copy.copy(tiny_model)
    bare.attributes = []
    e = bare.explain(leaf, target="spotted", strategy="list")
    assert e.attributes == []
    assert e.warnings[-1] == "There is no list of attributes towards spotted; the other strategies need none."


# What is tried.


def test_promise_is_the_slope_of_the_lead_times_the_way(colours):
    """Against a difference quotient."""
    grey = colours.load_images([Image.new("RGB", (16, 16), (90, 130, 120)), blotches(0)])
    s = colours.styles(colours.encode(grey))
    promised = promise(colours, s, target=0, shift=0.7)
    assert promised.shape == (2, 2, colours.space.num_conv)

    def lead(s: torch.Tensor) -> torch.Tensor:
        logits = colours.logits_of(s)
        return logits[:, 0] - (logits[:, 1] + logits[:, 2]) / 2

    def slope(index: int, direction: Direction, small: float = 1e-3) -> torch.Tensor:
        a, b = (move(s, index, direction, colours.stats, shift) for shift in (small, -small))
        return (lead(a) - lead(b)) / (2 * small)

    quotient = torch.stack(
        [torch.stack([slope(i, d) for i in range(colours.space.num_conv)], dim=1) for d in Direction], dim=1
    )
    # A quotient may step over one of the network's kinks, so single coordinates differ a little.
    assert (promised - 0.7 * quotient).norm() < 0.01 * promised.norm()
    assert promised.abs().max() > 0.1


def test_what_one_class_of_two_is_promised_the_other_loses(tiny_model, explained):
    s = explained.s.expand(3, -1)
    towards, away = promise(tiny_model, s, 1), promise(tiny_model, s, 0)
    torch.testing.assert_close(towards, -away, rtol=1e-3, atol=1e-4)
    assert towards.abs().max() > 0
    assert not towards.requires_grad


def test_tried_are_the_attributes_of_the_class_and_what_promises_most(tiny_model, explained, monkeypatch):
    promised = promise(tiny_model, explained.s, 1)[0].amax(dim=0)
    known = {a.index for a in tiny_model.attributes if a.target == "spotted"}
    for count in (1, 5):
        monkeypatch.setattr("stylex.explain.SCREENED", count)
        tried = propose(tiny_model, explained.s, 1)[0].tolist()
        assert tried == sorted(set(tried))
        assert set(tried) == known | set(promised.topk(count).indices.tolist())
    assert max(tried) < tiny_model.space.num_conv


def test_of_two_classes_each_coordinate_goes_the_way_that_promises_and_attributes_go_theirs(
    tiny_model, explained, monkeypatch
):
    (promised,) = promise(tiny_model, explained.s, 1)
    monkeypatch.setattr("stylex.explain.SCREENED", 9)
    index, ways = propose(tiny_model, explained.s, 1)
    expected = promised >= promised.flatten().topk(9).values[-1]
    for a in tiny_model.attributes:
        expected[a.direction, a.index] |= a.target == "spotted"
    assert torch.equal(ways, expected[:, index])
    assert ways.any(dim=0).all()


def test_of_more_classes_each_coordinate_goes_both_ways(colours):
    index, ways = propose(colours, colours.styles(colours.encode(torch.zeros(1, 3, 16, 16))), 1)
    assert len(index)
    assert ways.all()


def test_large_pictures_go_through_a_few_at_a_time(tiny_model, leaf, explained, monkeypatch):
    sizes = {side: at_once(SimpleNamespace(resolution=side)) for side in (16, 64, 128, 256, 512, 1024)}
    assert sizes == {16: 256, 64: 128, 128: 32, 256: 8, 512: 2, 1024: 1}
    seen = []
    synthesize = tiny_model.synthesize
    model = copy.copy(tiny_model)
    model.synthesize = lambda s: seen.append(len(s)) or synthesize(s)
    monkeypatch.setattr("stylex.explain.at_once", lambda model: 3)
    e = model.explain(leaf, target="spotted", top_k=3)
    assert max(seen) == 3
    assert [a.index for a in e.attributes] == [a.index for a in explained.attributes]


# Knobs.


def test_knobs_move_all_attributes_at_once(tiny_model, explained):
    s, stats = explained.s, tiny_model.stats
    moves = [(a.index, a.direction) for a in explained.attributes]

    def turned(*amounts: float) -> torch.Tensor:
        return combine(tiny_model, s, [(*move, amount) for move, amount in zip(moves, amounts, strict=True)])

    assert torch.equal(turned(0.0, 0.0, 0.0), s)
    torch.testing.assert_close(turned(1.0, 1.0, 1.0), move_together(s, moves, stats, 1.0))
    torch.testing.assert_close(turned(0.0, 1.5, 0.0), move(s, *moves[1], stats, 1.5))


# What a reader should know first.


def test_a_reconstruction_that_is_another_class_is_said_first(explained):
    assert explained.warnings[0] == (
        "The classifier calls the photograph spotted but its reconstruction plain: "
        "this explanation is of another decision."
    )


def test_where_nothing_is_doubtful_nothing_is_said():
    model = colour_model(temperature=0.05)
    for seed in range(20):
        e = model.explain(blotches(seed), top_k=1)
        agrees = max(e.reconstruction_probs, key=e.reconstruction_probs.get) == e.predicted
        if agrees and e.probs[e.predicted] >= 0.5:
            assert e.warnings == []
            return
    raise AssertionError("not one of the pictures is reconstructed well enough")


def test_an_unsure_classifier_is_said(colours):
    e = colours.explain(Image.new("RGB", (16, 16), (120, 130, 120)), top_k=1)
    assert e.predicted == "green"
    assert f"The classifier is unsure: its first choice green has only {e.probs['green'] * 100:.1f} %." in e.warnings


def test_a_target_that_is_seen_already_is_said(explained):
    assert explained.predicted == explained.target == "spotted"
    assert explained.warnings[1:] == [
        "The target spotted is what the classifier sees already; these attributes make it surer."
    ]


def test_a_shift_of_nothing_finds_nothing_and_says_so(tiny_model, leaf, tmp_path):
    for strategy in ("independent", "subset"):
        e = tiny_model.explain(leaf, target="spotted", shift=0.0, strategy=strategy)
        assert e.attributes == []
        assert e.warnings[-1] == "No single attribute moves the classifier towards the target on this picture."
    written = {p.name for p in e.save(tmp_path / "out").iterdir()}
    assert written == {"source.png", "reconstruction.png", "overview.png", "explanation.json", MANIFEST}


# What is refused.


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"strategy": "greedy"}, "strategy is 'greedy'; use one of independent, subset, list"),
        ({"top_k": 0}, "top_k is 0; use 1 or more"),
        ({"top_k": -3}, "top_k is -3; use 1 or more"),
        ({"target": "leaf"}, "there is no class 'leaf'; this classifier knows plain, spotted"),
        ({"shift": -1.0}, "shift is -1.0; use 1 for the end of the range, or another number from 0 up"),
        ({"shift": float("nan")}, "shift is nan; use 1 for the end of the range"),
        ({"shift": float("inf")}, "shift is inf; use 1 for the end of the range"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_in_a_sentence(tiny_model, leaf, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        tiny_model.explain(leaf, **options)


def test_a_model_without_statistics_says_what_to_run(tiny_model, leaf):
    model = copy.copy(tiny_model)
    model.stats = None
    with pytest.raises(ModelError, match=r"has no style statistics; run train/find_attributes\.py on it first"):
        model.explain(leaf)


def test_a_picture_that_cannot_be_read_is_refused(tiny_model, tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match=r"empty\.png' is empty"):
        tiny_model.explain(tmp_path / "empty.png")
    with pytest.raises(ImageError, match="too small"):
        tiny_model.explain(Image.new("RGB", (1, 1)))


# What is written.


@pytest.fixture(scope="module")
def saved(explained, tmp_path_factory) -> Path:
    return explained.save(tmp_path_factory.mktemp("saved") / "a" / "new" / "folder")


def test_save_writes_every_picture_and_every_number(explained, saved):
    folder = saved
    expected = {"source.png", "reconstruction.png", "overview.png", "explanation.json", MANIFEST}
    for n in (1, 2, 3):
        expected |= {f"attribute-{n}.png", f"attribute-{n}.gif", f"attribute-{n}.webp", f"attribute-{n}-map.png"}
    assert {p.name for p in folder.iterdir()} == expected
    assert json.loads((folder / "explanation.json").read_text(encoding="utf-8")) == explained.to_dict()
    pairs = [("source.png", explained.source), ("reconstruction.png", explained.reconstruction)]
    pairs += [(f"attribute-{n}.png", a.image) for n, a in enumerate(explained.attributes, start=1)]
    for name, image in pairs:
        with Image.open(folder / name) as file:
            assert np.array_equal(pixels(file), pixels(image))
    for name in ("attribute-1.gif", "attribute-1.webp"):
        with Image.open(folder / name) as file:
            assert file.n_frames == 2


def test_the_numbers_have_these_names(explained):
    numbers = explained.to_dict()
    assert list(numbers) == [
        "predicted",
        "target",
        "method",
        "strategy",
        "shift",
        "probs",
        "reconstruction_probs",
        "warnings",
        "attributes",
    ]
    first = numbers["attributes"][0]
    assert {"index", "layer", "channel", "direction", "name", "prob_before", "prob_after", "delta"} <= set(first)
    assert first["direction"] in ("down", "up")


def test_a_shorter_explanation_leaves_nothing_of_a_longer_one(explained, saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "out")
    (folder / "attributes.txt").write_text("somebody's own notes")
    dataclasses.replace(explained, attributes=explained.attributes[:1]).save(folder)
    names = {p.name for p in folder.iterdir() if p.name.startswith("attribute")}
    assert names == {
        "attribute-1.png",
        "attribute-1.gif",
        "attribute-1.webp",
        "attribute-1-map.png",
        "attributes.txt",
    }


def test_a_flicker_s_caption_carries_its_words_and_both_numbers(explained):
    a = dataclasses.replace(explained.attributes[0], name="dots")
    assert explained.caption(a) == f"dots\nspotted  {a.prob_before * 100:.1f} % → {a.prob_after * 100:.1f} %"
    proposed = dataclasses.replace(a, name=None, proposal=Proposal("darker", 1.0, 40))
    assert explained.caption(proposed).startswith("proposed: darker\nspotted  ")
    nothing = dataclasses.replace(a, name=None, proposal=None)
    assert explained.caption(nothing).startswith(f"no simple description ({a.coordinate})\nspotted  ")


def test_the_overview_has_a_column_for_the_picture_and_one_for_each_attribute(explained):
    sheet = explained.overview()
    assert sheet.width > 4 * 128
    assert sheet.height > 3 * 128


# Nothing of a person's is lost.


def test_a_picture_of_the_same_name_is_never_written_over(tiny_model, explained, tmp_path):
    photo = tmp_path / "source.png"
    Image.new("RGB", (80, 60), (9, 9, 9)).save(photo)
    before = photo.read_bytes()
    for e in (explained, tiny_model.explain(photo, top_k=1)):
        with pytest.raises(ModelError, match=r"source\.png .*choose another folder"):
            e.save(tmp_path)
    assert photo.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["source.png"]


def test_notes_beside_an_explanation_stay(explained, saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "out")
    (folder / "attribute-1-notes.txt").write_text("mine")
    (folder / "attribute-99.png").write_text("mine")
    dataclasses.replace(explained, attributes=[]).save(folder)
    left = sorted(p.name for p in folder.iterdir() if p.name.startswith("attribute"))
    assert left == ["attribute-1-notes.txt", "attribute-99.png"]


def test_what_was_edited_since_is_a_person_s(explained, saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "out")
    explained.save(folder)
    with Image.open(folder / "attribute-1.png") as image:
        image.rotate(90).save(folder / "attribute-1.png")
    with pytest.raises(ModelError, match=r"attribute-1\.png was not written by stylex, or was edited since"):
        explained.save(folder)


def test_an_explanation_of_its_own_picture_does_not_eat_it(tiny_model, saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "out")
    with pytest.raises(ModelError, match=r"source\.png is read for this, and would be written over"):
        tiny_model.explain(folder / "source.png", top_k=1).save(folder)


def test_an_explanation_of_an_earlier_version_is_written_over(explained, saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "out")
    (folder / MANIFEST).unlink()
    dataclasses.replace(explained, attributes=explained.attributes[:1]).save(folder)
    assert not (folder / "attribute-2.png").exists()
    (folder / MANIFEST).unlink()
    later = (folder / "explanation.json").stat().st_mtime + 60
    os.utime(folder / "source.png", (later, later))
    with pytest.raises(ModelError, match=r"source\.png was not written by stylex"):
        explained.save(folder)
