"""The rows of a JSON file, ``[...]`` or ``{"data": [...]}``, one at a time: the file may be larger than memory.

``json`` itself parses each row. ijson and pyarrow were tried for it: neither names the line and column of a mistake,
and ijson refuses NaN, which other tools write.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Generator, Iterator
from typing import Any, BinaryIO

from xtf.data.data_files import SPLIT_NAMES
from xtf.data.encodings import not_utf8
from xtf.errors import DataError, kind_of, listed

CHUNK = 1 << 20
WRAPPERS = ("data", "rows", "examples", "instances", "samples", "records")
"""Keys under which files put their rows."""
ROWS = object()
"""Says that a file holds rows."""

_SPACE = re.compile(r"[ \t\r\n]*")
_CUT_NUMBER = re.compile(r"[0-9.eE+-]*")
"""What may stand between a number as far as it has been read, and the end of what has been read."""


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, unless a name stands twice in it: one of the two would be dropped in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_unrepeated)
"""Reads JSON, and refuses an object with a repeated name by a ValueError."""


def holds_rows(key: str, split: str) -> bool:
    """Whether a list under this key of a file's only object holds rows: ``data`` and the like, or the split's name."""
    return key in WRAPPERS or (key.casefold() == split.casefold() and key.casefold() in SPLIT_NAMES)


def json_rows(place: str, opened: Callable[[], BinaryIO], split: str = "train") -> Iterator[Any]:
    """Yield each row of a file, parsed: of a list, of ``{"data": [...]}``, of objects one behind the other, or of an
    object of objects (``{"ID": {...}, ...}``, as PubMedQA is published), whose keys become ids.

    Args:
        place: The file, for errors.
        opened: Opens its content, UTF-8; what form the file has may show at its end only, and it is read again.
        split: Of ``{"train": [...], "test": [...]}``, the one that is read.

    Raises:
        DataError: naming the line, when the file is no JSON from there on; or when it holds something else than rows.
    """
    with opened() as file:
        text = _Text(place, file)
        instead: Any = ROWS  # what the file holds, if it is not of the first two forms
        match text.peek():
            case "":
                return
            case "[":
                yield from _items(text)
            case "{":
                instead = yield from _wrapped(text, split)
            case _:
                instead = text.value()
        following = text.peek()
        if following and not (following == "{" and isinstance(instead, dict)):
            raise text.broken("Extra data")
    if instead is ROWS:
        return
    if isinstance(instead, dict) and instead:
        if set(map(str.casefold, instead)) <= set(SPLIT_NAMES):
            raise DataError(f"{place}: no rows of split {split!r}. Set split to one of: {listed(instead)}")
        with opened() as file:
            by_id = not following and all(instead.values())
            yield from _by_id(_Text(place, file)) if by_id else _sequence(_Text(place, file))
        return
    raise DataError(f'{place}: expected a list of rows or {{"data": [...]}}, found {kind_of(instead)}')


def _sequence(text: _Text) -> Iterator[Any]:
    """The values that stand one behind the other, such as rows that are written over several lines."""
    while text.peek():
        yield text.value()


def _by_id(text: _Text) -> Iterator[Any]:
    """The objects within the object that begins here, each with its key."""
    text.expect("{")
    while True:
        text.peek()
        key = text.value()
        text.expect(":")
        row = text.value()
        if row and all(map(str.isdecimal, row)):
            how = "write its rows: frame.to_json(path, orient='records', lines=True)"
            raise DataError(f"{text.place}: {key!r} holds a value for each row number, as pandas writes a table; {how}")
        yield {"id": key, **row}
        if text.expect(",", "}") == "}":
            return


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


def _wrapped(text: _Text, split: str) -> Generator[Any, None, Any]:
    """The rows under keys such as ``data`` of the object that begins here.

    Without any, returns the keys and whether an object stands under each.
    """
    keys: dict[str, bool] = {}
    found = False
    text.expect("{")
    following = text.expect("}") if text.peek() == "}" else ","
    while following == ",":
        if text.peek() != '"':
            raise text.broken("Expecting property name enclosed in double quotes")
        key = text.value()
        text.expect(":")
        keys[key] = text.peek() == "{"
        if holds_rows(key, split) and text.peek() == "[":
            found = True
            yield from _items(text)
        else:
            text.value()
        following = text.expect(",", "}")
    return ROWS if found else keys


class _Text:
    """A file's text from the present place on; what lies before is let go."""

    def __init__(self, place: str, file: BinaryIO) -> None:
        self.place, self._file = place, file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._scan = DECODER.raw_decode
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
        return DataError(f"{self.place}:{self._line}: broken JSON: {what} at column {self._column}")

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
            raise DataError(f"{self.place}:{line}: not valid UTF-8: {not_utf8(error)}") from None
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
