"""A table to look at in a notebook, and to hand on to pandas, Polars or pyarrow."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from xtf.display import visible
from xtf.errors import XTFError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

SHOWN = 20
"""Rows that a notebook shows."""
_CELL = 120
"""Characters of a cell that it shows."""


class Table:
    """Rows and named columns.

    Args:
        table: What is in it.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __repr__(self) -> str:
        return f"<{len(self):,} rows: {', '.join(self._table.column_names)}; see to_pandas(), to_polars(), to_arrow()>"

    def to_arrow(self) -> pa.Table:
        """As a ``pyarrow.Table``."""
        return self._table

    def to_pandas(self) -> pd.DataFrame:
        """As a ``pandas.DataFrame``."""
        return self._table.to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """As a ``polars.DataFrame``.

        Raises:
            XTFError: Polars is not installed.
        """
        try:
            import polars
        except ModuleNotFoundError:
            raise XTFError("to_polars: Polars is not installed. Install it: pip install polars") from None
        frame: pl.DataFrame = polars.from_arrow(self._table)
        return frame

    def _repr_html_(self) -> str:
        rows = self._table.slice(0, SHOWN).to_pylist()
        more = f"<p>{len(self):,} rows; {SHOWN} are shown.</p>" if len(self) > SHOWN else ""
        return html_table(self._table.column_names, [list(row.values()) for row in rows]) + more


def html_table(names: list[str], rows: list[list[Any]]) -> str:
    """Cells of any values as a table in which all of them are escaped."""
    head = "".join(f"<th>{escape(visible(name))}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else visible(str(value))
    return escape(text if len(text) <= _CELL else text[: _CELL - 1] + "…")
