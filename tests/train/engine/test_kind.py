"""Which of the kinds of step comes next."""

from __future__ import annotations

import torch
from small import SMALL

from train.engine.kind import Kind
from train.options.training import Options


def options(**changes) -> Options:
    return Options("d", "o", "c", **{**SMALL, "random_path_every": 3, **changes})


def test_every_process_draws_the_same_kind_and_its_own_pictures():
    o = options()
    for step in range(50):
        kinds, drawn = [], []
        for process in range(3):
            kinds.append(Kind.draw(o, step, 1000, process))
            drawn.append(torch.rand(4))
        assert kinds[0] == kinds[1] == kinds[2]
        assert not torch.equal(drawn[0], drawn[1])


def test_a_step_is_of_one_kind_and_of_every_kind_there_are_some():
    o = options(warmup_kimg=0.1, swap_after_kimg=0.05)
    kinds = [Kind.draw(o, step, nimg=step, process=0) for step in range(400)]
    assert all(kind.random + kind.swap <= 1 for kind in kinds)
    assert [kind.joint for kind in kinds] == [False] * 100 + [True] * 300
    assert all(kind.joint for kind in kinds if kind.random)
    assert [step for step, kind in enumerate(kinds) if kind.random] == list(range(102, 400, 3))
    swaps = [step for step, kind in enumerate(kinds) if kind.swap]
    assert swaps[0] >= 50
    assert any(step < 100 for step in swaps)
