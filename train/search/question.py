"""What no search could answer is refused before anything is measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from stylex.model import StylEx
from train.data.records import DataError
from train.options.searching import Options


def check_question(model: StylEx, o: Options) -> None:
    """Refuse what no measurement could answer.

    Raises:
        DataError: if there is no such class, or the discriminator is asked and there is none.
    """
    for name in filter(None, (o.target, o.source)):
        class_number(name, model.class_names)
    if o.discriminator and model.discriminator is None:
        raise DataError("this model was saved without its discriminator; use --discriminator 0")


def check_decisions(parts: Iterable[Tensor], names: Sequence[str], o: Options) -> None:
    """Refuse logits [n, K] of reconstructions that leave nothing to compare; reads no further than it has to.

    Raises:
        DataError: if all decisions are the same, or none is of a class to search from.
    """
    first, number, same, differ, found = None, 0, True, False, not o.target
    for logits in parts:
        first = logits[:1] if first is None else first
        labels = logits.argmax(dim=1)
        differ |= bool((labels != first.argmax(dim=1)).any())
        if o.target:
            rows = labels == class_number(o.source, names) if o.source else labels != class_number(o.target, names)
            found |= bool(rows.any())
        if differ and found:
            return
        number += len(logits)
        same &= torch.allclose(logits, first.expand_as(logits), atol=1e-5)
    assert first is not None
    if differ:
        raise DataError(
            f"the classifier calls none of {number} reconstructions {o.source}; search more pictures (--images) or "
            "from another class"
        )
    constant = number > 1 and same
    why = "the classifier says the same of every picture, so look at the classifier first"
    raise DataError(
        f"every reconstruction is {names[int(first.argmax())]} to the classifier: there is nothing to compare; "
        f"{why if constant else 'give more pictures'}"
    )


def class_number(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise DataError(f"there is no class {name!r}; this classifier knows {', '.join(names)}")
    return names.index(name)
