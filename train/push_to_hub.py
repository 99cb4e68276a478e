"""Push a trained model to the Hub, or the app as a Space.

python train/push_to_hub.py --model runs/mine/model --hub_model_id me/stylex-mine
python train/push_to_hub.py --space me/stylex-demo --hub_model_id me/stylex-mine
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stylex.networks.config import ConfigError
from stylex.storage.files import ModelError, read_json, read_text
from stylex.storage.hub import pin, push
from train.engine.publish import publish
from train.options.command import parse

ROOT = Path(__file__).resolve().parents[1]
# What the app needs to run: all of the repository but training and tests.
SPACE = ("README.md", "LICENSE", "app.py", "requirements.txt", "front", "stylex", "checkpoints", "docs")


@dataclass
class Options:
    """What to push, and where to.

    Args:
        model: folder of the model; nothing for a Space that shows a model which is on the Hub already.
        hub_model_id: repository of the model, such as me/stylex-mine; it is made if there is none.
        space: repository of a Space, such as me/stylex-demo, which shows the model, or else the bundled ones.
        about: Markdown of what cannot be measured: data, licence, training, limits; see train/configs/leaves-about.md.
        metrics: what train/evaluate.py wrote about this model.
        private: make a new repository private.
        commit_message: title of the commit.
        create_pr: propose the commit as a pull request.
        tag: name for the commit, such as v1.
    """

    model: str | None = None
    hub_model_id: str | None = None
    space: str | None = None
    about: str | None = None
    metrics: str | None = None
    private: bool = False
    commit_message: str = "Upload StylEx"
    create_pr: bool = False
    tag: str | None = None

    def __post_init__(self) -> None:
        if self.model and not self.hub_model_id:
            raise ConfigError("model is given without hub_model_id; say where to push it, such as me/stylex-mine")
        if self.hub_model_id and not (self.model or self.space):
            raise ConfigError("hub_model_id is given without model; say which folder to push, such as runs/mine/model")
        if not self.model and not self.space:
            raise ConfigError("there is nothing to push; give model and hub_model_id, or space")


def push_model(o: Options, model: str, repo_id: str) -> str:
    if not Path(model).is_dir():
        raise ModelError(f"{model} is not a folder; train/train.py writes one into its output, named model")
    return publish(
        Path(model),
        repo_id,
        about=read_text(Path(o.about)) if o.about else "",
        metrics=read_json(Path(o.metrics)) if o.metrics else None,
        private=o.private or None,
        commit_message=o.commit_message,
        create_pr=o.create_pr,
        tag=o.tag,
    )


def push_space(o: Options, space: str) -> str:
    """Upload the app as one commit; the model that it shows is pinned at its present commit."""
    with TemporaryDirectory() as place:
        for name in SPACE:
            source, copy = ROOT / name, Path(place) / name
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.part"))
            elif source.is_file():
                shutil.copy(source, copy)
        if o.hub_model_id:
            name_model(Path(place) / "README.md", o.hub_model_id)
        return push(
            Path(place),
            space,
            kind="space",
            private=o.private or None,
            commit_message=o.commit_message,
            create_pr=o.create_pr,
            tag=o.tag,
            files=["*"],
            remove=[f"{name}/*" for name in SPACE if (ROOT / name).is_dir()],
            variables={"STYLEX_MODELS": pin(o.hub_model_id)} if o.hub_model_id else {},
        )


def name_model(readme: Path, repo_id: str) -> None:
    """Say in the front matter of a Space which model it shows, so that the Hub links the two."""
    from huggingface_hub import SpaceCard

    card = SpaceCard.load(readme)
    card.data.models = [repo_id]
    card.save(readme)


def main(args: list[str] | None = None) -> None:
    o = parse(Options, "Push a trained model to the Hub, or the app as a Space.", args)
    if o.model and o.hub_model_id:
        print(push_model(o, o.model, o.hub_model_id))
    if o.space:
        print(push_space(o, o.space))


if __name__ == "__main__":
    try:
        main()
    except (ConfigError, ModelError, OSError) as error:
        sys.exit(f"error: {error}")
