"""The rows of one file, one at a time, whatever its kind: a file may be larger than memory."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from xtf.data.json_rows import json_rows
from xtf.data.report import RowError
from xtf.errors import DataError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")
BATCH_ROWS = 256

BLANK = b" \t\r\n" + codecs.BOM_UTF8
LONGEST_FIRST_LINE = 1 << 26
"""Bytes of a first line beyond which a ``.json`` file is taken for one value, not for lines of rows."""

Unread = tuple[str, Callable[[], Any]]
"""A place, and the function that reads and parses what is there; it raises RowError when that is broken."""


def read_file(path: Path) -> Iterator[Unread]:
    """Yield the rows of ``path``, not yet parsed; DataError when the file itself cannot be read."""
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path)
        elif path.suffix not in SUFFIXES:
            raise DataError(f"{path}: unknown kind of file {path.suffix!r}. Known kinds: {', '.join(SUFFIXES)}")
        elif _is_lines(path):
            yield from _jsonl(path)
        else:
            for number, value in enumerate(json_rows(path), 1):
                yield f"{path}: row {number}", partial(given, value)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _is_lines(path: Path) -> bool:
    """Whether each line is a row of its own; a ``.json`` file that is JSONL in truth is common."""
    with path.open("rb") as file:
        first = b""
        while not first.strip(BLANK) and (read := file.readline(LONGEST_FIRST_LINE)):
            first = read
    if first.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
        return False
    if path.suffix != ".json":
        return True
    try:
        row = _parsed(first, "")
    except RowError:
        return False
    return isinstance(row, dict) and not isinstance(row.get("data"), list)


def _jsonl(path: Path) -> Iterator[Unread]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"{path}:{number}", partial(_parsed, line, f"{path}:{number}")


def _parsed(line: bytes, location: str) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig").rstrip())
    except UnicodeDecodeError as error:
        raise RowError("not valid UTF-8", f"byte {error.start + 1} of the line", location) from None
    except json.JSONDecodeError as error:
        raise RowError("broken JSON", f"{error.msg} at column {error.colno}", location) from None
    except (ValueError, RecursionError) as error:
        raise RowError("broken JSON", str(error), location) from None


def _parquet(path: Path) -> Iterator[Unread]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise DataError(f"{path}: not a readable Parquet file: {str(error).splitlines()[0]}") from None
    number = 0
    with file:
        for group in range(file.num_row_groups):
            rows = _Batches(file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group]))
            for row in range(file.metadata.row_group(group).num_rows):
                number += 1
                yield f"{path}: row {number}", partial(rows.row, row, f"{path}: row {number}")


class _Batches:
    """The rows of one row group, by rising number; nothing is read before the first is asked for."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self._batch: Any = None
        self._first = self._end = 0

    def row(self, number: int, location: str) -> Any:
        import pyarrow as pa

        try:
            while number >= self._end:
                self._batch = next(self._batches)
                self._first, self._end = self._end, self._end + self._batch.num_rows
            return without_nulls(self._batch.slice(number - self._first, 1).to_pylist()[0])
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise RowError("unreadable Parquet row", str(error).splitlines()[0], location) from None


def given(value: Any) -> Any:
    """Return a row that is already there."""
    return value


def without_nulls(value: Any) -> Any:
    """Drop the keys that Arrow adds with value None because some other row has them."""
    if isinstance(value, Mapping):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return [without_nulls(inner) for inner in value]
    return value
