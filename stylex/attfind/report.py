"""What AttFind found, as one HTML page that needs nothing else: no script, no network, no file beside it.

This module knows nothing of models; it sees attributes, numbers and PIL pictures.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from ..pictures.names import told
from ..pictures.render import probability
from .effects import Attribute

BINS = 24


@dataclass(frozen=True)
class Flicker:
    """One picture without and with a move, and the probability of the target in each."""

    before: Image.Image
    after: Image.Image
    prob_before: float
    prob_after: float


@dataclass(frozen=True)
class Entry:
    """One attribute of the report.

    Attributes:
        effects: change of the target's logit on each picture.
        certainty: share of draws of the pictures in which it is chosen, lowest and highest usual rank
            (`selection.rank_certainty`).
        flickers: pictures to show.
    """

    attribute: Attribute
    effects: Sequence[float]
    certainty: tuple[float, int, int]
    flickers: Sequence[Flicker]


def report(
    title: str, entries: Sequence[Entry], curves: Mapping[str, Sequence[tuple[int, float]]], notes: Sequence[str]
) -> str:
    """The page.

    Args:
        entries: in the order in which they are shown; those of one (source, target) come one after the other.
        curves: name -> (k, share of the pictures whose decision the first k attributes together change).
        notes: sentences about how all of this was measured.
    """
    sections, heading, rank = [], "", 0
    for entry in entries:
        a = entry.attribute
        if (here := f"{a.source} → {a.target}") != heading:
            heading, rank = here, 0
            sections.append(f"<h2>{escape(heading)}</h2>")
        rank += 1
        sections.append(_entry(entry, rank))
    return PAGE.format(
        title=escape(title),
        notes="".join(f"<p>{escape(note)}</p>" for note in notes),
        curve=draw_curve(curves),
        legend="".join(
            f'<li><span style="background:{colour(i)}"></span>{escape(name)}</li>' for i, name in enumerate(curves)
        ),
        sections="\n".join(sections),
    )


def colour(number: int) -> str:
    """Of a curve: dark enough on white, and by the golden angle away from the one before, however many there are."""
    return f"hsl({(200 + 137.508 * number) % 360:.4g} 65% {(32, 24)[number // 8 % 2]}%)"


def _entry(entry: Entry, rank: int) -> str:
    a, (share, low, high) = entry.attribute, entry.certainty
    where = "" if a.words is None else f" <small>{escape(a.coordinate)}</small>"
    ranks = f"rank {low}" if low == high else f"rank {low} to {high}"
    spread = "" if a.delta_logit_std is None else f" ± {a.delta_logit_std:.2f}"
    facts = [
        *([("measured", f"{a.proposal}: {told(None, a.proposal)}")] if a.proposal else []),
        ("logit", f"{a.delta_logit:+.2f}{spread}"),
        ("probability", f"{100 * a.delta_prob:+.1f} points"),
        ("decisions flipped", probability(a.images_share)),
        ("visible on", "not measured" if a.visible_share is None else probability(a.visible_share)),
        ("chosen in", f"{probability(share)} of draws, {ranks if share else 'never'}"),
        ("coordinate", f"{a.index} ({a.layer}, channel {a.channel}, {a.direction.name.lower()})"),
    ]
    rows = "".join(f"<tr><th>{key}</th><td>{escape(value)}</td></tr>" for key, value in facts)
    pictures = "".join(_flicker(flicker, a.target) for flicker in entry.flickers)
    return (
        f'<section><h3><span class="rank">{rank}</span> {escape(a.title)}{where}</h3>'
        f'<div class="pictures">{pictures}</div>'
        f'<div class="numbers"><table>{rows}</table>{_histogram(entry.effects)}</div></section>'
    )


def _flicker(flicker: Flicker, target: str) -> str:
    change = f"{escape(target)} {probability(flicker.prob_before)} → {probability(flicker.prob_after)}"
    return (
        f'<figure><div class="flicker"><img alt="without the change" src="{_data(flicker.before)}">'
        f'<img class="after" alt="with the change" src="{_data(flicker.after)}"></div>'
        f"<figcaption>{change}</figcaption></figure>"
    )


def _data(image: Image.Image) -> str:
    with io.BytesIO() as file:
        image.save(file, format="png")
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _histogram(values: Sequence[float], width: int = 300, height: int = 90) -> str:
    """How the effects spread over the pictures; the line marks none."""
    low, high = min([0.0, *values]), max([0.0, *values])
    span = (high - low) or 1.0
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int((value - low) / span * BINS))] += 1
    top = max(counts) or 1
    bars = "".join(
        f'<rect x="{i * width / BINS:.1f}" y="{height * (1 - count / top):.1f}" width="{width / BINS - 1:.1f}" '
        f'height="{height * count / top:.1f}"/>'
        for i, count in enumerate(counts)
    )
    zero = -low / span * width
    return (
        f'<svg viewBox="-4 -4 {width + 8} {height + 24}" role="img" aria-label="histogram of the effects on the logit">'
        f'<g class="bars">{bars}</g><line x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{height}"/>'
        f'<text x="0" y="{height + 16}">{low:+.2f}</text>'
        f'<text x="{width}" y="{height + 16}" text-anchor="end">{high:+.2f} logits</text></svg>'
    )


def draw_curve(curves: Mapping[str, Sequence[tuple[int, float]]], width: int = 520, height: int = 220) -> str:
    """Sufficiency: share of decisions that the first k attributes change together."""
    most = max((k for points in curves.values() for k, _ in points), default=1)

    def place(k: int, share: float) -> str:
        return f"{40 + (width - 50) * (k - 1) / max(most - 1, 1):.1f},{10 + (height - 40) * (1 - share):.1f}"

    grid = "".join(
        f'<line x1="40" x2="{width - 10}" y1="{10 + (height - 40) * (1 - share):.1f}" '
        f'y2="{10 + (height - 40) * (1 - share):.1f}"/>'
        f'<text x="34" y="{14 + (height - 40) * (1 - share):.1f}" text-anchor="end">{share:.0%}</text>'
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    ticks = "".join(
        f'<text x="{place(k, 0).split(",")[0]}" y="{height - 12}" text-anchor="middle">{k}</text>'
        for k in sorted({1, *range(5, most + 1, 5), most})
    )
    lines = "".join(
        f'<polyline style="stroke:{colour(i)}" points="{" ".join(place(*p) for p in points)}"/>'
        + "".join(
            f'<circle style="fill:{colour(i)}" cx="{place(k, y).split(",")[0]}" '
            f'cy="{place(k, y).split(",")[1]}" r="3"><title>{k}: {y:.0%}</title></circle>'
            for k, y in points
        )
        for i, points in enumerate(curves.values())
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="sufficiency against the number of attributes">'
        f"{grid}{ticks}{lines}</svg>"
    )


# The flicker is two pictures on top of each other, the upper one shown and hidden by the style sheet: it can be
# stopped, and stands still for those who asked their system for less motion.
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #202020; background: #fff; max-width: 64rem; margin: 2rem auto;
       padding: 0 1rem }}
h1 {{ font-size: 1.6rem }} h2 {{ margin-top: 3rem; border-bottom: 2px solid #202020 }} h3 {{ margin: 0 0 .5rem }}
h3 small {{ font-weight: 400; color: #555 }}
section {{ border: 1px solid #ccc; border-radius: 6px; padding: 1rem; margin: 1rem 0 }}
.rank {{ display: inline-block; min-width: 1.6em; text-align: center; background: #202020; color: #fff;
        border-radius: 4px }}
.pictures, .numbers {{ display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start }}
figure {{ margin: 0; width: 12rem }} figcaption {{ font-size: .85rem; white-space: nowrap }}
.flicker {{ position: relative; width: 12rem; height: 12rem }}
.flicker img {{ position: absolute; inset: 0; width: 100%; height: 100% }}
.after {{ animation: flicker 1.4s steps(1) infinite }}
@keyframes flicker {{ 50% {{ opacity: 0 }} }}
#still:checked ~ main .after {{ animation: none }}
#still:checked ~ main .flicker:hover .after {{ opacity: 0 }}
@media (prefers-reduced-motion: reduce) {{ .after {{ animation: none }} .flicker:hover .after {{ opacity: 0 }} }}
table {{ border-collapse: collapse; font-size: .9rem }} th {{ text-align: left; padding-right: 1rem; font-weight: 600 }}
svg {{ width: 22rem; max-width: 100% }} svg text {{ font-size: 12px; fill: #444 }} svg line {{ stroke: #bbb }}
svg polyline {{ fill: none; stroke-width: 2 }} .bars rect {{ fill: #1f6f8b }}
.curve svg {{ width: 40rem }} .curve li {{ white-space: nowrap }}
.curve ul {{ list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.5rem }}
.curve span {{ display: inline-block; width: 1.2em; height: .3em; margin-right: .4em; vertical-align: middle }}
</style></head>
<body>
<input type="checkbox" id="still">
<label for="still">stop the flickers (point at a picture to see it without the change)</label>
<main>
<h1>{title}</h1>
{notes}
<div class="curve"><h2>How many it takes</h2>
<p>Share of the pictures whose decision changes when the first attributes move together, by their number.</p>
{curve}<ul>{legend}</ul></div>
{sections}
</main></body></html>
"""
