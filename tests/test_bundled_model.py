"""The models that ship with the repository: whole, small, honest, and able to explain their own samples."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from stylex import StylEx
from train.engine.revision import revision_of

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
SHIPPED = sorted(p for p in CHECKPOINTS.iterdir() if p.is_dir()) if CHECKPOINTS.is_dir() else []
MAX_BYTES = 10_000_000
SUFFIXES = {".json", ".safetensors", ".md", ".png", ".gif", ".webp"}
# What design and README promise of every model, whichever way it was trained.
MEASURED = (
    "classifier_accuracy",
    "agreement",
    "retrieval",
    "visibility",
    "mean_abs_delta_prob",
    "l1",
)
# One of them at least has an opinion of every model: the judge, trained beside a classifier of ours, or the stranger.
JUDGES = {
    "judge": ("second_agreement", "second_sufficiency"),
    "stranger": ("stranger_agreement", "stranger_sufficiency"),
}

pytestmark = pytest.mark.skipif(not CHECKPOINTS.exists(), reason="no model ships with this checkout")


@pytest.fixture(scope="module", params=SHIPPED, ids=lambda p: p.name)
def folder(request) -> Path:
    return request.param


@pytest.fixture(scope="module")
def model(folder) -> StylEx:
    """Loaded strictly: a missing, unknown, misshapen or infinite weight is refused."""
    return StylEx.from_pretrained(folder)


@pytest.fixture(scope="module")
def metrics(folder) -> dict:
    def refuse(word: str) -> None:
        raise ValueError(f"metrics.json holds {word}")

    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"), parse_constant=refuse)


def judged(folder: Path) -> list[tuple[str, str]]:
    return [keys for part, keys in JUDGES.items() if (folder / part).is_dir()]


def test_the_leaves_are_among_them():
    assert CHECKPOINTS / "leaves" in SHIPPED


def test_every_file_is_small_and_none_can_run(folder):
    for path in folder.rglob("*"):
        assert not path.is_symlink()
        if path.is_file():
            assert path.stat().st_size < MAX_BYTES, path
            assert path.suffix in SUFFIXES, path


def test_the_folder_is_whole(folder, model):
    for name in ("README.md", "config.json", "attributes.json", "style_stats.safetensors", "samples/SOURCE.md"):
        assert (folder / name).read_bytes().strip(), name
    assert judged(folder)
    # What was trained here has a judge that was trained beside it; somebody else's classifier need not.
    assert (model.judge is not None) == (model.classifier.config.library == "stylex")
    assert model.stats.count > 0
    assert not re.search(r"(?:^|\s)/(?:work|home|root|tmp)/", (folder / "README.md").read_text(encoding="utf-8"))


def test_the_attributes_move_towards_every_class(model):
    assert {a.target for a in model.attributes} == set(model.class_names)
    for a in model.attributes:
        assert a.index < model.space.num_conv
        assert model.stats.s_min[a.index] < model.stats.s_max[a.index]


def samples(folder: Path) -> list[Path]:
    return sorted(p for p in (folder / "samples").iterdir() if p.suffix == ".png")


def test_the_samples_are_pictures_of_every_class_in_the_model_s_own_size(folder, model):
    called = {model.class_names[int(model.logits(model.load_images([p])).argmax())] for p in samples(folder)}
    assert called == set(model.class_names)
    for path in samples(folder):
        with Image.open(path) as image:
            assert image.size == (model.resolution, model.resolution)
            assert image.mode == "RGB"


def test_the_samples_are_the_model_s_own_work(folder, model):
    """A picture that the generator made is easy for it: it comes back nearer than a photograph of the same things."""
    x = model.load_images(samples(folder))
    error = (model.synthesize(model.styles(model.encode(x))) - x).abs().mean(dim=(1, 2, 3))
    assert error.mean() < 0.1
    assert "made by this model" in (folder / "samples" / "SOURCE.md").read_text(encoding="utf-8")


def test_the_classifier_knows_a_sample_of_every_class(folder, model):
    chosen = [next(p for p in samples(folder) if p.name.startswith(f"{name}-")) for name in model.class_names]
    x = model.load_images(chosen)
    of_the_picture, of_its_reconstruction = (
        model.logits(pictures).argmax(dim=1).tolist()
        for pictures in (x, model.synthesize(model.styles(model.encode(x))))
    )
    assert of_the_picture == of_its_reconstruction == list(range(len(model.class_names)))


def test_samples_are_explained(folder, model, tmp_path):
    """From the file to the flicker: some attribute shows, and moves the classifier towards the other class."""
    for name in model.class_names[:3]:
        sample = next(p for p in samples(folder) if p.name.startswith(f"{name}-"))
        target = next(other for other in model.class_names if other != name)
        e = model.explain(sample, target=target, top_k=3)
        assert e.predicted == name
        assert any(a.visible and a.delta > 0 for a in e.attributes)
    written = e.save(tmp_path / "out")
    assert (written / "attribute-1.gif").is_file()


def test_the_numbers_are_of_these_weights_and_attributes(folder, model, metrics):
    assert metrics["revision"] == revision_of(model)
    assert metrics["class_names"] == model.class_names
    assert metrics["shift"] == 1.0
    assert metrics["n"] >= 100
    for key in (*MEASURED, *(agreement for agreement, _ in judged(folder))):
        assert 0 <= metrics[key] <= 1, key
    for key in ("sufficiency", *(sufficiency for _, sufficiency in judged(folder))):
        assert list(metrics[key]) == [str(k) for k in range(1, 21)]


def test_the_card_s_numbers_are_those_of_metrics_json(folder, metrics):
    rows = [line for line in (folder / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    for key in (*MEASURED, *(agreement for agreement, _ in judged(folder))):
        assert any(f"| {metrics[key]} |" in row for row in rows), key
    for key in ("sufficiency", *(sufficiency for _, sufficiency in judged(folder))):
        assert any(str(metrics[key]["10"]) in row for row in rows), key


def test_the_readme_says_on_how_many_pictures():
    text = " ".join((CHECKPOINTS.parent / "README.md").read_text(encoding="utf-8").split())
    for name in ("leaves-128", "hands", "cats_dogs"):
        numbers = json.loads((CHECKPOINTS / name / "metrics.json").read_text(encoding="utf-8"))
        assert f"{numbers['n']} held-out pictures of {name}" in text


def test_the_card_shows_pictures_that_are_there_and_names_its_licence(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"!\[[^]]*\]\(([^)\s]+)\)", card) if not link.startswith("http")]
    assert links
    for link in links:
        assert (folder / link).is_file(), link
    assert re.search(r"^license: \S+", card, re.MULTILINE)


def test_the_card_s_example_loads_this_folder_from_the_repository_s_root(folder):
    (named,) = re.findall(r'StylEx\.from_pretrained\("([^"]*)"\)', (folder / "README.md").read_text(encoding="utf-8"))
    assert named == f"checkpoints/{folder.name}"
    assert (CHECKPOINTS.parent / named).samefile(folder)


def test_random_pictures_can_be_drawn_or_the_card_says_that_there_are_none(model):
    if model.mapping is None:
        assert "It draws no random pictures" in model.card
        return
    probs = torch.eye(len(model.class_names))
    x = model.synthesize(model.sample(probs, seed=0))
    assert x.std(dim=0).mean() > 0.01  # not one picture for all
