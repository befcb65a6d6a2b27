"""The rows of one file, one at a time, whatever its kind: a file may be larger than memory.

JSON is read by own code over the ``json`` module, and CSV by ``csv``, because the reader of ``datasets`` (pandas and
pyarrow below it) names neither the line of a broken row nor reads on behind it, gives every row the columns of all
rows, and guesses types. Parquet is read by pyarrow.
"""

from __future__ import annotations

import codecs
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

from xtf.data.csv_rows import csv_rows
from xtf.data.data_files import KNOWN_KINDS, SPLIT_NAMES, DataFile, is_address
from xtf.data.encodings import as_utf8, not_utf8
from xtf.data.json_rows import DECODER, holds_rows, json_rows
from xtf.data.plain import plain
from xtf.data.report import RowError
from xtf.data.unread import Unread, given
from xtf.errors import DataError, raise_if_forbidden

BATCH_ROWS = 256

BLANK = b" \t\r\n" + codecs.BOM_UTF8
COMPRESSED = {
    rb"\x1f\x8b\x08": ("gzip", ".gz"),
    rb"BZh[1-9]1AY&SY": ("bzip2", ".bz2"),
    rb"\xfd7zXZ\x00": ("xz", ".xz"),
    rb"\x28\xb5\x2f\xfd": ("Zstandard", ".zst"),
}
"""How compressed content begins."""
LONGEST_FIRST_LINE = 1 << 26
"""Bytes of a first line beyond which a ``.json`` file is taken for one value, not for lines of rows."""
LONGEST_FIRST_ROW = 1 << 22
"""Bytes within which a row that is written over several lines must end for the file to be recognised by it."""


def read_file(file: DataFile) -> Iterator[Unread]:
    """Yield the rows of ``file``, not yet parsed; DataError when the file itself cannot be read."""
    reader = READERS.get(file.kind)
    if reader is None:
        raise DataError(f"{file.path}: unknown kind of file {file.kind!r}. {KNOWN_KINDS}")
    try:
        _check_name(file)
        for row in reader(file):
            yield row._replace(file=file.name)
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{file.path}: damaged or cut off: {str(error).splitlines()[0]}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file.path}: not valid {error.encoding}: {error.reason}") from None
    except OSError as error:
        raise_if_forbidden(error)
        raise DataError(f"{file.path}: cannot be read: {error.strerror or error}") from None


def _check_name(file: DataFile) -> None:
    """Refuse what is compressed without its name saying so."""
    if file.compressions or is_address(file.path):
        return
    with file.open_raw() as opened:
        first = opened.read(10)
    for beginning, (what, ending) in COMPRESSED.items():
        if re.match(beginning, first):
            raise DataError(f"{file.path}: compressed by {what}, which its name does not say; let it end in {ending!r}")


def _json(file: DataFile) -> Iterator[Unread]:
    if _is_lines(file):
        yield from _jsonl(file)
    else:
        for number, value in enumerate(json_rows(file.path, lambda: _text(file), file.split), 1):
            yield Unread(f"{file.path}: row {number}", partial(given, value))


def _csv(file: DataFile) -> Iterator[Unread]:
    with _text(file) as text:
        yield from csv_rows(file.path, text, "\t" if file.kind == ".tsv" else None)


def _text(file: DataFile) -> BinaryIO:
    return as_utf8(file.open())


def _is_lines(file: DataFile) -> bool:
    """Whether each line is a row; a ``.json`` file that is JSONL in truth is common, and so is the contrary."""
    with _text(file) as text:
        first = b""
        while not first.strip(BLANK) and (read := text.readline(LONGEST_FIRST_LINE)):
            first = read
        first = first.removeprefix(codecs.BOM_UTF8).lstrip()
        try:
            row = _parsed(first, "")
        except RowError:
            begins = not first.startswith(b"[") and not _begins_row(first + text.read(LONGEST_FIRST_ROW))
            return file.kind != ".json" and (_is_value(first) or begins)
        goes_on = any(line.strip(BLANK) for line in iter(partial(text.readline, LONGEST_FIRST_LINE), b""))
    if file.kind != ".json" and goes_on:
        return True
    return isinstance(row, dict) and not _holds_rows(row, file.split) and (file.kind != ".json" or not _by_id(row))


def _holds_rows(value: dict[str, Any], split: str) -> bool:
    """Whether this is no row, but a whole file in one line: ``{"data": [{…}, …]}``, also by split."""
    lists = {key for key, inner in value.items() if isinstance(inner, list) and all(map(_is_object, inner))}
    by_split = set(map(str.casefold, value)) <= set(SPLIT_NAMES)
    return (bool(value) and by_split) or any(holds_rows(key, split) for key in lists)


def _by_id(value: dict[str, Any]) -> bool:
    """Whether these are rows under their ids."""
    return all(map(_is_object, value.values()))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_value(line: bytes) -> bool:
    """Whether the line is JSON by itself, though it may be no row, such as an object with a repeated name."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _begins_row(text: bytes) -> bool:
    """Whether an object over several lines stands there."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text.decode("utf-8", "ignore"))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and bool(value)


def _jsonl(file: DataFile) -> Iterator[Unread]:
    with _text(file) as text:
        for number, line in enumerate(text, 1):
            if line.strip():
                location = f"{file.path}:{number}"
                yield Unread(location, partial(_parsed, line, location))


def _parsed(line: bytes, location: str) -> Any:
    try:
        return DECODER.decode(line.decode("utf-8-sig").rstrip())
    except UnicodeDecodeError as error:
        where = f"character {len(line[: error.start].decode()) + 1} of the line"
        raise RowError("not valid UTF-8", f"{where}: {not_utf8(error)}", location) from None
    except json.JSONDecodeError as error:
        raise RowError("broken JSON", f"{error.msg} at column {error.colno}", location) from None
    except (ValueError, RecursionError) as error:
        raise RowError("broken JSON", str(error), location) from None


def _parquet(file: DataFile) -> Iterator[Unread]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with file.open() as opened:
        try:
            table = pq.ParquetFile(opened)
        except pa.ArrowException as error:
            said = str(error).splitlines()[0]
            raise DataError(f"{file.path}: not a readable Parquet file: {said}") from None
        number = 0
        for group in range(table.num_row_groups):
            rows = Batches(table.iter_batches(batch_size=BATCH_ROWS, row_groups=[group]))
            for row in range(table.metadata.row_group(group).num_rows):
                number += 1
                location = f"{file.path}: row {number}"
                yield Unread(location, partial(rows.row, row, location))


READERS: dict[str, Callable[[DataFile], Iterator[Unread]]] = {
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), _json),
    **dict.fromkeys((".csv", ".tsv"), _csv),
    ".parquet": _parquet,
}


class Batches:
    """The rows of Arrow batches, by rising number; nothing is read before the first is asked for."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self._batch: Any = None
        self._first = self._end = 0

    def row(self, number: int, location: str) -> Any:
        """Return row ``number``, counted over all batches; RowError when it cannot be read."""
        import pyarrow as pa

        try:
            while number >= self._end:
                self._batch = next(self._batches)
                self._first, self._end = self._end, self._end + self._batch.num_rows
            return plain(self._batch.slice(number - self._first, 1).to_pylist()[0])
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise RowError("unreadable Parquet row", str(error).splitlines()[0], location) from None
