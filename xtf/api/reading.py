"""A run folder as an object that shows itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xtf.runs import RunReader
from xtf.runs.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from xtf.report import Report
    from xtf.report.issues import Issues
    from xtf.report.tables import Table
    from xtf.runs.status import Status


class Run(RunReader):
    """One run folder: ``xtf.open_run(path)``.

    Attributes:
        folder: Paths, shards and manifest.
    """

    def report(self, examples: Sequence[str] | None = None, compare: Sequence[RunReader] = ()) -> Report:
        """The run as a page to show in a notebook; arguments as for :func:`xtf.report.write_report`."""
        from xtf.report.html.write import Report, html

        return Report(html(self, examples, compare))

    def tokens(self, examples: Sequence[str] | None = None) -> Table:
        """Every token as a table: text, scores and details, and what became of it; for pandas, Polars and pyarrow.

        Args:
            examples: Ids of the only examples to read; all if not given, which takes some 100 bytes a token.

        Raises:
            RunError: there is no example of an id, or nothing is scored.
        """
        from xtf.report.tokens import token_table

        return token_table(self, examples)

    def to_pandas(self) -> pd.DataFrame:
        """:meth:`tokens` as a ``pandas.DataFrame``."""
        return self.tokens().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """:meth:`tokens` as a ``polars.DataFrame``.

        Raises:
            XTFError: Polars is not installed.
        """
        return self.tokens().to_polars()

    def _repr_html_(self) -> str:
        from xtf.report.results import run_html

        return run_html(self)

    def status(self) -> Status:
        """Its stages, what is stale because something before it has changed, and the next command."""
        from xtf.runs.status import run_status

        return run_status(self)

    def issues(self) -> Issues:
        """The examples, those with the worst spans first, each judged by its tokens; see :func:`xtf.find`.

        Raises:
            RunError: the run is not labelled.
        """
        from xtf.report.issues import Issues

        return Issues(self)


def open_run(path: str | Path) -> Run:
    """Open a run folder for reading.

    Raises:
        RunError: if there is no run in it.
    """
    return Run(RunFolder.existing(path))
