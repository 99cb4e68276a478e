"""The study that a machine takes, on changes that are known: two that differ, and two that are one."""

from __future__ import annotations

import torch

from train.measure.two_afc import Questions


def changes(*directions: tuple[float, float], noise: float = 0.1) -> list[torch.Tensor]:
    """Of each attribute eight changes of two features, one way but for some noise and another size each."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.rand(8, 1, generator=generator) + 0.5
    return [sizes * (torch.tensor(d) + noise * torch.randn(8, 2, generator=generator)) for d in directions]


def test_what_changes_differently_is_told_apart_whatever_its_size():
    questions = Questions(changes((1, 0), (0, 1), (-1, 0)), [[0, 1, 2]] * 3)
    answers = questions.ask(300)
    assert answers.hits.all()
    assert answers.by_attribute() == {0: 1.0, 1: 1.0, 2: 1.0}
    assert questions.alike() == []


def test_two_that_are_one_are_named_and_the_third_is_not():
    questions = Questions(changes((1, 0), (0, 1), (1, 0)), [[0, 1, 2]] * 3)
    ((a, b, share),) = questions.alike()
    assert (a, b) == (0, 2)
    assert 0.3 < share < 0.7
    by_attribute = questions.ask(300).by_attribute()
    assert by_attribute[1] == 1.0
    assert by_attribute[0] < 1.0


def test_rivals_are_those_of_a_list_and_one_alone_is_not_asked_about():
    own = changes((1, 0), (0, 1), (1, 0))
    answers = Questions(own, [[0, 1], [0, 1], [2]]).ask(50)
    assert set(answers.shown.tolist()) == {0, 1}
    assert len(Questions(own, [[0], [1], [2]]).ask().hits) == 0
    few = [own[0][:2], own[1], own[2]]  # too few pictures to show two and ask for a third
    assert set(Questions(few, [[0, 1, 2]] * 3).ask(30).shown.tolist()) == {1, 2}


def test_the_same_seed_asks_the_same():
    asked = [Questions(changes((1, 0), (1, 0)), [[0, 1]] * 2, seed=3).ask(40).hits for _ in range(2)]
    assert torch.equal(*asked)
