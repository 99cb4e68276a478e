"""Pushing from a training run that must not notice, later by hand, and the Space itself."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from hub.server import FRONT_MATTER
from huggingface_hub import ModelCard, SpaceCard, snapshot_download
from PIL import Image
from small import command_line

from stylex import StylEx
from stylex.classifiers.classifier import wrap
from stylex.networks.config import ConfigError
from stylex.pictures.images import to_pil
from stylex.storage.card import model_card
from stylex.storage.files import ModelError, is_sealed, write_json
from stylex.storage.hub import HubError, fetch
from train.engine import publish
from train.engine.publish import Publisher
from train.engine.revision import revision_of
from train.push_to_hub import main
from train.train import main as train

ROOT = Path(__file__).resolve().parents[2]
NAME = "me/tiny"


@pytest.fixture
def start(hub, pictures, classifier_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")

    def run(*flags: str, **options) -> Path:
        values = {"data": pictures, "classifier": classifier_folder, "output": tmp_path / "run", "total_kimg": 0.016}
        train([*command_line(**{**values, "hub_model_id": NAME, **options}), "--push_to_hub", *flags])
        return tmp_path / "run"

    return run


# While training.


def test_a_run_pushes_its_model_and_how_it_was_trained(hub, start):
    run = start("--hub_private_repo", save_minutes=0.0)
    assert hub.repo(NAME).private
    newest = hub.repo(NAME).history()[0]
    assert newest.title == "Training: 16 pictures"
    pulled = fetch(NAME)
    ours = run / "model"
    for path in ours.rglob("*.safetensors"):
        assert (pulled / path.relative_to(ours)).read_bytes() == path.read_bytes()
    how = json.loads((pulled / "training.json").read_text())
    assert how["pictures"] == 16
    card = hub.text(NAME, "README.md")
    assert f"| hardware | {how['hardware']} |" in card
    assert f'StylEx.from_pretrained("{NAME}")' in card
    assert not (ours / "README.md").exists()


def test_the_minutes_of_a_resumed_run_add_up(start, monkeypatch):
    run = start(total_kimg=0.004)
    file = run / "model" / "training.json"
    write_json(file, json.loads(file.read_text()) | {"minutes": 12.5})
    start(total_kimg=0.008)
    assert 12.5 <= json.loads((run / "model" / "training.json").read_text())["minutes"] < 14
    start(total_kimg=0.004, resume="none")
    assert json.loads((run / "model" / "training.json").read_text())["minutes"] < 2


def test_a_hub_that_is_away_costs_a_run_a_warning_and_the_push_is_made_up_for_later(hub, start, capsys):
    hub.stop()
    run = start(save_minutes=0.0)
    warning = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: the Hub is away")]
    command = f"python train/push_to_hub.py --model {run / 'model'} --hub_model_id {NAME}"
    assert warning
    assert all(line.endswith(command) for line in warning)
    assert StylEx.from_pretrained(run / "model").class_names == ["plain", "spotted"]

    import loopback

    hub.start(loopback.PORT)
    main(command.split()[2:])
    assert [c.title for c in hub.repo(NAME).history()] == ["Upload StylEx", "initial commit"]
    StylEx.from_pretrained(NAME)


def test_a_token_that_may_not_write_costs_a_run_a_warning(hub, start, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_read")
    start()
    assert "warning: your token may not write to me/tiny" in capsys.readouterr().err
    assert hub.repos == {}


def test_training_goes_on_while_a_slow_hub_takes_the_model(hub, model_folder):
    publisher = Publisher(NAME)
    hub.fails("/preupload/", "slow", seconds=1.5)
    started = time.monotonic()
    publisher.offer(model_folder, 1)
    assert time.monotonic() - started < 0.5
    expected = (model_folder / "attributes.json").read_bytes()
    write_json(model_folder / "attributes.json", {"attributes": []})  # the run has gone on
    publisher.offer(model_folder, 2)  # and is not pushed while the first one is on its way
    publisher.thread.join(30)
    assert [c.title for c in hub.repo(NAME).history()] == ["Training: 1 pictures", "initial commit"]
    assert hub.repo(NAME).history()[0].files["attributes.json"].content == expected
    publisher.finish(model_folder, 3)
    assert hub.repo(NAME).history()[0].title == "Training: 3 pictures"
    assert hub.repo(NAME).history()[0].files["attributes.json"].content != expected


def test_a_push_is_not_repeated_before_its_time(hub, model_folder):
    publisher = Publisher(NAME, every_minutes=60)
    publisher.offer(model_folder, 1)
    publisher.thread.join(30)
    publisher.offer(model_folder, 2)
    assert not publisher.thread.is_alive()
    assert len(hub.repo(NAME).history()) == 2


def test_a_hub_that_never_answers_does_not_keep_a_run_from_ending(hub, model_folder, monkeypatch, capsys):
    monkeypatch.setattr(publish, "LAST_PUSH_S", 0.3)
    hub.fails("POST /api/repos/create", "slow", seconds=2.0)
    publisher = Publisher(NAME)
    started = time.monotonic()
    publisher.finish(model_folder, 1)
    assert time.monotonic() - started < 1.5
    assert publisher.thread.daemon
    assert "warning: the Hub has not taken the model within 0 s. The run goes on" in capsys.readouterr().err
    publisher.thread.join(30)


def test_a_model_that_cannot_be_copied_costs_a_warning(hub, tmp_path, capsys):
    Publisher(NAME).offer(tmp_path / "nowhere", 1)
    assert "warning: the model could not be copied for the Hub" in capsys.readouterr().err


def test_a_run_that_is_to_push_needs_a_name(start):
    with pytest.raises(ConfigError, match="push_to_hub needs hub_model_id, such as me/stylex-mine; it is 'tiny'"):
        start(hub_model_id="tiny")


# By hand.


def test_the_script_pushes_a_folder_with_its_numbers_and_a_card_that_the_hub_accepts(hub, model_folder, capsys):
    (model_folder / "README.md").unlink()
    revision = revision_of(StylEx.from_pretrained(model_folder))
    metrics = {"n": 100, "agreement": 0.98, "shift": 1.0, "revision": revision}
    write_json(model_folder.parent / "measured.json", metrics)
    about = model_folder.parent / "about.md"
    about.write_text("---\nlicense: mit\n---\n\n## Data and licence\n\nSquares.\n")
    options = ["--about", str(about), "--metrics", str(model_folder.parent / "measured.json"), "--tag", "v1"]
    main(["--model", str(model_folder), "--hub_model_id", NAME, *options, "--commit_message", "The squares"])
    newest = hub.repo(NAME).history()[0]
    assert capsys.readouterr().out.strip().endswith(f"/{NAME}/commit/{newest.oid}")
    assert (newest.title, hub.repo(NAME).tags) == ("The squares", {"v1": newest.oid})
    card = ModelCard.load(NAME)
    card.validate()
    assert card.data.license == "mit"
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.metric_args["n"]) == ("agreement", 0.98, 100)
    assert "Squares." in card.text
    moving = re.findall(r"!\[[^]]*\]\((attributes/\d\.gif)\)", card.text)
    assert moving
    for path in moving:
        assert Image.open(fetch(NAME) / path).n_frames == 2
    assert not (model_folder / "README.md").exists()
    # Numbers of other weights do not belong on the card.
    write_json(model_folder.parent / "measured.json", {**metrics, "revision": "another"})
    main(["--model", str(model_folder), "--hub_model_id", NAME, *options[:4]])
    assert ModelCard.load(NAME).data.eval_results is None


def test_a_card_made_elsewhere_is_addressed_to_its_repository(hub, tiny_model, tmp_path):
    model = copy.copy(tiny_model)
    model.card = model_card(model.facts(), "checkpoints/leaves")
    folder = model.save_pretrained(tmp_path / "model")
    main(["--model", str(folder), "--hub_model_id", NAME])
    assert 'StylEx.from_pretrained("me/tiny")' in hub.text(NAME, "README.md")
    assert is_sealed(hub.text(NAME, "README.md"))
    assert 'from_pretrained("checkpoints/leaves")' in (folder / "README.md").read_text()


def test_a_model_whose_classifier_it_cannot_hold_is_not_pushed(hub, tiny_model, tmp_path):
    model = copy.copy(tiny_model)
    model.classifier = wrap(tiny_model.classifier.network, tiny_model.class_names, 16)
    folder = model.save_pretrained(tmp_path / "model")
    says = (
        "which a repository cannot hold, so nobody else could use the model; to share one, train with a classifier of"
    )
    with pytest.raises(ModelError, match=says):
        model.push_to_hub(NAME)
    with pytest.raises(ModelError, match=says):
        main(["--model", str(folder), "--hub_model_id", NAME])
    assert hub.repos == {}


def test_a_folder_that_is_no_whole_model_is_not_pushed(hub, model_folder):
    (model_folder / "encoder" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"encoder/model\.safetensors is missing"):
        main(["--model", str(model_folder), "--hub_model_id", NAME])
    with pytest.raises(ModelError, match=r"nowhere is not a folder; train/train\.py writes one"):
        main(["--model", "nowhere", "--hub_model_id", NAME])
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "there is nothing to push; give model and hub_model_id, or space"),
        (["--model", "x"], "model is given without hub_model_id; say where to push it"),
        (["--hub_model_id", NAME], "hub_model_id is given without model; say which folder"),
    ],
)
def test_a_command_without_an_end_says_what_is_missing(args, says):
    with pytest.raises(ConfigError, match=says):
        main(args)


# The Space.


def test_the_space_is_one_commit_of_app_library_requirements_and_front_matter(hub, pushed):
    main(["--space", "me/demo", "--hub_model_id", NAME])
    space = hub.repo("me/demo", "space")
    newest, _ = space.history()
    for path in (
        "app.py",
        "stylex/model.py",
        "stylex/storage/card.md",
        "front/page.css",
        "requirements.txt",
        "LICENSE",
    ):
        assert newest.files[path].size == (ROOT / path).stat().st_size
    assert not any(path.startswith(("train/", "tests/", ".git/")) or "__pycache__" in path for path in newest.files)
    front = yaml.safe_load(FRONT_MATTER.match(hub.text("me/demo", "README.md", kind="space"))[1])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    SpaceCard(hub.text("me/demo", "README.md", kind="space")).validate()
    assert front["models"] == [NAME]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert hub.text("me/demo", "README.md", kind="space").endswith(text.split("---\n", 2)[2])
    assert {**front, "models": None} == {**yaml.safe_load(FRONT_MATTER.match(text)[1]), "models": None}
    assert space.variables == {"STYLEX_MODELS": f"{NAME}@{hub.repo(NAME).history()[0].oid}"}
    hub.put("me/demo", "stylex/old.py", b"", kind="space")
    main(["--space", "me/demo"])
    assert "stylex/old.py" not in space.history()[0].files


def test_a_space_for_a_model_that_is_not_there_is_refused_before_anything_is_pushed(hub):
    with pytest.raises(HubError, match="me/nothing is neither a folder here nor a repository"):
        main(["--space", "me/demo", "--hub_model_id", "me/nothing"])
    assert hub.repos == {}


@pytest.fixture
def space(hub, tiny_model, tmp_path) -> Iterator[str]:
    """`python app.py` in a folder that was pulled as a Space, with the settings that the Hub would give it."""
    model = tiny_model.save_pretrained(tmp_path / "model")
    (model / "samples").mkdir()
    x = tiny_model.synthesize(tiny_model.sample(torch.tensor([[0.9, 0.1]]), seed=1))
    to_pil(x).save(model / "samples" / "plain-1.png")
    main(["--model", str(model), "--hub_model_id", NAME, "--space", "me/demo"])
    hub.put(NAME, "config.json", b"{}")  # the Space shows the commit that it was pushed with
    folder = Path(snapshot_download("me/demo", repo_type="space", local_dir=tmp_path / "space"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        **hub.repo("me/demo", "space").variables,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(tmp_path / "gradio"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_CACHE": str(tmp_path / "its-cache"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": "",
    }
    with open(tmp_path / "app.log", "w") as log:
        app = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=folder,
            env={**os.environ, **settings},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url, give_up = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while True:
            assert app.poll() is None, (tmp_path / "app.log").read_text()
            assert time.monotonic() < give_up
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        os.killpg(app.pid, signal.SIGTERM)
        app.wait(timeout=30)
    shutil.rmtree(folder)


def test_the_app_of_a_pulled_space_explains_with_a_pulled_model(hub, space, tiny_model, pictures, tmp_path):
    from gradio_client import Client, handle_file

    picture = pictures / "spotted" / "spotted-0.png"
    client = Client(space, verbose=False, download_files=str(tmp_path / "downloads"))
    numbers, _ = client.predict(handle_file(picture), "spotted", "independent", 2, api_name="/explain")
    rounded = StylEx.from_pretrained(tmp_path / "model")
    expected = rounded.explain(picture, target="spotted", top_k=2).to_dict()
    assert [a["index"] for a in numbers["attributes"]] == [a["index"] for a in expected["attributes"]]
    assert numbers["probs"] == pytest.approx(expected["probs"], abs=1e-5)
    with urllib.request.urlopen(space) as page:
        assert b"StylEx" in page.read()
    assert (tmp_path / "its-cache").is_dir()
