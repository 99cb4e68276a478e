"""What the page shows of an explanation's edits, as HTML: one of them large, in a sentence, the others small.

page.css lays them out, flicker.js says which is large and how it is looked at. Everything that comes from a model
folder or a visitor is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from PIL import Image

from front import views
from front.closer import Overlay, centre_of, odds, origin_of
from front.links import Link
from front.methods import METHODS
from front.place import SIDE, Found
from front.trust import Trust
from front.views import PAUSE_ALL, PLAY, data_uri, percent, points, still_pair
from stylex import AttributeEdit, Explanation, MethodEdit
from stylex.pictures.names import NONE
from stylex.pictures.render import change_map

# Smaller pictures are enlarged to this before a browser enlarges them further, by a filter that shows no blocks.
SMOOTH = 192

# What a layer of a generator draws, by how fine it is beside the picture.
SCALES = ((0.125, "the overall shape"), (0.25, "the larger parts"), (0.5, "the smaller parts"), (1, "the fine detail"))

Shown = AttributeEdit | MethodEdit


def flickers(e: Explanation, link: Link, laid: Sequence[Overlay], trusted: Sequence[Trust]) -> str:
    """The edits, each alternating between before and after.

    Args:
        link: to this view; the attribute that it names is pointed out.
        laid: each edit on the photograph.
        trusted: what was checked of each.
    """
    target = escape(e.target)
    question = f"What would make it {'surer of' if e.target == e.predicted else 'say'} {target}?"
    if not e.attributes:
        return f"<h2>{question}</h2><p class='quiet'>{escape(e.warnings[-1])}</p>"
    if e.method != "attfind":
        how = METHODS[e.method].how
    elif e.strategy == "independent":
        how = "one attribute is changed alone"
    else:
        how = "one attribute is changed on top of the ones before it"
    linked = next((n for n, a in enumerate(e.attributes) if link.attribute and place_of(a) == link.attribute), None)
    cards = "".join(
        _card(n, *each, target, link, is_open=n == (linked or 0) + 1, is_linked=n - 1 == linked)
        for n, each in enumerate(zip(e.attributes, laid, trusted, strict=True), start=1)
    )
    own = "" if link.sample else " Links bring back the classifier and the target; your own picture is not in them."
    rows = f"repeat({max(1, len(e.attributes) - 1)}, auto) 1fr"
    return (
        f"<div class='sx-bar'><div><h2>{question}</h2><p class='quiet small'>Each picture alternates between before "
        f"and after {how}. The numbers are the probability of {target}.{own}</p></div>"
        f"{PAUSE_ALL}</div><div class='sx-flickers' style='grid-template-rows:{rows}'>{cards}</div>"
    )


def place_of(a: Shown) -> tuple[int, object] | None:
    """Where in StyleSpace an edit is, if it is of one coordinate."""
    return (a.index, a.direction) if isinstance(a, AttributeEdit) else None


def called(a: Shown) -> str:
    """What an edit is called at the start of a sentence: a person's name, else what was measured, else where in the
    generator it is, in words."""
    if isinstance(a, AttributeEdit):
        return called_by(a.words, a.layer, a.image.width)
    return a.title[:1].upper() + a.title[1:]


def called_by(words: str | None, layer: str, side: int) -> str:
    """The same of a coordinate of this layer, in a picture of so many pixels on a side."""
    if words in (None, NONE):
        share = int(layer.split("x")[0]) / side  # points that the layer draws, of those of the picture
        return f"Something in {next(says for most, says in SCALES if share <= most)}"
    return words[:1].upper() + words[1:]


def _card(
    n: int, a: Shown, laid: Overlay, trusted: Trust, target: str, link: Link, is_open: bool, is_linked: bool
) -> str:
    before, after = percent(a.prob_before), percent(a.prob_after)
    title = escape(called(a))
    spoken = f"{title}: {target} {before} before, {after} after, {points(a.delta)}"
    x, y = (f"{100 * origin_of(c):.0f}%" for c in centre_of(a.before, a.image))
    here = link.to(a.index, a.direction) if isinstance(a, AttributeEdit) else replace(link, attribute=None)
    marks = " data-open" * is_open + " data-linked='yes'" * is_linked
    return (
        f"<figure class='sx-flicker sx-card' role='group' data-frame='before'{marks} style='--sx-x:{x};--sx-y:{y}' "
        f"aria-label='Attribute {n}, {spoken}'>"
        f"<figcaption><p class='sx-sentence'><b>{title}</b> <span class='quiet'>takes it from</span> "
        f"<span class='number'>{before}</span> <span class='quiet'>to</span> <span class='number'>{after}</span> "
        f"<span class='quiet'>{target}</span></p>"
        f"<p class='sx-small'><b>{title}</b><br><span class='number quiet'>{before} → {after}</span></p></figcaption>"
        f"<div class='sx-stage'>{_stills(a, target, laid)}<input class='sx-split' type='range' min='0' max='100' "
        "value='50' aria-label='Divider: before on its left, after on its right'>"
        "<span class='sx-divider' aria-hidden='true'></span></div>"
        f"<button type='button' class='sx-open' aria-label='Look at attribute {n}, {spoken}'></button>"
        f"<div class='sx-controls'>{_frames(a, laid)}{_bar(n, here)}{_facts(a, trusted)}</div></figure>"
    )


def _stills(a: Shown, target: str, laid: Overlay) -> str:
    share = f"{100 * a.changed_share:.0f}&nbsp;%"
    frames = [
        ("before", a.before, f"before: {target} {percent(a.prob_before)}"),
        ("after", a.image, f"after: {target} {percent(a.prob_after)}"),
        ("where", change_map(a.before, a.image), f"where it changed: {share} of the picture"),
    ]
    if laid.agrees:
        frames.append(("laid", laid.image, f"the change on the photograph itself: {target} {percent(laid.prob)}"))
    stills = "".join(f"<img class='{name}' src='{data_uri(smooth(p))}' alt='{says}'>" for name, p, says in frames)
    return f"<div class='sx-stills'>{stills}</div>"


def _frames(a: Shown, laid: Overlay) -> str:
    """Buttons for the stills, each with its number."""
    frames = [("before", "before", percent(a.prob_before)), ("after", "after", percent(a.prob_after))]
    frames.append(("where", "where", f"{100 * a.changed_share:.0f}&nbsp;%"))
    if laid.agrees:
        frames.append(("laid", "on the photograph", percent(laid.prob)))
    buttons = "".join(
        f"<button type='button' data-show='{name}'>{says} <span class='number'>{number}</span></button>"
        for name, says, number in frames
    )
    start, low = 100 * a.prob_before, 100 * min(a.prob_before, a.prob_after)
    return (
        f"<div class='sx-frames'>{buttons}</div><div class='sx-track target' aria-hidden='true'>"
        f"<i style='left:{low:.1f}%;width:{100 * abs(a.delta):.1f}%'></i><b style='left:{start:.1f}%'></b></div>"
    )


def _bar(n: int, here: Link) -> str:
    return (
        f"<div class='sx-bar sx-tools'><button type='button' class='sx-link sx-toggle'>{PLAY}</button>"
        "<button type='button' class='sx-link sx-slide' aria-pressed='false'>Slide</button>"
        "<button type='button' class='sx-link sx-zoom' aria-pressed='false'>Zoom to the change</button>"
        f"<button type='button' class='sx-link' data-steps='{n}'>Steps</button>"
        f"<button type='button' class='sx-link' data-gif='{n}' aria-label='Save attribute {n} as GIF'>GIF</button>"
        f"<a class='sx-link sx-copy' href='{escape(str(here))}' aria-label='Copy a link to attribute {n}'>Link</a>"
        "</div>"
    )


def _facts(a: Shown, trusted: Trust) -> str:
    """What is to be known of an edit, on demand; above it what is to be known at once."""
    times = odds(a.prob_before, a.prob_after)
    change = points(a.delta) + ("" if times is None else f", odds ×&nbsp;{times:,.{1 if times < 10 else 0}f}")
    facts = []
    if isinstance(a, AttributeEdit):
        facts.append(f"Its place among the style coordinates: {escape(a.coordinate)}.")
        if a.doubt:
            words = "There are no plain words for it" if a.words == NONE else "The words are not a person’s"
            facts.append(f"{words}: {escape(a.doubt)}.")
    else:
        facts.append(f"{a.edit.coordinates} style coordinates move.")
    listed = "".join(f"<li>{text}</li>" for text in facts)
    return (
        f"<p class='number small'>{change}</p>{views.trust(trusted)}"
        f"<details class='small'><summary>More about it</summary><ul>{listed}</ul></details>"
    )


def steps(e: Explanation, number: int, shown: Sequence[tuple[Image.Image, float]]) -> str:
    """The pictures on the way of an edit, in a row."""
    title, target = escape(called(e.attributes[number])), escape(e.target)
    cells = "".join(
        f"<figure><img src='{data_uri(image)}' alt='step {n}: {target} {percent(p)}'>"
        f"<figcaption class='number small'>{percent(p)}</figcaption></figure>"
        for n, (image, p) in enumerate(shown)
    )
    return f"<h2>Step by step: {title}</h2><div class='sx-steps'>{cells}</div>"


def painter(e: Explanation) -> str:
    """The picture that is explained, to paint a place on."""
    picture = data_uri(smooth(e.reconstruction))
    return (
        "<p class='quiet small'>Paint over a part of the picture, or click a point. With the keys: arrows move the "
        "brush, Shift keeps what it has painted, Enter asks.</p>"
        "<div class='sx-canvas' tabindex='0' role='application' aria-label='The picture, to paint a place on'>"
        f"<img src='{picture}' alt='the reconstruction' draggable='false'>"
        f"<div class='sx-cells' aria-hidden='true'>{'<i></i>' * SIDE**2}</div></div>"
    )


def place(found: Sequence[Found], target: str) -> str:
    """What was found for a place."""
    target = escape(target)
    if not found:
        return f"<p>Nothing that changes the picture there makes {target} more likely.</p>"
    cards = ""
    for one in found:
        a, title = one.edit, escape(called(one.edit))
        before, after = percent(a.prob_before), percent(a.prob_after)
        pair = still_pair(smooth(a.before), smooth(a.image), f"{target} {before}", f"{target} {after}")
        spoken = f"{title}: {target} {before} before, {after} after"
        cards += (
            f"<figure class='sx-flicker' role='group' data-frame='before' aria-label='{spoken}'>{pair}"
            f"<figcaption class='small'><b>{title}</b><br><span class='number'>{before} → {after}</span><br>"
            f"<span class='quiet'>{percent(one.inside)} of what it changes lies there</span></figcaption></figure>"
        )
    return f"<h2>What makes it surer of {target} there</h2><div class='sx-places'>{cards}</div>"


def smooth(image: Image.Image) -> Image.Image:
    """Large enough that a browser enlarges it without blocks."""
    if min(image.size) >= SMOOTH:
        return image
    scale = SMOOTH / min(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
