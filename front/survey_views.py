"""What the page shows of the classifier as a whole, as HTML: pure functions of a survey, a card and its numbers.

Everything that comes from a model folder is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from PIL import Image

from front.survey import Miss, Row, Shot, Survey, Way, limits_of
from front.views import PAUSE_ALL, data_uri, mark, percent, points, still_pair
from stylex.attfind.report import colour, draw_curve
from stylex.storage.card import numbers_of

SMALL = 128
SPOKEN = (1, 2, 3, 5, 10)  # points of a curve that are also written out


def page(found: Survey, card: str | None, metrics: Mapping[str, Any] | None, classes: int) -> str:
    """The whole of it."""
    return attributes(found, classes) + curve(found) + failures(found) + limits(card) + measured(metrics)


def attributes(found: Survey, classes: int) -> str:
    """Each attribute on the sample pictures, there and back."""
    source, target = escape(found.source), escape(found.target)
    title = f"<h2>From {source} to {target}, and back</h2>"
    if not found.rows:
        return (
            f"{title}<p>AttFind kept no attribute that moves pictures of {source} towards {target}. "
            "Choose another pair, or look at a single picture.</p>"
        )
    rest = "" if classes == 2 else " Where the search took all other classes together, they are of all of these."
    return (
        f"<div class='sx-bar'><div>{title}<p class='quiet small'>The attributes that AttFind found over many pictures, "
        f"best first, each shown on the same sample pictures; their numbers are means over the pictures of that "
        f"search.{rest}</p></div>{PAUSE_ALL}</div>{table(found)}"
        + "".join(_row(n, row) for n, row in enumerate(found.rows, start=1))
    )


def table(found: Survey) -> str:
    """All of them at a glance; flicker.js sorts it by the column whose head is pressed. Empty cells sort last."""
    source, target = escape(found.source), escape(found.target)
    heads = ["", "attribute", f"flips to {target}", "points", "seen on", f"flips back to {source}"]
    head = "".join(
        f"<th scope='col'><button type='button' class='sx-sort'>{text}</button></th>" if text else "<th></th>"
        for text in heads
    )
    body = "".join(_line(n, row) for n, row in enumerate(found.rows, start=1))
    return (
        f"<div class='sx-wide'><table class='sx-table small'><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _line(n: int, row: Row) -> str:
    a, back = row.attribute, row.back.found
    shares = [
        (a.images_share, percent(a.images_share)),
        (a.delta_prob, points(a.delta_prob)),
        (a.visible_share, None if a.visible_share is None else percent(a.visible_share)),
        (back.images_share, percent(back.images_share)) if back else (None, None),
    ]
    cells = "".join(
        f"<td class='number' data-value='{'' if value is None else f'{value:.6f}'}'>{text or '–'}</td>"
        for value, text in shares
    )
    title = escape(a.title)
    return f"<tr><td data-value='{n}'>{n}</td><th scope='row' data-value='{title}'>{title}</th>{cells}</tr>"


def _row(n: int, row: Row) -> str:
    a = row.attribute
    title = escape(a.title)
    place = f" <span class='quiet small'>{escape(a.coordinate)}</span>" if a.words else ""
    return (
        f"<section class='sx-row'><h3><span class='quiet'>{n}</span> {title}{place}</h3>"
        f"<div class='sx-ways'>{_way(row.there)}{_way(row.back)}</div></section>"
    )


def _way(way: Way) -> str:
    source, target = escape(way.source), escape(way.target)
    a = way.found
    if a is None:
        facts = "Over many pictures: not measured, AttFind kept it for the other way alone."
    else:
        seen = "" if a.visible_share is None else f", seen on {percent(a.visible_share)}"
        facts = (
            f"Over many pictures: <b class='number'>{percent(a.images_share)}</b> of the decisions flip, "
            f"<span class='number'>{points(a.delta_prob)}</span>{seen}."
        )
    flips = sum(shot.flipped for shot in way.shots)
    here = f"flips {flips} of these {len(way.shots)}" if way.shots else f"no sample picture is called {source}"
    shots = "".join(_shot(n, shot, way) for n, shot in enumerate(way.shots, start=1))
    return (
        f"<div><p class='small'>{source} <b>{mark(way.direction)}</b> {target}: {here}</p>"
        f"<div class='sx-shots'>{shots}</div><p class='quiet small'>{facts}</p></div>"
    )


def _shot(n: int, shot: Shot, way: Way) -> str:
    before, after, target = percent(shot.prob_before), percent(shot.prob_after), escape(way.target)
    flips = " <b>flips</b>" if shot.flipped else ""
    return (
        f"<figure class='sx-flicker' role='group' data-frame='before' "
        f"aria-label='Sample {n} of {escape(way.source)}: {target} {before} before, {after} after'>"
        f"{still_pair(small(shot.before), small(shot.after), f'{target} {before}', f'{target} {after}')}"
        f"<figcaption class='small'><span>{before}</span> <span>→ {after}{flips}</span></figcaption></figure>"
    )


def curve(found: Survey) -> str:
    """How many attributes it takes."""
    if not found.curves:
        return ""
    legend = "".join(
        f"<li><span style='background:{colour(i)}'></span>{escape(name)}</li>" for i, name in enumerate(found.curves)
    )
    spoken = "".join(
        f"<p class='quiet small'>{escape(name)}: "
        + ", ".join(f"{percent(share)} by the first{f' {k}' if k > 1 else ''}" for k, share in line if k in SPOKEN)
        + "</p>"
        for name, line in found.curves.items()
    )
    return (
        "<section class='sx-curve'><h2>How many it takes</h2><p class='quiet small'>Share of the decisions that change "
        f"when the first attributes move together to the end of their range, on {escape(found.counted_on)}.</p>"
        f"{draw_curve(found.curves)}<ul class='small'>{legend}</ul>"
        f"{spoken}</section>"
    )


def failures(found: Survey) -> str:
    """The labelled samples that it sees worst, and what would make it see their class."""
    if not found.worst:
        return ""
    wrong = sum(miss.called != miss.label for miss in found.worst)
    if wrong:
        says = "What it gets most wrong among the samples, each with the smallest change that would make it right."
    else:
        says = "It is right about every sample; these it is least sure of."
    return (
        f"<section><h2>Where it fails</h2><p class='quiet small'>{says} A sample's class is the one that it was made "
        f"for.</p><div class='sx-shots'>{''.join(map(_miss, found.worst))}</div></section>"
    )


def _miss(miss: Miss) -> str:
    label, p = escape(miss.label), percent(miss.prob)
    called = label if miss.called == miss.label else f"{label}, called {escape(miss.called)}"
    if miss.before is None or miss.after is None:
        picture = f"<img src='{data_uri(small(miss.picture))}' alt='{called}: {label} {p}'>"
        return f"<figure>{picture}<figcaption class='small'>{called}: <b class='number'>{p}</b></figcaption></figure>"
    after = percent(miss.prob_after)
    stills = still_pair(small(miss.before), small(miss.after), f"{label} {p}", f"{label} {after}")
    return (
        f"<figure class='sx-flicker' role='group' data-frame='before' aria-label='{called}: {p} before, {after} after'>"
        f"{stills}<figcaption class='small'>{called}: <span class='number'>{p} → {after}</span></figcaption></figure>"
    )


def limits(card: str | None) -> str:
    """What its makers say that it cannot do."""
    items = "".join(f"<li>{escape(text)}</li>" for text in limits_of(card))
    return "<section class='sx-limits'><h2>Its limits, in the words of its card</h2>" + (
        f"<ul>{items}</ul></section>" if items else "<p>Its card says nothing of them.</p></section>"
    )


def measured(metrics: Mapping[str, Any] | None) -> str:
    """Every number that was measured of the model, to be unfolded."""
    try:
        numbers = numbers_of(metrics or {})
        rows = "".join(
            f"<tr><th scope='row'>{escape(says)}</th><td>{value:.4g}</td></tr>" for _, says, value, _ in numbers
        )
    except (AttributeError, TypeError, ValueError):  # of a stranger's file, that holds something else
        rows = ""
    if not rows:
        return "<p class='quiet small'>Nothing has been measured of this model yet (train/evaluate.py).</p>"
    n = escape(str((metrics or {}).get("n")))
    return f"<details><summary>All that was measured, on {n} held-out pictures</summary><table>{rows}</table></details>"


def small(image: Image.Image) -> Image.Image:
    """No larger than it is shown."""
    if max(image.size) <= SMALL:
        return image
    image = image.copy()
    image.thumbnail((SMALL, SMALL))
    return image
