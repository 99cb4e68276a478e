"""A place that is painted is answered by attributes that change it, ranked by what is really changed and said there."""

from __future__ import annotations

import pytest
import torch

from front import flicker_views
from front.place import SIDE, Reach, asked, cells_of, reach
from stylex import Direction
from stylex.stylespace import move


@pytest.fixture(scope="module")
def explained(tiny_model, pictures):
    return tiny_model.explain(pictures / "spotted" / "spotted-0.png", top_k=2)


@pytest.fixture(scope="module")
def reached(tiny_model, explained):
    return reach(tiny_model, explained)


def test_every_move_is_really_made_the_way_that_raises_the_target(tiny_model, explained, reached):
    s, aim = explained.s, tiny_model.class_names.index(explained.target)
    x = tiny_model.synthesize(s)
    for m in (0, len(reached.moves) // 2, len(reached.moves) - 1):
        index, direction = reached.moves[m]
        ways = [tiny_model.synthesize(move(s, index, d, tiny_model.stats)) for d in (Direction.DOWN, Direction.UP)]
        rises = [float((tiny_model.classify(w) - tiny_model.classify(x))[0, aim]) for w in ways]
        assert rises[direction] == pytest.approx(max(rises), abs=1e-5)
        assert float(reached.rise[m]) == pytest.approx(max(rises), abs=1e-5)
        # 16 px and 16 cells: a cell is a pixel
        assert torch.allclose(reached.change[m], (ways[direction] - x).abs().amax(dim=1)[0], atol=1e-4)


def test_what_lies_inside_comes_before_what_is_strong_elsewhere():
    left, right = torch.zeros(SIDE, SIDE), torch.zeros(SIDE, SIDE)
    left[:, :8], right[:, 8:] = 1, 1
    up = Direction.UP
    found = Reach([(0, up), (1, up), (2, up)], torch.tensor([0.9, 0.2, 0.4]), torch.stack([left, right, left + right]))
    assert found.inside(right.bool()).tolist() == pytest.approx([0.0, 1.0, 0.5])


def test_the_answer_shows_the_attributes_of_that_place(tiny_model, explained, reached):
    everywhere = asked(tiny_model, explained, reached, torch.ones(SIDE, SIDE, dtype=torch.bool))
    assert [one.inside for one in everywhere] == pytest.approx([1.0] * len(everywhere))
    rises = [one.edit.delta for one in everywhere]
    assert rises == sorted(rises, reverse=True)  # with nothing outside it is the effect alone
    page = flicker_views.place(everywhere, explained.target)
    assert page.count("of what it changes lies there") == len(everywhere) > 0
    nothing = Reach(reached.moves, -reached.rise.abs(), reached.change)
    assert "Nothing that changes the picture there" in flicker_views.place(
        asked(tiny_model, explained, nothing, torch.ones(SIDE, SIDE, dtype=torch.bool)), explained.target
    )


def test_cells_are_numbered_row_by_row_and_anything_else_is_refused():
    assert cells_of([0, 17]).nonzero().tolist() == [[0, 0], [1, 1]]
    for odd, says in (
        (None, "nothing is painted"),
        ([], "nothing is painted"),
        ("12", "nothing is painted"),
        ([0] * 257, "nothing is painted"),
        ([256], "no such place"),
        ([-1], "no such place"),
        ([1.0], "no such place"),
        ([True], "no such place"),
        ([{}], "no such place"),
    ):
        with pytest.raises(ValueError, match=says):
            cells_of(odd)
