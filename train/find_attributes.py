"""Search the style coordinates that change the classifier's mind, and store them in the model folder.

    python train/find_attributes.py --model runs/leaves/model --data ../shared/data/leaves

What is measured is kept beside the model folder. A run that was killed goes on where it was, several may work at once
(`accelerate launch`, or `--shard 0/8` to `--shard 7/8`), and with other options for the choice it is ranked anew
without being measured again. docs/attfind.md tells more.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from torch import Tensor

from stylex.attfind import shards
from stylex.attfind.shards import ShardedEffects, ShardError
from stylex.model import StylEx
from stylex.storage.files import ModelError
from stylex.storage.outputs import put_json
from train.data.records import DataError
from train.options.command import parse
from train.options.searching import Options
from train.search.choose import attributes_of, choice_of, why_empty
from train.search.described import with_words
from train.search.grown import told
from train.search.jobs import Jobs, certificate, measure, part_of, prepare, wait_for
from train.search.report_attributes import write_report
from train.search.searched import Searched


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Search the style coordinates that change the classifier's mind.", args)
    part = part_of(o.shard)
    model, data, jobs = prepare(o)
    for job in jobs:
        measure(model, *job, data.styles, part)
    if o.shard:
        if left := sum(len(shards.missing(*job)) for job in jobs):
            print(f"{left} shards of other parts are still missing; whoever finishes last ranks", file=sys.stderr)
            return
    elif part[0]:
        return
    for job in jobs:
        wait_for(*job)
    rank(model, data, jobs, o)


def rank(model: StylEx, data: Searched, jobs: Jobs, o: Options) -> None:
    """Choose attributes from what has been measured, store them, say and show them."""
    plan, folder = jobs[0]
    effects = ShardedEffects(plan, folder)

    def pictures(rows: Tensor) -> tuple[Tensor, Tensor]:
        names = [plan.pictures[i] for i in rows.tolist()]
        return data.styles(names), model.classify(data.pictures(names))

    searched_before, model.stats = model.stats is not None, plan.stats
    choice = choice_of(model, effects, plan, o, pictures)
    if choice.grown:
        print(told(choice.grown), file=sys.stderr)
    found = attributes_of(model, effects, plan, choice)
    if found:
        found = with_words(model, found, data, plan.pictures, plan.shift, o.seed)
    empty = [
        f"no attribute from {source} towards {model.class_names[target]}: {why_empty(choice, number)}"
        for number, (source, target) in enumerate(choice.jobs)
        if not choice.lists[number]
    ]
    if not found:
        raise DataError(f"{'; '.join(empty)}. Train longer, or ask for less (--min_visible 0 --discriminator 0)")
    for sentence in empty:
        print(f"warning: {sentence}", file=sys.stderr)
    doubt = certificate(plan, ShardedEffects(*jobs[1])) if len(jobs) > 1 else None
    renewed = {(a.source, a.target) for a in found}
    # Where training has gone on, those of other classes are names without numbers.
    kept = [a for a in model.attributes if (a.source, a.target) not in renewed] if o.target and searched_before else []
    model.attributes, model.certificate = found + kept, model.certificate if kept else doubt
    model.save_pretrained(o.model)
    for a in model.attributes:
        seen = "" if a.visible_share is None else f", visible on {a.visible_share:.0%}"
        print(
            f"{a.source} → {a.target}  {a.coordinate}: {a.title}{f' ({a.doubt})' if a.doubt else ''}; "
            f"logit {a.delta_logit:+.2f}, "
            f"probability {a.delta_prob:+.1%}, flips {a.images_share:.0%}{seen}"
        )
    if doubt is not None:
        put_json(folder / "certificate.json", doubt.to_dict(), option="--effects")
        print(
            f"{doubt.moves} of {2 * model.space.num_conv} moves were made. On {doubt.pictures} pictures on which all "
            f"were: recall@20 {doubt.recall_at_20:.3f} (of single pictures {doubt.recall_per_picture:.3f}), "
            f"same top 10 for {doubt.same_top_10:.0%} of the classes",
            file=sys.stderr,
        )
    if o.report:
        path = folder / "report.html"
        write_report(path, model, effects, plan, choice, found, data.styles, o, doubt)
        print(f"the report is in {path}", file=sys.stderr)


def run_plainly(main: Callable[[], None]) -> None:
    """Run a script; what ends it early is one sentence."""
    try:
        main()
    except (DataError, ModelError, ShardError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error}; the shards that are finished stay, and the same command goes on from there")
    except KeyboardInterrupt:
        print("stopped; the shards that are finished stay, and the same command goes on from there", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    run_plainly(main)
