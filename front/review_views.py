"""The review sheet as HTML: a form for each attribute. front/review.js keeps what is said, page.css lays it out.

Everything that comes from a model folder is escaped.
"""

from __future__ import annotations

from html import escape

from front.review import MAX_NAME, NO_REASON, TICKS, Seen, Sheet
from front.views import percent, points, still_pair
from stylex.pictures.names import NONE

MEANS = {
    "known": "what people who know these pictures go by, too",
    "confounder": "goes along with the class, and is not the reason for it: the light, the background",
    "artefact": "made by the camera, or by the generator",
    "new": "nobody has said this before; worth a look",
    NO_REASON: "no decision should rest on it: python train/repair.py --attributes attributes.json takes it out",
}


def page(found: Sheet, key: str) -> str:
    """The whole of it.

    Args:
        key: under which the browser keeps what was said; the model's name, and what tells its lists apart.
    """
    if found.before is None:
        return (
            f"<p>There is nothing to review from {escape(found.source)} to {escape(found.target)}: no attribute, or no "
            "sample picture to see it on. Choose another pair above.</p>"
        )
    means = "".join(f"<li><b>{tick}</b>: {escape(says)}</li>" for tick, says in MEANS.items())
    forms = "".join(_form(n, seen, found) for n, seen in enumerate(found.seen, start=1))
    return (
        f"<div data-review='{escape(key)}'><p class='quiet small'>Each attribute on the same {found.count} pictures, "
        f"from {escape(found.source)} to {escape(found.target)}. Say what you see in it, and tick what it is. It all "
        "stays in this browser until you take it home; other pairs, chosen above, are in the same review.</p>"
        f"<details class='small'><summary>What the ticks mean</summary><ul>{means}</ul></details>"
        f"{forms}<div class='sx-bar sx-done'><p class='small' role='status'></p>"
        "<span><button type='button' class='sx-link' data-review-save>Download the review (zip)</button> "
        "<button type='button' class='sx-link' data-review-clear>Forget what I said</button></span></div></div>"
    )


def _form(n: int, seen: Seen, found: Sheet) -> str:
    assert found.before is not None
    a, target = seen.attribute, escape(found.target)
    proposed = "" if a.proposal is None or str(a.proposal) == NONE else f"measured: {a.proposal}"
    share = "" if a.visible_share is None else f", seen on {percent(a.visible_share)}"
    label = f"Attribute {n} on {found.count} pictures, before and after"
    ticked = {*a.marks, *([NO_REASON] if a.no_reason else [])}
    ticks = "".join(
        f"<label title='{escape(MEANS[tick])}'><input type='checkbox' value='{tick}'{' checked' * (tick in ticked)}>"
        f" {tick}</label>"
        for tick in TICKS
    )
    return (
        f"<fieldset class='sx-judge' data-attribute='{seen.number}'><legend><span class='quiet'>{n}</span> "
        f"<span class='small quiet'>{escape(a.coordinate)}</span></legend>"
        f"<figure class='sx-flicker sx-eight' role='group' data-frame='before' aria-label='{label}'>"
        f"{still_pair(found.before, seen.after, f'{found.count} pictures', 'the same, changed')}</figure>"
        f"<div><p class='small'><span class='number'>{points(a.delta_prob)}</span> {target}, "
        f"<span class='number'>{percent(a.images_share)}</span> flip{share}</p>"
        f"<label class='sx-name'>What you see <input type='text' maxlength='{MAX_NAME}' autocomplete='off' "
        f"value='{escape(a.name or '')}' placeholder='{escape(proposed)}'></label>"
        f"<div class='sx-ticks'>{ticks}</div></div></fieldset>"
    )
