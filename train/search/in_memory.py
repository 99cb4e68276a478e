"""A whole search on pictures in memory, without a file."""

from __future__ import annotations

from torch import Tensor
from tqdm import tqdm

from stylex.attfind import shards
from stylex.attfind.effects import Attribute
from stylex.attfind.shards import InMemory, Plan
from stylex.model import StylEx
from train.data.pictures import to_float
from train.options.searching import Options
from train.search.choose import attributes_of, choice_of
from train.search.moves import SCREENED, moves_of, width_of
from train.search.question import check_decisions, check_question
from train.search.searched import ENCODED, styles_of


def search(model: StylEx, x: Tensor, o: Options) -> list[Attribute]:
    """Attributes of `model` from uint8 pictures x [N, 3, R, R] in memory, the best of every target first."""
    assert model.stats is not None
    check_question(model, o)
    s = styles_of(model, x, ENCODED)
    check_decisions((model.logits_of(part) for part in s.split(ENCODED)), model.class_names, o)
    candidates, moves = moves_of(model, s[:SCREENED].split(8), model.stats, o)
    names, width = model.class_names, width_of(model, s[:1], o)
    plan = Plan("", [""] * len(s), candidates, model.stats, len(names), o.shift, width, len(s), moves)
    with tqdm(total=len(s), desc="AttFind", unit="picture") as bar:
        edits_of = model.edits_of(plan.batch_size, visible=True)
        tensors = shards.effects_of_shard(plan, s, model.logits_of, edits_of, bar.update)
    effects = InMemory(tensors)
    choice = choice_of(model, effects, plan, o, lambda rows: (s[rows], model.classify(to_float(x[rows]))))
    return attributes_of(model, effects, plan, choice)
