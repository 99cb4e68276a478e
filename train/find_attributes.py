"""Search the style coordinates that change the classifier's mind, and store them in the model folder.

python train/find_attributes.py --model runs/leaves/model --data ../shared/data/leaves
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor
from tqdm import tqdm

from stylex import metrics
from stylex.attfind import REST, Attribute, effect_table
from stylex.explain import promise
from stylex.files import ModelError
from stylex.model import StylEx
from stylex.selection import EXPLAINED, select_one_vs_rest, select_two_class, unstable
from stylex.stylespace import Direction, StyleStats, move
from train.data import DataError, Split, load_folder, to_float
from train.options import parse

# Pictures on which the visibility of a move is judged.
VISIBILITY_PICTURES = 32


@dataclass
class Options:
    """What to search.

    Args:
        model: model folder; its style_stats.safetensors and attributes.json are written anew.
        data: folder with one sub-folder of pictures for each class.
        split: train, val or all. Measure on another part than you search.
        images: pictures searched, as many of each class as there are.
        count: attributes kept for each target class.
        candidates: 0 moves every coordinate of every picture. N moves only the N whose gradient promises most, for
            each target: much faster, and not guaranteed to find the same.
        shift: how far a coordinate moves; 1 is the end of its range over all pictures of the split.
        explained: logits of effect after which a picture counts as explained.
        unstable_threshold: a picture on which more than `unstable_count` effects pass this many logits has no say.
        unstable_count: see unstable_threshold.
        min_visible: keep only moves that a person can see on at least this share of the pictures; 0 keeps all.
        batch_size: moved copies per pass.
        seed: of the choice of pictures.
    """

    model: str
    data: str
    split: Split = "train"
    images: int = 250
    count: int = 20
    candidates: int = 0
    shift: float = 1.0
    explained: float = EXPLAINED
    unstable_threshold: float = 2.0
    unstable_count: int = 750
    min_visible: float = 0.5
    batch_size: int = 32
    seed: int = 0


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


def visible_share(model: StylEx, s: Tensor, moves: list[tuple[int, Direction]], shift: float) -> Tensor:
    """On which share of the pictures s [N, S] a person can see each move: [len(moves)]."""
    assert model.stats is not None
    before = model.synthesize(s)
    shares = [
        metrics.visible(before, model.synthesize(move(s, i, d, model.stats, shift))).float().mean() for i, d in moves
    ]
    return torch.stack(shares)


def visible_moves(
    model: StylEx, effect: Tensor, s: Tensor, others: Tensor, target: int, candidates: Tensor, o: Options
) -> Tensor:
    """Which moves enough people would see on the pictures `others` [N] bool: [2, M] bool.

    Only moves that could be chosen are drawn, the best 8 * count; the rest count as invisible.
    """
    seen = torch.zeros(effect.shape[1:3], dtype=torch.bool)
    gain = effect[others][..., target].clamp(min=0).mean(dim=0).flatten()  # [2M]
    top = gain.topk(min(8 * o.count, len(gain))).indices
    best = top[gain[top] > 0].tolist()
    moves = [(int(candidates[i % len(candidates)]), Direction(i // len(candidates))) for i in best]
    if moves:
        shares = visible_share(model, s[others][:VISIBILITY_PICTURES], moves, o.shift)
        seen.view(-1)[best] = shares >= o.min_visible
    return seen


def search(model: StylEx, x: Tensor, o: Options) -> list[Attribute]:
    """Attributes of `model` from uint8 pictures x [N, 3, R, R], the best of every target first."""
    assert model.stats is not None
    s = styles_of(model, x, o.batch_size)
    with torch.no_grad():
        logits = torch.cat([model.logits_of(part) for part in s.split(o.batch_size)]).cpu()
    labels = logits.argmax(1)
    names = model.class_names
    for k, name in enumerate(names):
        if not (labels == k).any() or (labels == k).all():
            amount = "every" if (labels == k).all() else "no"
            raise DataError(
                f"{amount} reconstruction is {name} to the classifier: there is nothing to compare; give more pictures"
            )
    candidates = torch.arange(model.space.num_conv)
    if o.candidates:
        found = [promise(model, s, target, o.shift).cpu() for target in range(len(names))]
        best = [
            p[labels != t].mean(dim=0).amax(dim=0).topk(min(o.candidates, p.shape[2])).indices
            for t, p in enumerate(found)
        ]
        candidates = torch.cat(best).unique()

    def bar(pictures: Iterator[int]) -> Iterator[int]:
        return tqdm(pictures, total=len(s), desc="AttFind", unit="picture")

    effect = effect_table(
        model.logits_of,
        s,
        model.stats,
        candidates=candidates,
        shift=o.shift,
        edits_of=model.edits_of(o.batch_size),
        progress=bar,
    )
    # Unstable pictures have no say in what is chosen; what is reported of a move is what it did on all of them.
    stable = effect.clone()
    stable[unstable(effect, len(names), o.unstable_threshold, o.unstable_count)] = 0
    seen = [torch.ones(effect.shape[1:3], dtype=torch.bool)] * len(names)
    if o.min_visible:
        seen = [visible_moves(model, stable, s, labels != t, t, candidates, o) for t in range(len(names))]

    lists: dict[int, list[tuple[int, Direction]]] = {}
    if len(names) == 2:
        # One list for both ways: a move has to show in either direction.
        both = seen[0] & seen[1].flip(0)
        shown = stable * (both | both.flip(0)).unsqueeze(-1)
        towards_0 = [(m, d) for m, d in select_two_class(shown, labels, o.count, o.explained) if both[d, m]]
        lists = {0: towards_0, 1: [(m, d.opposite) for m, d in towards_0]}
    else:
        for t, mask in enumerate(seen):
            lists[t] = select_one_vs_rest(stable * mask.unsqueeze(-1), labels, t, o.count, o.explained)

    old = {(a.index, a.direction, a.target): a.name for a in model.attributes}
    attributes = []
    for rank in range(o.count):
        for target, chosen in lists.items():
            if rank >= len(chosen):
                continue
            m, direction = chosen[rank]
            others = labels != target
            before = logits[others]
            after = before + effect[others, direction, m]
            index = int(candidates[m])
            layer, channel = model.space.locate(index)
            attributes.append(
                Attribute(
                    index=index,
                    layer=layer,
                    channel=channel,
                    direction=direction,
                    source=names[1 - target] if len(names) == 2 else REST,
                    target=names[target],
                    delta_logit=float((after - before)[:, target].mean()),
                    delta_prob=float((after.softmax(1) - before.softmax(1))[:, target].mean()),
                    images_share=float((after.argmax(1) == target).float().mean()),
                    visible_share=float(
                        visible_share(model, s[others][:VISIBILITY_PICTURES], [(index, direction)], o.shift)
                    ),
                    name=old.get((index, direction, names[target])),
                )
            )
    return attributes


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Search the style coordinates that change the classifier's mind.", args)
    model = StylEx.from_pretrained(o.model)
    pictures = load_folder(o.data, model.resolution, o.split, model.class_names)
    model.stats = StyleStats.of(styles_of(model, pictures.x, o.batch_size).cpu())
    model.attributes = search(model, pictures.x[balanced(pictures.labels, o.images, o.seed)], o)
    model.save_pretrained(o.model)
    for a in model.attributes:
        print(
            f"{a.source} → {a.target}  {a.layer} {a.channel} {a.direction.name.lower()}: logit {a.delta_logit:+.2f}, "
            f"probability {a.delta_prob:+.1%}, flips {a.images_share:.0%}, visible on {a.visible_share:.0%}"
        )


if __name__ == "__main__":
    try:
        main()
    except (DataError, ModelError) as error:
        sys.exit(f"error: {error}")
