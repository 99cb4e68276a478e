"""The published algorithms written down plainly, one coordinate at a time, in float64: what ours is held to."""

from __future__ import annotations

import copy

import torch


def notebook_table(logits_of, s, s_min, s_max, shift) -> torch.Tensor:
    """style_change_effect: one forward pass for every picture, direction and coordinate."""
    n, k = s.shape
    effect = torch.zeros(n, 2, k, logits_of(s[:1]).shape[1], dtype=torch.float64)
    for i in range(n):
        base = logits_of(s[i : i + 1])[0]
        for d, end in enumerate((s_min, s_max)):
            for j in range(k):
                moved = s[i : i + 1].clone()
                moved[0, j] = moved[0, j] + shift * (end[j] - moved[0, j])
                effect[i, d, j] = logits_of(moved)[0] - base
    return effect


def in_float64(model, shift: float = 1.0, pictures: int = 12):
    """Styles of `pictures` random pictures, the class of each, and their table by a float64 copy of the generator."""
    searched = model.space.num_conv
    probs = torch.linspace(0.05, 0.95, pictures)
    s = model.sample(torch.stack([probs, 1 - probs], dim=1), seed=5)
    # The classifier reads fp32, as it always does.
    synthesis = copy.deepcopy(model.generator.synthesis).double()
    s_min, s_max = model.stats.s_min.double(), model.stats.s_max.double()
    slow = []
    for picture in s.double().split(1):
        rgb = picture[:, searched:]

        def slow_logits(conv: torch.Tensor, rgb: torch.Tensor = rgb) -> torch.Tensor:
            with torch.no_grad():
                return model.classifier(synthesis(torch.cat([conv, rgb], dim=1)).clamp(-1, 1)).double()

        slow.append(notebook_table(slow_logits, picture[:, :searched], s_min, s_max, shift))
    labels = model.logits_of(s).argmax(dim=1)
    assert 0 < int(labels.sum()) < len(labels)
    return s, labels, torch.cat(slow)


def notebook_stable(effect, effect_threshold: float, num_indices_threshold: int) -> torch.Tensor:
    """filter_unstable_images: a copy of the table in which the effects of such pictures are zero."""
    effect = effect.clone()
    for i in range(len(effect)):
        if sum(abs(float(v)) > effect_threshold for v in effect[i].flatten()) > num_indices_threshold:
            effect[i] = 0.0
    return effect


def notebook_discriminator(effect, target: int, gap, coordinate: int, threshold: float = 0.2, pictures: int = 10):
    """discriminator_filter: whether a coordinate may stay.

    Args:
        gap: (picture, coordinate, direction) -> how far the discriminator's score changes.
    """
    for d in (0, 1):
        strong = [i for i in range(len(effect)) if float(effect[i, d, coordinate, target]) > 0.2][:pictures]
        if any(gap(i, coordinate, d) > threshold for i in strong):
            return False
    return True


def notebook_select(
    effect, target: int, count: int, max_image_effect: float, may=lambda coordinate: True
) -> list[tuple[int, int]]:
    """find_significant_styles with Python numbers, until its means are of nothing.

    Differences that are meant: a coordinate that was chosen one way is not chosen the other way; where every picture is
    explained it stops, while the notebook's argmax of no numbers chooses coordinate 0 for ever.

    Args:
        may: the discriminator's filter.
    """
    n, _, k, _ = effect.shape
    pos = [[max(0.0, float(v)) for v in row] for row in effect[..., target].reshape(n, 2 * k)]
    acc, out = [0.0] * n, []
    while len(out) < count:
        open_ = [i for i in range(n) if acc[i] < max_image_effect]
        if not open_:
            break
        means = [sum(pos[i][f] for i in open_) / len(open_) for f in range(2 * k)]
        nxt = max(range(2 * k), key=means.__getitem__)
        if means[nxt] <= 0:
            break
        if may(nxt % k):
            out.append((nxt % k, nxt // k))
            for i in range(n):
                acc[i] += pos[i][nxt]
        for i in range(n):
            pos[i][nxt % k] = pos[i][nxt % k + k] = 0.0
    return out


def notebook_two_class(effect, labels, count: int, max_image_effect: float) -> list[tuple[int, int]]:
    """Cell 12: both searches, class 1's turned around and without doubles, ranked over all pictures.

    One difference is meant: what does more harm than good is left out.
    """
    n = len(effect)
    to_0 = notebook_select(effect[labels == 1], 0, count, max_image_effect)
    to_1 = notebook_select(effect[labels == 0], 1, count, max_image_effect)
    known = {j for j, _ in to_0}
    union = to_0 + [(j, 1 - d) for j, d in to_1 if j not in known]
    scores = [sum(float(effect[i, d, j, 0]) + float(effect[i, 1 - d, j, 1]) for i in range(n)) / n for j, d in union]
    order = sorted(range(len(union)), key=lambda u: -scores[u])
    return [union[u] for u in order if scores[u] > 0][:count]


def algorithm_1(effect, target: int, count: int, threshold: float) -> list[tuple[int, int]]:
    """Algorithm 1 of the paper: means of effects as they are; one strong move explains a picture, which then leaves.

    Two differences are meant: it stops when nothing helps, and a coordinate is chosen once.
    """
    n, _, k, _ = effect.shape
    values = [[float(v) for v in row] for row in effect[..., target].reshape(n, 2 * k)]
    left, taken, out = list(range(n)), set(), []
    while len(out) < count and left:
        free = [f for f in range(2 * k) if f % k not in taken]
        if not free:
            break
        means = {f: sum(values[i][f] for i in left) / len(left) for f in free}
        best = max(free, key=means.__getitem__)
        if means[best] <= 0:
            break
        taken.add(best % k)
        out.append((best % k, best // k))
        left = [i for i in left if values[i][best] <= threshold]
    return out


def notebook_image_fraction(
    effect, target: int, count: int, threshold: float, fraction: float
) -> list[tuple[int, int]]:
    """find_significant_styles_image_fraction; a coordinate is chosen once."""
    n, _, k, _ = effect.shape
    values = effect[..., target].reshape(n, 2 * k)
    changed = [sum(1 for i in range(n) if float(values[i, f]) > threshold) for f in range(2 * k)]
    out: list[tuple[int, int]] = []
    for f in sorted(range(2 * k), key=lambda f: -changed[f])[: 2 * count]:
        if changed[f] / n < fraction or not changed[f] or len(out) == count:
            break
        if f % k not in {i for i, _ in out}:
            out.append((f % k, f // k))
    return out
