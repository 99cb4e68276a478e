"""What the page shows, as HTML: pure functions of an explanation.

Everything that comes from a model folder or a visitor is escaped. page.css gives it its looks, flicker.js its motion.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

from PIL import Image

from front.models import Exhibit
from front.trust import Trust
from stylex import Direction, Explanation, StylEx
from stylex.pictures.images import load_image
from stylex.pictures.render import change_map, probability

MOST_BARS = 4
# Samples that are shown of a model that is not looked at.
FEW = 6

KNOBS_LEAD = (
    "<p class='quiet small'>0 leaves an attribute as it is, 1 takes it to the end of what "
    "the training pictures show. All of them act on one picture.</p>"
)
PLAY = "<span class='moving'>Pause</span><span class='still'>Play</span>"
PAUSE_ALL = (
    "<button type='button' class='sx-link sx-toggle-all'><span class='moving'>Pause all</span>"
    "<span class='still'>Play all</span></button>"
)


def lead(names: Sequence[str]) -> str:
    """The first lines of the page, for a classifier of these classes."""
    return (
        f"<h1>What does this classifier look at?</h1><p>It tells {escape(task_of(names))}. Each flicker changes one "
        "thing about a picture, in the way that moves the classifier’s answer. It explains the classifier, not the "
        "world.</p>"
    )


def task_of(names: Sequence[str]) -> str:
    """What a classifier of these classes tells."""
    return f"{', '.join(names[:-1])} from {names[-1]}" if len(names) <= 4 else f"{len(names)} classes apart"


def notice(model: StylEx, has_samples: bool) -> str:
    """What stands in place of the flickers before the first explanation."""
    if model.stats is None:
        text = "This model has no style statistics yet, so it cannot explain; run train/find_attributes.py on it first."
    elif has_samples:
        text = "Explaining the first picture …"
    else:
        text = "Choose a picture of your own to begin."
    return f"<p class='quiet'>{text}</p>"


def brought(shown: Exhibit) -> str:
    """What is said of a model that has come."""
    return (
        f"<p>{escape(shown.name)} is here, and is shown above; it tells {escape(task_of(shown.model.class_names))}.</p>"
    )


def banner(sentences: Sequence[str]) -> str:
    """What a visitor should know before anything else."""
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def samples(exhibits: Mapping[int, Exhibit], model: str, pressed: str | None) -> str:
    """A button for each sample picture of each model; of the model that is looked at all of them, of others a few.

    Args:
        exhibits: each by the number that its buttons send.
        pressed: the sample that is shown of `model`.
    """
    rows = "".join(_samples_of(n, shown, shown.name == model, pressed) for n, shown in exhibits.items())
    return f"<p class='quiet small'>Choose a picture</p>{rows}" if rows else ""


def _samples_of(n: int, shown: Exhibit, is_chosen: bool, pressed: str | None) -> str:
    if not shown.pictures:
        return ""
    name = escape(shown.name)
    buttons = "".join(
        f"<button type='button' data-model='{n}' data-sample='{k}' "
        f"aria-pressed='{str(is_chosen and sample == pressed).lower()}'>"
        f"<img src='{data_uri(load_image(path))}' alt='sample picture {k + 1} of {name}'></button>"
        for k, (sample, path) in enumerate(shown.pictures.items())
        if is_chosen or k < FEW
    )
    return (
        f"<p class='small sx-task'>{name} <span class='quiet'>{escape(task_of(shown.model.class_names))}</span></p>"
        f"<div class='sx-samples'>{buttons}</div>"
    )


def trust(found: Trust) -> str:
    """One grade, and its reasons on demand."""
    reasons = "".join(
        f"<li class='{'holds' if check.holds else 'fails'}'>{escape(check.says)}</li>" for check in found.checks
    )
    return (
        f"<details class='sx-trust small' data-grade='{found.grade}'><summary>Trust: <b>{found.grade}</b> "
        f"<span class='quiet'>{found.held} of {len(found.checks)} checks hold</span></summary><ul>{reasons}</ul>"
        "</details>"
    )


def answer(e: Explanation, trusted: Trust) -> str:
    """What the classifier says of the picture and of its reconstruction, side by side, and what to be wary of."""

    warnings = "".join(f"<li>{escape(text)}</li>" for text in e.warnings)
    sides = [(e.source, "The picture", e.probs), (e.reconstruction, "Its reconstruction", e.reconstruction_probs)]
    pictures = "".join(
        f"<figure><img src='{data_uri(image)}' alt='{title}: {_spoken(probs)}'><figcaption class='small'>{title}: "
        f"<span class='number'>{percent(probs[e.predicted])}</span></figcaption></figure>"
        for image, title, probs in sides
    )
    numbers = "".join(
        f"<div><p class='small quiet'>{title}</p>{bars(probs, e.target)}</div>" for _, title, probs in sides
    )
    return (
        f"<h2>The classifier says {escape(e.predicted)}</h2><ul class='sx-warnings' role='status'>{warnings}</ul>"
        f"<div class='sx-answer'>{pictures}</div><p class='quiet small'>Only the reconstruction can be changed, so it "
        f"is the one that gets explained.</p>{trust(trusted)}<details class='small'><summary>All its numbers</summary>"
        f"<div class='sx-answer'>{numbers}</div></details>"
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
