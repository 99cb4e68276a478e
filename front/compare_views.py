"""What the page shows of every method on one picture, as HTML: pure functions of a comparison.

Everything that comes from a model folder is escaped.
"""

from __future__ import annotations

from html import escape

from front.views import PAUSE_ALL, data_uri, percent, points, still_pair
from stylex import Comparison
from stylex.compare import Row
from stylex.methods.records import Map
from stylex.neighbours import drawn_map
from stylex.pictures.render import change_map

NOTHING = "<p class='quiet'>Choose a picture on the first tab; here every method is asked about it.</p>"
# What each row of a comparison, and each map, does.
SAYS = {
    "AttFind, subset": "single coordinates, always the one that then helps most, until the decision flips",
    "few coordinates": "a counterfactual: as few coordinates as will do",
    "shortest way": "a counterfactual: every coordinate, by as little as will do",
    "way in w": "a counterfactual in w, as it was published",
    "EigenFind": "one direction of the generator",
    "GANalyze": "one direction, learned for this class",
    "StyleSpace S2N": "ten coordinates that go along with the class",
    "random": "ten coordinates by chance: what the others have to beat",
}
MAPS = {
    "Grad-CAM": "the places that its last convolution counts for the class",
    "integrated gradients": "the pixels that it counts for the class",
    "occlusion": "what it misses when it is covered",
    "perturbation": "what has to be blurred before it no longer sees the class",
    "change": "where the shortest way changes the picture",
}


def page(found: Comparison) -> str:
    """The whole of it."""
    e = found.explanation
    target = escape(e.target)
    rows = "".join(_row(row, target) for row in found.rows)
    return (
        f"<div class='sx-bar'><div><h2>Every method, asked for {target}</h2><p class='quiet small'>The picture of the "
        "first tab, and the class that stands there. Each row changes its reconstruction in its own way, and shows "
        f"beside it where; the large numbers are the probability of {target} before and after.</p></div>"
        f"{PAUSE_ALL}</div>"
        f"<ul class='sx-warnings'>{''.join(f'<li>{escape(text)}</li>' for text in _doubts(found))}</ul>"
        f"<div class='sx-compare' role='list'>{rows}</div>{_maps(found)}"
    )


def _doubts(found: Comparison) -> list[str]:
    """What a reader should know first; what single methods could not do stands in their rows."""
    own = {f"{row.name}: {row.note}" for row in found.rows if row.note}
    return [text for text in found.explanation.warnings if text not in own]


def _row(row: Row, target: str) -> str:
    name, says = escape(row.name), SAYS.get(row.name, "")
    head = f"<div><h3>{name}</h3><p class='quiet small'>{says}</p></div>"
    a = row.shown
    if a is None:
        why = f"<p class='wide'>No answer: {escape(row.note)}.</p>"
        return f"<section class='sx-method' role='listitem'>{head}{why}</section>"
    before, after = percent(a.prob_before), percent(a.prob_after)
    label = f"{name}: {target} {before} before, {after} after"
    facts = {
        "coordinates": f"{row.coordinates}",
        "pixels": percent(a.changed_share),
        "seconds": f"{row.seconds:.2f}",
    }
    numbers = "".join(f"<dt>{what}</dt><dd class='number'>{number}</dd>" for what, number in facts.items())
    where = data_uri(change_map(a.before, a.image))
    return (
        f"<section class='sx-method' role='listitem'>{head}"
        f"<figure class='sx-flicker' role='group' data-frame='before' aria-label='{label}'>"
        f"{still_pair(a.before, a.image, f'{target} {before}', f'{target} {after}')}</figure>"
        f"<img src='{where}' alt='{name}: where it changed'>"
        f"<div><p class='sx-result'><span class='number quiet'>{before} →</span> <b class='number'>{after}</b></p>"
        f"<p class='number small'>{points(a.delta)}</p><dl class='sx-facts small'>{numbers}</dl></div></section>"
    )


def _maps(found: Comparison) -> str:
    """Where the classifier looks, beside where the shortest way changes the picture."""
    if not found.maps:
        return ""
    e = found.explanation
    figures = "".join(_map(m, data_uri(drawn_map(m, picture)), found.overlaps.get(m.name)) for m, picture in found.maps)
    return (
        f"<section><h2>Where it looks for {escape(e.predicted)}</h2><p class='quiet small'>Maps of the photograph, the "
        "strongest place brightest. A map cannot say what is seen there, and an edit cannot say whether the classifier "
        f"looked, so they lie side by side.</p><div class='sx-maps'>{figures}</div></section>"
    )


def _map(found: Map, picture: str, overlap: float | None) -> str:
    name = escape(found.name)
    shared = (
        "" if overlap is None else f"<br><b class='number'>{percent(overlap)}</b> of it lies where the shortest way is"
    )
    return (
        f"<figure><img src='{picture}' alt='{name}: {MAPS.get(found.name, '')}'><figcaption class='small'>"
        f"<b>{name}</b><br><span class='quiet'>{MAPS.get(found.name, '')}{shared}</span></figcaption></figure>"
    )
