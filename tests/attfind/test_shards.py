"""Shards: what a file holds follows from the plan alone, and half a file is never taken for a whole one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stylex.attfind import shards
from stylex.attfind.effects import effect_table
from stylex.attfind.shards import (
    InMemory,
    Plan,
    ShardedEffects,
    ShardError,
    compute,
    effects_of_shard,
    is_done,
    missing,
    read_plan,
    write_plan,
)
from stylex.stylespace import Direction

PICTURES = 7


@pytest.fixture(scope="module")
def s(tiny_model) -> torch.Tensor:
    p = torch.linspace(0.1, 0.9, PICTURES)
    return tiny_model.sample(torch.stack([p, 1 - p], dim=1))


@pytest.fixture(scope="module")
def plan(tiny_model) -> Plan:
    names = [f"a/{n}.png" for n in range(PICTURES)]
    return Plan("abc", names, torch.arange(0, tiny_model.space.num_conv, 3), tiny_model.stats, 2, 1.0, 8, 3)


@pytest.fixture(scope="module")
def work(tiny_model, s, plan) -> Callable[..., list[int]]:
    """Computes shards; returns how many pictures' styles were asked for each time."""

    def run(folder: Path, numbers=range(3), progress=lambda: None) -> list[int]:
        asked = []

        def styles_of(paths):
            asked.append(len(paths))
            return torch.cat([s[plan.pictures.index(p)].unsqueeze(0) for p in paths])

        compute(plan, folder, numbers, styles_of, tiny_model.logits_of, tiny_model.edits_of(8, visible=True), progress)
        return asked

    return run


@pytest.fixture(scope="module")
def whole(work, plan, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_plan(plan, folder)
    work(folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_the_shards_hold_the_table(tiny_model, s, plan, whole):
    expected = effect_table(tiny_model.logits_of, s, tiny_model.stats, candidates=plan.candidates)
    effects = ShardedEffects(plan, whole)
    assert sorted(files(whole)) == ["plan.safetensors", *(f"shard-0000{n}-of-00003.safetensors" for n in range(3))]
    for target in (0, 1):
        parts = list(effects.of(target))
        assert [len(part) for part in parts] == [3, 3, 1]
        torch.testing.assert_close(torch.cat(parts), expected[..., target], rtol=0, atol=1e-4)
    torch.testing.assert_close(effects.logits, tiny_model.logits_of(s), rtol=0, atol=1e-4)
    two = torch.cat(list(effects.moves([(4, Direction.UP), (1, Direction.DOWN)])))
    torch.testing.assert_close(two, torch.stack([expected[:, 1, 4], expected[:, 0, 1]], 1), rtol=0, atol=1e-4)
    assert torch.equal(effects.styles(4), s[:, plan.candidates[4]])
    changed = torch.cat(list(effects.changed()))
    assert changed.shape == (PICTURES, 2, len(plan.candidates))
    assert 0 <= changed.min() < changed.max() <= 1


def test_in_memory_is_the_same(tiny_model, s, plan, whole):
    effects = ShardedEffects(plan, whole)
    once = InMemory(effects_of_shard(plan, s, tiny_model.logits_of, tiny_model.edits_of(8, visible=True)))
    for a, b in (
        (torch.cat(list(effects.of(1))), torch.cat(list(once.of(1)))),
        (torch.cat(list(effects.changed())), torch.cat(list(once.changed()))),
        (torch.cat(list(effects.moves([(2, Direction.UP)]))), torch.cat(list(once.moves([(2, Direction.UP)])))),
        (effects.styles(2), once.styles(2)),
        (effects.logits, once.logits),
    ):
        assert torch.equal(a, b)


def test_only_one_shard_s_pictures_are_in_memory(work, tmp_path):
    assert work(tmp_path) == [3, 3, 1]
    assert work(tmp_path) == []  # nothing is missing


def test_a_killed_search_does_only_what_is_missing_and_ends_with_the_same_bits(work, plan, whole, tmp_path):
    write_plan(plan, tmp_path)
    done = [0]

    def killed():
        done[0] += 1
        if done[0] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(tmp_path, progress=killed)
    assert missing(plan, tmp_path) == [1, 2]
    first = plan.path(tmp_path, 0).stat().st_mtime_ns
    assert work(tmp_path) == [3, 1]
    assert plan.path(tmp_path, 0).stat().st_mtime_ns == first
    assert files(tmp_path) == files(whole)


def test_parts_of_the_work_make_the_same_files(work, plan, whole, tmp_path):
    write_plan(plan, tmp_path)
    work(tmp_path, range(1, 3, 2))
    with pytest.raises(ShardError, match=r"shard-00000-of-00003\.safetensors is missing or cut short, with 1 other"):
        ShardedEffects(plan, tmp_path)
    work(tmp_path, range(0, 3, 2))
    assert files(tmp_path) == files(whole)


@pytest.mark.parametrize("size", [0, 7, 500, -1])
def test_a_shard_cut_short_is_computed_again(work, plan, whole, tmp_path, size):
    write_plan(plan, tmp_path)
    work(tmp_path)
    path = plan.path(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:size])
    assert not is_done(plan, tmp_path, 1)
    with pytest.raises(ShardError, match=r"shard-00001-of-00003\.safetensors is missing or cut short"):
        ShardedEffects(plan, tmp_path)
    assert work(tmp_path) == [3]
    assert files(tmp_path) == files(whole)


def test_a_shard_cut_short_while_it_is_read_is_named(work, plan, tmp_path):
    write_plan(plan, tmp_path)
    work(tmp_path)
    effects = ShardedEffects(plan, tmp_path)
    path = plan.path(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ShardError, match=r"shard-00001-of-00003\.safetensors cannot be read .* run the search again"):
        list(effects.of(0))


def test_effects_of_another_model_are_never_used(plan, whole, tmp_path):
    other = replace(plan, fingerprint="def")
    for use in (lambda: read_plan(whole, "def"), lambda: write_plan(other, whole)):
        with pytest.raises(ShardError, match=r"holds effects of another model or search \(fingerprint abc, this one"):
            use()
    assert missing(other, whole) == [0, 1, 2]  # nor single files that lie about
    with pytest.raises(ShardError, match="holds no effects"):
        read_plan(tmp_path, "abc")


def test_the_first_plan_in_a_folder_is_everybody_s(plan, tmp_path):
    assert write_plan(plan, tmp_path).batch_size == 8
    assert write_plan(replace(plan, batch_size=16), tmp_path).batch_size == 8
    again = read_plan(tmp_path, "abc")
    assert again.pictures == plan.pictures
    assert torch.equal(again.candidates, plan.candidates)
    assert torch.equal(again.stats.s_max, plan.stats.s_max)
    assert again.stats.count == plan.stats.count
    assert [p.name for p in tmp_path.iterdir()] == ["plan.safetensors"]  # nothing is left aside


def test_a_folder_that_knows_no_links_holds_a_plan_all_the_same(plan, tmp_path, monkeypatch):
    """FAT and some shares; of several that come at once the first one's counts there, too."""

    def unknown(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", unknown)
    first = write_plan(plan, tmp_path)
    second = write_plan(replace(plan, batch_size=16), tmp_path)
    assert (first.batch_size, second.batch_size) == (8, 8)
    assert [p.name for p in tmp_path.iterdir()] == ["plan.safetensors"]


def test_there_a_process_that_was_killed_on_its_way_is_waited_for_no_longer(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: os.stat(tmp_path / "no such file"))
    monkeypatch.setattr(shards, "CLAIM_S", 0.1)
    (tmp_path / ".plan.safetensors.claim").mkdir()
    assert write_plan(plan, tmp_path).batch_size == 8
    assert [p.name for p in tmp_path.iterdir()] == ["plan.safetensors"]


def test_a_plan_cut_short_is_named(plan, tmp_path):
    write_plan(plan, tmp_path)
    path = tmp_path / "plan.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    says = r"plan\.safetensors cannot be read .*; name another folder, or delete .* and search again"
    with pytest.raises(ShardError, match=says):
        read_plan(tmp_path, "abc")
