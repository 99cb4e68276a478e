"""Files that people send by mistake or on purpose, and what they should hear of it."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def scene(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (40, 30), (200, 60, 40))
    image.paste((20, 90, 200), (20, 0, 40, 30))
    return image.convert(mode)


def saved(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises width x height pixels and holds none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(scene(), "JPEG", exif=exif)


def transparent_palette() -> bytes:
    image = Image.new("P", (16, 16), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.paste(1, (8, 0, 16, 16))
    return saved(image, "PNG", transparency=0)


def animated() -> bytes:
    return saved(scene(), "GIF", save_all=True, append_images=[Image.new("RGB", (40, 30), (9, 9, 9))])


def sixteen_bit() -> bytes:
    return saved(Image.fromarray(np.tile(np.linspace(0, 65535, 32).astype(np.uint16), (32, 1))), "PNG")


# Name of the file: its bytes.
FINE = {
    "cmyk.jpg": saved(scene("CMYK"), "JPEG"),
    "sixteen-bit.png": sixteen_bit(),
    "palette-with-alpha.png": transparent_palette(),
    "alpha.png": saved(scene("RGBA"), "PNG"),
    "animated.gif": animated(),
    "turned.jpg": turned(),
    "grey.png": saved(scene("L"), "PNG"),
    "two-colours.png": saved(scene("1"), "PNG"),
    "jpeg-by-content.png": saved(scene(), "JPEG"),
    'é "quoted" <b>name</b>.png': saved(scene(), "PNG"),
}
# Name of the file: its bytes, and a part of the sentence.
BAD = {
    "empty.png": (b"", "Your file is empty"),
    "text.png": (b"This is not a picture.\n", "Your file is not a picture"),
    "page.jpg": (b"<!doctype html><script>alert(1)</script>", "Your file is not a picture"),
    "cut.jpg": (saved(scene().resize((400, 300)), "JPEG")[:900], "Your file cannot be read to its end"),
    "cut.png": (saved(scene().resize((400, 300)), "PNG")[:200], "Your file cannot be read to its end"),
    "bomb.png": (png_header(20_000, 20_000), "Your file has more than 50 million pixels"),
    "endless.png": (png_header(2**31 - 1, 2**31 - 1), "Your file has more than 50 million pixels"),
    "one-pixel.png": (saved(Image.new("RGB", (1, 1)), "PNG"), "Your file is too small"),
    "sliver.png": (saved(Image.new("RGB", (1000, 10)), "PNG"), "Your file is too narrow"),
    "drawing.svg": (
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "not a picture",
    ),
    "page.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not a picture"),
}
