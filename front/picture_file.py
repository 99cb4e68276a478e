"""The box for a visitor's own picture."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import FileData


def picture_file(**options: Any) -> gr.File:
    """A gr.File that hands on where the picture lies and leaves the rest to stylex.pictures.images.

    Gradio's own judges a file by its name, in words for programmers, and leaves an empty file behind each time. It is
    not a subclass: for one, gradio would write a file of types beside this one.
    """
    box = gr.File(**options)
    box.preprocess = path_of  # type: ignore[method-assign]
    return box


def path_of(payload: Any) -> str | None:
    return payload.path if isinstance(payload, FileData) else None
