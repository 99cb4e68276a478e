"""A table of effects too large for one run or one machine: a plan, and one file for each shard of pictures.

What a shard holds follows from the plan alone, so it does not matter who computes it, when, or after how many kills: a
file is written aside and renamed, and is either whole or not there. Processes share nothing but the folder.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..storage.pointers import stub_at
from ..stylespace import StyleStats
from .effects import EditsOf, LogitsOf, effects_of
from .selection import Effects, Move

# How long a process waits for another that is about to put its plan.
CLAIM_S = 10.0

STATS = ("s_min", "s_max", "s_mean", "s_std")


class ShardError(ValueError):
    """Effects that cannot be used; the message names the file and the way out."""


@dataclass(frozen=True)
class Plan:
    """All that a shard's numbers follow from.

    Attributes:
        fingerprint: of the networks and of every option that changes a number.
        pictures: where each picture is, relative to the folder of pictures.
        candidates: [M] the coordinates that move.
        stats: their range.
        classes: K.
        shift: see `stylespace.move`.
        batch_size: copies in one pass: it is part of the plan because it rounds differently.
        shard_size: pictures in a shard.
        moves: [2, M] bool, which way each candidate moves; None for both. A move that is not made has effect 0.
    """

    fingerprint: str
    pictures: Sequence[str]
    candidates: Tensor
    stats: StyleStats
    classes: int
    shift: float
    batch_size: int
    shard_size: int
    moves: Tensor | None = None

    @property
    def made(self) -> int:
        """How many moves are made on each picture."""
        return 2 * len(self.candidates) if self.moves is None else int(self.moves.sum())

    @property
    def shards(self) -> int:
        return -(-len(self.pictures) // self.shard_size)

    def rows(self, number: int) -> range:
        """Numbers of the pictures in a shard."""
        return range(number * self.shard_size, min((number + 1) * self.shard_size, len(self.pictures)))

    def path(self, folder: Path, number: int) -> Path:
        return folder / f"shard-{number:05d}-of-{self.shards:05d}.safetensors"


# The plan.


def write_plan(plan: Plan, folder: Path) -> Plan:
    """Put a plan into a folder; of several processes that do so at once one wins, and all go by its plan.

    Returns:
        The folder's plan.

    Raises:
        ShardError: see `read_plan`.
    """
    values = {
        "fingerprint": plan.fingerprint,
        "pictures": list(plan.pictures),
        "classes": plan.classes,
        "shift": plan.shift,
        "batch_size": plan.batch_size,
        "shard_size": plan.shard_size,
    }
    tensors = {name: getattr(plan.stats, name) for name in STATS}
    tensors |= {"count": torch.tensor(plan.stats.count), "candidates": plan.candidates}
    tensors |= {} if plan.moves is None else {"moves": plan.moves}
    folder.mkdir(parents=True, exist_ok=True)
    aside = _save(tensors, folder / "plan.safetensors", {"plan": json.dumps(values)})
    _put_once(aside, folder / "plan.safetensors")
    return read_plan(folder, plan.fingerprint)


def _put_once(aside: Path, path: Path) -> None:
    """Give a file its name unless another process was first; unlike a renaming, this never replaces the other's."""
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links, as FAT and some shares are: whoever makes the folder goes first
        claim = path.with_name(f".{path.name}.claim")
        try:
            claim.mkdir()
        except FileExistsError:
            until = time.monotonic() + CLAIM_S
            while not path.exists() and time.monotonic() < until:
                time.sleep(0.05)
        if not path.exists():  # ours to put, or the other was killed
            os.replace(aside, path)
        with suppress(OSError):
            claim.rmdir()
    finally:
        aside.unlink(missing_ok=True)


def read_plan(folder: Path, fingerprint: str) -> Plan:
    """The plan in a folder.

    Raises:
        ShardError: if there is none, it cannot be read, or it is of another model or search.
    """
    path = folder / "plan.safetensors"
    if pointer := stub_at(path):
        raise ShardError(f"{path} {pointer}")
    if not path.is_file():
        raise ShardError(f"{path} is missing; {folder} holds no effects")
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads(file.metadata()["plan"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  a file is no mapping
        plan = Plan(
            stats=StyleStats(**{name: tensors[name] for name in STATS}, count=int(tensors["count"])),
            candidates=tensors["candidates"],
            moves=tensors.get("moves"),
            **values,
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ShardError(
            f"{path} cannot be read ({error}); name another folder, or delete {path} and search again"
        ) from None
    if plan.fingerprint != fingerprint:
        raise ShardError(
            f"{folder} holds effects of another model or search (fingerprint {plan.fingerprint}, this one has "
            f"{fingerprint}); name another folder, or delete that one"
        )
    return plan


# Shards.


def effects_of_shard(
    plan: Plan,
    s: Tensor,
    logits_of: LogitsOf,
    edits_of: EditsOf,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Tensor]:
    """The content of one shard, from the styles s [n, S] of its pictures.

    Args:
        edits_of: with a last column that says how much of a picture changed (`StylEx.edits_of(visible=True)`).
        progress: called after each picture.

    Returns:
        effect [K, n, 2, M], a class at a time for those who read one; changed [n, 2, M]; logits [n, K]; s [n, M].
    """
    candidates, moves = plan.candidates.to(s.device), None if plan.moves is None else plan.moves.to(s.device)
    rows, logits = [], []
    for one in s.split(1):
        with torch.no_grad():
            logits.append(logits_of(one))
        base = torch.cat([logits[-1], logits[-1].new_zeros(1, 1)], dim=1)
        rows.append(effects_of(edits_of(one), base, one, plan.stats, candidates, plan.shift, moves))
        progress()
    seen = torch.stack(rows)  # [n, 2, M, K + 1]
    return {
        "effect": seen[..., :-1].permute(3, 0, 1, 2),
        "changed": seen[..., -1],
        "logits": torch.cat(logits).float(),
        "s": s[:, candidates],
    }


def write_shard(plan: Plan, folder: Path, number: int, tensors: dict[str, Tensor]) -> None:
    path = plan.path(folder, number)
    os.replace(_save(tensors, path, {"fingerprint": plan.fingerprint}), path)


def is_done(plan: Plan, folder: Path, number: int) -> bool:
    """Whether a shard is there and whole; one that is cut short is not, and will be computed again."""
    try:
        _open(plan, folder, number)
    except ShardError:
        return False
    return True


def missing(plan: Plan, folder: Path, numbers: Sequence[int] | None = None) -> list[int]:
    """Shards still to be computed, of all or of `numbers`."""
    return [n for n in (range(plan.shards) if numbers is None else numbers) if not is_done(plan, folder, n)]


def compute(
    plan: Plan,
    folder: Path,
    numbers: Sequence[int],
    styles_of: Callable[[Sequence[str]], Tensor],
    logits_of: LogitsOf,
    edits_of: EditsOf,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Compute and write those of the shards `numbers` that are missing.

    Args:
        styles_of: where pictures are -> their styles [n, S]; only one shard's at a time are in memory.
    """
    for number in missing(plan, folder, numbers):
        s = styles_of([plan.pictures[i] for i in plan.rows(number)])
        write_shard(plan, folder, number, effects_of_shard(plan, s, logits_of, edits_of, progress))


class Measured(Effects, Protocol):
    """What a search measured, for those who rank and report it."""

    logits: Tensor
    """[N, K] of the reconstructions."""

    def changed(self) -> Iterator[Tensor]:
        """Share of pixels that each move changes so that a person sees it: [n, 2, M] for the next n pictures."""

    def moves(self, moves: Sequence[Move]) -> Iterator[Tensor]:
        """Effects of some moves on every logit: [n, len(moves), K] for the next n pictures."""

    def styles(self, position: int) -> Tensor:
        """Values of one coordinate: [N]."""


class InMemory:
    """The content of a single shard, as `Measured`."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors, self.logits = tensors, tensors["logits"].cpu()

    def of(self, target: int) -> Iterator[Tensor]:
        yield self.tensors["effect"][target]

    def changed(self) -> Iterator[Tensor]:
        yield self.tensors["changed"]

    def moves(self, moves: Sequence[Move]) -> Iterator[Tensor]:
        yield _moves(self.tensors["effect"], moves)

    def styles(self, position: int) -> Tensor:
        return self.tensors["s"][:, position].cpu()


class ShardedEffects:
    """The table of a finished plan, as `Measured`: read shard by shard and class by class."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        if left := missing(plan, folder):
            raise ShardError(
                f"{plan.path(folder, left[0])} is missing or cut short, with {len(left) - 1} other shards of "
                f"{plan.shards}; run the search again, it computes only those"
            )
        self.logits = self._all("logits")  # [N, K]

    def of(self, target: int) -> Iterator[Tensor]:
        for number in range(self.plan.shards):
            with safe_open(_open(self.plan, self.folder, number), framework="pt") as file:
                yield file.get_slice("effect")[target]

    def changed(self) -> Iterator[Tensor]:
        for number in range(self.plan.shards):
            with safe_open(_open(self.plan, self.folder, number), framework="pt") as file:
                yield file.get_tensor("changed")

    def moves(self, moves: Sequence[Move]) -> Iterator[Tensor]:
        for number in range(self.plan.shards):
            with safe_open(_open(self.plan, self.folder, number), framework="pt") as file:
                yield _moves(file.get_tensor("effect"), moves)

    def styles(self, position: int) -> Tensor:
        return self._all("s", position)

    def _all(self, name: str, position: int | None = None) -> Tensor:
        parts = []
        for number in range(self.plan.shards):
            with safe_open(_open(self.plan, self.folder, number), framework="pt") as file:
                parts.append(file.get_tensor(name) if position is None else file.get_slice(name)[:, position])
        return torch.cat(parts)


def _moves(effect: Tensor, moves: Sequence[Move]) -> Tensor:
    """[K, n, 2, M] -> [n, len(moves), K]."""
    position, direction = [m for m, _ in moves], [int(d) for _, d in moves]
    return effect[:, :, direction, position].permute(1, 2, 0)


def _open(plan: Plan, folder: Path, number: int) -> Path:
    """The file of a shard, once its header has been read and fits: safetensors refuses one that is cut short."""
    path = plan.path(folder, number)
    if pointer := stub_at(path):
        raise ShardError(f"{path} {pointer}")
    count, searched = len(plan.rows(number)), len(plan.candidates)
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get("fingerprint")
            shape = file.get_slice("effect").get_shape()
    except (SafetensorError, OSError) as error:
        raise ShardError(f"{path} cannot be read ({error}); run the search again, it computes only this one") from None
    if found != plan.fingerprint or shape != [plan.classes, count, 2, searched]:
        raise ShardError(f"{path} is of another search; delete it and run the search again")
    return path


def _save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> Path:
    """Write a file under a name that no other process uses, beside where it belongs."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, aside, metadata)
    return aside
