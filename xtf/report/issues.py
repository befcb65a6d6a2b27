"""The examples of a run, the worst first: to look at, to hand on as a table, and to drop whole rows by."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from xtf.display import Escaping, agreeing, counted
from xtf.errors import ConfigError, did_you_mean, listed
from xtf.explain.issues import ExampleIssue
from xtf.labelling.spans import ExampleTable
from xtf.report.tables import Table
from xtf.runs.issues import read_figures, read_issues
from xtf.runs.staleness import stale_labels
from xtf.tokens import BoolArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from rich.console import ConsoleOptions, RenderResult

    from xtf.runs import RunReader

By = Literal["worst_span", "wrong", "useless"]
ORDERS: dict[str, Callable[[ExampleTable], tuple[FloatArray, ...]]] = {
    "worst_span": lambda all_: (all_.score, -all_.share_wrong, -all_.share_useless),
    "wrong": lambda all_: (-all_.share_wrong, all_.score),
    "useless": lambda all_: (-all_.share_useless, all_.score),
}
"""By what examples can be ranked, each to what it sorts by, the first first."""
_SHOWN = 10
_BLOCK = 10_000
"""Examples that are put into words in one pass over the run, and held at once."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an example may be noise before the whole of it is dropped; shares of its response tokens.

    Attributes:
        wrong: Greatest share that looks wrong.
        useless: Greatest share that is masked for other reasons.
    """

    wrong: float = 1.0
    useless: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("max_wrong", self.wrong), ("max_useless", self.useless)):
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name}: {value}: must be a share, from 0 to 1")

    def allow(self, table: ExampleTable) -> BoolArray:
        """``(examples,)``: whether an example stays."""
        wrong, useless = (shares.astype(np.float64) for shares in (table.share_wrong, table.share_useless))
        return (wrong <= self.wrong) & (useless <= self.useless)


def order(by: str) -> By:
    """The order of that name.

    Raises:
        ConfigError: there is none.
    """
    if by not in ORDERS:
        raise ConfigError(f"--by {by}: no such order.{did_you_mean(by, ORDERS)} Known: {listed(ORDERS)}")
    return cast(By, by)


class Issues(Sequence[ExampleIssue]):
    """The examples of a labelled run, those with the worst spans first; see :func:`xtf.find`.

    Held are some 40 bytes an example; what is said of spans is read when it is looked at.

    Args:
        run: A labelled run.
        rows: Its rows, if it was made of rows in memory.

    Attributes:
        run: The run: every token's scores, labels and reasons.
    """

    def __init__(self, run: RunReader, rows: Any = None) -> None:
        self.run = run
        self._rows = rows
        self._stale = stale_labels(run)
        self._ids, self._judged = _gathered(run)
        self._ranked = self._rank("worst_span")
        self._told: dict[str, ExampleIssue] = {}

    def __len__(self) -> int:
        return len(self._ranked)

    @overload
    def __getitem__(self, index: int | str) -> ExampleIssue: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ExampleIssue]: ...

    def __getitem__(self, index: int | str | slice) -> ExampleIssue | Sequence[ExampleIssue]:
        """The example of a rank or of an id, or those of a stretch of ranks.

        Raises:
            IndexError: there are fewer examples.
            RunError: no example has that id.
        """
        if isinstance(index, str):
            place = self._ids.index(index).as_py()
            if place < 0:
                raise self.run.missing(index)
            return self._tell(np.array([place]))[0]
        if isinstance(index, slice):
            return self._tell(self._ranked[index])
        return self._tell(self._ranked[[index]])[0]

    def __iter__(self) -> Iterator[ExampleIssue]:
        for first in range(0, len(self), _BLOCK):
            yield from self[first : first + _BLOCK]

    def __repr__(self) -> str:
        return f"<{self.headline()} See show(), to_pandas(); {str(self.run.path)!r} holds every token>"

    def worst(self, n: int = _SHOWN, by: By = "worst_span") -> Sequence[ExampleIssue]:
        """The first ``n`` examples by their worst span, by the share that looks wrong, or by the share that is useless.

        Raises:
            ConfigError: there is no such order.
        """
        return self._tell(self._rank(by)[: max(n, 0)])

    def show(self, n: int = _SHOWN, by: By = "worst_span") -> None:
        """Print what :meth:`worst` gives, each with its worst spans and their reasons."""
        from xtf.report.terminal.issues import issue_lines

        console = Console(highlight=False, file=cast(IO[str], Escaping(sys.stdout)))
        for line in issue_lines(self.headline(), self.worst(n, by), len(self)):
            console.print(line, soft_wrap=not console.is_terminal)

    def headline(self) -> str:
        """How many examples and tokens look wrong or useless, and whether that is stale, in one line."""
        judged = self._judged
        response = int(judged.response.sum())
        shares = [
            float(share.astype(np.float64) @ judged.response) / max(response, 1)
            for share in (judged.share_wrong, judged.share_useless)
        ]
        suspect = int((judged.share_wrong > 0).sum())
        examples = counted(len(self), "example")
        return (
            f"{agreeing(f'# of {examples} [holds|hold] a span that looks wrong', suspect)}; "
            f"of {counted(response, 'response token')} "
            f"{shares[0]:.1%} look wrong and {shares[1]:.1%} are useless.{''.join(f' {one}' for one in self._stale)}"
        )

    def kept(self, max_wrong: float = 1.0, max_useless: float = 1.0) -> list[str]:
        """Ids of the examples within these shares of their response tokens, in the order of the data.

        Raises:
            ConfigError: a share outside 0 to 1.
        """
        limits = Limits(max_wrong, max_useless)
        kept: list[str] = self._ids.filter(limits.allow(self._judged)).to_pylist()
        return kept

    def write(self, path: str | Path, max_wrong: float = 1.0, max_useless: float = 1.0) -> int:
        """Write the rows of :meth:`kept` as JSON lines, each as it stands in the data; returns how many.

        Raises:
            ConfigError: a share outside 0 to 1, or a name that does not end in ``.jsonl``.
            DataError: the data cannot be read any more.
            RunError: they are no longer the rows that were judged.
        """
        from xtf.steps.keeping import write_rows

        return write_rows(self.run, self.kept(max_wrong, max_useless), Path(path), self._rows)

    def to_arrow(self) -> pa.Table:
        """One row an example, in this order: its figures, and text and reason of its worst span."""
        import pyarrow as pa

        told, schema = read_issues(self.run), _schema()
        parts = iter(lambda: [_flat(one) for one in islice(told, _BLOCK)], [])
        table = pa.concat_tables([pa.Table.from_pylist(part, schema) for part in parts] or [schema.empty_table()])
        return table.take(self._ranked)

    def to_pandas(self) -> pd.DataFrame:
        """:meth:`to_arrow` as a ``pandas.DataFrame``."""
        return Table(self.to_arrow()).to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """:meth:`to_arrow` as a ``polars.DataFrame``.

        Raises:
            XTFError: Polars is not installed.
        """
        return Table(self.to_arrow()).to_polars()

    def _rank(self, by: str) -> NDArray[np.int64]:
        """Places of the examples in the data, the first to look at first."""
        places: NDArray[np.int64] = np.lexsort(ORDERS[order(by)](self._judged)[::-1])
        return places

    def _tell(self, places: NDArray[np.int64]) -> list[ExampleIssue]:
        """The examples at these places of the data, with their spans in words."""
        chosen = [self._ids[place].as_py() for place in places.tolist()]
        if wanted := set(chosen) - self._told.keys():
            if len(self._told) + len(wanted) > _BLOCK:
                self._told = {name: self._told[name] for name in chosen if name in self._told}
            told = (one for one in read_issues(self.run, wanted) if one.example_id in wanted)
            self._told.update((one.example_id, one) for one in told)
        return [self._told[name] for name in chosen]

    def _repr_html_(self) -> str:
        from xtf.report.html.issues import issues_html

        return issues_html(self.headline(), self.worst(), len(self))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from xtf.report.terminal.issues import issue_lines

        yield from issue_lines(self.headline(), self.worst(), len(self))


def _gathered(run: RunReader) -> tuple[pa.ChunkedArray, ExampleTable]:
    """Ids and figures of all examples, in the order of the data."""
    import pyarrow as pa

    ids, tables = [], []
    for names, table in read_figures(run):
        ids.append(pa.array(names, pa.string()))
        tables.append(table)
    return pa.chunked_array(ids, pa.string()), ExampleTable.concatenate(tables)


def _flat(one: ExampleIssue) -> dict[str, Any]:
    """An example as a row of a table."""
    figures = asdict(replace(one, spans=()))
    del figures["spans"]
    worst = one.spans[0] if one.spans else None
    return {
        **figures,
        "kind": worst.kind if worst else None,
        "text": worst.text if worst else None,
        "reason": worst.reason if worst else None,
    }


def _schema() -> pa.Schema:
    import pyarrow as pa

    figures = ("worst_span", "share_wrong", "share_useless", "weight")
    return pa.schema(
        [("example_id", pa.string())]
        + [(name, pa.float64()) for name in figures]
        + [(name, pa.int64()) for name in ("response_tokens", "span_count")]
        + [(name, pa.string()) for name in ("kind", "text", "reason")]
    )
