"""ICC profiles written by hand (ICC.1:2001-04), and what they mean, computed without a colour engine."""

from __future__ import annotations

import struct

import numpy as np

# Primaries in XYZ of D50, red, green and blue in columns.
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
ADOBE_RGB = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
D50 = (0.9642, 1.0, 0.8249)
GAMMA = 563 / 256  # of Adobe RGB


def xyz(values) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def profile(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", connection: bytes = b"XYZ ") -> bytes:
    text = b"by hand\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(12 + 67)
    tags = {b"desc": described, b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz(D50), **tags}
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = at + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, kind, space, connection)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">I", 0)
    header += struct.pack(">3i", *(round(v * 65536) for v in D50))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def rgb(primaries: np.ndarray, value: float = GAMMA) -> bytes:
    colours = {b"rXYZ": xyz(primaries[:, 0]), b"gXYZ": xyz(primaries[:, 1]), b"bXYZ": xyz(primaries[:, 2])}
    return profile(b"RGB ", colours | {name: gamma(value) for name in (b"rTRC", b"gTRC", b"bTRC")})


def grey(value: float) -> bytes:
    return profile(b"GRAY", {b"kTRC": gamma(value)})


def inks(lab: np.ndarray) -> bytes:
    """Of a press whose sixteen mixtures of full inks, [2, 2, 2, 2] for C, M, Y and K, have these Lab colours."""
    levels = np.stack([lab[..., 0] * 255 / 100, lab[..., 1] + 128, lab[..., 2] + 128], axis=-1).round().astype(np.uint8)
    straight = bytes(range(256))
    table = b"mft1\0\0\0\0" + struct.pack(">4B", 4, 3, 2, 0)
    table += struct.pack(">9i", *(65536 * n for n in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    return profile(b"CMYK", {b"A2B0": table + straight * 4 + levels.tobytes() + straight * 3}, b"prtr", b"Lab ")


def encoded(linear: np.ndarray) -> np.ndarray:
    """Linear light -> levels of sRGB."""
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def meant_rgb(levels, primaries: np.ndarray, value: float = GAMMA) -> np.ndarray:
    """What pixels [..., 3] of such a profile are in sRGB."""
    light = (np.asarray(levels) / 255) ** value
    return encoded(light @ (np.linalg.inv(SRGB) @ primaries).T)


def meant_lab(lab) -> np.ndarray:
    light, a, b = np.moveaxis(np.asarray(lab, dtype=float), -1, 0)
    y = (light + 16) / 116
    root = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    relative = np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    return encoded((relative * D50) @ np.linalg.inv(SRGB).T)
