"""Losses by pencil, and where their gradients go."""

from __future__ import annotations

import math

import pytest
import torch

from stylex import losses


def test_logistic_losses_by_pencil():
    real, fake = torch.tensor([0.0, math.log(3)]), torch.tensor([0.0, -math.log(3)])
    # softplus(0) = log 2, softplus(-log 3) = log(1 + 1/3)
    half = (math.log(2) + math.log(4 / 3)) / 2
    assert losses.discriminator_logistic(real, fake).item() == pytest.approx(2 * half)
    # softplus(log 3) = log 4
    assert losses.generator_nonsaturating(fake).item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_the_two_players_pull_a_fake_score_in_opposite_directions():
    fake = torch.tensor([0.3], requires_grad=True)
    (down,) = torch.autograd.grad(losses.discriminator_logistic(torch.zeros(1), fake), fake)
    (up,) = torch.autograd.grad(losses.generator_nonsaturating(fake), fake)
    assert down.item() > 0 > up.item()


def test_r1_of_a_linear_discriminator_is_the_squared_length_of_its_weights():
    weight = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    x = torch.rand(5, 3, 4, 4).requires_grad_()
    scores = (x * weight).sum(dim=(1, 2, 3))
    assert losses.r1(scores, x).item() == pytest.approx(weight.square().sum().item(), rel=1e-5)


def test_r1_trains_the_discriminator():
    weight = torch.tensor(3.0, requires_grad=True)
    x = torch.ones(2, 1, 1, 1).requires_grad_()
    losses.r1((weight * x).sum(dim=(1, 2, 3)), x).backward()
    assert weight.grad.item() == pytest.approx(6.0)  # d w^2 / dw


def test_path_length_of_a_linear_map():
    """picture = A latent, so J^T y = A^T y; with the rows of A orthonormal and scaled by 5, that is 5 |y|."""
    torch.manual_seed(0)
    n, pixels = 400, 3 * 4 * 4
    basis = 5 * torch.linalg.qr(torch.randn(pixels, pixels))[0]
    latent = torch.randn(n, pixels).requires_grad_()
    lengths = losses.path_lengths((latent @ basis.t()).view(n, 3, 4, 4), latent)
    assert lengths.shape == (n,)
    # y has 48 normal entries over sqrt(16): its length is sqrt(3) on average, up to the curve of the root.
    assert lengths.mean().item() == pytest.approx(5 * math.sqrt(3), rel=0.02)
    # The map does not depend on where it stands, so neither does the length on the latent's own size.
    torch.manual_seed(1)
    near = losses.path_lengths((latent @ basis.t()).view(n, 3, 4, 4), latent)
    torch.manual_seed(1)
    far = losses.path_lengths((9 * latent @ basis.t()).view(n, 3, 4, 4), latent)
    torch.testing.assert_close(far, 9 * near, rtol=1e-4, atol=1e-4)


def test_l1_is_the_mean_over_pixels_and_channels():
    x = torch.zeros(2, 3, 2, 2)
    y = x.clone()
    y[0, 0, 0, 0], y[1] = 6.0, -1.0
    assert losses.l1(x, y).tolist() == [0.5, 1.0]


def test_the_bands_of_a_pyramid_by_pencil():
    x = torch.zeros(3, 3, 8, 8)
    y = x.clone()
    y[0] = 0.5  # all of it one tone: only what is left at 4x4 differs
    y[1, :, ::2, ::2], y[1, :, 1::2, 1::2], y[1, :, ::2, 1::2], y[1, :, 1::2, ::2] = 1, 1, -1, -1  # no tone, all detail
    assert losses.laplacian(x, y).tolist() == [0.5, 1.0, 0.0]
    noise = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(losses.laplacian(noise, -noise), losses.laplacian(2 * noise, torch.zeros_like(noise)))


def test_perceptual_distance_by_pencil():
    a = [torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 1, 1)]
    b = [torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2), torch.full((1, 1, 1, 1), 2.0)]
    # 3^2 + 4^2 at each of four positions, averaged; plus 2^2.
    assert losses.perceptual(a, b).tolist() == [29.0]
    assert losses.perceptual(b, b).tolist() == [0.0]


def test_the_kl_is_from_the_real_to_the_generated():
    p, q = torch.tensor([[0.75, 0.25]]), torch.tensor([[0.5, 0.5]])
    forward = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    backward = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(2)
    assert losses.classifier_kl(p, q.log()).item() == pytest.approx(forward)
    assert forward != pytest.approx(backward, rel=1e-3)
    assert losses.classifier_kl(p, p.log()).item() == pytest.approx(0, abs=1e-7)


def test_the_gradient_of_the_kl_in_the_logits_is_q_minus_p():
    p = torch.tensor([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    logits = torch.tensor([[1.0, -2.0, 0.5], [-30.0, 30.0, 0.0]], requires_grad=True)
    losses.classifier_kl(p, logits).sum().backward()
    torch.testing.assert_close(logits.grad, logits.detach().softmax(dim=1) - p)
    # Alive where q is sure of the wrong class: the second row, at full strength.
    torch.testing.assert_close(logits.grad[1], torch.tensor([-1.0, 1.0, 0.0]))


def test_the_kl_of_a_certain_class_is_finite():
    p = torch.tensor([[1.0, 0.0]])
    assert losses.classifier_kl(p, torch.tensor([[0.0, 0.0]])).item() == pytest.approx(math.log(2))


def test_class_sparsity_ignores_a_shift_common_to_all_classes():
    # Probabilities sum to one, so a row of equal weights is a constant and says nothing of the class.
    weight = torch.tensor([[3.0, -1.0], [5.0, 5.0], [0.0, 0.0]])
    # first row: 4 apart
    assert losses.class_sparsity(weight).item() == pytest.approx(4 / math.sqrt(2))
    shifted = weight + torch.tensor([[7.0], [-2.0], [100.0]])
    assert losses.class_sparsity(shifted).item() == pytest.approx(4 / math.sqrt(2))


def test_class_sparsity_counts_classes_that_share_a_coordinate_as_often_as_those_that_do_not():
    shared = torch.tensor([[2.0, -2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    apart = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, -2.0, 0.0, 0.0]])
    assert losses.class_sparsity(shared) == losses.class_sparsity(apart)


def test_class_sparsity_pulls_every_row_equally_hard_and_is_finite_at_zero():
    weight = torch.tensor([[3.0, -3.0], [0.3, -0.3], [0.0, 0.0]], requires_grad=True)
    losses.class_sparsity(weight).backward()
    lengths = weight.grad.norm(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([1.0, 1.0, 0.0]))


def test_gradients_reach_the_encoder_and_the_generator_and_never_the_classifier(tiny_model):
    import copy

    encoder, generator = copy.deepcopy(tiny_model.encoder), copy.deepcopy(tiny_model.generator)
    classifier = tiny_model.classifier
    encoder.requires_grad_(True)
    generator.requires_grad_(True)
    x = torch.rand(4, 3, 16, 16) * 2 - 1
    probs = classifier.probs(x)
    x_rec = generator(torch.cat([encoder(x), probs], dim=1))
    losses.classifier_kl(probs, classifier(x_rec)).mean().backward()
    assert all(p.grad is None for p in classifier.parameters())
    for network in (encoder, generator):
        reached = [name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
        assert len(reached) == len(list(network.parameters()))
