"""Networks, optimisers and averages of one run, and the step that moves them all."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor

from stylex import losses
from stylex.attfind.effects import Attribute
from stylex.classifiers.classifier import Classifier
from stylex.model import StylEx
from stylex.networks.config import ModelConfig
from stylex.networks.eye import ClassifierFeatures
from stylex.storage.files import fingerprint
from train.engine import adversarial, objective
from train.engine.adaptive import AdaptiveStrength
from train.engine.adversarial import Adversary, OwnNetwork, SharedEye
from train.engine.augment import flip
from train.engine.checkpoint import ResumeError
from train.engine.compiled import COMPILED, backend_for, begin_step, compile_networks
from train.engine.device import always_alike, train_fast
from train.engine.ema import EMA
from train.engine.eyes import eyes
from train.engine.kind import Kind
from train.engine.mixing import mixing
from train.engine.networks import AVERAGED, NETWORKS, build, optimizers, recompute_levels
from train.engine.objective import Term
from train.engine.swap import followers, swap_top
from train.options.training import Options

# The pull of the losses at a picture is measured once in so many steps that reconstruct one, and averaged.
BALANCE_EVERY, BALANCE_RATE = 16, 0.2


def judged(attributes: Sequence[Attribute]) -> list[Attribute]:
    """Those of which a person has said something."""
    return [a for a in attributes if any(a.judged.values())]


class Trainer:
    """One run: `step` after `step`, with a `state` to resume from and a `model` to ship."""

    def __init__(
        self, o: Options, classifier: Classifier, judge: Classifier | None, init: StylEx | None = None
    ) -> None:
        self.o = o
        tracker = None if o.report_to == "none" else o.report_to
        # Buffers never change, so they need not be sent around before every pass.
        handlers = [DistributedDataParallelKwargs(broadcast_buffers=False)]
        self.accelerator = Accelerator(
            mixed_precision=o.mixed_precision, log_with=tracker, project_dir=o.output, kwargs_handlers=handlers
        )
        device = self.accelerator.device
        train_fast(device)
        if o.deterministic:
            always_alike()
        torch.manual_seed(o.seed)
        classes = len(classifier.class_names)
        config = o.model_config(classes, init.config if init else None)
        self.config: ModelConfig = config
        self.classifier = classifier.to(device)
        self.classifier_id = f"{fingerprint([classifier])} {classifier.config}"
        self.judge = judge.to(device) if judge else None
        features, eye = eyes(o.perceptual, classifier, config)
        self.features = features.to(device)
        built = build(config, device, classifier.class_names, init)
        self.ema: dict[str, EMA[Any]] = {name: EMA(built[name], o.ema_kimg) for name in AVERAGED}
        if o.recompute:
            recompute_levels(built.values())
        rate = o.learning_rate
        movers = optimizers(built, rate, rate * o.encoder_lr_mul, rate * o.discriminator_lr_mul)
        prepared = self.accelerator.prepare(*built.values(), *movers)
        self.networks = dict(zip(NETWORKS, prepared[:4], strict=True))
        self.generator, self.mapping, self.encoder, self.discriminator = prepared[:4]
        self.optimizer_g, self.optimizer_d = prepared[4:]
        self.adversary: Adversary = OwnNetwork(self.discriminator)
        if eye is not None:
            self.adversary = SharedEye(self.discriminator, eye.to(device), measures=eye is features)
        if o.compile:
            self.compile(backend_for(device))
        self.rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in prepared[4:]]
        self.augment = AdaptiveStrength(o.augment, o.ada_target, o.ada_kimg, device)
        self.mean_path = torch.zeros((), device=device)
        self.balance, self.since_balanced = torch.ones((), device=device), 0
        self.step_number = self.nimg = 0
        self.minutes_left = o.max_minutes  # the loop has the clock
        self.early_spread: float | None = None
        # What AttFind found is about other weights than those of now; the names that a person gave are worth keeping.
        self.judged = judged(init.attributes) if init and init.class_names == classifier.class_names else []
        self.log: dict[str, Tensor] = {}
        self.peaks: dict[str, Tensor] = {}

    def bare(self, name: str) -> Any:
        return self.accelerator.unwrap_model(self.networks[name])

    def compile(self, backend: str) -> None:
        """Generator, encoder, discriminator and the networks that judge, from now on; the mapping is too small to gain.

        R1 and the path lengths differentiate twice, which a compiled network cannot; `in_full` goes by `forward`, which
        stays as it was.
        """
        # The same weights once more: who looks into the given one by hooks would find nothing once it is compiled.
        self.classifier = copy.copy(self.classifier)
        networks = [*map(self.bare, COMPILED), self.classifier]
        if not isinstance(self.features, ClassifierFeatures):
            networks.append(self.features)
        compile_networks(networks, backend)

    # State.

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs; random numbers follow from the seed and the step."""
        return {
            "options": asdict(self.o),
            "model": self.config.to_dict(),
            "class_names": self.classifier.class_names,
            "classifier": self.classifier_id,
            "networks": {name: self.bare(name).state_dict() for name in NETWORKS},
            "ema": {name: self.ema[name].module.state_dict() for name in AVERAGED},
            "optimizer_g": self.optimizer_g.state_dict(),
            "optimizer_d": self.optimizer_d.state_dict(),
            "augment": self.augment.state(),
            "mean_path": self.mean_path,
            "balance": self.balance,
            "since_balanced": self.since_balanced,
            "step": self.step_number,
            "nimg": self.nimg,
            "early_spread": self.early_spread,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned.

        Raises:
            ResumeError: if it is of another model, of other classes, was trained for another classifier, or was
                written by another version of this code.
        """
        way_out = "use the same options, another --output, or --resume none"
        if missing := self.state().keys() - state.keys():
            raise ResumeError(
                f"the checkpoint has no {', '.join(sorted(missing))}: another version of this code wrote it; begin "
                "again with --resume none, or from its model folder with --init_from and another --output"
            )
        if state["model"] != self.config.to_dict():
            raise ResumeError(
                f"the checkpoint holds a model {state['model']}, the options ask for {self.config.to_dict()}; {way_out}"
            )
        if (before := state["class_names"]) != (now := self.classifier.class_names):
            raise ResumeError(
                f"the checkpoint is of the classes {', '.join(before)}, the classifier of {', '.join(now)}; {way_out}"
            )
        if state["classifier"] != self.classifier_id:
            raise ResumeError(
                f"the checkpoint was trained for another classifier than {self.o.classifier} holds now; {way_out}"
            )
        for name in NETWORKS:
            self.bare(name).load_state_dict(state["networks"][name])
        for name in AVERAGED:
            self.ema[name].module.load_state_dict(state["ema"][name])
        self.optimizer_g.load_state_dict(state["optimizer_g"])
        self.optimizer_d.load_state_dict(state["optimizer_d"])
        self.augment.load_state(state["augment"])
        self.mean_path.copy_(state["mean_path"])
        self.balance.copy_(state["balance"])
        self.since_balanced = state["since_balanced"]
        self.step_number, self.nimg, self.early_spread = state["step"], state["nimg"], state["early_spread"]

    def numbers(self) -> dict[str, float]:
        """The losses now, and the largest gradients since the last time. Only here the host waits for the device."""
        self.log |= self.peaks
        self.peaks = {}
        return dict(zip(self.log, torch.stack([value.float() for value in self.log.values()]).tolist(), strict=True))

    def model(self) -> StylEx:
        """The averaged networks as a StylEx that shares their memory, with the discriminator so that another run can go
        on from it (`init_from`), and with the names of attributes for the next search."""
        return StylEx(
            self.config,
            copy.copy(self.classifier),  # of the same weights, but not compiled: reports have batches of other sizes
            generator=self.ema["generator"].module,
            mapping=self.ema["mapping"].module if self.o.random_path_every else None,
            encoder=self.ema["encoder"].module,
            discriminator=self.bare("discriminator"),
            judge=self.judge,
            attributes=self.judged,
        ).to(self.accelerator.device)

    def leave(self) -> None:
        """Part from the other processes, after the last step; who still holds what they share may abort at exit."""
        self.accelerator.wait_for_everyone()
        del self.generator, self.mapping, self.encoder, self.discriminator, self.optimizer_g, self.optimizer_d
        self.networks.clear()
        self.accelerator.free_memory()
        self.accelerator.state.destroy_process_group()

    # One step.

    def step(self, x: Tensor) -> None:
        """One update of the discriminator and one of generator, mapping and encoder, on x [B, 3, R, R] in [-1, 1]."""
        o, pictures = self.o, x.shape[0] * self.accelerator.num_processes
        if o.compile:
            begin_step(self.accelerator.device)
        self.set_rates()
        kind = Kind.draw(o, self.step_number, self.nimg, self.accelerator.process_index)
        x = flip(x, o.flips).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            probs = (self.classifier(x) / o.temperature).softmax(dim=1)
        wanted = swap_top(probs) if kind.swap else probs
        code, fake = self.draw(kind, x, probs, wanted)

        terms: dict[str, Term] = {}
        joined = adversarial.fade(self.nimg, o.warmup_kimg, o.fade_in_kimg)
        if kind.watched:
            self.adversary.look(x, fake, self.augment.strength, blur=1 - joined if o.fade_in_kimg else 0.0)
            self.update_discriminator(x, probs, wanted)
        if kind.joint:
            score_loss = self.adversary.persuade(wanted)
            self.log["g_adv"] = score_loss.detach()
            terms["adversarial"] = Term(o.adversarial_weight * joined * self.balance, score_loss)
        if not kind.random:
            terms |= self.judge_picture(kind, x, code, fake, wanted)
        if o.sparsity_weight:
            weight = self.bare("generator").affine.class_weight
            terms["sparsity"] = Term(o.sparsity_weight, losses.class_sparsity(weight))
        if o.balance and kind.joint and kind.own:
            self.rebalance(terms, fake)
        loss = objective.total(terms.values())
        self.descend("g_grad", self.optimizer_g, loss)
        if kind.joint and o.path_weight and self.step_number % o.path_every == 0:
            self.regularize_paths(probs)
        self.log["loss"] = loss.detach()

        self.step_number += 1
        self.nimg += pictures
        for name in AVERAGED:
            self.ema[name].update(self.bare(name), pictures, self.nimg)

    def rebalance(self, terms: dict[str, Term], fake: Tensor) -> None:
        """Measure now and then how strongly reconstruction and discriminator pull at the picture; from the next step on
        the latter counts as much as the former, times its weight."""
        self.since_balanced += 1
        if self.since_balanced % BALANCE_EVERY == 1:
            found = adversarial.balance(terms["reconstruction"].loss, terms["adversarial"].loss, fake)
            self.balance.lerp_(found, 1.0 if self.since_balanced == 1 else BALANCE_RATE)
            self.log["balance"] = self.balance

    def draw(self, kind: Kind, x: Tensor, probs: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """What the mapping draws or the encoder says of x, w ⊕ t [B, D+T], and its picture [B, 3, R, R]."""
        mix = None
        if kind.random:
            code = self.mapping(torch.randn(x.shape[0], self.config.z_dim, device=x.device))
            if torch.rand(()) < self.o.style_mixing:
                mix = mixing(self.bare("generator").space, code, probs)
        else:
            code = self.encoder(x)
            if kind.moved:
                w, t = code.tensor_split([self.config.w_dim], dim=1)
                code = torch.cat([w, t.roll(1, dims=0)], dim=1)
            if kind.swap:
                mix = torch.cat([code, wanted], dim=1), self.following(wanted)
        return code, self.generator(torch.cat([code, probs], dim=1), mix=mix)

    def following(self, wanted: Tensor) -> Tensor:
        """Which coordinates follow swapped probabilities [N, K]: [N, S] bool."""
        generator = self.bare("generator")
        return followers(
            generator.affine.class_weight,
            generator.space,
            wanted.argmax(dim=1),
            self.o.swap_dropout,
            self.o.swap_few,
        )

    def update_discriminator(self, x: Tensor, probs: Tensor, wanted: Tensor) -> None:
        """Real pictures with their own probabilities against fakes with the ones they were asked for."""
        o = self.o
        self.discriminator.requires_grad_(True)
        loss, real, fake = self.adversary.judge(probs, wanted)
        self.log |= {"d": loss.detach(), "d_real": real.detach().mean(), "d_fake": fake.detach().mean()}
        if o.r1_weight and self.step_number % o.r1_every == 0:
            penalty = adversarial.r1(partial(self.in_full, "discriminator"), x, probs, self.augment.strength)
            # Lazy: once in r1_every steps, so that many times as strong.
            loss = loss + o.r1_weight / 2 * o.r1_every * penalty
            self.log["r1"] = penalty.detach()
        self.descend("d_grad", self.optimizer_d, loss)
        self.augment.see(real, self.step_number, lambda signs: self.accelerator.reduce(signs, "sum"))
        self.log |= {"d_overfitting": self.augment.overfitting, "augment": self.augment.share}
        # The generator's gradient passes through the discriminator but must not reach its weights.
        self.discriminator.requires_grad_(False)

    def judge_picture(self, kind: Kind, x: Tensor, code: Tensor, fake: Tensor, wanted: Tensor) -> dict[str, Term]:
        """What is asked of a picture that the encoder has described: to be like x, and of the wanted class."""
        o, log, shown = self.o, self.log, fake.clamp(-1, 1)
        pixel, look = losses.l1(x, fake).mean(), self.adversary.distance() if kind.watched else None
        look = (objective.perceptual(x, shown, self.features) if look is None else look).mean()
        kl = objective.classification(self.classifier, shown, wanted, o.temperature, o.kl_views)
        like_x = o.l1_weight * pixel + o.perceptual_weight * look
        if o.pyramid_weight:
            like_x = like_x + o.pyramid_weight * losses.laplacian(x, fake).mean()
        terms = {
            "reconstruction": Term(objective.closeness(o, kind), like_x),
            "class": Term(objective.kl_weight(o, self.nimg), kl),
        }
        if kind.swap:
            log["kl_swap"] = kl.detach()
        elif kind.own:
            log |= {"l1": pixel.detach(), "perceptual": look.detach(), "kl": kl.detach()}
            log["w_spread"] = code.detach()[:, : self.config.w_dim].std(dim=0, unbiased=False).mean()
            # Lazy like R1, and never on the steps of the random path; a second encoder pass is a fifth of a step.
            if o.w_weight and self.step_number % o.w_every == o.w_every - 1:
                w_rec = (self.encoder(shown) - code).abs().mean()
                terms["w"] = Term(o.w_weight * o.w_every, w_rec)
                log["w_rec"] = w_rec.detach()
        return terms

    def descend(self, name: str, optimizer: Any, loss: Tensor) -> None:
        """One step down, with the largest norm of the gradient since the last look kept in `peaks[name]`, on the
        device: a single bad step must not go unseen."""
        optimizer.zero_grad()
        self.accelerator.backward(loss)
        norm = torch.nn.utils.get_total_norm(gradients(optimizer))
        self.peaks[name] = torch.maximum(self.peaks.get(name, norm), norm)
        optimizer.step()

    def set_rates(self) -> None:
        """The options decide, not the checkpoint, or a run that blew up could not go on more slowly."""
        o, share = self.o, 1.0
        if o.decay_kimg:
            share = min(share, (o.total_kimg * 1000 - self.nimg) / (o.decay_kimg * 1000))
        if o.decay_minutes:
            share = min(share, self.minutes_left / o.decay_minutes)
        for optimizer, rates in zip((self.optimizer_g, self.optimizer_d), self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * max(0.0, share)

    def in_full(self, name: str, *inputs: Tensor) -> Tensor:
        """What a network returns in full precision, as losses of a gradient need it.

        By the `forward` of its class, for `prepare` has put one before it that turns mixed precision on again.
        """
        network = self.bare(name)
        with torch.autocast(self.accelerator.device.type, enabled=False):
            return type(network).forward(network, *inputs)

    def regularize_paths(self, probs: Tensor) -> None:
        """Path length regularisation on half a batch of random pictures (Karras et al. 2020, section 3.2)."""
        o, half = self.o, max(1, len(probs) // 2)
        with torch.no_grad():
            w = self.mapping(torch.randn(half, self.config.z_dim, device=probs.device))
        latent = torch.cat([w, probs[:half]], dim=1).requires_grad_()
        lengths = losses.path_lengths(self.in_full("generator", latent), latent)
        with torch.no_grad():
            self.mean_path.lerp_(self.accelerator.reduce(lengths.mean(), "mean"), 0.01)
        loss = (lengths - self.mean_path).square().mean() * o.path_weight * o.path_every
        self.optimizer_g.zero_grad()
        self.accelerator.backward(loss)
        self.average_gradients(self.optimizer_g)
        self.optimizer_g.step()
        self.log["path"] = loss.detach() / o.path_every

    def average_gradients(self, optimizer: Any) -> None:
        """Over all processes, after a backward pass that did not go through the wrapper that would have done it."""
        if self.accelerator.num_processes == 1:
            return
        grads = gradients(optimizer)
        mean = self.accelerator.reduce(torch.cat([grad.flatten() for grad in grads]), "mean")
        for grad, part in zip(grads, mean.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(part.view_as(grad))


def gradients(optimizer: Any) -> list[Tensor]:
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
