"""What the page shows of two classifiers on one generator, as HTML: pure functions of what they were asked.

Everything that comes from a model folder is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from PIL import Image

from front.flicker_views import called_by, smooth
from front.trust import GOES_ALONG
from front.views import PAUSE_ALL, data_uri, percent, points, still_pair
from stylex import Versus
from stylex.pictures.images import to_pil
from stylex.versus import Moved

# Pictures that are shown of those they call differently, and the change of a probability from which one is moved.
MOST, MOVES = 8, 0.05
ALONE = (
    "<p>There is no second classifier of these classes here, or no sample picture to ask it about. A model with a "
    "second judge brings one; whoever runs this app names others, folders with commas between them: "
    "<code>STYLEX_CLASSIFIERS=runs/mine-classifier</code>. At home, <code>python -m stylex compare --model MODEL "
    "--classifier OTHER</code> asks any two.</p>"
)


def page(found: Versus) -> str:
    """The whole of it."""
    first, second = map(escape, found.names)
    return (
        f"<div class='sx-bar'><div><h2>{first[:1].upper()}{first[1:]}, and {second}</h2><p class='quiet small'>"
        f"Both are asked about the same sample pictures, the same reconstructions, and the same changes of these. "
        f"{_agreement(found)}</p></div>{PAUSE_ALL}</div>{disagreements(found)}{moves(found)}{table(found)}"
    )


def _agreement(found: Versus) -> str:
    total = len(found.files)
    same = [int((probs[0].argmax(dim=1) == probs[1].argmax(dim=1)).sum()) for probs in (found.probs, found.probs_rec)]
    return f"They agree on {same[0]} of the {total} pictures, and on {same[1]} of the reconstructions."


def disagreements(found: Versus) -> str:
    """Pictures that they call differently, those of which both are surest first."""
    if not found.disagree:
        return "<section><h2>Where they disagree</h2><p>Nowhere: they call every sample picture the same.</p></section>"
    cards = "".join(_disagreement(found, n) for n in found.disagree[:MOST])
    return (
        "<section><h2>Where they disagree</h2><p class='quiet small'>The pictures of which both are surest come "
        f"first.</p><div class='sx-shots sx-wider'>{cards}</div></section>"
    )


def _disagreement(found: Versus, n: int) -> str:
    said = []
    for name, probs in zip(found.names, found.probs, strict=True):
        best = int(probs[n].argmax())
        called, p = escape(found.class_names[best]), percent(float(probs[n, best]))
        said.append(f"{escape(name)}: {called} <b class='number'>{p}</b>")
    picture = smooth(to_pil(found.x[n]))
    return (
        f"<figure><img src='{data_uri(picture)}' alt='sample {escape(found.files[n])}'>"
        f"<figcaption class='small'>{'<br>'.join(said)}</figcaption></figure>"
    )


def moves(found: Versus) -> str:
    """The changes that tell them apart most, each on the picture that shows it best."""
    alone = [row for row in found.moved if mover(row)[2]]
    if alone:
        said = f"Of the {len(found.moved)} changes that were tried, {len(alone)} move one of them alone."
    else:
        said = "Whatever moves the one moves the other, too: they go by the same things."
    cards = "".join(
        _move(row, before, after, said, found)
        for row, (_, before, after, said) in zip(found.moved, found.examples, strict=False)
    )
    return (
        f"<section><h2>What moves the one more than the other</h2><p>{said}</p><p class='quiet small'>Points are means "
        "over the reconstructions that a classifier does not call that class yet; the picture is the one that shows "
        f"the difference best.</p><div class='sx-compare sx-duels' role='list'>{cards}</div></section>"
    )


def mover(row: Moved) -> tuple[int, int, bool]:
    """Which of the two a change moves more, which less, and whether the first alone."""
    first, second = (abs(d or 0.0) for d in row.delta_prob)
    more, less = (0, 1) if first >= second else (1, 0)
    large, small = max(first, second), min(first, second)
    same_way = (row.delta_prob[0] or 0.0) * (row.delta_prob[1] or 0.0) > 0
    return more, less, large >= MOVES and (small < GOES_ALONG * large or not same_way)


def _move(
    row: Moved,
    before: Image.Image,
    after: Image.Image,
    said: Sequence[tuple[float, float]],
    found: Versus,
) -> str:
    title, target = escape(title_of(row, found)), escape(row.target)
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd class='number'>{percent(p)} → <b>{percent(q)}</b></dd>"
        for name, (p, q) in zip(found.names, said, strict=True)
    )
    more, less, is_alone = mover(row)
    how = "alone" if is_alone else "more"
    by = [
        f"<span class='number'>{points(d)}</span>" if d is not None else "no picture is left to move"
        for d in row.delta_prob
    ]
    spoken = f"{title}, towards {target}"
    stills = still_pair(smooth(before), smooth(after), spoken, spoken)
    return (
        f"<section class='sx-method sx-duel' role='listitem'>"
        f"<figure class='sx-flicker' role='group' data-frame='before' aria-label='{spoken}'>{stills}</figure>"
        f"<div><h3>{title}</h3><p>moves <b>{escape(found.names[more])}</b> {how} towards {target}: {by[more]}; "
        f"{escape(found.names[less])}: {by[less]}.</p>"
        f"<p class='quiet small'>On this picture, the probability of {target}:</p>"
        f"<dl class='sx-facts small'>{lines}</dl></div></section>"
    )


def table(found: Versus) -> str:
    """Every change that was tried; flicker.js sorts it."""
    first, second = map(escape, found.names)
    heads = [
        "change",
        "towards",
        f"points, {first}",
        f"points, {second}",
        f"flips, {first}",
        f"flips, {second}",
        "seen on",
    ]
    head = "".join(f"<th scope='col'><button type='button' class='sx-sort'>{text}</button></th>" for text in heads)
    body = "".join(_line(row, found) for row in found.moved)
    return (
        f"<details class='small'><summary>All {len(found.moved)} changes that were tried</summary><div class='sx-wide'>"
        f"<table class='sx-table small'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _line(row: Moved, found: Versus) -> str:
    title, target = escape(title_of(row, found)), escape(row.target)
    numbers = [(d, None if d is None else points(d)) for d in row.delta_prob]
    numbers += [(f, None if f is None else percent(f)) for f in row.flips]
    numbers.append((row.visible, percent(row.visible)))
    cells = "".join(
        f"<td class='number' data-value='{'' if value is None else f'{value:.6f}'}'>{text or '–'}</td>"
        for value, text in numbers
    )
    return f"<tr><th scope='row' data-value='{title}'>{title}</th><td data-value='{target}'>{target}</td>{cells}</tr>"


def title_of(row: Moved, found: Versus) -> str:
    return called_by(row.name, row.layer, found.x.shape[-1])
