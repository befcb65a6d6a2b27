"""The rows of a CSV or TSV file: every cell is text.

The ``csv`` module reads them. pyarrow, pandas and ``datasets`` were tried for it: they turn the answer ``4`` into a
number and the answers ``NA`` and ``null`` into nothing, and do not name the line of a broken row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import BinaryIO

from xtf.data.encodings import not_utf8
from xtf.data.report import RowError
from xtf.data.unread import Unread, broken
from xtf.errors import DataError, listed

LONGEST_CELL = (1 << 31) - 1
SEPARATORS = ",;\t|"


def csv_rows(place: str, file: BinaryIO, separator: str | None = None) -> Iterator[Unread]:
    """Yield the rows; the first line names the columns.

    Args:
        place: The file, for errors.
        file: Its content, as UTF-8.
        separator: Between cells; if None, that of ``, ; tab |`` which the first line holds most often.

    Raises:
        DataError: the file is not UTF-8, or names a column twice.
    """
    csv.field_size_limit(LONGEST_CELL)
    lines = _decoded(place, file)
    first = next(lines, "")
    reader = csv.reader(chain([first], lines), delimiter=separator or max(SEPARATORS, key=first.count), strict=True)
    columns = _columns(place, next(reader, []))
    while True:
        location = f"{place}:{reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Unread(location, partial(broken, RowError("broken CSV", str(error), location)))
            continue
        if cells:
            yield Unread(location, partial(_row, cells, columns, location))


def _row(cells: list[str], columns: list[str], location: str) -> dict[str, str]:
    if len(cells) != len(columns):
        raise RowError("not as many cells as columns", f"{len(cells)} and {len(columns)}", location)
    return {column: cell for column, cell in zip(columns, cells, strict=True) if column}


def _columns(place: str, names: list[str]) -> list[str]:
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise DataError(f"{place}:1: columns of the same name: {listed(map(repr, twice))}")
    return [name.strip() for name in names]


def _decoded(place: str, file: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{place}:{number}: not valid UTF-8: {not_utf8(error)}") from None
