"""What is printed arrives in every terminal and file, and our files are UTF-8 whatever the terminal is."""

from __future__ import annotations

import ast
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stylex.__main__ import main
from stylex.terminal import print_anything
from train.options.command import parse

ROOT = Path(__file__).parents[1]
OURS = [p for room in ("stylex", "train", "front", "benchmarks", "scripts") for p in (ROOT / room).rglob("*.py")]


class Terminal(io.TextIOWrapper):
    """A terminal with an encoding of its own, which refuses what that does not have."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", newline="")

    def says(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


@pytest.mark.parametrize(
    ("encoding", "arrives"),
    [
        ("utf-8", "cat → dog ↑ 97\u202f% naïve 猫 ± −1"),
        ("cp1252", "cat -> dog up 97 % naïve \\u732b ± -1"),
        ("ascii", "cat -> dog up 97 % naive \\u732b +- -1"),
        ("gbk", "cat → dog ↑ 97 % naive 猫 ± -1"),
    ],
)
def test_what_a_terminal_cannot_write_is_written_otherwise(encoding, arrives, monkeypatch):
    terminal = Terminal(encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    print_anything()
    print("cat → dog ↑ 97\u202f% naïve 猫 ± −1", end="")
    assert terminal.says() == arrives


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_picture_is_explained_in_any_terminal(encoding, model_folder, pictures, tmp_path, monkeypatch):
    for path in (model_folder / "config.json", model_folder / "classifier" / "config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        config["class_names"] = ["Ähre", "猫"]
        path.write_text(json.dumps(config), encoding="utf-8")
    (model_folder / "attributes.json").write_text('{"attributes": []}')
    terminal, errors = Terminal(encoding), Terminal(encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", errors)
    asked = ["explain", str(pictures / "spotted" / "spotted-0.png"), "--model", str(model_folder)]
    assert main([*asked, "--output", str(tmp_path / "out"), "--target", "猫"]) == 0
    assert "towards \\u732b:" in terminal.says()
    assert " -> " in terminal.says()
    assert json.loads((tmp_path / "out" / "explanation.json").read_bytes().decode("utf-8"))["target"] == "猫"
    assert main([*asked, "--target", "→"]) == 1
    assert errors.says().startswith("error: there is no class '->'; this classifier knows ")


@dataclass
class Names:
    """What has a name.

    Args:
        name: any.
    """

    name: str = ""


@pytest.mark.parametrize("equals", [True, False])
def test_a_configuration_is_utf_8_in_any_terminal(equals, tmp_path, monkeypatch):
    path = tmp_path / "names.yaml"
    path.write_bytes("\ufeffname: Ähre 猫\n".encode())
    opened = io.open

    def in_ascii(file, mode="r", buffering=-1, encoding=None, *rest):
        return opened(file, mode, buffering, encoding if encoding or "b" in mode else "ascii", *rest)

    monkeypatch.setattr("builtins.open", in_ascii)
    assert parse(Names, "", [f"--config={path}"] if equals else ["--config", str(path)]).name == "Ähre 猫"


PROGRAMS = [p for p in OURS if '__name__ == "__main__"' in p.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_program_prints_in_any_terminal(path):
    """Some measure for minutes before their first letter that is not ASCII."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(call.func) for call in ast.walk(tree) if isinstance(call, ast.Call)}
    # `parse` reads options, `fill_folder` draws pictures; gpu_minutes.py starts before there is anything of ours.
    assert called & {"print_anything", "parse", "fill_folder"} or path.name == "gpu_minutes.py"
    if path.parent.name == "scripts" and "fill_folder" in called:
        assert "print_anything()" in (ROOT / "scripts" / "drawing.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_text_names_its_encoding(path):
    """Without one, Python takes the terminal's."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        how = {k.arg for k in call.keywords}
        what = ast.unparse(call.func)
        if what.endswith((".read_text", ".write_text")):
            assert "encoding" in how, ast.unparse(call)
        if what in ("open", "os.fdopen") and not any("b" in ast.literal_eval(a) for a in call.args[1:2]):
            assert "encoding" in how, ast.unparse(call)
