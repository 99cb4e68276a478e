"""StylEx: see what an image classifier looks at."""

__version__ = "0.1.0"

from .explain import AttributeEdit, Explanation
from .files import ModelError
from .images import ImageError
from .model import StylEx
from .stylespace import Direction

__all__ = ["AttributeEdit", "Direction", "Explanation", "ImageError", "ModelError", "StylEx"]
