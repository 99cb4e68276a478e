"""Which pictures are searched."""

from __future__ import annotations

import torch

from train.search.searched import balanced


def test_the_chosen_pictures_take_turns():
    labels = torch.tensor([0] * 20 + [1] * 5 + [2] * 3)
    chosen = balanced(labels, 12, seed=0)
    assert len(set(chosen.tolist())) == 12
    assert labels[chosen].bincount().tolist() == [5, 4, 3]
    assert labels[balanced(labels, 9, seed=0)].bincount().tolist() == [3, 3, 3]
    assert sorted(balanced(labels, 99, seed=0).tolist()) == list(range(28))
    assert balanced(labels, 12, seed=0).tolist() == chosen.tolist()
    assert balanced(labels, 12, seed=1).tolist() != chosen.tolist()
