"""Rows in memory: lists and iterables of mappings, and the tables of ``datasets``, pandas, Polars and pyarrow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from xtf.data.plain import plain, without_arrays
from xtf.data.unread import Unread
from xtf.errors import DataError, kind_of, listed


def memory_rows(rows: Any, prefix: str = "") -> Iterator[Unread]:
    """Yield the rows, each read when it is asked for; ``prefix`` goes before their places.

    Raises:
        DataError: these are no rows.
    """
    table = next((TABLES[name] for name in _libraries(rows) if name in TABLES), None)
    if table is None and (isinstance(rows, Mapping) or not isinstance(rows, Iterable)):
        raise DataError(
            f"rows: expected a list of rows, a datasets.Dataset or a data frame, found {kind_of(rows)}. "
            "Of a dictionary of splits or columns, pass one split."
        )
    return _placed((partial(without_arrays, row) for row in rows) if table is None else table(rows), prefix)


def column_rows(columns: Mapping[str, Any]) -> Iterator[Unread]:
    """Yield the rows of columns, name to a list of one cell for each row, as those of a table.

    Raises:
        DataError: they are not equally long lists.
    """
    cells = {str(name): columns[name] for name in columns}
    wrong = [
        name for name, column in cells.items() if isinstance(column, str | Mapping) or not hasattr(column, "__len__")
    ]
    if wrong:
        raise DataError(
            f"rows: a mapping holds columns, a list of cells each; no list: {listed(wrong)}. Put one row into a list."
        )
    lengths = {name: len(column) for name, column in cells.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"rows: columns of different lengths: {lengths}")
    rows = (dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True))
    return _placed((partial(plain, row) for row in rows), "")


def is_stream(rows: Any) -> bool:
    """Whether this is a ``datasets.IterableDataset``, of which nobody knows the length."""
    return "datasets" in _libraries(rows) and not hasattr(rows, "__len__")


def _placed(reading: Iterator[Callable[[], Any]], prefix: str) -> Iterator[Unread]:
    for number, read in enumerate(reading, 1):
        yield Unread(f"{prefix}row {number}", read)


def _libraries(rows: Any) -> Iterator[str]:
    """Of which libraries the object is, known without importing any of them."""
    return (kind.__module__.partition(".")[0] for kind in type(rows).__mro__)


def _datasets(rows: Any) -> Iterator[Callable[[], Any]]:
    if isinstance(rows, Mapping):
        raise DataError(f"rows: expected one split, found a dictionary of splits: {', '.join(map(str, rows))}")
    rows = rows.with_format(None)
    if not is_stream(rows):
        return (partial(_row_at, rows, index) for index in range(len(rows)))
    return (partial(plain, row) for row in rows)


def _row_at(rows: Any, index: int) -> Any:
    return plain(rows[index])


def _pandas(frame: Any) -> Iterator[Callable[[], Any]]:
    columns = list(map(str, frame.columns))
    return (partial(_pandas_row, columns, cells) for cells in frame.itertuples(index=False, name=None))


def _pandas_row(columns: list[str], cells: tuple[Any, ...]) -> Any:
    import pandas as pd

    missing = (pd.api.types.is_scalar(cell) and pd.isna(cell) for cell in cells)
    return plain({name: None if gone else cell for name, cell, gone in zip(columns, cells, missing, strict=True)})


def _polars(frame: Any) -> Iterator[Callable[[], Any]]:
    frame = frame.collect() if hasattr(frame, "collect") else frame  # a LazyFrame
    return (partial(plain, row) for row in frame.iter_rows(named=True))


def _pyarrow(table: Any) -> Iterator[Callable[[], Any]]:
    batches = table.to_batches() if hasattr(table, "to_batches") else table
    return (partial(plain, row) for batch in batches for row in batch.to_pylist())


TABLES: dict[str, Callable[[Any], Iterator[Callable[[], Any]]]] = {
    "datasets": _datasets,
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _pyarrow,
}
