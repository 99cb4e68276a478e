"""Rented minutes of a GPU: each step within its time, and whoever cuts it off finds the last whole model."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import yaml

from train.options.command import parse

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "gpu_minutes.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("gpu_minutes", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def joined(out: Path, to: Path) -> Path:
    """As a person puts the pieces together."""
    command = f"cat {out}/pieces/model.tar.* | tar -x -C {to}"
    subprocess.run(command, shell=True, check=True)
    return to / "model"


def test_pieces_are_small_and_together_the_model(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "PIECE", 4096)
    model = tmp_path / "run" / "model"
    (model / "generator").mkdir(parents=True)
    (model / "generator" / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    for text in ("first", "second"):  # the second takes the place of the first
        (model / "config.json").write_text(text, encoding="utf-8")
        script.pack(model, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"run", "pieces"}
    assert max(p.stat().st_size for p in (tmp_path / "pieces").iterdir()) <= 4096
    found = joined(tmp_path, tmp_path)
    assert (found / "config.json").read_text(encoding="utf-8") == "second"
    assert (found / "generator" / "model.safetensors").read_bytes() == bytes(range(256)) * 40


def test_a_model_is_packed_when_training_has_saved_it_and_not_before(script, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    packer = script.Packer(model, tmp_path)
    (model / "config.json").write_text("{}", encoding="utf-8")
    packer.look()
    assert not (tmp_path / "pieces").exists()
    (model / "training.json").write_text("{}", encoding="utf-8")
    packer.look()
    assert (tmp_path / "pieces" / "model.tar.00").is_file()
    before = (tmp_path / "pieces" / "model.tar.00").stat().st_mtime_ns
    packer.look()
    assert (tmp_path / "pieces" / "model.tar.00").stat().st_mtime_ns == before


@pytest.mark.parametrize("killed_at", [".pieces.part", "pieces-before"])
def test_what_a_kill_leaves_while_packing_is_cleared_and_one_whole_set_was_there(script, tmp_path, killed_at):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}", encoding="utf-8")
    script.pack(model, tmp_path)
    (tmp_path / killed_at).mkdir()
    (tmp_path / killed_at / "model.tar.00").write_bytes(b"half")
    script.pack(model, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"model", "pieces"}
    assert tarfile.is_tarfile(tmp_path / "pieces" / "model.tar.00")


def test_a_step_that_takes_too_long_is_ended_and_the_next_one_begins(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "SAVED_S", 0.05)
    m = script.Minutes(tmp_path, minutes=1)
    start = time.monotonic()
    assert not m.run("slow", ["-c", "import time; print('begun', flush=True); time.sleep(60)"], 0.5)
    assert time.monotonic() - start < 10
    looks = []
    assert m.run("quick", ["-c", "print('said')"], 20, lambda: looks.append(1))
    assert looks
    known = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert known["steps"]["slow"]["late"]
    assert known["steps"]["quick"]["returned"] == 0
    assert "said" in (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert script.Minutes(tmp_path, minutes=1).done("quick")
    assert not script.Minutes(tmp_path, minutes=1).done("slow")
    m.interrupted()
    assert not m.run("after", ["-c", "raise SystemExit"], 20)


def test_the_phases_of_a_run_keep_their_shares_of_it(script):
    config = yaml.safe_load((ROOT / "train/configs/gpu-leaves.yaml").read_text(encoding="utf-8"))
    twice = script.stretched(config | {"ada_kimg": 100}, 2 * config["total_kimg"])
    assert twice.keys() == {name for name in config if name.endswith("_kimg")}
    assert all(value == 2 * config[name] for name, value in twice.items())


def test_rates_fall_before_the_minutes_are_over_too(script):
    config = {"total_kimg": 400, "decay_kimg": 100}
    assert script.until(config, 6.0) == ["--max_minutes", "6.000", "--decay_minutes", "1.500"]
    assert script.until({"total_kimg": 400}, 6.0)[-1] == "0.000"


def test_a_run_is_promised_no_pictures_for_the_time_until_it_begins_and_compiled_ones_begin_late(script, tmp_path):
    plain = {"resolution": 128, "batch_size": 32, "compile": False, "images_per_second": 100.0, "start_s": 20.0}
    fast = plain | {"compile": True, "images_per_second": 150.0, "start_s": 60.0}
    other = plain | {"resolution": 64, "images_per_second": 1000.0}
    (tmp_path / "speeds.json").write_text(json.dumps({"runs": [plain, fast, other, {"resolution": 128}]}))
    m, config = script.Minutes(tmp_path, 10), {"resolution": 128, "total_kimg": 10, "warmup_kimg": 1}
    short, long = (script.batch_and_length(m, config, seconds) for seconds in (100, 400))
    assert short[short.index("--compile") + 1] == "false"
    assert long[long.index("--compile") + 1] == "true"
    assert float(short[short.index("--total_kimg") + 1]) == pytest.approx(6.8)
    assert script.batch_and_length(script.Minutes(tmp_path / "none", 10), config, 100) == []


@pytest.fixture
def rehearsed(script, tmp_path, monkeypatch):
    """`main` whose commands are noted instead of run, and leave what the real ones do."""
    words_of: dict[str, list[str]] = {}

    def run(m, step, words, seconds, meanwhile=lambda: None):
        words_of[step] = list(words)
        made = {
            "classifier": "classifier/config.json",
            "training": "run/model/config.json",
            "measuring": "metrics.json",
        }
        if step in made:
            path = m.out / made[step]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('{"retrieval": 0.9}', encoding="utf-8")
        meanwhile()
        m.known["steps"][step] = {"returned": 0}
        return True

    monkeypatch.setattr(script.Minutes, "run", run)
    monkeypatch.setattr(script.signal, "signal", lambda *_: None)
    monkeypatch.setattr(script, "MEASURING", {})
    for name in ("ACCELERATE_USE_CPU", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")

    def start(*more: str) -> dict[str, list[str]]:
        words_of.clear()
        assert script.main(["10", str(tmp_path), str(tmp_path / "out"), "--cpu", *more]) == 0
        return words_of

    return start


def test_every_command_is_one_that_its_script_accepts(rehearsed, tmp_path):
    ran = rehearsed()
    scripts = {words[0] for step, words in ran.items() if step != "tests"}
    assert len(ran) == 7
    for path in sorted(scripts):
        assert (ROOT / path).is_file()
    for words in ran.values():
        name = words[0].removeprefix("train/").removesuffix(".py")
        if words[0].startswith("train/"):
            parse(importlib.import_module(f"train.{name}").Options, "", words[1:])
    known = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert known["metrics"] == {"retrieval": 0.9}
    assert (tmp_path / "out" / "pieces" / "model.tar.00").is_file()


def test_what_was_done_before_it_was_cut_off_is_not_done_again(rehearsed):
    assert "classifier" in rehearsed()
    assert set(rehearsed()) == {"attributes", "measuring", "AttFind"}


def test_a_classifier_that_is_there_is_taken(rehearsed):
    ran = rehearsed("--config", str(ROOT / "train/configs/gpu-cats_dogs.yaml"))
    assert "classifier" not in ran
    assert ran["training"][ran["training"].index("--classifier") + 1] == "wheel:efficientnet-lite0"


def test_what_is_missing_is_named_with_the_way_out(script, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(script, "NEEDED", {"torch": "torch", "nobody_has_this": "nobody-has-this"})
    with pytest.raises(SystemExit):
        script.main(["10", str(tmp_path), str(tmp_path / "out")])
    said = " ".join(capsys.readouterr().err.split())
    assert "missing: nobody-has-this" in said
    assert "--wheels" in said


@pytest.mark.parametrize("name", ["gpu-leaves", "gpu-cats_dogs"])
def test_the_configurations_are_of_models_whose_files_can_be_shipped(name):
    """Under 10 MB each in half precision."""
    from stylex.networks.config import ModelConfig
    from train.presets import Size

    config = yaml.safe_load((ROOT / f"train/configs/{name}.yaml").read_text(encoding="utf-8"))
    shapes = {key: config[key] for key in ("channels", "trunk_channels", "w_dim")}
    size = Size.of(ModelConfig.preset(config["resolution"], 2, discriminator="projected", **shapes))
    for network, count in size.parameters.items():
        assert 2 * count < 10e6 or network == "mapping", network


def test_it_begins_with_a_python_that_is_named(tmp_path):
    """The shell script alone, from another folder."""
    script = ROOT / "scripts" / "gpu_minutes.sh"
    done = subprocess.run(
        [script, "--help"], cwd=tmp_path, env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}, capture_output=True
    )
    assert b"MINUTES DATA OUT" in done.stdout
