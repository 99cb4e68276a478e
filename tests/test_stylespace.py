"""Flat index and address agree, and moving a coordinate does what it says."""

from __future__ import annotations

import pytest
import torch

from stylex.networks.config import PRESETS, ModelConfig
from stylex.networks.generator import Synthesis
from stylex.stylespace import Direction, StyleSpace, StyleStats, move, move_together, outside


def test_a_small_space_by_pencil():
    space = StyleSpace([3, 2])
    assert [(layer.name, layer.start, layer.channels) for layer in space.layers] == [
        ("4x4/conv", 0, 3),
        ("8x8/conv0", 3, 3),
        ("8x8/conv1", 6, 2),
        ("4x4/torgb", 8, 3),
        ("8x8/torgb", 11, 2),
    ]
    assert (space.num_conv, space.size) == (8, 13)
    assert space.locate(7) == ("8x8/conv1", 1)
    assert space.index("8x8/torgb", 1) == 12


def test_the_order_at_256_px_is_the_published_one():
    space = StyleSpace(ModelConfig.preset(256, 2).channels)
    assert [layer.channels for layer in space.layers[:13]] == [512] * 10 + [256, 256, 128]
    # Attributes of the published age model, by flat index.
    published = {5300: ("128x128/conv1", 180), 3301: ("32x32/conv1", 229), 1208: ("8x8/conv1", 184)}
    assert {index: space.locate(index) for index in published} == published


@pytest.mark.parametrize("resolution", sorted(PRESETS))
def test_locate_and_index_are_inverse_for_every_coordinate(resolution):
    space = StyleSpace(PRESETS[resolution]["channels"])
    assert [space.index(*space.locate(i)) for i in range(space.size)] == list(range(space.size))
    assert all(not space.locate(i)[0].endswith("torgb") for i in range(space.num_conv))
    assert all(space.locate(i)[0].endswith("torgb") for i in range(space.num_conv, space.size))


@pytest.mark.parametrize("resolution", sorted(PRESETS))
def test_counts_follow_the_networks(resolution):
    with torch.device("meta"):
        synthesis = Synthesis(ModelConfig.preset(resolution, 2))
    read = [layer.conv.weight.shape[1] for layer in [*synthesis.layers, *synthesis.to_rgb]]
    *layers, places = synthesis.space.layers
    assert read == [layer.channels for layer in layers]
    assert (places.name, places.channels) == ("places", 8 * 64)
    assert [layer.resolution for layer in synthesis.space.layers][: len(synthesis.layers)] == [
        layer.noise_const.shape[-1] for layer in synthesis.layers
    ]


def test_addresses_that_do_not_exist_say_so():
    space = StyleSpace([3, 2])
    for index in (-1, 13):
        with pytest.raises(IndexError, match=f"style coordinate {index} does not exist; this generator has 0 to 12"):
            space.locate(index)
    with pytest.raises(KeyError, match="no layer '16x16/conv0'"):
        space.index("16x16/conv0", 0)
    for channel in (-1, 2):
        with pytest.raises(IndexError, match=f"8x8/conv1 has channels 0 to 1, not {channel}"):
            space.index("8x8/conv1", channel)


def stats(low: list[float], high: list[float]) -> StyleStats:
    s_min, s_max = torch.tensor(low), torch.tensor(high)
    return StyleStats(s_min, s_max, (s_min + s_max) / 2, s_max - s_min, 2)


def test_statistics_by_pencil():
    found = StyleStats.of(torch.tensor([[0.0, 5.0], [2.0, 1.0]]))
    assert found.s_min.tolist() == [0.0, 1.0]
    assert found.s_max.tolist() == [2.0, 5.0]
    assert found.s_mean.tolist() == [1.0, 3.0]
    assert found.s_std.tolist() == [1.0, 2.0]
    assert found.count == 2


@pytest.mark.parametrize(
    ("direction", "shift", "expected"),
    [
        (Direction.UP, 0.0, 2.0),
        (Direction.UP, 0.5, 6.0),
        (Direction.UP, 1.0, 10.0),
        (Direction.UP, 2.0, 18.0),
        (Direction.DOWN, 1.0, -4.0),
        (Direction.DOWN, 0.25, 0.5),
    ],
)
def test_move_goes_so_far_towards_the_end_of_the_range(direction, shift, expected):
    s = torch.tensor([[1.0, 2.0, 3.0]])
    range_ = stats([0.0, -4.0, 0.0], [9.0, 10.0, 9.0])
    moved = move(s, 1, direction, range_, shift)
    assert moved.tolist() == [[1.0, expected, 3.0]]
    assert s.tolist() == [[1.0, 2.0, 3.0]]


def test_every_row_moves_its_own_coordinate():
    s = torch.zeros(3, 2)
    moved = move(s, torch.tensor([0, 1, 1]), torch.tensor([1, 1, 0]), stats([-1.0, -2.0], [3.0, 4.0]))
    assert moved.tolist() == [[3.0, 0.0], [0.0, 4.0], [0.0, -2.0]]


def test_moves_together_are_the_moves_one_after_the_other():
    s, range_ = torch.rand(4, 3), stats([-1.0, -2.0, -3.0], [1.0, 2.0, 3.0])
    moves = [(2, Direction.DOWN), (0, Direction.UP)]
    one_by_one = move(move(s, 2, Direction.DOWN, range_, 0.7), 0, Direction.UP, range_, 0.7)
    assert torch.equal(move_together(s, moves, range_, 0.7), one_by_one)
    assert move_together(s, [], range_) is not s


def test_a_coordinate_named_twice_moves_once():
    s, range_ = torch.zeros(1, 2), stats([-1.0, -1.0], [1.0, 1.0])
    moved = move_together(s, [(0, Direction.UP), (0, Direction.DOWN), (0, Direction.UP)], range_, 0.5)
    assert moved.tolist() == [[0.5, 0.0]]


def test_opposite_directions():
    assert Direction.UP.opposite is Direction.DOWN
    assert Direction.DOWN.opposite is Direction.UP
    assert (Direction.DOWN, Direction.UP) == (0, 1)


def test_outside_is_the_share_of_what_is_searched_that_no_picture_has():
    stats = StyleStats.of(torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
    s = torch.tensor([[0.5, 1.5, 9.0], [0.0, 1.0, 9.0]])  # of the first two, one of four
    assert outside(s, stats, 2) == 0.25
    assert outside(s, stats, 3) == 0.5
