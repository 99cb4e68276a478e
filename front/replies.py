"""What every answer to a visitor or a program needs: errors as one sentence, pictures in, files out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import gradio as gr
import torch
from gradio.data_classes import FileData
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder
from PIL import Image

from stylex import Explanation, ImageError, ModelError
from stylex.pictures.images import load_image
from stylex.storage.outputs import MANIFEST

TOP_K = 5  # attributes of a picture that are shown, unless a program asks for another number
KNOB_END = 1.5  # a little past the range seen in training, so that a weak attribute can be exaggerated


@contextmanager
def plainly() -> Iterator[None]:
    """What is wrong with a picture, a model or an argument becomes one sentence on the page. No gradients are kept."""
    try:
        with torch.no_grad():
            yield
    except (ImageError, ModelError, ValueError) as error:
        raise sorry(str(error)) from None


def sorry(text: str) -> gr.Error:
    """An error that gradio shows as one sentence, without a stack trace in the page or in the log."""
    return gr.Error(escape(f"{text[:1].upper()}{text[1:]}."), title="Sorry", print_exception=False)


def picture_file(**options: Any) -> gr.File:
    """A gr.File that hands on where the picture lies, for `load` to open.

    Gradio's own judges a file by its name, in words for programmers, and leaves an empty file behind each time. It is
    not a subclass: for one, gradio would write a file of types beside this one.
    """
    box = gr.File(**options)
    box.preprocess = path_of  # type: ignore[method-assign]
    return box


def path_of(payload: Any) -> str | None:
    return payload.path if isinstance(payload, FileData) else None


def load(path: str | None) -> Any:
    if not path:
        raise ImageError("there is no picture; choose or send one")
    return load_image(path, name="your file")


def named(class_names: list[str], probs: torch.Tensor) -> dict[str, float]:
    """[K] -> class name: probability."""
    return dict(zip(class_names, probs.tolist(), strict=True))


def keep(path: Path) -> str:
    """Copy a file to where gradio serves files from, and takes them away after a while."""
    return save_file_to_cache(path, cache_dir=get_upload_folder())


def keep_copies(paths: Sequence[Path], name: str) -> str:
    """Copies of some files, as a zip that gradio serves."""
    with TemporaryDirectory() as folder:
        with ZipFile(Path(folder) / f"{name}.zip", "w", ZIP_DEFLATED) as archive:
            for path in paths:
                archive.write(path, f"{name}/{path.name}")
        return keep(Path(folder) / f"{name}.zip")


def keep_pictures(pictures: Mapping[str, Image.Image], name: str) -> str:
    """Some pictures, each as PNG by its name, as a zip that gradio serves."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{stem}.png" for stem in pictures]
        for path, picture in zip(paths, pictures.values(), strict=True):
            picture.save(path)
        return keep_copies(paths, name)


def keep_all(e: Explanation) -> str:
    """Everything about an explanation, as a zip that gradio serves."""
    with TemporaryDirectory() as folder:
        (e.save(Path(folder) / "explanation") / MANIFEST).unlink(missing_ok=True)
        return keep(Path(shutil.make_archive(f"{folder}/explanation", "zip", folder, "explanation")))
