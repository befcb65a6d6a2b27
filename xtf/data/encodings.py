"""Text files in other encodings: those with a mark of their own are read, the others are named."""

from __future__ import annotations

import io
import json
from typing import BinaryIO, cast

FIRST = 16
"""Bytes by which an encoding is recognised: four characters of UTF-32."""


class _AsUtf8(io.RawIOBase):
    """The text of a file as UTF-8, in the encoding it has."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._text = io.TextIOWrapper(file, encoding, newline="")
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(self._text.read(io.DEFAULT_BUFFER_SIZE).encode())
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def close(self) -> None:
        self._text.close()
        super().close()


def as_utf8(file: BinaryIO) -> BinaryIO:
    """The content of a text file as UTF-8: of UTF-16 and UTF-32, known by their mark or by zeros beside ASCII letters.

    A mark at the beginning of UTF-8 stays.
    """
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, file))
    first = buffered.peek(FIRST)[:FIRST]
    encoding = json.detect_encoding(first)
    is_unmarked = encoding.endswith(("-le", "-be"))
    if encoding in ("utf-8", "utf-8-sig") or (is_unmarked and not first.decode(encoding, "replace").isascii()):
        return buffered  # a stray zero makes no UTF-16
    return io.BufferedReader(_AsUtf8(buffered, encoding))


def not_utf8(error: UnicodeDecodeError) -> str:
    """What the first wrong byte would be in the encodings that text files most often have instead."""
    byte = error.object[error.start : error.start + 1]
    letter = byte.decode("cp1252", "replace")
    known = "in no common encoding" if letter == "\ufffd" else f"{letter!r} in Latin-1 and Windows-1252"
    return f"byte {byte.hex().upper()} is {known}. If that is right: iconv -f WINDOWS-1252 -t UTF-8 < OLD > NEW"
