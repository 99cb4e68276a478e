"""What the scripts that draw pictures have in common: two class folders, filled all at once or not at all."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stylex.storage.outputs import OutputError, claim, filling
from stylex.terminal import print_anything

SIDE = 96  # pixels of a picture
Draw = Callable[[random.Random, bool], Image.Image]


def drawn(path: Path) -> bool:
    """Whether a picture from before there were lists is of these scripts: nobody else's has that name and that size."""
    with Image.open(path) as image:
        return image.size == (SIDE, SIDE)


def fill_folder(about: str | None, what: str, classes: tuple[str, str], draw: Draw, args: list[str] | None) -> None:
    """A script's command line: a folder with a sub-folder of pictures for each class.

    Args:
        about: the script's docstring, for its help.
        what: the pictures are of, in the plural.
        classes: without and with what tells them apart.
        draw: random numbers and whether the picture has it -> picture.
    """
    print_anything()
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    folders = " and ".join(f"{name}/" for name in classes)
    parser.add_argument("folder", type=Path, metavar="PICTURES", help=f"folder to make, with {folders}")
    parser.add_argument("--count", type=int, default=800, help="pictures of each class")
    parser.add_argument("--seed", type=int, default=0)
    o = parser.parse_args(args)
    numbers = random.Random(o.seed)
    names = [f"{name}/{name}-{number:04d}.png" for name in classes for number in range(o.count)]
    try:
        claim(o.folder, names, option="folder", known=drawn)
        with filling(o.folder, option="folder", known=drawn) as aside:
            for name in names:
                (aside / name).parent.mkdir(exist_ok=True)
                draw(numbers, name.startswith(f"{classes[1]}/")).save(aside / name)
    except OutputError as error:
        parser.error(str(error))
    print(f"{2 * o.count} {what} in {o.folder}")
