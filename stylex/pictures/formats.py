"""Which files are pictures, by name and by content: those that are read here, and those that are known and are not."""

from __future__ import annotations

from pathlib import PurePath

# Formats that Pillow decodes by itself (EPS, for one, would start Ghostscript), and the suffixes they go by.
FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jif", ".jfif"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)

# Pictures that are not read here: what they are called, and the suffixes they go by.
UNREAD = {
    "HEIC": (".heic", ".heif", ".hif", ".heics"),
    "JPEG XL": (".jxl",),
    "JPEG 2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c"),
    "raw data of a camera": (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw"),
    "a document of Photoshop": (".psd", ".psb"),
    "a document of GIMP": (".xcf",),
    "a drawing": (".svg", ".svgz", ".eps", ".ai", ".pdf", ".wmf", ".emf"),
    "a picture of a clinic": (".dcm", ".dicom", ".nii"),
    "light in floats": (".exr", ".hdr"),
    "Targa": (".tga",),
    "a texture": (".dds", ".ktx"),
    "an icon": (".ico", ".icns", ".cur"),
    "a film": (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"),
}
KINDS = {suffix: kind for kind, suffixes in UNREAD.items() for suffix in suffixes}
HEIC = "export it as JPEG; an iPhone takes JPEG with Settings, Camera, Formats, Most Compatible"
CONVERT = "convert it to JPEG or PNG"

# Where a content begins like this it is that; after these the brands of a box file are looked at.
HEADS = {
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"8BPS": "a document of Photoshop",
    b"gimp xcf": "a document of GIMP",
    b"%PDF": "a drawing",
    b"%!PS": "a drawing",
    b"v/1\x01": "light in floats",
    b"#?RADIANCE": "light in floats",
    b"DDS ": "a texture",
    b"\0\0\x01\0": "an icon",
    b"icns": "an icon",
    b"\x1aE\xdf\xa3": "a film",
}
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
FILM_BRANDS = (b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"qt  ", b"M4V ")


def is_picture(name: str | PurePath) -> bool:
    """Whether a file is read as a picture, by its suffix."""
    return PurePath(name).suffix.lower() in SUFFIXES


def unread_by_name(name: str | PurePath) -> str | None:
    """The kind of picture that a name promises and that is not read here; None for every other name."""
    return KINDS.get(PurePath(name).suffix.lower())


def unread_by_content(head: bytes) -> str | None:
    """The same by the first bytes of a file."""
    if head[4:8] == b"ftyp":
        brands = [head[at : at + 4] for at in (8, *range(16, min(len(head), 64), 4))]
        if any(brand in HEIC_BRANDS for brand in brands) and b"avif" not in brands:
            return "HEIC"
        return "a film" if any(brand in FILM_BRANDS for brand in brands) else None
    if head[128:132] == b"DICM":
        return "a picture of a clinic"
    text = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "a drawing"
    return next((kind for start, kind in HEADS.items() if head.startswith(start)), None)


def way_out(kind: str) -> str:
    """What makes a picture of such a kind one that is read."""
    return HEIC if kind == "HEIC" else "take single pictures out of it" if kind == "a film" else CONVERT
