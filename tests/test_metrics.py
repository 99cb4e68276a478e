"""The numbers that judge a model, by pencil."""

from __future__ import annotations

import pytest
import torch

from stylex import metrics


def test_agreement_compares_the_largest_logits():
    a = torch.tensor([[1.0, 2.0], [5.0, 0.0], [0.0, 0.1]])
    b = torch.tensor([[-9.0, 9.0], [0.0, 5.0], [0.0, 7.0]])
    assert metrics.agreement(a, b).tolist() == [True, False, True]


def test_retrieval_by_pencil():
    features = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 9.0]])
    # Nearest to 0 and to 1 from 1.9 and 2.1 along the first axis; the third lies beside its own.
    reconstructed = torch.tensor([[1.9, 0.0], [2.1, 0.0], [0.0, 8.0]])
    assert metrics.retrieval(features, reconstructed).tolist() == [True, True, True]
    assert metrics.retrieval(features, reconstructed[[1, 0, 2]]).tolist() == [False, False, True]


def test_an_encoder_that_says_nothing_is_not_found_again():
    features = torch.randn(20, 8, generator=torch.Generator().manual_seed(0)) + 100
    assert metrics.retrieval(features, features + 0.1).all()
    everyone_the_same = features.mean(dim=0, keepdim=True).expand(20, -1)
    assert metrics.retrieval(features, everyone_the_same).sum() <= 1


def levels(value: int, side: int) -> torch.Tensor:
    return torch.full((1, 3, side, side), value / 127.5 - 1)


def test_changed_share_counts_pixels_in_which_any_channel_moved_enough():
    before = levels(100, 10)
    after = before.clone()
    after[0, 0, 0, 0] = 117 / 127.5 - 1  # 17 levels in one channel
    after[0, :, 0, 1] = 60 / 127.5 - 1
    after[0, 1, 0, 2] = 116 / 127.5 - 1  # not more than 16
    assert metrics.changed_share(before, after).item() == pytest.approx(0.02)
    assert metrics.changed_share(before, after, levels=20).item() == pytest.approx(0.01)
    assert metrics.changed_share(before, before).item() == 0


def test_an_edit_is_visible_from_one_pixel_in_a_hundred():
    before = torch.zeros(2, 3, 20, 20)
    after = before.clone()
    after[0, :, 0, :3] = 1.0
    after[1, :, 0, :4] = 1.0
    assert metrics.visible(before, after).tolist() == [False, True]


def test_what_is_beyond_white_does_not_count_as_change():
    before, after = torch.ones(1, 3, 4, 4), torch.full((1, 3, 4, 4), 3.0)
    assert metrics.changed_share(before, after).item() == 0


def test_kid_by_pencil():
    # One feature: k(a, b) = (a b + 1)^3, and every draw of two is of equal numbers. Real 0: k = 1. Fake 1: k = 8.
    # Between: 1. So 1 + 8 - 2 in every draw, and no spread.
    assert metrics.kid(torch.zeros(4, 1), torch.ones(4, 1)) == pytest.approx((7.0, 0.0))


def test_kid_is_the_mean_over_draws_of_the_unbiased_estimator_and_their_deviation():
    # Draws of two of the fake 1, 1, 2, 2: both 1 (k = 8), both 2 (125), or one of each (27); real is 0 everywhere.
    # 8 + 1 - 2, 125 + 1 - 2 and 27 + 1 - 2, which come one, one and four times of six.
    real, fake = torch.zeros(4, 1), torch.tensor([[1.0], [1.0], [2.0], [2.0]])
    mean = (7 + 124 + 4 * 26) / 6
    deviation = ((7 - mean) ** 2 + (124 - mean) ** 2 + 4 * (26 - mean) ** 2) / 6
    found = [metrics.kid(real, fake, seed) for seed in range(40)]
    assert sum(m for m, _ in found) / 40 == pytest.approx(mean, rel=0.05)
    assert sum(s for _, s in found) / 40 == pytest.approx(deviation**0.5, rel=0.05)


def test_kid_of_one_distribution_is_zero_on_average_and_grows_with_distance():
    torch.manual_seed(0)
    same = [metrics.kid(torch.randn(40, 6), torch.randn(40, 6))[0] for _ in range(20)]
    assert sum(same) / 20 == pytest.approx(0, abs=0.03)
    real = torch.randn(200, 6)
    near, far = (metrics.kid(real, torch.randn(200, 6) + by)[0] for by in (0.5, 2))
    assert 0.05 < near < far


def test_kid_takes_many_pictures_in_draws_of_a_hundred_and_few_are_refused():
    fake = torch.cat([torch.zeros(150, 2), torch.ones(150, 2)])
    _, spread = metrics.kid(torch.zeros(300, 2), fake)
    assert 0 < spread < 2
    with pytest.raises(ValueError, match="3 and 9 pictures are too few for a KID; it needs four of either"):
        metrics.kid(torch.zeros(3, 2), torch.zeros(9, 2))


def test_everybody_s_donor_is_of_another_class():
    answers = torch.tensor([0, 0, 1, 2, 0, 1])
    given = metrics.donors(answers)
    assert (answers[given] != answers).all()
    assert torch.equal(given, metrics.donors(answers))
    assert metrics.donors(torch.tensor([3, 3])).tolist() == [-1, -1]


def test_wilson_s_interval_is_the_one_worked_out_by_hand():
    # z = 1.95996: 8 of 10 gives (0.8 + z²/20 ± z √(0.16/10 + z²/400)) / (1 + z²/10)
    assert metrics.wilson(0.8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert metrics.wilson(0.0, 10) == pytest.approx((0.0, 0.27753), abs=1e-5)
    assert metrics.wilson(1.0, 10) == pytest.approx((0.72247, 1.0), abs=1e-5)


@pytest.mark.parametrize(("share", "n"), [(-0.1, 10), (1.1, 10), (0.5, 0)])
def test_a_share_that_is_none_has_no_interval(share, n):
    with pytest.raises(ValueError, match="has no interval; use a share from 0 to 1"):
        metrics.wilson(share, n)


def left_is_bright(x):
    """Class 1 if the left pixel is 1, class 0 if it is -1; the right one does not count."""
    p = (x[:, 0, 0, 0] + 1) / 2
    return torch.stack([1 - p, p], dim=1)


def test_cout_by_hand():
    """Two pixels: the one that decides changes more, so it goes in first. -1 → 1 → 1 has the area 1/2."""
    before, after = -torch.ones(1, 3, 1, 2), torch.tensor([1.0, -0.5]).expand(1, 3, 1, 2)
    source, target = torch.tensor([0]), torch.tensor([1])
    assert float(metrics.cout(left_is_bright, before, after, source, target, steps=2)) == pytest.approx(0.5)
    # The same decision behind a pixel that changes more and does not count: -1 → -1 → 1.
    slow = torch.tensor([0.9, 1.0]).expand(1, 3, 1, 2)
    p = 0.95
    by_hand = (-1 + -1) / 4 + (-1 + 2 * p - 1) / 4
    assert float(metrics.cout(left_is_bright, before, slow, source, target, steps=2)) == pytest.approx(by_hand)


def test_cout_of_an_edit_that_changes_nothing_is_what_the_classifier_said_before():
    x = -torch.ones(2, 3, 1, 2)
    found = metrics.cout(left_is_bright, x, x, torch.tensor([0, 1]), torch.tensor([1, 0]))
    torch.testing.assert_close(found, torch.tensor([-1.0, 1.0]))


# How sure.


def test_the_interval_of_a_mean_is_that_of_drawing_pictures():
    """Half of a hundred: 0.5 ± 1.96 √(0.25 / 100), to the noise of a thousand draws."""
    hits = torch.arange(100) % 2 == 0
    assert metrics.bootstrap(hits) == pytest.approx((0.402, 0.598), abs=0.02)
    assert metrics.bootstrap(hits) == metrics.bootstrap(hits)
    assert metrics.bootstrap(torch.full((5,), 0.25)) == (0.25, 0.25)
    with pytest.raises(ValueError, match="no numbers have no interval"):
        metrics.bootstrap(torch.zeros(0))


def test_what_is_seen_ten_times_on_a_picture_is_no_surer_than_once():
    hits, pictures = torch.arange(100) % 2 == 0, torch.arange(100)
    often = metrics.bootstrap(hits.repeat(10), pictures.repeat(10))
    assert often == pytest.approx(metrics.bootstrap(hits), abs=1e-9)
    low, high = metrics.bootstrap(hits.repeat(10))  # as if each were of another picture
    assert high - low < (often[1] - often[0]) / 2


def test_the_interval_of_a_median_may_be_beyond_what_was_tried():
    values = torch.tensor([1.0] * 6 + [2.0] * 5 + [torch.inf] * 9)
    low, high = metrics.bootstrap(values, of="median")
    assert low == 1.0
    assert high == torch.inf
    assert metrics.bootstrap(torch.tensor([3.0, 3.0, 3.0, 9.0] * 20), of="median") == (3.0, 3.0)


def test_diversity_is_the_angle_between_change_maps():
    """Of two edits: the same pixel is 0, two pixels 1, and one of both against one of them 1 - 1/√2."""
    before = torch.zeros(3, 3, 1, 2)
    left, right = torch.zeros(3, 1, 2), torch.zeros(3, 1, 2)
    left[..., 0], right[..., 1] = 0.5, -0.5
    one = torch.stack([left, left, left])
    other = torch.stack([left * 2, right, left + right])
    found = metrics.diversity(before, torch.stack([one, other]))
    assert found.tolist() == pytest.approx([0, 1, 1 - 0.5**0.5], abs=1e-6)
