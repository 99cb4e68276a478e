"""The first guess, by pencil and by differences; and that its doubt is reported as it is."""

from __future__ import annotations

import pytest
import torch

from stylex.attfind.effects import effect_table
from stylex.attfind.screening import certify, promise, shortlist, total_promise
from stylex.attfind.selection import select_one_vs_rest
from stylex.stylespace import Direction, StyleStats

UP, DOWN = Direction.UP, Direction.DOWN


def logits_of(s):  # linear in s, so that the promise is kept to the letter
    return s @ torch.tensor([[1.0, -1.0], [0.5, 0.25], [0.0, 0.0]])


def between(low: float, high: float) -> StyleStats:
    ends = torch.full((3,), low), torch.full((3,), high)
    return StyleStats(*ends, s_mean=ends[0], s_std=torch.ones(3), count=8)


def test_the_promise_of_a_linear_classifier_is_the_effect():
    s = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    effect = effect_table(logits_of, s, between(0.0, 1.0), shift=0.7)
    (targets,), (promised,) = promise(logits_of, s, between(0.0, 1.0), 3, 0.7)
    assert torch.equal(targets, 1 - logits_of(s).argmax(dim=1))
    for n, target in enumerate(targets.tolist()):
        torch.testing.assert_close(promised[n], effect[n, ..., target])
    assert promise(logits_of, s, between(0.0, 1.0), 2)[1].shape == (1, 4, 2, 2)


def test_all_classes_share_one_forward_pass_and_each_picture_aims_at_those_it_is_not_of():
    weight, passes = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)), []

    def curved(s):
        passes.append(len(s))
        return (s @ weight).tanh()

    s = torch.rand(6, 3, generator=torch.Generator().manual_seed(1))
    targets, promised = promise(curved, s, between(0.0, 1.0), 3)
    assert passes == [6]
    slope = torch.autograd.functional.jacobian(curved, s).diagonal(dim1=0, dim2=2)  # [K, S, N]
    labels = curved(s).argmax(dim=1)
    for n in range(6):
        assert sorted([*targets[:, n].tolist(), int(labels[n])]) == list(range(5))
        for turn, target in enumerate(targets[:, n].tolist()):
            torch.testing.assert_close(promised[turn, n, DOWN], -slope[target, :, n] * s[n])
            torch.testing.assert_close(promised[turn, n, UP], slope[target, :, n] * (1 - s[n]))


def test_totals_count_pictures_of_other_classes_and_no_harm():
    s = torch.tensor([[0.8, 0.5, 0.0], [0.1, 0.5, 0.0]])  # logits: 1.05 and -0.675; 0.35 and 0.025
    total = total_promise(logits_of, s.split(1), between(0.0, 1.0), 2, 3)
    assert torch.equal(total[0], torch.zeros(2, 3, dtype=torch.float64))  # both are of class 0 already
    expected = torch.tensor([[0.9, 0.0, 0.0], [0.0, 0.25, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(total[1], expected, rtol=0, atol=1e-6)


def test_the_shortlist_takes_the_best_moves_of_each_class_once():
    total = torch.zeros(3, 2, 5)
    total[0, UP, 3], total[0, DOWN, 1], total[1, UP, 3], total[1, UP, 0] = 4.0, 2.0, 1.0, 3.0
    total[2, UP, 3], total[2, DOWN, 3] = 2.0, 1.0
    assert listed(shortlist(total, 1)) == {(3, UP), (0, UP)}
    assert listed(shortlist(total, 2)) == {(3, UP), (0, UP), (1, DOWN), (3, DOWN)}
    assert shortlist(total, 99).all()


def test_of_two_classes_a_coordinate_is_moved_both_ways_or_not_at_all():
    total = torch.zeros(2, 2, 5)
    total[0, UP, 3], total[0, DOWN, 1], total[1, UP, 3], total[1, UP, 0] = 4.0, 2.0, 1.0, 3.0
    assert listed(shortlist(total, 1)) == {(i, d) for i in (0, 3) for d in (DOWN, UP)}
    assert listed(shortlist(total, 2)) == {(i, d) for i in (0, 1, 3) for d in (DOWN, UP)}


def listed(kept):
    return {(m, Direction(d)) for d, m in kept.nonzero().tolist()}


def test_a_certificate_by_pencil():
    effect = torch.zeros(2, 2, 4, 2)
    effect[0, UP, :, 1] = torch.tensor([0.4, 0.3, 0.2, 0.1])
    effect[1, DOWN, :, 0] = torch.tensor([0.4, 0.0, 0.2, 0.0])
    labels = torch.tensor([0, 1])
    whole = certify(effect, labels, torch.ones(2, 4, dtype=torch.bool))
    assert (whole.recall_at_20, whole.recall_per_picture, whole.same_top_10) == (1, 1, 1)
    kept = torch.zeros(2, 4, dtype=torch.bool)
    kept[UP, 0] = kept[UP, 2] = kept[DOWN, 0] = kept[DOWN, 2] = True
    part = certify(effect, labels, kept)
    assert part.recall_at_20 == pytest.approx((2 / 4 + 2 / 2) / 2)
    assert part.same_top_10 == 0.5  # 1 and 3 are missing towards class 1, nothing is towards class 0
    assert part.to_dict()["moves"] == 4
    kept[DOWN, 2] = False  # the other way of a coordinate is another move
    part = certify(effect, labels, kept)
    assert part.recall_at_20 == pytest.approx((2 / 4 + 1 / 2) / 2)
    assert part.same_top_10 == 0


def test_what_the_shortlist_keeps_is_chosen_as_if_all_had_been_searched(tiny_model):
    model, searched = tiny_model, tiny_model.space.num_conv
    p = torch.linspace(0.05, 0.95, 12)
    s = model.sample(torch.stack([p, 1 - p], dim=1), seed=5)

    def differentiable(s):
        return model.classifier(model.generator.synthesis(s).clamp(-1, 1))

    total = total_promise(differentiable, s.split(5), model.stats, 2, searched)
    torch.testing.assert_close(
        total, total_promise(differentiable, s.split(12), model.stats, 2, searched), rtol=1e-4, atol=1e-4
    )
    whole = effect_table(model.logits_of, s, model.stats, num_searched=searched, edits_of=model.edits_of())
    labels = model.logits_of(s).argmax(dim=1)
    kept = shortlist(total, searched // 2)
    certificate = certify(whole, labels, kept)
    assert certificate.recall_at_20 > kept.float().mean() + 0.1  # the gradient knows more than chance
    candidates = kept.any(dim=0).nonzero().flatten()
    part = effect_table(model.logits_of, s, model.stats, candidates=candidates, edits_of=model.edits_of())
    torch.testing.assert_close(part, whole[:, :, candidates], rtol=0, atol=1e-5)
    for target in (0, 1):
        for position, direction in select_one_vs_rest(part, labels, target, 5):
            assert kept[direction, candidates[position]]
