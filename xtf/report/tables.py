"""A table to look at in a notebook, and to hand on to pandas, Polars or pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xtf.display import counted, html_box, html_table
from xtf.errors import XTFError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

SHOWN = 20
"""Rows that a notebook shows."""


class Table:
    """Rows and named columns.

    Args:
        table: What is in it.
        stale: Why it speaks of what has changed since, in sentences.
    """

    def __init__(self, table: pa.Table, stale: Sequence[str] = ()) -> None:
        self._table = table
        self.stale = tuple(stale)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __repr__(self) -> str:
        stale = "".join(f"{one}; " for one in self.stale)
        names = ", ".join(self._table.column_names)
        return f"<{stale}{counted(len(self), 'row')}: {names}; see to_pandas(), to_polars(), to_arrow()>"

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
        title = counted(len(self), "row") + (f"; {SHOWN} are shown" if len(self) > SHOWN else "")
        title = "; ".join([*self.stale, title])
        return html_box(title, html_table(self._table.column_names, [list(row.values()) for row in rows]))
