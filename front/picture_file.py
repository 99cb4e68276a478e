"""The box for a visitor's own picture."""

from __future__ import annotations

from gradio import File
from gradio.components.file import FileData, ListFiles


class PictureFile(File):
    """A gr.File that hands on where the picture lies and leaves the rest to stylex.images.

    Gradio's own judges a file by its name, in words for programmers, and leaves an empty file behind each time.
    """

    is_template = True  # on the page it is a gr.File

    def preprocess(self, payload: ListFiles | FileData | None) -> str | None:
        return payload.path if isinstance(payload, FileData) else None
