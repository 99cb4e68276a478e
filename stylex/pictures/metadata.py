"""What a file says beside its pixels, taken off before anything decodes it: metadata must not decide over pixels.

Decoders give a whole picture up for a text that is too long or a block that is damaged. So PNG and JPEG, where they do,
are decoded without such blocks; colour profile, EXIF and XMP are handed over beside them, within bounds, to be used
if they make sense.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

MAX_METADATA = 8_000_000  # bytes of one block, unpacked; the largest profiles of printers have 3

PNG = b"\x89PNG\r\n\x1a\n"
# Of a still picture; the chunks of an animation only say how its other frames follow.
PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
# How long the list of what is transparent is where there is no palette, by the kind of the colours: grey, RGB.
PNG_CLEAR = {b"\0": 2, b"\2": 6}
PNG_XMP = b"XML:com.adobe.xmp"

JPEG = b"\xff\xd8\xff"
JPEG_EXIF, JPEG_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
JPEG_PROFILE = b"ICC_PROFILE\0"
START_OF_SCAN, APP0, APP1, APP2, APP14, APP15, COMMENT = 0xDA, 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE


def split(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a file without its metadata, and the metadata as Pillow names them: icc_profile, exif, xmp.

    Other formats than PNG and JPEG, and what is damaged where the pixels are, come back as they are.
    """
    if data.startswith(PNG):
        return _split_png(data)
    if data.startswith(JPEG):
        return _split_jpeg(data)
    return data, {}


def _split_png(data: bytes) -> tuple[bytes, dict[str, Any]]:
    view, kept, at = memoryview(data), [memoryview(PNG)], len(PNG)
    found: dict[str, Any] = {}
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 12 + length
        if end > len(data) or not name.isalpha():
            break
        if name == b"tRNS" and not _clear_is_whole(data, at, end):
            pass  # without it the picture is opaque, as viewers show it
        elif name in PNG_PIXELS:
            kept.append(view[at:end])
        else:
            body = data[at + 8 : end - 4] if length <= MAX_METADATA else b""
            if name == b"iCCP":
                found["icc_profile"] = _unpacked(body.partition(b"\0")[2][1:])
            elif name == b"eXIf":
                found["exif"] = JPEG_EXIF + body
            elif name == b"iTXt" and body.startswith(PNG_XMP + b"\0"):
                packed, *_, text = [body[len(PNG_XMP) + 1 :][:1], *body[len(PNG_XMP) + 3 :].split(b"\0", 2)]
                found["xmp"] = _unpacked(text) if packed == b"\1" else text
        at = end
        if name == b"IEND":
            return b"".join(kept), found
    return b"".join([*kept, view[at:]]), found  # cut short, or damaged: the decoder says how


def _clear_is_whole(data: bytes, at: int, end: int) -> bool:
    """Whether the chunk of what is transparent arrived as it was written."""
    (check,) = struct.unpack_from(">I", data, end - 4)
    length = end - at - 12
    return zlib.crc32(data[at + 4 : end - 4]) == check and length == PNG_CLEAR.get(data[25:26], length)


def _split_jpeg(data: bytes) -> tuple[bytes, dict[str, Any]]:
    view, kept, at = memoryview(data), [memoryview(data)[:2]], 2
    found: dict[str, Any] = {}
    profile: dict[int, bytes] = {}
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a byte of filling
            at += 1
            continue
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker == START_OF_SCAN or not 0xC0 <= marker <= COMMENT or 0xD0 <= marker <= 0xD9 or end > len(data):
            break
        body = data[at + 4 : end]
        # Where colours are decided: the first of JFIF and Adobe say how the numbers are meant.
        colours = (marker == APP0 and body.startswith(b"JFIF\0") and len(body) >= 14) or (
            marker == APP14 and body.startswith(b"Adobe") and len(body) >= 12
        )
        if colours or not (APP0 <= marker <= APP15 or marker == COMMENT):
            kept.append(view[at:end])
        elif marker == APP1 and body.startswith(JPEG_EXIF):
            found.setdefault("exif", body)
        elif marker == APP1 and body.startswith(JPEG_XMP):
            found.setdefault("xmp", body[len(JPEG_XMP) :])
        elif marker == APP2 and body.startswith(JPEG_PROFILE) and len(body) > len(JPEG_PROFILE) + 2:
            profile[body[len(JPEG_PROFILE)]] = body[len(JPEG_PROFILE) + 2 :]
        at = end
    if profile:
        found["icc_profile"] = b"".join(profile[number] for number in sorted(profile))
    return b"".join([*kept, view[at:]]), found


def _unpacked(packed: bytes) -> bytes | None:
    """What zlib makes of it; None if that is damaged or too much."""
    try:
        engine = zlib.decompressobj()
        plain = engine.decompress(packed, MAX_METADATA)
    except zlib.error:
        return None
    return None if engine.unconsumed_tail else plain
