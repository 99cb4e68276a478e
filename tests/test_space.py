"""The app can be deployed: front matter, requirements, container and what is installed agree with each other."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from huggingface_hub import SpaceCard, SpaceCardData
from packaging.requirements import Requirement
from packaging.version import Version

import app
from train.push_to_hub import SPACE, name_model

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FRONT = yaml.safe_load(README.split("---\n")[1])
LINES = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
REQUIREMENTS = [Requirement(text) for line in LINES if (text := line.split("#")[0].strip())]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
# The keys that the Hub's reference of Spaces configuration knows, of those that fit an app.
KNOWN = {
    "title",
    "emoji",
    "colorFrom",
    "colorTo",
    "sdk",
    "sdk_version",
    "python_version",
    "app_file",
    "fullWidth",
    "header",
    "short_description",
    "suggested_hardware",
    "suggested_storage",
    "models",
    "datasets",
    "tags",
    "thumbnail",
    "pinned",
    "license",
    "disable_embedding",
    "startup_duration_timeout",
    "preload_from_hub",
}
TORCH_ON_ZEROGPU = Version("2.11")  # the newest that ZeroGPU was seen to offer, older than the newest there is


def test_the_front_matter_is_what_the_hub_client_reads():
    card = SpaceCard.load(ROOT / "README.md")
    assert isinstance(card.data, SpaceCardData)
    assert card.data.to_dict() == FRONT
    assert set(FRONT) <= KNOWN
    assert {"sdk", "sdk_version", "python_version", "app_file", "license", "tags", "suggested_hardware"} <= set(FRONT)
    assert len(set(FRONT["tags"])) == len(FRONT["tags"]) > 2


def test_a_space_names_the_model_that_it_shows(tmp_path):
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    name_model(tmp_path / "README.md", "me/tiny")
    card = SpaceCard.load(tmp_path / "README.md")
    assert card.data.to_dict() == {**FRONT, "models": ["me/tiny"]}
    assert card.content.endswith(README.split("---\n", 2)[2])


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
def test_what_is_tested_is_what_the_requirements_allow(requirement):
    assert Version(importlib.metadata.version(requirement.name)) in requirement.specifier


def test_the_space_runs_a_gradio_that_was_tested():
    """The one that is installed, or one before it: a release of gradio must not fail the tests of an old commit."""
    ours, (allowed,) = Version(FRONT["sdk_version"]), [r for r in REQUIREMENTS if r.name == "gradio"]
    assert ours in allowed.specifier
    assert ours <= Version(importlib.metadata.version("gradio"))


def test_the_requirements_leave_the_torch_of_zerogpu_alone():
    (torch,) = [r for r in REQUIREMENTS if r.name == "torch"]
    assert TORCH_ON_ZEROGPU in torch.specifier
    assert "spaces" not in {r.name for r in REQUIREMENTS}  # a Space brings it along


def test_the_app_of_the_front_matter_is_the_one_that_is_tested():
    assert Path(app.__file__) == ROOT / FRONT["app_file"]


def test_the_container_holds_what_a_space_holds():
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()}
    assert copied == set(SPACE)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_container_runs_the_python_of_the_space_as_nobody_special():
    assert f"FROM python:{FRONT['python_version']}-slim" in DOCKERFILE
    assert DOCKERFILE.index("USER ") < DOCKERFILE.index("CMD [")
    assert 'CMD ["python", "app.py"]' in DOCKERFILE
