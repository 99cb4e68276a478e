"""One training step, and the loop around it."""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor
from tqdm import tqdm

from stylex import losses
from stylex.attfind.effects import Attribute
from stylex.classifiers.classifier import Classifier
from stylex.model import StylEx
from stylex.networks.config import ModelConfig
from stylex.networks.discriminator import Discriminator
from stylex.networks.encoder import Encoder
from stylex.networks.eye import perceptual_features
from stylex.networks.generator import Generator, Mapping
from stylex.storage.files import fingerprint
from train.data.pictures import Pictures, epochs, to_float
from train.engine import checkpoint
from train.engine.adaptive import AdaptiveStrength
from train.engine.augment import flip, for_classifier, for_discriminator
from train.engine.compiled import compile_networks
from train.engine.ema import EMA
from train.engine.interrupt import Interrupt
from train.engine.report import Reports
from train.engine.swap import followers, swap_top
from train.engine.watch import Watch, check, tried_again, weight_norms

if TYPE_CHECKING:
    from train.train import Options

NETWORKS = ("generator", "mapping", "encoder", "discriminator")
AVERAGED = ("generator", "mapping", "encoder")
# Beside the progress bar.
SHOWN = ("l1", "kl", "kl_swap", "g_adv", "d")
# The weights that mean something for the classes of one model alone.
READS_CLASSES = {"generator": {"affine.class_weight"}, "discriminator": {"out.weight", "out.bias"}}


def named(attributes: Sequence[Attribute]) -> list[Attribute]:
    return [a for a in attributes if a.name]


class Trainer:
    """Networks, optimisers and averages of one run, and the step that moves them all."""

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
        torch.manual_seed(o.seed)
        classes = len(classifier.class_names)
        config = replace(init.config, num_classes=classes) if init else o.model_config(classes)
        self.config: ModelConfig = config
        self.classifier = classifier.to(device)
        self.classifier_id = f"{fingerprint([classifier])} {classifier.config}"
        self.judge = judge.to(device) if judge else None
        self.features = perceptual_features(o.perceptual, classifier).to(device)
        built: dict[str, Any] = {
            "generator": Generator(config),
            "mapping": Mapping(config),
            "encoder": Encoder(config),
            "discriminator": Discriminator(config),
        }
        for name in NETWORKS:
            if init is not None and getattr(init, name) is not None:
                weights = getattr(init, name).state_dict()
                if init.class_names != classifier.class_names:
                    weights |= {k: v for k, v in built[name].state_dict().items() if k in READS_CLASSES.get(name, ())}
                built[name].load_state_dict(weights)
            built[name].to(device, memory_format=torch.channels_last)
        self.ema: dict[str, EMA[Any]] = {name: EMA(built[name], o.ema_kimg) for name in AVERAGED}
        adam = partial(torch.optim.Adam, betas=(0.0, 0.99), fused=True)
        groups = [
            {"params": built["generator"].parameters(), "lr": o.learning_rate},
            {"params": built["mapping"].parameters(), "lr": o.learning_rate},
            {"params": built["encoder"].parameters(), "lr": o.learning_rate * o.encoder_lr_mul},
        ]
        optimizer_g = adam(groups, lr=o.learning_rate)
        optimizer_d = adam(built["discriminator"].parameters(), lr=o.learning_rate)
        prepared = self.accelerator.prepare(*built.values(), optimizer_g, optimizer_d)
        self.networks = dict(zip(NETWORKS, prepared[:4], strict=True))
        self.generator, self.mapping, self.encoder, self.discriminator = prepared[:4]
        self.optimizer_g, self.optimizer_d = prepared[4:]
        if o.compile:
            compile_networks(self)
        self.rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in prepared[4:]]
        self.augment = AdaptiveStrength(o.augment, o.ada_target, o.ada_kimg, device)
        self.mean_path = torch.zeros((), device=device)
        self.step_number = self.nimg = 0
        self.early_spread: float | None = None
        # What AttFind found is about other weights than those of now; the names that a person gave are worth keeping.
        self.named = named(init.attributes) if init and init.class_names == classifier.class_names else []
        self.log: dict[str, Tensor] = {}
        self.peaks: dict[str, Tensor] = {}

    # State.

    def bare(self, name: str) -> Any:
        return self.accelerator.unwrap_model(self.networks[name])

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
            raise checkpoint.ResumeError(
                f"the checkpoint has no {', '.join(sorted(missing))}: another version of this code wrote it; begin "
                "again with --resume none, or from its model folder with --init_from and another --output"
            )
        if state["model"] != self.config.to_dict():
            raise checkpoint.ResumeError(
                f"the checkpoint holds a model {state['model']}, the options ask for {self.config.to_dict()}; {way_out}"
            )
        if (before := state["class_names"]) != (now := self.classifier.class_names):
            raise checkpoint.ResumeError(
                f"the checkpoint is of the classes {', '.join(before)}, the classifier of {', '.join(now)}; {way_out}"
            )
        if state["classifier"] != self.classifier_id:
            raise checkpoint.ResumeError(
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
        self.step_number, self.nimg, self.early_spread = state["step"], state["nimg"], state["early_spread"]

    def numbers(self) -> dict[str, float]:
        """The losses now, and the largest gradients since the last time. Only here the host waits for the device."""
        self.log |= self.peaks
        self.peaks = {}
        return dict(zip(self.log, torch.stack([value.float() for value in self.log.values()]).tolist(), strict=True))

    def note_gradient(self, name: str, optimizer: Any) -> None:
        """Keep the largest norm of a gradient in `peaks`, on the device: a single bad step must not go unseen."""
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads)
        self.peaks[name] = torch.maximum(self.peaks.get(name, norm), norm)

    def model(self) -> StylEx:
        """The averaged networks as a StylEx that shares their memory, with the discriminator so that another run can go
        on from it (`init_from`), and with the names of attributes for the next search."""
        return StylEx(
            self.config,
            copy.copy(self.classifier),  # of the same weights, but not compiled: reports have batches of other sizes
            generator=self.ema["generator"].module,
            mapping=self.ema["mapping"].module,
            encoder=self.ema["encoder"].module,
            discriminator=self.bare("discriminator"),
            judge=self.judge,
            attributes=self.named,
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
        o, log = self.o, self.log
        self.set_rates()
        # Every draw of a step follows from the seed and its number, so a resumed run needs no random state. What kind
        # of step it is, is drawn alike by every process; the pictures' own draws are not.
        torch.manual_seed(o.seed * 1_000_003 + self.step_number)
        asks_swap, asks_mixing = (torch.rand(2) < torch.tensor([o.class_swap, o.encoder_mixing])).tolist()
        torch.manual_seed(int(torch.randint(2**62, ())) + self.accelerator.process_index)
        x = flip(x, o.flips).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            probs = (self.classifier(x) / o.temperature).softmax(dim=1)
        joint = self.nimg >= o.warmup_kimg * 1000
        # The paths take turns at whole optimiser steps, so neither depends on batch size or accumulation.
        random_path = joint and self.step_number % o.random_path_every == 0
        swap = not random_path and self.nimg >= o.swap_after_kimg * 1000 and asks_swap
        mixed = joint and not random_path and not swap and asks_mixing

        wanted = swap_top(probs) if swap else probs
        if random_path:
            w = self.mapping(torch.randn(x.shape[0], self.config.z_dim, device=x.device))
            mix = self.mixing(w, probs) if torch.rand(()) < o.style_mixing else None
            fake = self.generator(torch.cat([w, probs], dim=1), mix=mix)
        else:
            w = self.encoder(x)
            latent = torch.cat([w, probs], dim=1)
            mix = self.mixing(w, probs) if mixed else None
            if swap:
                mix = torch.cat([w, wanted], dim=1), self.following(wanted)
            fake = self.generator(latent, mix=mix)

        loss = x.new_zeros(())
        if joint:
            self.update_discriminator(x, probs, fake.detach(), wanted)
            score = self.discriminator(for_discriminator(fake, self.augment.strength), wanted)
            adversarial = losses.generator_nonsaturating(score)
            loss = loss + o.adversarial_weight * adversarial
            log["g_adv"] = adversarial.detach()
        if not random_path:
            shown = fake.clamp(-1, 1)
            pixel = losses.l1(x, fake).mean()
            with torch.no_grad():
                features = self.features(x)
            look = losses.perceptual(features, self.features(shown)).mean()
            seen = self.classifier(for_classifier(shown, o.kl_views))
            kl = losses.classifier_kl(wanted, seen / o.temperature).mean()
            # A swapped picture has to differ where the class shows, so staying close counts for less; a mixed one is a
            # picture that nobody has seen.
            close = o.swap_closeness if swap else 0.0 if mixed else 1.0
            # From the first step on at full strength, many classes satisfy the classifier with one blob each, and the
            # encoder dies before it has said anything.
            ramp = min(1.0, self.nimg / (o.kl_ramp_kimg * 1000)) if o.kl_ramp_kimg else 1.0
            loss = loss + close * (o.l1_weight * pixel + o.perceptual_weight * look) + ramp * o.kl_weight * kl
            # Lazy like R1, and never on the steps of the random path; a second encoder pass is a fifth of a step.
            if o.w_weight and not swap and not mixed and self.step_number % o.w_every == o.w_every - 1:
                w_rec = (self.encoder(shown) - w).abs().mean()
                loss = loss + o.w_weight * o.w_every * w_rec
                log["w_rec"] = w_rec.detach()
            if swap:
                log["kl_swap"] = kl.detach()
            elif not mixed:
                log |= {"l1": pixel.detach(), "perceptual": look.detach(), "kl": kl.detach()}
                log["w_spread"] = w.detach().std(dim=0, unbiased=False).mean()
        if o.sparsity_weight:
            loss = loss + o.sparsity_weight * losses.class_sparsity(self.bare("generator").affine.class_weight)
        self.optimizer_g.zero_grad()
        self.accelerator.backward(loss)
        self.note_gradient("g_grad", self.optimizer_g)
        self.optimizer_g.step()
        if joint and o.path_weight and self.step_number % o.path_every == 0:
            self.regularize_paths(probs)
        log["loss"] = loss.detach()

        self.step_number += 1
        self.nimg += x.shape[0] * self.accelerator.num_processes
        for name in AVERAGED:
            self.ema[name].update(self.bare(name), x.shape[0] * self.accelerator.num_processes, self.nimg)

    def set_rates(self) -> None:
        """The options decide, not the checkpoint, or a run that blew up could not go on more slowly."""
        left = self.o.total_kimg * 1000 - self.nimg
        share = min(1.0, max(0.0, left / (self.o.decay_kimg * 1000))) if self.o.decay_kimg else 1.0
        for optimizer, rates in zip((self.optimizer_g, self.optimizer_d), self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * share

    def mixing(self, w: Tensor, probs: Tensor) -> tuple[Tensor, Tensor]:
        """Style mixing: from a random layer on, the styles of another w (Karras et al. 2019, section 3.1)."""
        layers = self.bare("generator").space.layers
        convs = [layer for layer in layers if not layer.name.endswith("torgb")]
        first = convs[int(torch.randint(1, len(convs), ()))]
        mask = torch.zeros(self.bare("generator").space.size, dtype=torch.bool, device=w.device)
        for layer in layers:
            mask[layer.slice] = layer.resolution >= first.resolution and layer.start >= first.start
        return torch.cat([w.roll(1, dims=0), probs], dim=1), mask.expand(len(w), -1)

    def following(self, wanted: Tensor) -> Tensor:
        """Which coordinates follow swapped probabilities [N, K]: [N, S] bool."""
        generator = self.bare("generator")
        return followers(
            generator.affine.class_weight,
            generator.space.num_conv,
            wanted.argmax(dim=1),
            self.o.swap_dropout,
            self.o.swap_few,
        )

    def update_discriminator(self, x: Tensor, probs: Tensor, fake: Tensor, wanted: Tensor) -> None:
        """Real pictures with their own probabilities against fakes with the ones they were asked for."""
        o, discriminator, strength = self.o, self.discriminator, self.augment.strength
        discriminator.requires_grad_(True)
        # Real and fake in one pass: the weights, of which the last layers have most, are read and scaled once.
        both = torch.cat([for_discriminator(x, strength), for_discriminator(fake, strength)])
        real_score, fake_score = discriminator(both, torch.cat([probs, wanted]), batches=2).chunk(2)
        loss = losses.discriminator_logistic(real_score, fake_score)
        self.log |= {"d": loss.detach(), "d_real": real_score.detach().mean(), "d_fake": fake_score.detach().mean()}
        if o.r1_weight and self.step_number % o.r1_every == 0:
            real = x.detach().clone().requires_grad_()
            scores = self.in_full("discriminator", for_discriminator(real, strength), probs)
            penalty = losses.r1(scores, real)
            # Lazy: once in r1_every steps, so that many times as strong.
            loss = loss + o.r1_weight / 2 * o.r1_every * penalty
            self.log["r1"] = penalty.detach()
        self.optimizer_d.zero_grad()
        self.accelerator.backward(loss)
        self.note_gradient("d_grad", self.optimizer_d)
        self.optimizer_d.step()
        self.augment.see(real_score, self.step_number, lambda signs: self.accelerator.reduce(signs, "sum"))
        self.log |= {"d_overfitting": self.augment.overfitting, "augment": self.augment.share}
        # The generator's gradient passes through the discriminator but must not reach its weights.
        discriminator.requires_grad_(False)

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
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        mean = self.accelerator.reduce(torch.cat([grad.flatten() for grad in grads]), "mean")
        for grad, part in zip(grads, mean.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(part.view_as(grad))


def agree(trainer: Trainer, *wishes: bool) -> list[bool]:
    """Of each wish, whether any process has it: they end together, or one would wait for the others forever."""
    accelerator = trainer.accelerator
    if accelerator.num_processes == 1:
        return list(wishes)
    votes = torch.tensor(wishes, dtype=torch.float32, device=accelerator.device)
    return [vote > 0 for vote in accelerator.reduce(votes, "sum").tolist()]


def train(
    trainer: Trainer,
    train_part: Pictures,
    val_part: Pictures,
    run: Path,
    interrupt: Interrupt,
    saved: Callable[[Path], None] = lambda model: None,
) -> int | None:
    """Train until `total_kimg` or `max_minutes`, with reports, sheets and checkpoints on the way.

    A report or a checkpoint that cannot be written is tried again at its next turn; only the last has to succeed.

    Args:
        interrupt: asked after each step.
        saved: called by the main process with the model folder, each time it has been written.

    Returns:
        The number of the signal that ended the run, with a checkpoint, before its time; None otherwise.
    """
    o, accelerator = trainer.o, trainer.accelerator
    device, main = accelerator.device, accelerator.is_main_process
    processes = accelerator.num_processes
    batches = epochs(len(train_part), o.batch_size * processes, o.seed, start=trainer.nimg)
    shown = to_float(val_part.x[: o.report_pictures]).to(device).contiguous(memory_format=torch.channels_last)
    watch, reports = Watch(trainer, run), Reports(trainer, shown, run) if main else None
    start = last_save = time.monotonic()
    bar = tqdm(total=int(o.total_kimg * 1000), initial=trainer.nimg, unit="img", disable=not main, dynamic_ncols=True)
    done, interrupted = trainer.nimg >= o.total_kimg * 1000, False
    while not done:
        index = next(batches)[accelerator.process_index :: processes]
        trainer.step(to_float(train_part.x[index].to(device)))
        bar.update(o.batch_size * processes)
        now = time.monotonic()
        done, look = trainer.nimg >= o.total_kimg * 1000, trainer.step_number % o.log_every == 0
        if processes == 1 or look:
            late = o.max_minutes > 0 and now - start >= o.max_minutes * 60
            interrupted, late = agree(trainer, interrupt.number is not None, late)
            done = done or interrupted or late

        if look or done:
            numbers = trainer.numbers()
            watch.look(numbers)
            bar.set_postfix({n: f"{numbers[n]:.3f}" for n in SHOWN if n in numbers}, refresh=False)
        # Who was told to stop may have seconds left; the checkpoint is what counts.
        if reports and not interrupted and (done or now - reports.last >= o.report_minutes * 60):
            with tried_again(o.report_minutes):
                numbers = reports.make()
                values = "  ".join(f"{n} {v:.3f}" for n, v in numbers.items() if "train" not in n)
                bar.write(f"{trainer.nimg / 1000:.1f} kimg  {values}")
        if main and (done or now - last_save >= o.save_minutes * 60):
            check(trainer, weight_norms(trainer), run)
            with nullcontext() if done else tried_again(o.save_minutes):
                checkpoint.save(run, trainer.nimg, trainer.state(), keep=o.keep_checkpoints)
                trainer.model().save_pretrained(run / "model")
                saved(run / "model")
            last_save = time.monotonic()
    bar.close()
    return (interrupt.number or signal.SIGTERM) if interrupted else None
