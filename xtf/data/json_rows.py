"""The rows of a JSON file, ``[...]`` or ``{"data": [...]}``, one at a time: the file may be larger than memory.

``json`` itself parses each row. ijson and pyarrow were tried for it: neither names the line and column of a mistake,
and ijson refuses NaN, which other tools write.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from xtf.errors import DataError, kind_of, listed

CHUNK = 1 << 20

_SPACE = re.compile(r"[ \t\r\n]*")
_CUT_NUMBER = re.compile(r"[0-9.eE+-]*")
"""What may stand between a number as far as it has been read, and the end of what has been read."""


def json_rows(path: Path) -> Iterator[Any]:
    """Yield each row of ``path``, parsed.

    Raises:
        DataError: naming the line, when the file is no JSON from there on; or when it holds something else than rows.
    """
    with path.open("rb") as file:
        text = _Text(path, file)
        instead: list[Any] = []  # what the file holds, if it is no rows
        match text.peek():
            case "":
                return
            case "[":
                yield from _items(text)
            case "{":
                instead = yield from _data(text)
            case _:
                instead = [text.value()]
        if text.peek():
            raise text.broken("Extra data")
        for found in instead:
            keys = f" with keys {listed(found)}" if isinstance(found, dict) else ""
            raise DataError(f'{path}: expected a list of rows or {{"data": [...]}}, found {kind_of(found)}{keys}')


def _items(text: _Text) -> Iterator[Any]:
    """The values of the list that begins here."""
    text.expect("[")
    if text.peek() == "]":
        text.expect("]")
        return
    while True:
        yield text.value()
        if text.expect(",", "]") == "]":
            return


def _data(text: _Text) -> Generator[Any, None, list[Any]]:
    """The rows under the key ``data`` of the object that begins here; returns what else there is if there are none."""
    keys: dict[str, None] = {}
    found = False
    text.expect("{")
    following = text.expect("}") if text.peek() == "}" else ","
    while following == ",":
        if text.peek() != '"':
            raise text.broken("Expecting property name enclosed in double quotes")
        key = text.value()
        keys[key] = None
        text.expect(":")
        if key == "data" and text.peek() == "[":
            found = True
            yield from _items(text)
        else:
            text.value()
        following = text.expect(",", "}")
    return [] if found else [keys]


class _Text:
    """A file's text from the present place on; what lies before is let go."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self._file = path, file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._scan = json.JSONDecoder().raw_decode
        self._text, self._at = "", 0
        self._line, self._column = 1, 1  # of the first character of _text
        self._ended = False

    def peek(self) -> str:
        """The next character that is no white space, or "" at the end."""
        while True:
            self._at = _end(_SPACE.match(self._text, self._at))
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(CHUNK):
                return ""

    def expect(self, *characters: str) -> str:
        """Step over the next character, one of ``characters``."""
        found = self.peek()
        if found not in characters or not found:
            wanted = " or ".join(repr(character) for character in characters)
            raise self.broken(f"Expecting {wanted}" + ("" if found else ", the file ends"))
        self._at += 1
        return found

    def value(self) -> Any:
        """Step over the next value and return it."""
        self.peek()
        size = CHUNK
        while True:
            try:
                value, end = self._scan(self._text, self._at)
                if self._ended or not _CUT_NUMBER.fullmatch(self._text, end):
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                if self._ended:
                    raise self.broken(error.msg, error.pos) from None
            except (ValueError, RecursionError) as error:
                raise self.broken(str(error)) from None
            self._more(size)
            size *= 2  # so that a long value is not parsed again for every chunk

    def broken(self, what: str, at: int | None = None) -> DataError:
        """The error that names the present place, or ``at`` within the text."""
        self._forget(self._at if at is None else at)
        return DataError(f"{self.path}:{self._line}: broken JSON: {what} at column {self._column}")

    def _more(self, size: int) -> bool:
        """Let go of what has been read and read on; False at the end of the file."""
        if self._ended:
            return False
        self._forget(self._at)
        chunk = self._file.read(size)
        self._ended = not chunk
        try:
            self._text += self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            line = self._line + self._text.count("\n") + error.object.count(b"\n", 0, error.start)
            raise DataError(f"{self.path}:{line}: not valid UTF-8") from None
        return True

    def _forget(self, end: int) -> None:
        """Drop the text before ``end``."""
        gone = self._text[:end]
        lines = gone.count("\n")
        self._line += lines
        self._column = len(gone) - gone.rfind("\n") if lines else self._column + len(gone)
        self._text, self._at = self._text[end:], self._at - end


def _end(match: re.Match[str] | None) -> int:
    assert match is not None  # the pattern matches nothing as well
    return match.end()
