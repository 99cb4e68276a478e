"""What the documents say is there: every file, command, option, name and number they mention."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib
import inspect
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from accelerate.commands.launch import launch_command_parser
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import stylex
from front.own_views import AT_HOME
from stylex.__main__ import main
from stylex.pictures.images import to_pil
from train.data.split import VALIDATION_PERCENT
from train.options.command import parse

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/ablations.md",
    "docs/attfind.md",
    "docs/data.md",
    "docs/deploy.md",
    "docs/measuring.md",
    "docs/methods.md",
    "docs/proof.md",
    "docs/retina.md",
    "docs/speed.md",
    "docs/training.md",
    "stylex/storage/card.md",
    "train/configs/cats_dogs-about.md",
    "train/configs/hands-about.md",
    "train/configs/leaves-128-about.md",
    "train/configs/leaves-about.md",
)
CARDS = "checkpoints/*/README.md"
ROOMS = ("stylex", "train", "front", "tests", "scripts", "benchmarks", "checkpoints", "docs", ".ci")
SCRIPTS = [
    p.stem for p in (ROOT / "train").glob("*.py") if 'if __name__ == "__main__"' in p.read_text(encoding="utf-8")
]
TEXT = {name: (ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
REQUIREMENTS = [line.split("#")[0].strip() for line in LINES if not line.startswith("#")]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
# The pictures of README and a model to show them with come together.
SHIPPED = (ROOT / "checkpoints").is_dir()
FRONT = yaml.safe_load(TEXT["README.md"].split("---\n")[1])


BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str = "") -> list[str]:
    """The code blocks of a document in one language."""
    return [code for found, code in BLOCK.findall(text) if found == language]


def spans(text: str) -> list[str]:
    """What stands between backticks in the prose."""
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))


def commands() -> list[str]:
    """What a reader may type: each line of a block without a language, but for the drawings, and commands in the prose
    that have options; and what the app's page says."""
    found = list(AT_HOME)
    for text in TEXT.values():
        for block in blocks(text):
            if "─" not in block:
                found += [part for line in block.splitlines() for part in line.split("#")[0].split("&&")]
        found += [span for span in spans(text) if re.match(r"make |(python|accelerate launch) .* -", span)]
    return [command.strip() for command in found if command.strip()]


def script_of(command: str) -> ModuleType | None:
    found = re.search(r"\btrain/(\w+)\.py", command)
    return importlib.import_module(f"train.{found[1]}") if found else None


# Files.


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_to_a_file(name):
    for link in re.findall(r"!?\[[^]]*\]\(([^)\s]+)\)", TEXT[name]):
        if re.match(r"https?://|mailto:|#", link) or "{{" in link:
            continue
        if not SHIPPED and link.startswith(("docs/", "checkpoints/")):
            continue
        assert (ROOT / name).parent.joinpath(link.split("#")[0]).exists(), link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_is_named_exists(name):
    codes = [
        code for language, code in BLOCK.findall(TEXT[name]) if language != "text"
    ]  # a drawing has a test of its own
    text = " ".join([*spans(TEXT[name]), *codes])
    for path in re.findall(r"(?<![\w/.<-])\.?\w[\w./-]*", text):
        ours = path.split("/")[0] in ROOMS and "/" in path
        if not ours and not re.fullmatch(r"[\w-]+\.(py|md|txt|toml)", path):
            continue
        if not SHIPPED and path.startswith(("docs/", "checkpoints")):
            continue
        assert (ROOT / path).exists(), path


def tree() -> dict[str, str]:
    """README's drawing of the repository: what each line says of its file or folder, by path."""
    (drawn,) = blocks(TEXT["README.md"], "text")
    found, above = {}, ""
    for line in drawn.splitlines():
        indent, name, says = re.fullmatch(r"( *)(\S+) {2,}(\S.*)", line).groups()
        above = name if not indent and name.endswith("/") else above
        found[above + name if indent else name] = says
    return found


def test_the_tree_of_the_readme_is_the_one_on_disk():
    """Both ways: a room that nobody mentions is as stale as one that is gone."""
    for path in tree():
        if SHIPPED or path not in ("docs/", "checkpoints/"):
            assert (ROOT / path).is_dir() == path.endswith("/"), path
            assert (ROOT / path).exists(), path
    rooms = {path.parent for top in ("stylex", "train", "front") for path in (ROOT / top).rglob("*.py")}
    assert {f"{room.relative_to(ROOT)}/" for room in rooms} <= tree().keys()
    assert {f"{room}/" for room in ROOMS if room != ".ci"} <= tree().keys()


def test_tests_mirror_the_rooms():
    """Under tests/, those of stylex, and the rooms of train under tests/train; what has clients of its own apart."""
    for folder in {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}:
        if str(folder) not in (".", "train", "front", "hub", "browser", "gpu"):
            assert (ROOT / folder).is_dir() or (ROOT / "stylex" / folder).is_dir(), folder


# Commands.


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make ")])
def test_every_make_target_exists(command):
    target, *variables = shlex.split(command.removeprefix("make "))
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
    for name in variables:
        assert f"$({name.split('=')[0]})" in MAKEFILE


@pytest.mark.parametrize("command", [c for c in commands() if script_of(c)])
def test_every_training_command_is_accepted(command):
    words = shlex.split(command)
    start = next(i for i, word in enumerate(words) if word.endswith(".py"))
    if words[:2] == ["accelerate", "launch"]:
        launch_command_parser().parse_args(words[2:])
    else:
        assert words[:start] == ["python"]
    if "--config" in words:
        assert (ROOT / words[words.index("--config") + 1]).is_file()
        words[words.index("--config") + 1] = str(ROOT / words[words.index("--config") + 1])
    parse(script_of(command).Options, "", words[start + 1 :])


def test_the_launchers_in_scripts_are_given_options_that_they_know():
    found = 0
    for text in TEXT.values():
        for block in blocks(text, "bash"):
            for words in map(
                shlex.split, re.findall(r"accelerate launch (.*?train/train\.py[^'\n]*)", block, re.DOTALL)
            ):
                start = words.index("train/train.py")
                # A variable of the shell stands for a number here.
                given = [re.sub(r"\$\w+", "0", word) for word in words[: start + 1] if word.strip()]
                launch_command_parser().parse_args(given)
                parse(importlib.import_module("train.train").Options, "", words[start + 1 :])
                found += 1
    assert found


def options_of_explain() -> set[str]:
    return set().union(*map(options_of, ("explain", "compare", "perturb")))


def options_of(command: str) -> set[str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        main([command, "--help"])
    return set(re.findall(r"--[\w-]+", said.getvalue()))


@pytest.mark.parametrize("command", [c for c in commands() if "-m stylex" in c])
def test_the_command_line_has_every_option_that_is_shown(command):
    name = re.findall(r"-m stylex (\w+)", command)[0]
    assert set(re.findall(r"--[\w-]+", command)) <= options_of(name)


def test_every_option_that_the_prose_names_is_one():
    known = (
        {"--config", "--help", "--json"} | options_of_explain() | set(launch_command_parser()._option_string_actions)
    )
    for name in SCRIPTS:
        known |= {f"--{f.name}" for f in dataclasses.fields(importlib.import_module(f"train.{name}").Options)}
    for path in (ROOT / "train" / "study.py", *sorted((ROOT / "benchmarks").glob("*.py"))):
        known |= set(re.findall(r'add_argument\("(--[\w-]+)"', path.read_text(encoding="utf-8")))
    for text in TEXT.values():
        for span in spans(text):
            for option in re.findall(r"(?<!\S)--[\w-]+", span):
                assert option in known, span


def test_nobody_is_told_to_type_what_no_test_knows():
    known = (
        r"make \w+",
        r"python train/\w+\.py",
        r"accelerate launch (--\w+ .*)?train/\w+\.py",
        r"python -m stylex (explain|compare|perturb)",
        r"python benchmarks/\w+\.py",
        r"([A-Z_]+=\S+ )?python app\.py",
        r"python3 -m venv \.venv",
        r"\. \.venv/bin/activate",
        r"pip install -r requirements\.txt",
        r"git clone <your fork>",
        r"cd <it>",
    )
    for command in commands():
        assert any(re.match(pattern, command) for pattern in known), command


def test_every_environment_variable_is_read():
    code = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "app.py", *(ROOT / "stylex").glob("*.py")])
    for command in commands():
        if found := re.match(r"([A-Z_]+)=", command):
            assert f'"{found[1]}"' in code


def test_every_script_starts_anywhere_and_ends_on_one_sentence(tmp_path):
    """All that take a model, at once, from a folder that is not the repository, with a model that is not there."""
    given = {"find_attributes": [], "evaluate": [], "bundle": ["--metrics", "m", "--about", "a", "--output", "o"]}
    started = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "train" / f"{name}.py"), "--model", "nothing", "--data", "d", *args],
            cwd=tmp_path,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for name, args in given.items()
    ]
    for process in started:
        _, said = process.communicate(timeout=240)
        assert process.returncode == 1
        assert said.startswith("error: nothing is neither a folder nor a repository name")
        assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# Code.


@pytest.fixture
def leaves(tiny_model, tmp_path, monkeypatch) -> Path:
    """The tiny model where README expects the leaves, with their class names, and one sample."""
    folder = tiny_model.save_pretrained(tmp_path / "checkpoints" / "leaves")
    for path in folder.rglob("*.json"):
        text = path.read_text(encoding="utf-8").replace('"plain"', '"diseased"').replace('"spotted"', '"healthy"')
        path.write_text(text, encoding="utf-8")
    (folder / "samples").mkdir()
    x = tiny_model.synthesize(tiny_model.sample(torch.tensor([[0.9, 0.1]])))
    to_pil(x).save(folder / "samples" / "diseased-1.png")
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_code_of_the_readme_runs(leaves, capsys):
    for code in blocks(TEXT["README.md"], "python"):
        if '"me/' in code:  # tests/hub runs those that need a Hub
            continue
        exec(compile(code, "README.md", "exec"), {})
    numbers = json.loads(Path("out/explanation.json").read_text(encoding="utf-8"))
    assert numbers["target"] == "healthy"
    assert len(capsys.readouterr().out.splitlines()) == len(numbers["attributes"]) > 0


def test_the_code_of_the_methods_runs(leaves, capsys):
    for code in blocks(TEXT["docs/methods.md"], "python"):
        exec(compile(code, "methods.md", "exec"), {})
    assert Path("out/progression.gif").is_file()


def test_every_name_of_the_library_exists_with_these_parameters():
    for text in TEXT.values():
        for name, arguments in re.findall(r"`stylex\.(\w+)(?:\(([^`)]*)\))?`", text):
            if arguments:
                taken = list(inspect.signature(getattr(stylex, name)).parameters)
                assert [a.strip() for a in arguments.split(",")] == taken[: arguments.count(",") + 1]


@pytest.mark.parametrize("name", [*DOCUMENTS, *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob(CARDS))])
def test_everything_that_a_document_imports_comes_from_stylex_itself(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for code in blocks(text, "python"):
        for node in ast.walk(ast.parse(re.sub(r"{{.*?}}", "None", code))):
            if isinstance(node, ast.Import):
                assert not [a.name for a in node.names if a.name.startswith("stylex.")]
            elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "stylex":
                assert node.module == "stylex"
                assert {a.name for a in node.names} <= set(stylex.__all__)
    for named in re.findall(r"`stylex\.([\w.]+)", text):
        assert named in stylex.__all__


def test_messages_and_helps_name_nothing_below_stylex():
    for path in [ROOT / "app.py", *(p for room in ("stylex", "train", "front") for p in (ROOT / room).rglob("*.py"))]:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        explained = {
            id(node.body[0].value)
            for node in nodes
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None
        }
        said = [n.value for n in nodes if isinstance(n, ast.Constant) and id(n) not in explained]
        said += [ast.get_docstring(n) or "" for n in nodes if isinstance(n, ast.ClassDef) and n.name == "Options"]
        for text in said:
            for named in re.findall(r"(?<![.\w])stylex\.(\w+)", text) if isinstance(text, str) else []:
                assert named in stylex.__all__, f"{path.name}: {text}"


def test_public_docstrings_send_nobody_below_stylex():
    """`hub.fetch` is no name for somebody who has `from stylex import StylEx`."""
    inner = {path.stem for path in (ROOT / "stylex").rglob("*.py")} | {p.name for p in (ROOT / "stylex").iterdir()}
    for name in stylex.__all__:
        public = getattr(stylex, name)
        members = vars(public) if inspect.isclass(public) else {}
        for part in (public, *(member for key, member in members.items() if not key.startswith("_"))):
            for dotted in re.findall(r"`(\w+)\.\w+", inspect.getdoc(part) or ""):
                assert dotted not in inner, f"{name}: {dotted}"


# Numbers and versions.


def test_the_front_matter_is_one_that_a_space_can_start_from():
    assert FRONT["sdk"] == "gradio"
    assert (ROOT / FRONT["app_file"]).is_file()
    assert isinstance(FRONT["python_version"], str)  # unquoted, 3.10 would be 3.1
    assert FRONT["license"] == PROJECT["license"].lower()
    assert len(FRONT["short_description"]) <= 60
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {FRONT["colorFrom"], FRONT["colorTo"]} <= colours


def test_the_front_matter_agrees_with_the_requirements():
    (gradio,) = [r for r in map(Requirement, REQUIREMENTS) if r.name == "gradio"]
    assert Version(FRONT["sdk_version"]) in gradio.specifier
    assert Version(FRONT["python_version"]) in SpecifierSet(PROJECT["requires-python"])


def test_requirements_are_the_extras_of_the_app_and_of_training():
    extras = PROJECT["optional-dependencies"]
    assert sorted(REQUIREMENTS) == sorted(PROJECT["dependencies"] + extras["app"] + extras["train"])


def test_the_versions_of_python_are_those_of_the_package():
    supported = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)}
    assert set(re.findall(r"(?:Python|or) (3\.\d+)", TEXT["README.md"])) == supported
    assert str(FRONT["python_version"]) in supported
    assert PROJECT["requires-python"] == f">={min(supported, key=Version)}"


def test_the_held_out_share_is_the_one_in_the_code():
    for name in ("README.md", "docs/data.md", "train/configs/leaves-about.md", "train/configs/hands-about.md"):
        assert re.findall(r"(\d+) % of (?:them|the pictures)", TEXT[name]) == [str(VALIDATION_PERCENT)]


def test_the_address_is_the_one_that_make_serves():
    (port,) = set(re.findall(r"127\.0\.0\.1:(\d+)", TEXT["README.md"]))
    assert re.search(rf"^PORT \?= {port}$", MAKEFILE, re.MULTILINE)


@pytest.mark.skipif(not SHIPPED, reason="the numbers come with the bundled model")
def test_nothing_is_left_to_be_filled_in():
    for name, text in TEXT.items():
        assert not re.search(r"\b(MEASURED|TODO|TBD|FIXME|XXX)\b", text), name
