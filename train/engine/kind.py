"""Which of the kinds of step comes next."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from train.options.training import Options


@dataclass(frozen=True)
class Kind:
    """What a step does.

    Attributes:
        watched: trains the discriminator.
        joint: and the generator hears it; before that there is only an autoencoder.
        random: draws pictures from the mapping; on all other steps the encoder is asked.
        swap: asks for another class than the picture's (`swap`).
        moved: draws each picture with the places of another one.
    """

    watched: bool
    joint: bool
    random: bool
    swap: bool
    moved: bool

    @property
    def own(self) -> bool:
        """Whether the drawn picture should be that of the encoder's picture, in all."""
        return not (self.random or self.swap or self.moved)

    @classmethod
    def draw(cls, o: Options, step: int, nimg: int, process: int) -> Kind:
        """The kind of a step, and the seed of all that it draws after that.

        Every draw follows from the seed and the step's number, so a resumed run needs no random state. The kind is
        drawn alike by every process; the pictures' own draws are not.
        """
        torch.manual_seed(o.seed * 1_000_003 + step)
        asks_swap, asks_moving = (torch.rand(2) < torch.tensor([o.class_swap, o.places_swap])).tolist()
        torch.manual_seed(int(torch.randint(2**62, ())) + process)
        watched, joint = nimg >= (o.warmup_kimg - o.fade_in_kimg) * 1000, nimg >= o.warmup_kimg * 1000
        # The paths take turns at whole optimiser steps, so neither depends on batch size or accumulation.
        random = joint and o.random_path_every > 0 and step % o.random_path_every == 0
        swap = not random and nimg >= o.swap_after_kimg * 1000 and asks_swap
        return cls(watched, joint, random, swap, moved=not random and asks_moving)
