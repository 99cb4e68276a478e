"""How strongly to change the discriminator's pictures so that it does not learn them by heart.

Adaptive discriminator augmentation: Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data",
section 3. A discriminator that knows its pictures calls every one of them real; the strength rises until it no longer
does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from train.options.choices import Strength

# Steps between two adjustments, as in the paper.
EVERY = 4
# A share of the pictures always stays as it is, or the generator could draw the changes (holes, tints) with impunity.
MOST = 0.8


class AdaptiveStrength:
    """A share of pictures to change, for `augment.for_discriminator`: fixed, or steered by `overfitting`.

    Everything stays a tensor on the device: no step waits for a number.
    """

    def __init__(self, strength: Strength, target: float, kimg: float, device: torch.device) -> None:
        """
        Args:
            strength: a fixed share, or "ada" to begin at 0 and adapt.
            target: the overfitting to hold, between -1 and 1.
            kimg: thousands of pictures in which the strength could rise from 0 to 1.
        """
        self.adapts = strength == "ada"
        self.fixed = 0.0 if strength == "ada" else float(strength)
        self.target, self.pictures = target, kimg * 1000
        self.share = torch.tensor(self.fixed, device=device)
        # Mean of sign(D(x)) over the real pictures of the last `EVERY` steps: 0 for a discriminator that guesses, 1
        # for one that is never wrong about a picture it was trained on (r_t in the paper).
        self.overfitting = torch.zeros((), device=device)
        self._signs = torch.zeros(2, device=device)  # their sum, and how many

    @property
    def strength(self) -> float | Tensor:
        return self.share if self.adapts else self.fixed

    @torch.no_grad()
    def see(self, real_scores: Tensor, step: int, total: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        """After a step of the discriminator.

        Args:
            real_scores: [N] of real pictures, as it saw them.
            step: number of the step; every `EVERY`-th adjusts.
            total: sums a tensor over all processes.
        """
        self._signs[0] += real_scores.sign().sum()
        self._signs[1] += len(real_scores)
        if step % EVERY != EVERY - 1:
            return
        signs, count = total(self._signs).unbind()
        self.overfitting.copy_(signs / count)
        if self.adapts:
            self.share += (self.overfitting - self.target).sign() * count / self.pictures
            self.share.clamp_(0.0, MOST)
        self._signs.zero_()

    def state(self) -> dict[str, Any]:
        return {"share": self.share, "overfitting": self.overfitting, "signs": self._signs}

    def load_state(self, state: dict[str, Any]) -> None:
        """A fixed strength comes from the options, not from the checkpoint."""
        if self.adapts:
            self.share.copy_(state["share"])
        self.overfitting.copy_(state["overfitting"])
        self._signs.copy_(state["signs"])
