"""What the files in a zip are called, where the zip does not say in which letters.

A zip has a flag for names in UTF-8. Without it the standard means cp437, which only old western programs write; Windows
writes whatever it is set to (GBK, Shift-JIS …), and macOS UTF-8 without the flag. Nothing is guessed among them: names
that are UTF-8 are that, for hardly any other text is by chance, and the rest has to be said.
"""

from __future__ import annotations

import codecs
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from zipfile import ZipInfo

from train.data.records import DataError

UTF8 = 0x800  # the flag
UNICODE_PATH = 0x7075  # the extra field of Info-ZIP with the name in UTF-8
# Behind each standard what Windows makes of it, with more letters; of those that read the same the first is said.
OFFERED = ("gbk", "big5", "shift_jis", "cp932", "euc_kr", "cp949", "cp1251", "cp866", "cp437", "cp850", "cp1252")


def decoded(path: Path, infos: Sequence[ZipInfo], encoding: str | None) -> Iterator[tuple[ZipInfo, str]]:
    """Each file with its name.

    Args:
        encoding: of names that do not say theirs; None if nobody said.

    Raises:
        DataError: if there are such names, with what they would be in the encodings of the world; or if there is no
            such encoding.
    """
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError:
        raise DataError(f"{encoding} is no encoding that is known here; use one such as {', '.join(OFFERED)}") from None
    unsaid = {
        info.orig_filename: raw
        for info in infos
        if not info.flag_bits & UTF8 and not (raw := info.orig_filename.encode("cp437")).isascii()
    }
    said = {
        name: text
        for info in infos
        if (name := info.orig_filename) in unsaid and (text := _unicode(info, unsaid[name]))
    }
    rest = {name: raw for name, raw in unsaid.items() if name not in said}
    read = _all(rest, encoding) if encoding else _all(rest, "utf-8")
    if rest and read is None:
        if encoding:
            raise DataError(f"{path} has names that are not in {encoding}; as cp437 one is {next(iter(rest))!r}")
        offered: dict[str, str] = {}
        for kind in OFFERED:
            texts = _all(rest, kind)
            if texts and all(text.isprintable() for text in texts.values()):
                offered.setdefault(next(iter(texts.values())), kind)
        raise DataError(
            f"{path} has names that are not in UTF-8, and does not say in what; say it behind the path, "
            f"{path}?names=ENCODING: " + ", ".join(f"{kind} for {text!r}" for text, kind in offered.items())
        )
    for info in infos:
        yield info, said.get(info.orig_filename) or (read or {}).get(info.orig_filename) or info.filename


def _all(names: dict[str, bytes], encoding: str) -> dict[str, str] | None:
    texts = {name: _text(raw, encoding) for name, raw in names.items()}
    found = {name: text for name, text in texts.items() if text is not None}
    return found if len(found) == len(texts) else None


def _text(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except (UnicodeDecodeError, LookupError):  # LookupError: of bytes to bytes, as base64 is
        return None


def _unicode(info: ZipInfo, raw: bytes) -> str | None:
    """The name in the extra field, if it is of this name."""
    extra = info.extra
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        body, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == UNICODE_PATH and len(body) > 5 and struct.unpack_from("<L", body, 1)[0] == zlib.crc32(raw):
            return _text(body[5:], "utf-8")
    return None
