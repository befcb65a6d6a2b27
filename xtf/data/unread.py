"""A row that is yet to be parsed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from xtf.data.report import RowError


class Unread(NamedTuple):
    """A row that is yet to be parsed.

    Attributes:
        location: File and line.
        read: Reads and parses what is there; raises RowError when that is broken.
        file: Short name of the file, "" for rows in memory.
    """

    location: str
    read: Callable[[], Any]
    file: str = ""


def given(value: Any) -> Any:
    """Return a row that is already there."""
    return value


def broken(error: RowError) -> NoReturn:
    """Say that a row cannot be read, once it is asked for."""
    raise error
