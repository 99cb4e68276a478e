"""One training step, and what a run is made of, on networks of eight channels."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from small import assert_same, tiny_classifier
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stylex import StylEx, losses
from stylex.networks.config import ConfigError
from stylex.networks.discriminator import Discriminator
from stylex.networks.eye import EfficientNetLite0
from stylex.networks.generator import split_latent
from train.engine import adversarial, checkpoint, objective
from train.engine.checkpoint import ResumeError
from train.engine.networks import AVERAGED, NETWORKS
from train.engine.swap import swap_top
from train.engine.trainer import Trainer


def weights(trainer: Trainer) -> dict[str, dict[str, Tensor]]:
    return {name: {k: v.clone() for k, v in trainer.bare(name).named_parameters()} for name in NETWORKS}


def moved(before: dict[str, dict[str, Tensor]], trainer: Trainer) -> dict[str, list[str]]:
    """The names of the weights that changed, for each network."""
    after = weights(trainer)
    return {name: [k for k, v in before[name].items() if not torch.equal(v, after[name][k])] for name in NETWORKS}


# Who moves, and when.


def test_all_four_networks_move_in_one_round(make_trainer, x):
    trainer = make_trainer()
    before = weights(trainer)
    classifier = {k: v.clone() for k, v in trainer.classifier.state_dict().items()}
    for _ in range(trainer.o.random_path_every):
        trainer.step(x)
    changed = moved(before, trainer)
    for name in NETWORKS:
        assert changed[name] == list(before[name]), f"a weight of the {name} stands still"
    assert_same(classifier, dict(trainer.classifier.state_dict()))
    assert all(p.grad is None for p in trainer.classifier.parameters())


def test_the_random_and_the_encoder_path_take_turns_at_whole_steps(make_trainer, x):
    """However small the batch: alternation inside an accumulated batch once left an encoder untrained."""
    trainer = make_trainer(random_path_every=3, batch_size=1)
    for step in range(6):
        before = weights(trainer)
        trainer.step(x[:1])
        changed = moved(before, trainer)
        random_path = step % 3 == 0
        # Adam's momentum is off (beta 0) and gradients are dropped, so who is not asked does not move.
        assert bool(changed["mapping"]) == random_path
        assert bool(changed["encoder"]) == (not random_path)
        assert changed["generator"]
        assert changed["discriminator"]


def test_a_run_without_the_random_path_has_no_mapping(make_trainer, x):
    trainer = make_trainer(random_path_every=0)
    before = weights(trainer)
    for _ in range(2):
        trainer.step(x)
    assert moved(before, trainer)["mapping"] == []
    assert trainer.model().mapping is None


def test_during_the_warm_up_there_is_only_an_autoencoder(make_trainer, x):
    trainer = make_trainer(warmup_kimg=0.008, class_swap=0.0)  # two steps of four
    before = weights(trainer)
    for _ in range(2):
        trainer.step(x)
    changed = moved(before, trainer)
    assert changed["encoder"]
    assert changed["generator"]
    assert changed["mapping"] == changed["discriminator"] == []
    trainer.step(x)
    assert moved(before, trainer)["discriminator"]


def test_a_pyramid_counts_beside_the_pixels(make_trainer, x):
    alone = {"warmup_kimg": 1.0, "class_swap": 0.0}
    without, beside, twice = (make_trainer(pyramid_weight=weight, **alone) for weight in (0.0, 1.5, 3.0))
    for trainer in (without, beside, twice):
        trainer.step(x)  # the first pictures of all three are the same
    assert beside.log["l1"] == without.log["l1"]
    once = beside.log["loss"] - without.log["loss"]
    assert once > 0.1
    torch.testing.assert_close(twice.log["loss"] - without.log["loss"], 2 * once, rtol=1e-3, atol=1e-5)


def test_the_generator_s_loss_never_reaches_the_discriminator_s_weights(make_trainer, x, monkeypatch):
    trainer = make_trainer(path_weight=0.0)
    monkeypatch.setattr(trainer.optimizer_d, "step", lambda: None)
    before = weights(trainer)
    trainer.step(x)
    assert moved(before, trainer)["discriminator"] == []
    own = {k: p.grad.clone() for k, p in trainer.bare("discriminator").named_parameters()}
    # The same step without the generator's loss leaves the same gradients behind.
    alone = make_trainer(path_weight=0.0)
    monkeypatch.setattr(alone.optimizer_d, "step", lambda: None)
    monkeypatch.setattr(losses, "generator_nonsaturating", lambda score: score.sum() * 0)
    alone.step(x)
    assert_same(own, {k: p.grad for k, p in alone.bare("discriminator").named_parameters()})


def test_the_discriminator_sees_the_probabilities_of_that_same_picture(make_trainer, x, monkeypatch):
    trainer = make_trainer(flips="none", augment=0.0, class_swap=0.0, r1_weight=0.0, temperature=1.7)
    seen = []
    forward = trainer.discriminator.forward
    monkeypatch.setattr(trainer.discriminator, "forward", lambda a, p, **o: seen.append((a, p)) or forward(a, p, **o))
    trainer.step(x)
    expected = (trainer.classifier(x) / 1.7).softmax(dim=1)
    (both, both_probs), _ = seen  # real and fake in one pass, then the generator's own
    (real, _), (real_probs, fake_probs) = both.chunk(2), both_probs.chunk(2)
    assert torch.equal(real, x)
    torch.testing.assert_close(real_probs, expected)
    torch.testing.assert_close(fake_probs, expected)


@pytest.fixture
def _own_precision() -> Iterator[None]:
    """Accelerate has one for the whole process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("_own_precision")
def test_r1_and_path_lengths_are_in_full_precision_where_the_rest_is_not(make_trainer, x, monkeypatch):
    """Half a gradient's digits leave nothing of the gradient of its norm."""
    trainer = make_trainer(mixed_precision="bf16", augment=0.0, flips="none", path_every=1)
    seen = {}
    for name in ("r1", "path_lengths"):
        loss = getattr(losses, name)
        monkeypatch.setattr(losses, name, lambda a, b, loss=loss, name=name: seen.update({name: (a, b)}) or loss(a, b))
    discriminator = copy.deepcopy(trainer.bare("discriminator"))
    trainer.step(x)
    expected = Discriminator.forward(discriminator, x, trainer.classifier(x).softmax(dim=1))
    torch.testing.assert_close(seen["r1"][0], expected, rtol=1e-5, atol=1e-6)
    # The picture whose lengths were taken cannot be drawn again; but in bfloat16 it would have few levels.
    picture = seen["path_lengths"][0]
    assert (picture != picture.bfloat16().float()).float().mean() > 0.9


def test_a_swapped_step_asks_for_the_other_class(make_trainer, x, monkeypatch):
    trainer = make_trainer(class_swap=1.0, flips="none", random_path_every=1000)
    trainer.step_number = 1  # an encoder step
    asked = []
    kl = losses.classifier_kl
    monkeypatch.setattr(losses, "classifier_kl", lambda p, q: asked.append(p) or kl(p, q))
    trainer.step(x)
    torch.testing.assert_close(asked[0], swap_top(trainer.classifier(x).softmax(dim=1)))
    assert "kl_swap" in trainer.log
    assert "l1" not in trainer.log


def test_a_class_that_is_swapped_into_few_coordinates_moves_no_others(make_trainer, x, monkeypatch):
    trainer = make_trainer(class_swap=1.0, swap_few=2, swap_dropout=0.0, random_path_every=1000)
    trainer.step_number = 1
    masks = []
    forward = trainer.generator.forward
    monkeypatch.setattr(trainer.generator, "forward", lambda latent, mix: masks.append(mix[1]) or forward(latent, mix))
    trainer.step(x)
    searched = trainer.bare("generator").space.num_conv
    assert set(masks[0].sum(dim=1).tolist()) <= {2, searched}


def test_the_classifier_sees_views_of_the_drawn_picture_and_the_real_one_as_it_is(make_trainer, x, monkeypatch):
    trainer = make_trainer(kl_views=0.5, class_swap=0.0, flips="none", random_path_every=1000)
    trainer.step_number = 1  # not the random path
    seen = []
    forward = trainer.classifier.forward
    monkeypatch.setattr(trainer.classifier, "forward", lambda a: seen.append(a) or forward(a))
    monkeypatch.setattr(objective, "for_classifier", lambda a, strength: torch.full_like(a, strength))
    trainer.step(x)
    torch.testing.assert_close(seen[0], x)
    assert sum(bool((a == 0.5).all()) for a in seen) == 1


def test_no_swap_before_its_time(make_trainer, x):
    trainer = make_trainer(class_swap=1.0, swap_after_kimg=1.0, random_path_every=1000)
    trainer.step_number = 1
    trainer.step(x)
    assert "kl_swap" not in trainer.log


def test_the_strength_follows_the_discriminator_and_everything_it_sees_is_changed_by_it(make_trainer, x, monkeypatch):
    trainer = make_trainer(augment="ada", ada_kimg=0.1, r1_every=1)
    strengths = []
    change = adversarial.for_discriminator
    monkeypatch.setattr(adversarial, "for_discriminator", lambda a, s: strengths.append(s) or change(a, s))
    monkeypatch.setattr(trainer.augment, "target", -1.5)  # as if it always knew too much
    for _ in range(8):
        trainer.step(x)
    assert len(strengths) == 8 * 4  # real, fake, for R1, for the generator
    assert all(s is trainer.augment.share for s in strengths)
    assert trainer.log["augment"].item() == pytest.approx(2 * 16 / 100)
    assert -1 <= trainer.log["d_overfitting"].item() <= 1


def test_the_classification_loss_comes_in_slowly(make_trainer, x):
    """With `kl_ramp_kimg` the first step has none of it, half way half of it."""
    total = {}
    for kl_weight in (0.0, 1.0):
        for nimg in (0, 500, 1000, 2000):
            trainer = make_trainer(
                kl_weight=kl_weight, kl_ramp_kimg=1.0, class_swap=0.0, warmup_kimg=9.0, sparsity_weight=0.0
            )
            trainer.nimg = nimg
            trainer.step(x)
            total[kl_weight, nimg] = trainer.log["loss"], trainer.log["kl"]
    for nimg, share in ((0, 0.0), (500, 0.5), (1000, 1.0), (2000, 1.0)):
        (loss, kl), (without, _) = total[1.0, nimg], total[0.0, nimg]
        torch.testing.assert_close(loss - without, share * kl)


# Places.


def test_a_step_with_moved_places_keeps_the_class_and_has_no_reconstruction_loss(make_trainer, x, monkeypatch):
    trainer = make_trainer(places_swap=1.0, class_swap=0.0, flips="none", random_path_every=1000)
    trainer.step_number = 3  # an encoder step that would otherwise compute the loss of w
    asked, drawn = [], []
    kl, forward = losses.classifier_kl, trainer.generator.forward
    monkeypatch.setattr(losses, "classifier_kl", lambda p, q: asked.append(p) or kl(p, q))
    monkeypatch.setattr(trainer.generator, "forward", lambda latent, mix: drawn.append(latent) or forward(latent, mix))
    code = trainer.encoder(x).detach()
    trainer.step(x)
    w, t, _ = split_latent(drawn[0], trainer.config)
    torch.testing.assert_close(w, code[:, :8])
    torch.testing.assert_close(t, code[:, 8:].roll(1, dims=0))
    torch.testing.assert_close(asked[0], trainer.classifier(x).softmax(dim=1))
    assert not {"l1", "kl", "w_rec", "w_spread"} & set(trainer.log)


def test_mixed_pictures_keep_their_own_places(make_trainer, x, monkeypatch):
    trainer = make_trainer(style_mixing=1.0)
    masks = []
    forward = trainer.generator.forward
    monkeypatch.setattr(trainer.generator, "forward", lambda latent, mix: masks.append(mix[1]) or forward(latent, mix))
    trainer.step(x)
    space = trainer.bare("generator").space
    assert masks[0].shape == (4, space.size)
    assert masks[0].any()
    assert not masks[0][:, space.num_styles :].any()


# A shared eye.

PROJECTED: dict[str, Any] = {
    "discriminator": "projected",
    "perceptual": "efficientnet",
    "path_weight": 0.0,
    "r1_every": 16,
    "augment": 0.3,
}


def test_the_eye_reads_every_picture_once_in_a_step(make_trainer, x, monkeypatch):
    trainer = make_trainer(**PROJECTED, random_path_every=1000)
    trainer.step_number = 1
    read = []
    maps = EfficientNetLite0.maps
    monkeypatch.setattr(EfficientNetLite0, "maps", lambda eye, a: read.append(len(a)) or maps(eye, a))
    trainer.step(x)
    assert read == [4, 4]  # real, drawn
    assert {"perceptual", "g_adv", "d", "d_real", "d_fake"} <= set(trainer.log) | {"perceptual"}


def test_real_and_drawn_pictures_are_changed_alike_before_a_shared_eye(make_trainer, x):
    trainer = make_trainer(**{**PROJECTED, "augment": 1.0})
    trainer.adversary.look(x, x.clone(), 1.0, blur=0.5)
    assert_same(trainer.adversary.real, trainer.adversary.fake)
    torch.testing.assert_close(trainer.adversary.distance(), torch.zeros(4))


def test_there_is_a_way_back_from_outside_of_the_range_of_a_picture(make_trainer, x):
    trainer = make_trainer(**{**PROJECTED, "augment": 0.0})
    fake = (x * 0 + 3).requires_grad_()
    trainer.adversary.look(x, fake, 0.0, blur=0.0)
    trainer.adversary.persuade(torch.full((4, 2), 0.5)).backward()
    assert fake.grad.abs().amax(dim=(1, 2, 3)).min() > 0


def test_all_but_the_random_projections_move_and_the_eye_does_not(make_trainer, x):
    trainer = make_trainer(**PROJECTED)
    before, eye = weights(trainer), {k: v.clone() for k, v in trainer.features.state_dict().items()}
    fixed = {k: v.clone() for k, v in trainer.bare("discriminator").named_buffers() if not k.endswith(".u")}
    for _ in range(2):
        trainer.step(x)
    changed = moved(before, trainer)
    for name in NETWORKS:
        assert changed[name] == list(before[name]), f"a weight of the {name} stands still"
    assert_same(eye, dict(trainer.features.state_dict()))
    assert_same(fixed, {k: v for k, v in trainer.bare("discriminator").named_buffers() if k in fixed})


def test_the_discriminator_learns_alone_before_its_weight_grows(make_trainer, x):
    trainer = make_trainer(**{**PROJECTED, "fade_in_kimg": 0.008}, warmup_kimg=0.016, class_swap=0.0)
    seen = []
    for _ in range(8):
        before = weights(trainer)
        trainer.log.clear()
        trainer.step(x)
        seen.append((bool(moved(before, trainer)["discriminator"]), "g_adv" in trainer.log))
    assert seen == [(False, False)] * 2 + [(True, False)] * 2 + [(True, True)] * 4
    assert [adversarial.fade(n, 0.016, 0.008) for n in (0, 16, 20, 24, 99)] == pytest.approx([0, 0, 0.5, 1, 1])
    assert [adversarial.fade(n, 0.016, 0.0) for n in (0, 15, 16)] == [0, 0, 1]


def test_what_a_shared_eye_sees_is_blurred_at_first_and_keeps_its_mean(x):
    flat = torch.full((1, 3, 64, 64), 0.3)
    torch.testing.assert_close(adversarial.blurred(flat, 1.0), flat)
    spread = [float(adversarial.blurred(x, share).std()) for share in (0.0, 0.5, 1.0)]
    assert spread == sorted(spread, reverse=True)
    assert spread[0] > 1.3 * spread[2]
    assert adversarial.blurred(x, 0.0) is x


def test_the_balance_is_the_ratio_of_the_pulls_at_the_picture():
    fake = torch.ones(2, 3, requires_grad=True)
    found = adversarial.balance((6 * fake).sum(), (fake.square()).sum(), fake)
    torch.testing.assert_close(found, torch.tensor(3.0))


def test_a_balanced_run_weighs_the_discriminator_by_the_reconstruction(make_trainer, x):
    trainer = make_trainer(**PROJECTED, balance=True, class_swap=0.0, random_path_every=1000)
    assert float(trainer.balance) == 1
    trainer.step_number = 1
    trainer.step(x)
    assert float(trainer.balance) == float(trainer.log["balance"]) not in (0, 1)


def test_a_run_with_a_shared_eye_resumes_to_the_last_bit(make_trainer, x, run):
    options = {**PROJECTED, "balance": True, "places_swap": 0.3, "augment": "ada", "fade_in_kimg": 0.012}
    unbroken = make_trainer(**options)
    for step in range(6):
        unbroken.step(x.roll(step, dims=0))
        if step == 2:
            checkpoint.save(run, unbroken.nimg, unbroken.state())
    resumed = make_trainer(**options)
    resumed.load_state(checkpoint.load(run, "latest"))
    for step in range(3, 6):
        resumed.step(x.roll(step, dims=0))
    assert_same(resumed.state(), unbroken.state())


def test_a_discriminator_of_another_kind_starts_afresh_and_the_rest_is_the_model_s(make_trainer, x):
    model = make_trainer().model()
    trainer = make_trainer(init=model, **PROJECTED)
    assert trainer.config == replace(model.config, discriminator="projected")
    for name in AVERAGED:
        assert_same(dict(trainer.bare(name).state_dict()), dict(getattr(model, name).state_dict()))
    trainer.step(x)


def test_a_projected_discriminator_with_r1_is_refused(make_trainer):
    with pytest.raises(ConfigError, match="r1_weight is 2, and a projected discriminator has no R1; leave it out"):
        make_trainer(**PROJECTED, r1_weight=2.0)


# State.


def test_a_step_follows_from_the_seed_and_its_number_alone(make_trainer, x):
    a, b = make_trainer(), make_trainer()
    torch.manual_seed(1)
    for _ in range(3):
        a.step(x)
    torch.manual_seed(2)
    for _ in range(3):
        b.step(x)
        torch.rand(7)
    assert_same(a.state(), b.state())
    c = make_trainer(seed=1)
    c.step(x)
    assert not torch.equal(c.bare("encoder").out.weight, b.bare("encoder").out.weight)


def test_a_resumed_trainer_goes_on_to_the_last_bit(make_trainer, x, run):
    unbroken = make_trainer(warmup_kimg=0.012)
    for step in range(10):
        unbroken.step(x.roll(step, dims=0))
        if step == 4:
            checkpoint.save(run, unbroken.nimg, unbroken.state())
    resumed = make_trainer(warmup_kimg=0.012)
    resumed.step(x)  # what a fresh trainer did before must leave no trace
    resumed.load_state(checkpoint.load(run, "latest"))
    assert (resumed.step_number, resumed.nimg) == (5, 20)
    for step in range(5, 10):
        resumed.step(x.roll(step, dims=0))
    assert_same(resumed.state(), unbroken.state())


def test_resuming_takes_the_learning_rate_of_the_options(make_trainer, x, run):
    """The way out of a run that blew up is to resume at a lower rate."""
    trainer = make_trainer(learning_rate=0.002, encoder_lr_mul=0.5)
    trainer.step(x)
    checkpoint.save(run, trainer.nimg, trainer.state())
    lower = make_trainer(learning_rate=0.0002, encoder_lr_mul=0.1)
    lower.load_state(checkpoint.load(run, "latest"))
    lower.step(x)
    assert [g["lr"] for g in lower.optimizer_g.param_groups] == pytest.approx([2e-4, 2e-4, 2e-5])
    assert [g["lr"] for g in lower.optimizer_d.param_groups] == pytest.approx([2e-4])


def test_the_learning_rates_fall_to_zero_over_the_last_pictures(make_trainer, x):
    trainer = make_trainer(learning_rate=0.002, encoder_lr_mul=0.5, total_kimg=0.02, decay_kimg=0.008)
    seen = []
    for _ in range(5):  # four pictures each
        trainer.step(x)
        seen.append([trainer.optimizer_g.param_groups[2]["lr"], trainer.optimizer_d.param_groups[0]["lr"]])
    assert seen == [pytest.approx([share * 1e-3, share * 2e-3]) for share in (1, 1, 1, 1, 0.5)]


def test_a_checkpoint_of_another_model_is_refused(make_trainer, x):
    state = make_trainer().state()
    with pytest.raises(
        ResumeError, match=r"the checkpoint holds a model .*'w_dim': 8.*; use the same options, another"
    ):
        make_trainer(w_dim=9).load_state(state)


def test_a_checkpoint_of_another_version_is_refused(make_trainer):
    state = make_trainer().state()
    del state["augment"], state["classifier"]
    with pytest.raises(ResumeError, match="has no augment, classifier: another version of this code wrote it; begin"):
        make_trainer().load_state(state)


def test_generator_mapping_and_encoder_are_averaged_from_the_first_step(make_trainer, x):
    trainer = make_trainer(ema_kimg=0.02)
    trainer.nimg = 1000  # past the ramp: the half-life is the 20 pictures of the option
    start = {name: [p.clone() for p in trainer.ema[name].module.parameters()] for name in AVERAGED}
    trainer.step(x)
    keep = 0.5 ** (4 / 20)
    for name in AVERAGED:
        slow, fast = trainer.ema[name].module.parameters(), trainer.bare(name).parameters()
        for before, now, live in zip(start[name], slow, fast, strict=True):
            torch.testing.assert_close(now, before * keep + live * (1 - keep))
    assert set(AVERAGED) == {"generator", "mapping", "encoder"}


def test_the_model_of_a_run_is_made_of_the_averages(make_trainer, x, tmp_path):
    trainer = make_trainer()
    trainer.step(x)
    model = trainer.model()
    assert model.encoder is trainer.ema["encoder"].module
    loaded = StylEx.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert loaded.class_names == ["plain", "spotted"]
    assert loaded.discriminator is not None  # for a run that starts from here
    s = loaded.styles(loaded.encode(x))
    torch.testing.assert_close(loaded.synthesize(s), model.synthesize(s), atol=0.05, rtol=0.05)
    # Taking it out does not freeze what is still in training.
    before = weights(trainer)
    trainer.step(x)
    assert moved(before, trainer)["generator"]


def test_init_starts_from_the_weights_of_a_model(make_trainer, x):
    first = make_trainer()
    for _ in range(2):
        first.step(x)
    model = first.model()
    with pytest.raises(ConfigError, match="w_dim is 123; a model with 8 keeps these"):
        make_trainer(init=model, w_dim=123)
    second = make_trainer(init=model)
    assert second.config == model.config
    for name in AVERAGED:
        assert_same(dict(second.bare(name).state_dict()), dict(getattr(model, name).state_dict()))
        assert_same(dict(second.ema[name].module.state_dict()), dict(getattr(model, name).state_dict()))
    assert (second.step_number, second.nimg) == (0, 0)
    assert not second.optimizer_g.state
    second.step(x)
    assert model.generator.affine.class_weight.abs().sum() > 0


def test_the_largest_gradient_since_the_last_look_is_kept(make_trainer, x):
    trainer = make_trainer(r1_every=2)
    norms = {"g_grad": [], "d_grad": []}
    for _ in range(4):
        trainer.peaks = {}
        trainer.step(x)
        for name in norms:
            norms[name].append(trainer.peaks[name].item())
    again = make_trainer(r1_every=2)
    for _ in range(4):
        again.step(x)
    numbers = again.numbers()
    assert numbers["g_grad"] == max(norms["g_grad"])
    assert numbers["d_grad"] == max(norms["d_grad"])
    assert again.peaks == {}


@pytest.mark.parametrize("names", [("plain", "striped"), ("one", "two", "three")], ids=["as many", "more"])
def test_from_a_model_of_other_classes_all_is_taken_but_what_reads_them(make_trainer, names):
    init = make_trainer(seed=1).model()
    with torch.no_grad():
        init.generator.affine.class_weight.normal_()
    o = replace(make_trainer().o, output="")
    trainer = Trainer(o, tiny_classifier(names), None, init)
    assert trainer.config == replace(init.config, num_classes=len(names))
    for name in NETWORKS:
        given = dict(getattr(init, name).named_parameters())
        for key, weight in trainer.bare(name).named_parameters():
            reads = (name, key) in {("generator", "affine.class_weight"), ("discriminator", "out.weight")}
            if reads:
                assert weight.shape != given[key].shape or not torch.equal(weight, given[key])
            elif key != "out.bias" or name != "discriminator":
                assert torch.equal(weight, given[key]), f"{key} of the {name}"
    assert not trainer.bare("generator").affine.class_weight.any()


def test_a_model_of_other_classes_grows_too_and_reads_them_anew(make_trainer):
    init = make_trainer(seed=1).model()
    with torch.no_grad():
        init.generator.affine.class_weight.normal_()
    side = 2 * init.resolution
    o = replace(make_trainer().o, output="", resolution=side, channels=None, trunk_channels=None)
    trainer = Trainer(o, tiny_classifier(("one", "two", "three"), side), None, init)
    assert trainer.config == replace(init.config.grown(side), num_classes=3)
    assert not trainer.bare("generator").affine.class_weight.any()
    assert torch.equal(trainer.bare("generator").synthesis.const, init.generator.synthesis.const)
    trainer.step(torch.zeros(o.batch_size, 3, side, side))


# Of a GPU torch refuses these under `--deterministic`: they sum in whatever order threads arrive. It has another way of
# its own for `replication_pad2d` and `upsample_bilinear2d`, which on a processor cannot be seen.
REFUSED = {
    *("_adaptive_avg_pool2d_backward", "_upsample_bicubic2d_aa_backward", "_upsample_bilinear2d_aa_backward"),
    *("adaptive_max_pool2d_backward", "cumsum", "grid_sampler_2d_backward", "histc", "kthvalue", "median"),
    *("reflection_pad2d_backward", "upsample_bicubic2d_backward", "upsample_nearest2d_backward"),
}


@pytest.mark.parametrize("changes", [{}, {"discriminator": "stylegan2", "perceptual": "classifier"}])
def test_a_deterministic_step_on_a_gpu_asks_torch_for_nothing_that_it_refuses(make_trainer, x, monkeypatch, changes):
    """With a classifier that reads another size than the picture's, moved views, and blurred first pictures."""
    used = set[str]()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, called, types, args=(), kwargs=None):
            used.add(called.overloadpacket.__name__)
            return called(*args, **(kwargs or {}))

    monkeypatch.setattr("stylex.steady.needed", lambda x: True)
    trainer = make_trainer(**{**PROJECTED, **changes}, kl_views=1.0, sparsity_weight=0.01, fade_in_kimg=1.0)
    assert trainer.classifier.config.size != tuple(x.shape[-2:])
    with Watch():
        for _ in range(4):
            trainer.step(x)
    assert {"convolution_backward", "mm"} <= used
    assert not used & REFUSED
