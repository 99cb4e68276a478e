"""Metadata never decide over pixels: whatever is wrong beside them, the picture is the same."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from stylex.pictures.images import ImageError, load_image
from stylex.pictures.metadata import MAX_METADATA, split

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
BOMB = zlib.compress(bytes(200_000_000), 9)  # 200 MB in 200 kB


def saved(form: str, **options) -> bytes:
    file = io.BytesIO()
    NOISE.save(file, form, **options)
    return file.getvalue()


def chunk(name: bytes, body: bytes, check: int | None = None) -> bytes:
    check = zlib.crc32(name + body) if check is None else check
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


CHUNKS = {
    "a profile of 2 MB": chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(bytes(2_000_000))),
    "a profile that is a bomb": chunk(b"iCCP", b"sRGB\0\0" + BOMB),
    "a profile of an unknown packing": chunk(b"iCCP", b"sRGB\0\7abc"),
    "a profile without a name": chunk(b"iCCP", b""),
    "a profile that is not packed": chunk(b"iCCP", b"sRGB\0\0not zlib"),
    "a text of 2 MB": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 2_000_000)),
    "a text that is a bomb": chunk(b"iTXt", b"Comment\0\1\0\0\0" + BOMB),
    "a text of an unknown packing": chunk(b"zTXt", b"Comment\0\7abc"),
    "a hundred long texts": chunk(b"tEXt", b"Comment\0" + b"a" * 1_000_000) * 40,
    "XMP that is a bomb": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
    "XMP cut short": chunk(b"iTXt", b"XML:com.adobe.xmp\0"),
    "EXIF of rubbish": chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
    "half of a rendering intent": chunk(b"sRGB", b""),
    "half of a resolution": chunk(b"pHYs", b"\0\0"),
    "half of the colours": chunk(b"cHRM", b"\0\0\0"),
    "half of a gamma": chunk(b"gAMA", b"\0"),
    "half of an animation": chunk(b"acTL", b"\0"),
    "an animation out of order": chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", bytes([9] * 26)),
    "a checksum that is wrong": chunk(b"tEXt", b"Comment\0hello", check=7),
    "a chunk nobody knows": chunk(b"vpAg", bytes(100)),
    "a transparent colour of one byte": chunk(b"tRNS", b"\0"),
    "a transparent colour that was damaged": chunk(b"tRNS", bytes(6), check=7),
}


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("what", CHUNKS)
def test_no_chunk_of_a_png_hides_its_pixels(what, behind):
    data = saved("PNG")
    at = len(data) - 12 if behind else 33
    image = load_image(data[:at] + CHUNKS[what] + data[at:])
    assert image.tobytes() == NOISE.tobytes()


SEGMENTS = {
    "half of a profile": segment(0xE2, b"ICC_PROFILE\0\1\3" + b"a" * 9000),
    "a profile of rubbish": segment(0xE2, b"ICC_PROFILE\0\1\1" + b"a" * 9000),
    "a profile without a number": segment(0xE2, b"ICC_PROFILE\0"),
    "EXIF of rubbish": segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "EXIF without anything": segment(0xE1, b"Exif\0\0"),
    "XMP of rubbish": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta"),
    "several pictures, it says": segment(0xE2, b"MPF\0MM\0*\0\0\0\x08\0\1\xb0\1\0\4\0\0\0\x09\0\0\0\0"),
    "half of several pictures": segment(0xE2, b"MPF\0II*\0"),
    "Photoshop's of rubbish": segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\xff\xff"),
    "half of JFIF": segment(0xE0, b"JFIF\0"),
    "half of Adobe's": segment(0xEE, b"Adobe\0"),
    "a comment of 64 kB": segment(0xFE, b"\xff" * 65_000),
}


@pytest.mark.parametrize("what", SEGMENTS)
def test_no_segment_of_a_jpeg_hides_its_pixels(what):
    data = saved("JPEG", quality=90)
    with Image.open(io.BytesIO(data)) as plain:
        pixels = plain.tobytes()
    assert load_image(data[:2] + SEGMENTS[what] + data[2:]).tobytes() == pixels


OTHERS = [(form, name) for form in ("WEBP", "TIFF", "AVIF") for name in ("icc_profile", "exif", "xmp")]
OTHERS.remove(("TIFF", "exif"))  # its EXIF is the file itself


@pytest.mark.parametrize(("form", "name"), OTHERS)
def test_nor_do_those_of_other_formats(form, name):
    rubbish = {"icc_profile": b"a" * 9000, "exif": b"Exif\0\0MM\0*\xff\xff\xff\xff", "xmp": b"<x:xmpmeta" * 1000}
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100}}.get(form, {})
    with Image.open(io.BytesIO(saved(form, **options))) as plain:
        pixels = plain.convert("RGB").tobytes()
    assert load_image(saved(form, **options, **{name: rubbish[name]})).tobytes() == pixels


def test_what_is_wrong_elsewhere_in_exif_turns_the_picture_all_the_same():
    """An entry of an unknown type beside the orientation."""
    entries = struct.pack(">HHII", 0x0112, 3, 1, 6 << 16) + struct.pack(">HHII", 0x8769, 4, 1, 0xFFFFFF)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + entries + bytes(4)
    data = saved("JPEG", quality=90)
    assert load_image(data[:2] + segment(0xE1, exif) + data[2:]).size == (30, 40)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_orientation_in_xmp_alone_counts(form):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = saved(form)
    if form == "PNG":
        data = data[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)) + data[33:]
    else:
        data = data[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp) + data[2:]
    assert load_image(data).size == (30, 40)


def test_what_is_packed_takes_no_more_memory_than_a_block_may():
    data = saved("PNG")
    tracemalloc.start()
    split(data[:33] + CHUNKS["a profile that is a bomb"] + CHUNKS["XMP that is a bomb"] + data[33:])
    assert tracemalloc.get_traced_memory()[1] < 3 * MAX_METADATA
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("at", "damage"), [(8, b"\xff\xff\xff\xff"), (12, b"IDA\0"), (16, bytes(4)), (37, b"\0\0\0\0"), (41, b"\xff" * 4)]
)
def test_damage_where_the_pixels_are_is_still_said(at, damage):
    data = saved("PNG")
    with pytest.raises(ImageError, match=r"cannot be read to its end|its beginning is damaged|is too small"):
        load_image(data[:at] + damage + data[at + 4 :])
