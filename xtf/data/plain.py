"""Rows of tables as plain Python values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class TableRow(dict[str, Any]):
    """A row of a table, in which a key that is absent and one that is null look alike.

    Attributes:
        null_arguments: Arguments of tool calls that were null, and were left out as absent ones are.
        null_columns: Columns that are null in this row.
    """

    null_arguments: tuple[str, ...] = ()
    null_columns: tuple[str, ...] = ()


def plain(row: Any) -> Any:
    """The row with lists for arrays, Python's numbers for NumPy's, and without the keys that hold null.

    A table gives every object the keys of all objects in its column, and null what it lacks.
    """
    if not isinstance(row, Mapping):
        return row
    nulls: dict[str, None] = {}
    found = TableRow({str(key): _plain(value, (str(key),), nulls) for key, value in row.items() if value is not None})
    found.null_arguments = tuple(nulls)
    found.null_columns = tuple(str(key) for key, value in row.items() if value is None)
    return found


def null_columns(row: Mapping[Any, Any]) -> tuple[str, ...]:
    """The columns of a row that are there and hold null, in lower case."""
    own = row.null_columns if isinstance(row, TableRow) else ()
    return tuple(str(key).lower() for key in (*own, *(key for key, value in row.items() if value is None)))


def without_arrays(value: Any) -> Any:
    """JSON data with lists for arrays and Python's numbers for NumPy's; nulls stay."""
    if isinstance(value, np.ndarray | np.generic):
        return without_arrays(value.tolist())
    if isinstance(value, dict):
        return {key: without_arrays(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple) and value and type(value[0]) not in (int, str, float):
        return list(map(without_arrays, value))
    return value


def _plain(value: Any, path: tuple[str, ...], nulls: dict[str, None]) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        if "arguments" in path:
            nulls.update({".".join((*path, str(key))): None for key, inner in value.items() if inner is None})
        return {key: _plain(inner, (*path, str(key)), nulls) for key, inner in value.items() if inner is not None}
    if isinstance(value, list) and value and isinstance(value[0], (dict, list, np.ndarray, np.generic)):
        return [_plain(inner, path, nulls) for inner in value]
    return value
