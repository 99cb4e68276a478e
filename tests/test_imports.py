"""The import picture of the design, kept true by reading the imports with `ast`.

app.py --> front --> stylex <-- train        stylex never imports gradio, accelerate, train, front or app
model --> explain, folder --> attfind, methods --> pictures --> networks --> classifiers --> storage
attfind and methods take callables, s -> logits, so they never import a model; losses, metrics, stylespace are leaves
what one starts of train --> classifying, search, measure --> engine --> options --> data

Every import counts: those inside functions, and those for the type checker alone.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STYLEX = sorted((ROOT / "stylex").rglob("*.py"))
TRAIN = sorted((ROOT / "train").rglob("*.py"))
FRONT = [ROOT / "app.py", *sorted((ROOT / "front").rglob("*.py"))]
STANDARD = sys.stdlib_module_names
# What a plain install of the library brings along ...
INSTALLED = {"torch", "torchvision", "numpy", "PIL", "safetensors", "huggingface_hub"}
# ... and what single functions ask for when they are called, with a sentence where it is missing.
ON_DEMAND = {"timm", "transformers", "lpips", "captum"}
# Rooms and single files of stylex, from the top; an import stays on its floor or goes down.
FLOORS = (
    {"__init__", "__main__"},
    {"model"},
    {"compare", "explain", "folder", "neighbours", "versus"},
    {"explanation", "attfind", "methods"},
    {"pictures"},
    {"networks"},
    {"classifiers"},
    {"steady", "storage"},
    {"gradients", "losses", "metrics", "probe", "stylespace", "terminal", "version"},
)
# The same of train; what lies on top of it is started, each file of it.
TRAIN_FLOORS = (
    {"__init__", *(path.stem for path in TRAIN if path.parent == ROOT / "train")},
    {"search", "measure", "classifying"},
    {"engine"},
    {"options"},
    {"data"},
)
LEAVES = (
    *sorted(FLOORS[-1]),
    "networks.layers",
    "pictures.metadata",
    "pictures.fonts",
    "pictures.formats",
    "storage.alike",
    "storage.durable",
    "storage.pointers",
)

Graph = Mapping[str, set[str]]


def imports(path: Path) -> tuple[set[str], set[str]]:
    """Full names imported when the module is loaded, and those imported only when a function runs or types are checked.

    `from .x import y` in stylex/z.py counts as stylex.x and, since y may be a module, as stylex.x.y.
    """
    loaded: set[str] = set()
    later: set[str] = set()

    def visit(node: ast.AST, is_later: bool) -> None:
        found = later if is_later else loaded
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.relative_to(ROOT).with_suffix("").parts[: -node.level]) if node.level else ""
            module = ".".join(filter(None, [package, node.module or ""]))
            found.update([module, *(f"{module}.{alias.name}" for alias in node.names)])
        is_later |= isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        is_later |= isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.iter_child_nodes(node):
            visit(child, is_later)

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return loaded, later


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def name_of(path: Path) -> str:
    """stylex/attfind/edits.py -> stylex.attfind.edits"""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def graph(paths: list[Path]) -> Graph:
    """Which of these files imports which; a package that gives a name stands for its __init__."""
    known = {name_of(path): path for path in paths}
    found = {}
    for name, path in known.items():
        everything = set().union(*imports(path))
        used = everything & known.keys()
        for package in {n for n in everything if f"{n}.__init__" in known}:
            taken = {n for n in everything if n.rpartition(".")[0] == package}
            if not taken or any(n not in known and f"{n}.__init__" not in known for n in taken):
                used.add(f"{package}.__init__")
        found[name] = used - {name}
    return found


def circles(of: Graph) -> Iterator[list[str]]:
    """Every way from a file back to itself that a walk along the imports comes across; each starts with a file that no
    walk has left."""
    left: set[str] = set()

    def walk(name: str, way: list[str]) -> Iterator[list[str]]:
        if name in way:
            yield [*way[way.index(name) :], name]
        elif name not in left:
            for further in sorted(of[name]):
                yield from walk(further, [*way, name])
            left.add(name)

    for name in of:
        yield from walk(name, [])


def room(name: str) -> str:
    """stylex.attfind.edits -> attfind"""
    return name.split(".")[1]


def upstairs(paths: list[Path], floors: Sequence[set[str]]) -> list[tuple[str, str]]:
    """Each import of a file that is on a higher floor than the one that imports it."""

    def floor(name: str) -> int:
        return next(n for n, rooms in enumerate(floors) if room(name) in rooms)

    return [(name, n) for name, used in graph(paths).items() for n in used if floor(n) < floor(name)]


def room_graph(paths: list[Path]) -> Graph:
    """Which rooms import which."""
    rooms: dict[str, set[str]] = {room(name): set() for name in graph(paths)}
    for name, used in graph(paths).items():
        rooms[room(name)] |= {room(n) for n in used} - {room(name)}
    return rooms


@pytest.mark.parametrize("path", STYLEX, ids=name_of)
def test_stylex_imports_only_what_a_plain_install_brings(path):
    loaded, later = imports(path)
    assert tops(loaded) <= STANDARD | INSTALLED | {"stylex"}
    assert tops(later) <= STANDARD | INSTALLED | {"stylex"} | ON_DEMAND


@pytest.mark.parametrize(
    ("document", "begins"), [("README.md", "Imports go down only:"), ("CONTRIBUTING.md", "- Imports go down:")]
)
def test_documents_name_the_floors_in_their_order(document, begins):
    (sentence,) = re.findall(
        rf"^{begins}(.*?)[;.]", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    named = re.findall(r"`(\w+)`", sentence)
    floors = [next(n for n, rooms in enumerate(FLOORS) if name in rooms) for name in named]
    assert floors == sorted(floors)
    assert set(floors) == set(range(1, len(FLOORS) - 1))  # all between what is started and the leaves


@pytest.mark.parametrize(("paths", "floors"), [(STYLEX, FLOORS), (TRAIN, TRAIN_FLOORS)], ids=["stylex", "train"])
def test_no_import_runs_upstairs(paths, floors):
    assert upstairs(paths, floors) == []


@pytest.mark.parametrize("paths", [STYLEX, TRAIN, FRONT], ids=["stylex", "train", "front"])
def test_no_files_import_each_other_in_a_circle(paths):
    assert not list(circles(graph(paths)))


@pytest.mark.parametrize("paths", [STYLEX, TRAIN], ids=["stylex", "train"])
def test_no_rooms_import_each_other_in_a_circle(paths):
    assert not list(circles(room_graph(paths)))


def test_what_lies_on_top_of_train_can_be_started():
    for path in (p for p in TRAIN if p.parent == ROOT / "train" and p.stem != "__init__"):
        assert 'if __name__ == "__main__":' in path.read_text(encoding="utf-8"), path.name


def test_circles_are_found():
    assert list(circles({"a": {"b"}, "b": {"c"}, "c": set()})) == []
    assert list(circles({"a": {"b", "c"}, "b": {"c"}, "c": {"b"}})) == [["b", "c", "b"]]
    assert list(circles({"a": {"b"}, "b": {"b"}})) == [["b", "b"]]


@pytest.mark.parametrize("name", LEAVES)
def test_leaves_are_leaves(name):
    everything = set().union(*imports(ROOT / "stylex" / f"{name.replace('.', '/')}.py"))
    assert tops(everything) <= STANDARD | {"torch", "numpy", "PIL", "safetensors"}


def test_train_knows_stylex_and_never_the_app():
    for path in TRAIN:
        loaded, later = imports(path)
        assert not tops(loaded | later) & {"app", "front", "gradio"}, path.name
        assert tops(loaded) <= STANDARD | INSTALLED | {"stylex", "train", "accelerate", "jsonargparse", "tqdm", "yaml"}


def test_the_app_never_trains():
    for path in FRONT:
        loaded, later = imports(path)
        assert not tops(loaded | later) & {"train", "accelerate", "jsonargparse"}, path.name


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
    ours = {"train", "front", "app"}
    assert not tops(set(seen)) & (ours | {"gradio", "accelerate", "jsonargparse", "lpips", "timm", "transformers"})
    assert not set(seen) & {"torchvision", "torch._dynamo"}  # two fifths of every start; few functions need them


def test_reading_a_model_does_not_load_torch_s_compiler(model_folder):
    """It takes longer than the model."""
    read = f"import sys; from stylex import StylEx; StylEx.from_pretrained({str(model_folder)!r}); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", read], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch._dynamo", "torch._inductor"} & set(run.stdout.split())
