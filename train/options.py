"""Options from a YAML file and the command line, one dataclass per script; a mistyped option is refused."""

from __future__ import annotations

from typing import TypeVar

from jsonargparse import ArgumentParser

T = TypeVar("T")


def parse(options: type[T], description: str, args: list[str] | None = None) -> T:
    """The dataclass `options`, filled from `--config FILE` first and then from `--name value`."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--config", action="config", help="YAML file with any of the options below")
    parser.add_class_arguments(options)
    values = parser.parse_args(args)
    values.pop("config", None)
    return options(**values.as_dict())
