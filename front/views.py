"""What the page shows, as HTML: pure functions of an explanation.

Everything that comes from a model folder or a visitor is escaped. page.css gives it its looks, flicker.js its motion.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from PIL import Image

from front.links import Link
from front.methods import METHODS
from stylex import AttributeEdit, Direction, Explanation, MethodEdit, StylEx
from stylex.pictures.images import load_image
from stylex.pictures.render import change_map, probability

MOST_BARS = 4

KNOBS_LEAD = (
    "<h2>Turn them yourself</h2><p class='quiet small'>0 leaves an attribute as it is, 1 takes it to the end of what "
    "the training pictures show. All of them act on one picture.</p>"
)
PLAY = "<span class='moving'>Pause</span><span class='still'>Play</span>"
PAUSE_ALL = (
    "<button type='button' class='sx-link sx-toggle-all'><span class='moving'>Pause all</span>"
    "<span class='still'>Play all</span></button>"
)


def lead(names: Sequence[str]) -> str:
    """The first lines of the page, for a classifier of these classes."""
    if len(names) <= 4:
        task = f"{', '.join(names[:-1])} from {names[-1]}"
    else:
        task = f"{len(names)} classes apart"
    return (
        f"<h1>What does this classifier look at?</h1><p>It tells {escape(task)}. Each flicker changes one thing about "
        "a picture, in the way that moves the classifier’s answer. It explains the classifier, not the world.</p>"
    )


def notice(model: StylEx, has_samples: bool) -> str:
    """What stands in place of the flickers before the first explanation."""
    if model.stats is None:
        text = "This model has no style statistics yet, so it cannot explain; run train/find_attributes.py on it first."
    elif has_samples:
        text = "Explaining the first picture …"
    else:
        text = "Choose a picture of your own to begin."
    return f"<p class='quiet'>{text}</p>"


def banner(sentences: Sequence[str]) -> str:
    """What a visitor should know before anything else."""
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def samples(pictures: Mapping[str, Path], pressed: str | None) -> str:
    """A button for each sample picture."""
    if not pictures:
        return ""
    buttons = "".join(
        f"<button type='button' data-sample='{n}' aria-pressed='{str(name == pressed).lower()}'>"
        f"<img src='{data_uri(load_image(path))}' alt='sample picture {n + 1}'></button>"
        for n, (name, path) in enumerate(pictures.items())
    )
    return f"<p class='quiet small'>Choose a picture</p><div class='sx-samples'>{buttons}</div>"


def answer(e: Explanation) -> str:
    """What the classifier says of the picture and of its reconstruction, side by side, and what to be wary of."""

    def side(image: Image.Image, title: str, probs: dict[str, float]) -> str:
        picture = f"<img src='{data_uri(image)}' alt='{title}: {_spoken(probs)}'>"
        return f"<figure>{picture}<figcaption>{title}</figcaption>{bars(probs, e.target)}</figure>"

    warnings = "".join(f"<li>{escape(text)}</li>" for text in e.warnings)
    return (
        f"<h2>The classifier says {escape(e.predicted)}</h2><div class='sx-answer'>"
        f"{side(e.source, 'The picture', e.probs)}"
        f"{side(e.reconstruction, 'Its reconstruction', e.reconstruction_probs)}</div>"
        "<p class='quiet small'>Only the reconstruction can be changed, so it is the one that gets explained.</p>"
        f"<ul class='sx-warnings' role='status'>{warnings}</ul>"
    )


def bars(probs: dict[str, float], target: str, before: dict[str, float] | None = None) -> str:
    """The likeliest classes and the target. With `before`, a mark shows where each was, and rows keep their places."""
    if before is None:
        order = sorted(probs, key=lambda name: -probs[name])
    else:
        order = sorted(probs, key=lambda name: (name != target, -before[name]))
    best = max(probs, key=lambda name: probs[name])
    rows = []
    for i, name in enumerate(order):
        if i >= MOST_BARS and name != target:
            continue
        mark = "" if before is None else f"<b style='left:{100 * before[name]:.1f}%'></b>"
        rows.append(
            f"<dt{' class=first' * (name == best)}>{escape(name)}</dt><dd class='number'>{percent(probs[name])}</dd>"
            f"<div class='sx-track{' target' * (name == target)}' aria-hidden='true'>"
            f"<i style='left:0;width:{100 * probs[name]:.1f}%'></i>{mark}</div>"
        )
    return f"<dl class='sx-bars'>{''.join(rows)}</dl>"


def flickers(e: Explanation, link: Link) -> str:
    """The attributes, each alternating between before and after.

    Args:
        link: to this view; the attribute that it names is pointed out.
    """
    target = escape(e.target)
    question = f"What would make it {'surer of' if e.target == e.predicted else 'say'} {target}?"
    if not e.attributes:
        return f"<h2>{question}</h2><p class='quiet'>{escape(e.warnings[-1])}</p>"
    if e.method == "attfind":
        alone = e.strategy == "independent"
        how = f"one attribute is changed {'alone' if alone else 'on top of the ones before it'}"
    else:
        how = METHODS[e.method].how
    cards = "".join(_flicker(n, a, target, link) for n, a in enumerate(e.attributes, start=1))
    own = "" if link.sample else " Links bring back the classifier and the target; your own picture is not in them."
    return (
        f"<div class='sx-bar'><div><h2>{question}</h2><p class='quiet small'>Each picture alternates between before "
        f"and after {how}. The numbers are the probability of {target}.{own}</p></div>"
        f"{PAUSE_ALL}</div><div class='sx-flickers'>{cards}</div>"
    )


def _flicker(n: int, a: AttributeEdit | MethodEdit, target: str, link: Link) -> str:
    before, after = percent(a.prob_before), percent(a.prob_after)
    share = f"{100 * a.changed_share:.0f}&nbsp;%"
    title = re.sub(" ([↑↓])", "&nbsp;\\1", escape(a.title))
    start, low = 100 * a.prob_before, 100 * min(a.prob_before, a.prob_after)
    if isinstance(a, AttributeEdit):
        place, here = (a.index, a.direction), link.to(a.index, a.direction)
        notes = [f"{escape(a.layer)} · {a.channel} {mark(a.direction)}"] if a.name else []
    else:
        place, here = None, replace(link, attribute=None)
        notes = [f"{a.edit.coordinates} style coordinates move"]
    notes += [] if a.visible else ["too small a change to see"]
    small = "".join(f"<br><span class='quiet small'>{note}</span>" for note in notes)
    frames = {"before": (a.before, before), "after": (a.image, after), "where": (change_map(a.before, a.image), share)}
    alts = {
        "before": f"before: {target} {before}",
        "after": f"after: {target} {after}",
        "where": f"where it changed: {share} of the picture",
    }
    stills = "".join(
        f"<img class='{name}' src='{data_uri(image)}' alt='{alts[name]}'>" for name, (image, _) in frames.items()
    )
    buttons = "".join(
        f"<button type='button' data-show='{name}'>{name} <span class='number'>{number}</span></button>"
        for name, (_, number) in frames.items()
    )
    linked = " data-linked='yes'" if place is not None and link.attribute == place else ""
    return (
        f"<figure class='sx-flicker' role='group' data-frame='before'{linked} "
        f"aria-label='Attribute {n}, {title}: {target} {before} before, {after} after, {points(a.delta)}'>"
        f"<figcaption><span class='quiet'>{n}</span><span class='title'><b>{title}</b>{small}</span></figcaption>"
        f"<div class='sx-stills'>{stills}</div><div class='sx-frames'>{buttons}</div>"
        f"<div class='sx-track target' aria-hidden='true'>"
        f"<i style='left:{low:.1f}%;width:{100 * abs(a.delta):.1f}%'></i><b style='left:{start:.1f}%'></b></div>"
        f"<p class='number small'>{points(a.delta)}</p>"
        f"<div class='sx-bar'><button type='button' class='sx-link sx-toggle'>{PLAY}</button>"
        f"<button type='button' class='sx-link' data-gif='{n}' aria-label='Save attribute {n} as GIF'>GIF</button>"
        f"<a class='sx-link sx-copy' href='{escape(str(here))}' aria-label='Copy a link to attribute {n}'>Link</a>"
        "</div></figure>"
    )


def still_pair(before: Image.Image, after: Image.Image, says_before: str, says_after: str) -> str:
    """Two pictures in one place, for a flicker, each with what is said of it, as HTML."""
    return (
        f"<div class='sx-stills'><img class='before' src='{data_uri(before)}' alt='before: {says_before}'>"
        f"<img class='after' src='{data_uri(after)}' alt='after: {says_after}'></div>"
    )


def moved(e: Explanation, image: Image.Image, probs: dict[str, float]) -> str:
    """The picture under the knobs, with the classifier's answer to it; a divider wipes between before and now."""
    before = e.reconstruction_probs
    pair = "".join(
        f"<img src='{data_uri(picture)}' alt='{name}: {_spoken(says)}'>"
        for name, picture, says in (("before", e.reconstruction, before), ("now", image, probs))
    )
    where = data_uri(change_map(e.reconstruction, image))
    return (
        f"<div class='sx-moved'><figure><div class='sx-pair'>{pair}<span class='sx-divider' aria-hidden='true'></span>"
        "<input class='sx-split' type='range' min='0' max='100' value='50' "
        "aria-label='Divider: before on its left, now on its right'></div>"
        "<figcaption class='quiet small'><span>before</span><span>now</span></figcaption></figure>"
        f"<figure><img src='{where}' alt='where it changed'><figcaption class='quiet small'>where</figcaption></figure>"
        f"<p class='wide' role='status'>{escape(e.target)} "
        f"<span class='number quiet'>{percent(before[e.target])} →</span> "
        f"<b class='number' id='sx-now'>{percent(probs[e.target])}</b></p>"
        f"<div class='wide'>{bars(probs, e.target, before)}</div></div>"
    )


def data_uri(image: Image.Image) -> str:
    """The picture inside the page: lossless, so that only what changes flickers, and no file is left on the server."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, method=0)  # 20 times as fast as the default, a tenth larger
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def percent(p: float) -> str:
    """A probability as HTML that does not break before its sign."""
    return escape(probability(p)).replace(" ", "&nbsp;")


def points(delta: float) -> str:
    """A change of a probability, as HTML that does not break."""
    return f"{100 * delta:+.1f}&nbsp;points"


def mark(direction: Direction) -> str:
    return "↑" if direction == Direction.UP else "↓"


def _spoken(probs: dict[str, float]) -> str:
    best = sorted(probs.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{escape(name)} {percent(p)}" for name, p in best)
