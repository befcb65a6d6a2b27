"""The rows of a CSV or TSV file: every cell is text.

The ``csv`` module reads them. pyarrow, pandas and ``datasets`` were tried for it: they turn the answer ``4`` into a
number and the answers ``NA`` and ``null`` into nothing, and do not name the line of a broken row.
"""

from __future__ import annotations

import csv
import re
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
SAYS_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n')
QUOTED = re.compile(r'"(?:[^"]|"")*"')


def csv_rows(place: str, file: BinaryIO, separator: str | None = None) -> Iterator[Unread]:
    """Yield the rows; the first line names the columns.

    Args:
        place: The file, for errors.
        file: Its content, as UTF-8.
        separator: Between cells; if None, what a first line ``sep=;`` says, as Excel writes it, or that of
            ``, ; tab |`` which the first line holds most often, what stands in quotes left out.

    Raises:
        DataError: the file is not UTF-8, its first line is broken, or it names a column twice.
    """
    csv.field_size_limit(LONGEST_CELL)
    lines = _decoded(place, file)
    first = next(lines, "")
    if said := SAYS_SEPARATOR.fullmatch(first):
        separator, first = said[1], next(lines, "")
    reader = csv.reader(chain([first], lines), delimiter=separator or _separator(first), strict=True)
    try:
        columns = _columns(place, next(reader, []))
    except csv.Error as error:
        raise DataError(f"{place}:1: broken CSV: the names of the columns cannot be read: {error}") from None
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


def _separator(first: str) -> str:
    """What stands between the names of the columns."""
    return max(SEPARATORS, key=QUOTED.sub("", first).count)


def _row(cells: list[str], columns: list[str], location: str) -> dict[str, str]:
    if len(cells) != len(columns):
        raise RowError("not as many cells as columns", f"{len(cells)} and {len(columns)}", location)
    return dict(zip(columns, cells, strict=True))


def _columns(place: str, names: list[str]) -> list[str]:
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise DataError(f"{place}:1: columns of the same name: {listed(map(repr, twice))}")
    return [name.strip() or f"Unnamed: {number}" for number, name in enumerate(names)]


def _decoded(place: str, file: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{place}:{number}: not valid UTF-8: {not_utf8(error)}") from None
