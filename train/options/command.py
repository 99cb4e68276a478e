"""Options from a YAML file and the command line, one dataclass per script; a mistyped option is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import fields
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import ArgumentParser

from stylex.storage.pointers import stub_at
from stylex.terminal import print_anything

T = TypeVar("T")


def parse(options: type[T], description: str, args: list[str] | None = None) -> T:
    """The dataclass `options`, filled from `--config FILE` first and then from `--name value`.

    Of a yes or no the name alone is a yes.
    """
    print_anything()
    parser = ArgumentParser(description=description)
    parser.add_argument("--config", action="config", help="YAML file with any of the options below")
    parser.add_class_arguments(options)
    given = sys.argv[1:] if args is None else args
    values = parser.parse_args(_spell_out(options, list(_read_configs(given))))
    values.pop("config", None)
    return options(**values.as_dict())


def _read_configs(args: list[str]) -> Iterator[str]:
    """The same arguments, with the text of a --config that is not plain ASCII instead of its name.

    jsonargparse reads a file in the terminal's encoding; ours are UTF-8 everywhere.
    """
    previous = ""
    for arg in args:
        option, _, name = arg.rpartition("=") if arg.startswith("--config=") else (previous, "", arg)
        previous = arg
        if option == "--config" and Path(name).is_file():
            if pointer := stub_at(name):
                sys.exit(f"error: {name} {pointer}")
            with suppress(UnicodeDecodeError):  # which jsonargparse tells better
                if not (text := Path(name).read_text(encoding="utf-8-sig")).isascii():
                    arg = arg.removesuffix(name) + text
        yield arg


def check_numbers(
    options: Any, names: Iterable[str], holds: Callable[[float], bool], way_out: str, error: type[ValueError]
) -> None:
    """Refuse the first of some numbers for which something does not hold, in one sentence.

    Raises:
        error: naming the option, what came, and the way out.
    """
    for name in names:
        if not holds(value := getattr(options, name)):
            raise error(f"{name} is {value}; {way_out}")


def _spell_out(options: Any, args: list[str]) -> list[str]:
    """`--flag` as `--flag true`."""
    flags = {f"--{f.name}" for f in fields(options) if f.type in ("bool", bool)}
    spelled = []
    for arg, following in zip_longest(args, args[1:], fillvalue="--"):
        spelled += [arg, "true"] if arg in flags and following.startswith("--") else [arg]
    return spelled
