"""Which model a number is about."""

from __future__ import annotations

import hashlib

from stylex.model import StylEx
from stylex.storage.files import fingerprint


def revision_of(model: StylEx) -> str:
    """Twelve hex digits that name what is measured: the weights, the ranges and the attributes, not their names."""
    own = [module for name, module in model.parts().items() if name != "stranger"]  # who only looks on
    digest = hashlib.sha256(fingerprint(own).encode())
    if model.stats is not None:
        for end in (model.stats.s_min, model.stats.s_max):
            digest.update(end.cpu().numpy().tobytes())
    digest.update(repr([(a.index, a.direction.name, a.source, a.target) for a in model.attributes]).encode())
    return digest.hexdigest()[:12]
