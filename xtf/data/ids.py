"""What examples are called: every name once, over all files."""

from __future__ import annotations

from typing import Any

from xtf.config import ColumnsConfig
from xtf.data.report import RowError
from xtf.data.seen import SeenIds
from xtf.data.sources import Row

USUAL = ("id", "example_id")


class ExampleIds:
    """The ids of the examples so far, and apart from them those of the present file."""

    def __init__(self) -> None:
        self._all, self._here, self._file = SeenIds(), SeenIds(), ""

    def add(self, name: str, file: str = "") -> None:
        """Remember the id of an example that was read from ``file``; the examples of a file come one after another."""
        if file != self._file:
            self._here, self._file = SeenIds(), file
        self._all.add(name)
        self._here.add(name)

    def name(self, row: Row, columns: ColumnsConfig) -> str:
        """Return the id of a row, with its file's name before it if a file before has an example of that id.

        Raises:
            RowError: the id is of no use, or an example of the same file has it.
        """
        own = own_id(row, columns)
        full = f"{row.file}:{own}"
        is_here = row.file == self._file and (own in self._here or full in self._here)
        if is_here or (own in self._all and (not row.file or full in self._all)):
            how = "data.columns.id: null numbers the rows instead"
            raise RowError("duplicate id", f"{own!r}; the first row of that id is kept; {how}")
        return full if own in self._all else own


def own_id(row: Row, columns: ColumnsConfig) -> str:
    """Return the id that a row gives itself by ``data.columns.id``, or its number.

    Raises:
        RowError: the column named is not there, or holds something else than text or a number.
    """
    names = () if columns.id is None else USUAL if columns.id == "auto" else (columns.id,)
    found = (row.value.get(name) for name in names)
    value = next((each for each in found if each not in (None, "") and each == each), None)  # NaN is none either
    if value is None:
        if columns.id not in (None, "auto"):
            raise RowError(f"no column {columns.id!r}", "data.columns.id names it; null is for row numbers")
        return str(row.index)
    return _text(value).encode("utf-8", "backslashreplace").decode()


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # tables turn a column of numbers into floats where a row has none
    if not isinstance(value, (str, int, float)):
        raise RowError("an id that is neither text nor a number", repr(value)[:60])
    return str(value)
