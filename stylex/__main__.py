"""`python -m stylex explain IMAGE --model FOLDER --target CLASS --output FOLDER`, `compare` and `perturb`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, get_args

import torch

from .classifiers.adopt import adopt_as_said
from .classifiers.config import Outputs
from .classifiers.reading import Colours, Interpolation
from .compare import FILES as COMPARED
from .compare import compare
from .explain import resolve_target
from .explanation import AttributeEdit, Method, Strategy, files_of, from_before
from .methods.perturbation import DILATION, L1, POWER, STEPS, perturb
from .methods.perturbation import FILES as PERTURBED
from .model import StylEx
from .neighbours import PROB, SPACES
from .pictures.fonts import MISSING, undrawable
from .pictures.images import list_images, to_tensor
from .pictures.render import probability
from .storage.outputs import claim
from .terminal import print_anything
from .versus import FILES as JUDGED
from .versus import versus

MOST_NAMES = 1000  # attributes whose files are looked for before the work


def main(args: list[str] | None = None) -> int:
    print_anything()
    o = parser().parse_args(args)
    try:
        return {"explain": _explain, "compare": _compare, "perturb": _perturb}[o.command](o)
    except ValueError as error:  # ImageError, ModelError and MethodError are ValueErrors
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {o.output} cannot be written ({error.strerror}); choose another --output", file=sys.stderr)
    return 1


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    p = argparse.ArgumentParser(prog="stylex", description="See what an image classifier looks at.")
    commands = p.add_subparsers(dest="command", required=True)
    explain = commands.add_parser("explain", help="show which attributes change the classifier's mind about a picture")
    explain.add_argument("image", help="the picture")
    _of_model(explain)
    explain.add_argument("--top-k", type=int, default=5, help="how many attributes (default %(default)s)")
    explain.add_argument("--method", choices=get_args(Method), default="attfind", help="default %(default)s")
    explain.add_argument(
        "--strategy", choices=get_args(Strategy), default="independent", help="of attfind (default %(default)s)"
    )
    explain.add_argument(
        "--shift", type=float, default=1.0, help="1 goes to the end of the range (default %(default)s)"
    )
    explain.add_argument(
        "--prob", type=float, default=PROB, help="of a counterfactual: what to reach (default %(default)s)"
    )
    explain.add_argument(
        "--space",
        choices=list(SPACES),
        default="styles",
        help="of a counterfactual: the shortest way in the style coordinates, few of them, or w (default %(default)s)",
    )
    _output(explain)
    together = commands.add_parser(
        "compare", help="ask every method about one picture, or, without one, two classifiers about many"
    )
    together.add_argument("image", nargs="?", help="the picture; without one, two classifiers are compared")
    _of_model(together, "without a picture, the one to compare with the model's own")
    _of_classifier(together)
    together.add_argument(
        "--pictures", help="of two classifiers: folder of pictures to ask them about; the model's samples if left out"
    )
    together.add_argument(
        "--count", type=int, default=24, help="of two classifiers: pictures at most (default %(default)s)"
    )
    _output(together)
    perturbed = commands.add_parser(
        "perturb", help="show where a picture has to change to lose its class; no generator"
    )
    perturbed.add_argument("image", help="the picture")
    perturbed.add_argument("--classifier", required=True, help="a classifier's folder or name, see docs/data.md")
    _of_classifier(perturbed)
    perturbed.add_argument("--target", help="the class to take away; the picture's own if left out")
    perturbed.add_argument("--resolution", type=int, help="side of the picture; the classifier's if left out")
    perturbed.add_argument("--steps", type=int, default=STEPS, help="default %(default)s")
    perturbed.add_argument("--l1", type=float, default=L1, help="how dear a change is (default %(default)s)")
    perturbed.add_argument(
        "--power", type=float, default=POWER, help="of the map: larger leaves the strongest alone (default %(default)s)"
    )
    perturbed.add_argument(
        "--dilation", type=float, default=DILATION, help="of the map, a share of the side (default %(default).3f)"
    )
    perturbed.add_argument("--seed", type=int, default=0, help="default %(default)s")
    _output(perturbed)
    return p


def _numbers(text: str) -> list[float]:
    """0.5,0.5,0.5"""
    return [float(number) for number in text.split(",")]


def _object(text: str) -> dict[str, Any]:
    """JSON of an object."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(text)
    return value


def _of_classifier(command: argparse.ArgumentParser) -> None:
    """What a classifier's name does not say; see docs/data.md."""
    command.add_argument("--classifier-weights", help="weights of an architecture without a folder")
    command.add_argument("--class-names", help="names with commas between them, or a file with one in each line")
    command.add_argument("--classifier-resolution", type=int, help="side of the pictures that it reads")
    command.add_argument("--classifier-outputs", choices=get_args(Outputs), help="what it returns")
    command.add_argument("--classifier-groups", help="classes made of outputs, such as cat=281-285,dog=151-268")
    command.add_argument("--classifier-temperature", type=float, help="its logits are divided by it")
    command.add_argument("--classifier-mean", type=_numbers, help="of the channels, with commas between them")
    command.add_argument("--classifier-std", type=_numbers, help="the same")
    command.add_argument("--classifier-colours", choices=get_args(Colours), help="order in which it reads channels")
    command.add_argument("--classifier-interpolation", choices=get_args(Interpolation), help="to its size")
    command.add_argument("--classifier-crop", type=float, help="share of the sides that it reads, in the middle")
    command.add_argument("--classifier-arguments", type=_object, help='of an architecture: {"aux_logits": false}')
    command.add_argument("--number-class-names", action="store_true", help="names that occur twice get a number")


def _of_model(command: argparse.ArgumentParser, more: str = "") -> None:
    command.add_argument(
        "--model", required=True, help="a model folder, or a Hub repository such as someone/stylex-leaves"
    )
    command.add_argument("--revision", help="branch, tag or commit of the repository")
    own = "the classifier of a model that could not be saved with it"
    command.add_argument("--classifier", help=f"{own}; {more}" if more else own)
    command.add_argument("--target", help="the class to move towards; the runner-up if left out")


def _output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--output",
        default="out",
        help="folder for pictures and numbers (default %(default)s); what lies there is left alone, but for what "
        "this command wrote earlier, which is written over",
    )


def _load(o: argparse.Namespace) -> StylEx:
    try:
        return StylEx.from_pretrained(o.model, revision=o.revision, classifier=o.classifier)
    except OSError as error:
        raise ValueError(str(error)) from None


def _explain(o: argparse.Namespace) -> int:
    claim(Path(o.output), files_of(min(o.top_k, MOST_NAMES)), spare=[o.image], known=from_before)
    model = _load(o)
    if o.method == "counterfactual":
        found = model.counterfactual(o.image, target=o.target, prob=o.prob, space=o.space)
    else:
        found = model.explain(
            o.image, target=o.target, top_k=o.top_k, strategy=o.strategy, shift=o.shift, method=o.method
        )
    folder = found.save(o.output)
    print(f"classifier: {_bars(found.probs)}\nreconstruction: {_bars(found.reconstruction_probs)}")
    for warning in found.warnings:
        print(f"warning: {warning}")
    print(f"towards {found.target}:")
    for n, a in enumerate(found.attributes, start=1):
        print(
            f"  {n}. {a.title:<36} {probability(a.prob_before)} → {probability(a.prob_after)}   "
            f"{a.changed_share:.0%} of the pixels change visibly   attribute-{n}.gif"
        )
        if isinstance(a, AttributeEdit) and a.words:
            print(f"     {a.coordinate}{f'   {a.doubt}' if a.doubt else ''}")
    if left := undrawable([found.predicted, found.target, *(a.title for a in found.attributes)]):
        print(
            f"warning: no font here can draw {', '.join(left)}; {MISSING} stands for it in the pictures, and the names "
            "are in explanation.json"
        )
    print(f"written to {folder}")
    return 0


def _compare(o: argparse.Namespace) -> int:
    if o.image is None:
        return _compare_classifiers(o)
    claim(Path(o.output), COMPARED, spare=[o.image])
    found = compare(_load(o), o.image, target=o.target)
    folder = found.save(o.output)
    e = found.explanation
    print(f"classifier: {_bars(e.probs)}\nreconstruction: {_bars(e.reconstruction_probs)}")
    for warning in e.warnings:
        print(f"warning: {warning}")
    print(f"towards {e.target}:")
    for row in found.rows:
        if row.shown is not None:
            a = row.shown
            print(
                f"  {row.name:<36} {probability(a.prob_before)} → {probability(a.prob_after)}   "
                f"{row.coordinates} coordinates   {a.changed_share:.0%} of the pixels   {row.seconds:.1f} s"
            )
    for name, share in found.overlaps.items():
        print(f"  {name}: {share:.0%} of the map lies where the shortest counterfactual changes the picture")
    print(f"written to {folder}")
    return 0


def _compare_classifiers(o: argparse.Namespace) -> int:
    if o.classifier is None:
        raise ValueError("give a picture to ask every method about, or another classifier with --classifier")
    if o.count < 1:
        raise ValueError(f"count is {o.count}; use 1 or more")
    claim(Path(o.output), JUDGED)
    folder = Path(o.pictures or Path(o.model) / "samples")
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder of pictures; name one with --pictures")
    files = list_images(folder)
    # Some of every sub-folder, which may be a class.
    files = files[:: max(1, len(files) // o.count)][: o.count]
    if not files:
        raise ValueError(f"{folder} has no picture; name another folder with --pictures")
    model = StylEx.from_pretrained(o.model, revision=o.revision)
    names = [path.relative_to(folder).as_posix() for path in files]
    called = Path(o.model).name, Path(o.classifier).name
    found = versus(model, adopt_as_said(o), model.load_images(files), names, called)
    told = found.to_dict()
    print(
        f"{found.names[0]} and {found.names[1]} agree on {told['agree']:.0%} of {told['n']} pictures, on "
        f"{told['agree_on_reconstructions']:.0%} of their reconstructions"
    )
    for row in told["disagree"][:5]:
        print(f"  {row['file']}: {found.names[0]} {_bars(row['first'])}; {found.names[1]} {_bars(row['second'])}")
    print("what moves the one more than the other (mean change of the target's probability, decisions that flip):")
    for moved in found.moved[:10]:
        each = (
            f"{name} " + ("calls them all that" if d is None or f is None else f"{100 * d:+.1f} %, {f:.0%} flip")
            for name, d, f in zip(found.names, moved.delta_prob, moved.flips, strict=True)
        )
        print(f"  {moved.title} towards {moved.target}: {'; '.join(each)}")
    print(f"written to {found.save(o.output)}")
    return 0


def _perturb(o: argparse.Namespace) -> int:
    claim(Path(o.output), PERTURBED, spare=[o.image])
    classifier = adopt_as_said(o)
    if o.resolution is not None and o.resolution < 8:
        raise ValueError(f"resolution is {o.resolution}; use 8 or more")
    reads = classifier.config.resolution  # (height, width) of one that reads no squares; it resizes what it gets
    x = to_tensor([o.image], o.resolution or (reads if isinstance(reads, int) else max(reads)))
    with torch.no_grad():
        logits = classifier(x)[0]
    names = classifier.class_names
    aim = int(logits.argmax()) if o.target is None else resolve_target(names, logits, o.target)
    found = perturb(classifier, x, torch.tensor([aim]), steps=o.steps, l1=o.l1, seed=o.seed)
    folder = found.save(o.output, x, names[aim], power=o.power, dilation=o.dilation)
    probs = dict(zip(names, logits.softmax(0).tolist(), strict=True))
    print(f"classifier: {_bars(probs)}")
    if found.warnings[0]:
        print(f"warning: {found.warnings[0]}")
    column, row = found.map(0, o.power, o.dilation).centre
    print(
        f"{names[aim]} {probability(float(found.prob_before[0]))} → {probability(float(found.prob_after[0]))}   "
        f"centre at {column / x.shape[-1]:.0%} from the left, {row / x.shape[-2]:.0%} from the top"
    )
    print(f"written to {Path(folder)}")
    return 0


def _bars(probs: dict[str, float]) -> str:
    best = sorted(probs.items(), key=lambda item: -item[1])[:5]
    return ", ".join(f"{name} {probability(p)}" for name, p in best)


if __name__ == "__main__":
    sys.exit(main())
