"""The numbers of the report of a search."""

from __future__ import annotations

import pytest

from stylex.stylespace import Direction, move
from train.search.report_attributes import sufficiency_of
from train.search.searched import styles_of


def test_the_curve_is_that_of_moving_the_first_attributes_together(model, x):
    s = styles_of(model, x, 64)
    s = s[model.logits_of(s).argmax(1) == 0]
    moves = [(3, Direction.UP), (17, Direction.DOWN), (30, Direction.UP)]
    curve = sufficiency_of(model, s, 1, moves)
    assert [k for k, _ in curve] == [1, 2, 3]
    both = move(move(s, *moves[0], model.stats), *moves[1], model.stats)
    assert curve[1][1] == pytest.approx(float((model.logits_of(both).argmax(1) == 1).float().mean()))
