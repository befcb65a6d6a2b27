"""Rows that can be gone through once, kept on disk so that they can be gone through again.

Pickled as they are: a table (``datasets``, Arrow) would give every row the keys of all rows, and null what it lacks.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any


class SpooledRows:
    """The rows of an iterator in a temporary file; never more than one of them in memory."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the rows are no longer needed
        for row in rows:
            pickle.dump(row, self._file)

    def __iter__(self) -> Iterator[Any]:
        place = 0
        while True:
            self._file.seek(place)
            try:
                row = pickle.load(self._file)  # noqa: S301 - written by this process
            except EOFError:
                return
            place = self._file.tell()
            yield row

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


def repeatable(rows: Any) -> Any:
    """``rows`` themselves, or a copy on disk of what an iterator gives."""
    return SpooledRows(rows) if isinstance(rows, Iterator) else rows
