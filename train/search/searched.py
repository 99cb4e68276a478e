"""The pictures of a search: which are chosen, what the model makes of them, and the plan that follows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor
from tqdm import tqdm

from stylex.attfind.shards import Plan
from stylex.model import StylEx
from stylex.storage.files import fingerprint
from stylex.stylespace import StyleStats
from train.data.pictures import list_pictures, part_of, pixels, readable, to_float
from train.options.searching import Options
from train.search.moves import SCREENED, moves_of, width_of
from train.search.question import check_decisions

# Pictures that go through the encoder at once.
ENCODED = 32


def styles_of(model: StylEx, x: Tensor, batch_size: int) -> Tensor:
    """uint8 pictures [N, 3, R, R] -> s [N, S]."""
    return torch.cat([model.styles(model.encode(to_float(part).to(model.device))) for part in x.split(batch_size)])


def balanced(labels: Tensor, count: int, seed: int) -> Tensor:
    """Indices of `count` pictures, the classes taking turns, in random order within a class."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    turns = torch.zeros(len(labels))
    for k in labels.unique():
        mine = order[labels[order] == k]
        turns[mine] = torch.arange(len(mine), dtype=torch.float)
    return order[turns[order].argsort(stable=True)][:count]


class Searched:
    """The pictures of the command line, and the styles they get."""

    def __init__(self, model: StylEx, o: Options) -> None:
        self.model, self.o = model, o
        everything = list_pictures(o.data, "all", model.class_names)
        self.source = part_of(everything, o.split)
        self.held_out = part_of(everything, "val") if o.split == "train" else None
        self.by_name = {p.name: p for p in self.source.pictures}

    def key(self) -> str:
        """Names everything that the effects follow from: networks, pictures and options."""
        model, o = self.model, self.o
        sizes = [(p.name, p.size) for p in self.source.pictures]
        chosen = [o.split, o.images, o.candidates, o.shift, o.batch_size, o.seed, o.shard_size]
        text = json.dumps([model.classifier.config_dict(), sizes, chosen])
        networks = fingerprint([model.generator, model.encoder, model.classifier])
        return hashlib.sha256((networks + text).encode()).hexdigest()[:12]

    def plan(self, key: str) -> Plan:
        """Statistics over the whole part, and the choice of pictures and coordinates."""
        model, o = self.model, self.o
        names: list[str] = []
        labels: list[int] = []

        def encoded() -> Iterator[Tensor]:
            found = readable(self.source, model.resolution, o.split)
            # One iterator: each new one of a bar would end the last, and with it what it reads from.
            bar = iter(tqdm(found, desc="statistics", total=len(self.source.pictures), unit="picture"))
            while batch := list(islice(bar, ENCODED)):
                x = to_float(torch.cat([x for _, x in batch])).to(model.device)
                latent = model.encode(x)
                says = latent[:, model.config.code_dim :].argmax(dim=1).tolist()
                names.extend(p.name for p, _ in batch)
                labels.extend(k if p.label is None else p.label for (p, _), k in zip(batch, says, strict=True))
                yield model.styles(latent).cpu()

        stats = StyleStats.over(encoded())
        chosen = [names[i] for i in balanced(torch.tensor(labels), o.images, o.seed).tolist()]

        def first(count: int) -> Iterator[Tensor]:
            return (self.styles(chosen[i : i + 8]) for i in range(0, min(count, len(chosen)), 8))

        check_decisions((model.logits_of(s) for s in first(len(chosen))), model.class_names, o)
        candidates, moves = moves_of(model, first(SCREENED), stats, o)
        width = width_of(model, self.styles(chosen[:1]), o)
        return Plan(key, chosen, candidates, stats, len(model.class_names), o.shift, width, o.shard_size, moves)

    def pictures(self, names: Sequence[str]) -> Tensor:
        """[n, 3, R, R] in [-1, 1]."""
        found = [pixels(self.by_name[name], self.source.place, self.model.resolution) for name in names]
        return to_float(torch.cat(found)).to(self.model.device)

    def styles(self, names: Sequence[str]) -> Tensor:
        """[n, S]."""
        return torch.cat([self.model.styles(self.model.encode(x)) for x in self.pictures(names).split(ENCODED)])
