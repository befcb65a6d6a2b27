"""Files of tokenised rows, read and written again: every column as it was, but for those that say what is learnt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from xtf.data.data_files import DataFile
from xtf.data.formats import read_file
from xtf.data.sources import Source
from xtf.exporters.same import LearntRow, MaskColumns

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

ROWS = 1000
"""Rows held at once."""
ARROW = "data-00000-of-00001.arrow"
NO_WEIGHT = "tokens with a weight other than 0 and 1, for which their rows have no column of fractions"
CUT = "rows that go on beyond data.max_length, where nothing was scored and all is masked"


@dataclass
class Told:
    """What is learnt of the rows, taken in their order."""

    rows: Iterator[LearntRow]
    lost: Counter[str]
    _next: LearntRow | None = None

    def before(self, stop: int) -> list[LearntRow]:
        """All further rows of a lower number."""
        found: list[LearntRow] = []
        while True:
            self._next = self._next or next(self.rows, None)
            if self._next is None or self._next.index >= stop:
                return found
            found.append(self._next)
            self._next = None


@dataclass
class Masking:
    """The rows of one file, as they come.

    Attributes:
        columns: What says which tokens are learnt, of rows with columns of these names.
        told: What is learnt.
        place: Number of the next row, over all files.
    """

    columns: Callable[[list[str]], MaskColumns]
    told: Told
    place: int = 0

    def kept(self, rows: int) -> list[tuple[int, LearntRow]]:
        """Of so many further rows those to keep, with their place among them."""
        start, self.place = self.place, self.place + rows
        return [(one.index - start, one) for one in self.told.before(self.place)]

    def masked(self, row: Mapping[str, Any], told: LearntRow, columns: MaskColumns) -> dict[str, Any]:
        """The row with what is learnt of it; what is lost is counted."""
        self.told.lost[CUT] += int(columns.real(row).sum() > len(told.learnt))
        self.told.lost[NO_WEIGHT] += 0 if columns.carries_weights(row) else told.weighted
        return {**row, **columns.masked(row, told)}


class RowFile(NamedTuple):
    """One file to write, and what writes it: reads the next rows, and writes those that are to be kept."""

    path: Path
    write: Callable[[Masking, BinaryIO], None]


def row_files(source: Source, split: str, output: Path) -> Iterator[RowFile]:
    """The files of rows to write below ``output`` for one source, in its order."""
    if source.saved is not None:
        folder = output / split if has_splits(source.saved) else output
        yield RowFile(folder / ARROW, partial(_write_saved, source.load(split)))
    for file in source.files or ():
        yield RowFile(output / file.name, partial(_write_parquet if file.kind == ".parquet" else _write_lines, file))


def has_splits(folder: Path) -> bool:
    """Whether a saved data set has splits, each in a folder."""
    return (folder / "dataset_dict.json").is_file()


def with_labels(schema: pa.Schema, columns: MaskColumns) -> pa.Schema:
    """The schema, with a column of labels where none says what is learnt."""
    if columns.labels is None or columns.labels in schema.names:
        return schema
    return schema.append(schema.field(columns.ids).with_name(columns.labels))


def _write_saved(data: Dataset, masking: Masking, to: BinaryIO) -> None:
    import pyarrow as pa

    rows, columns = data.with_format("arrow"), masking.columns(data.column_names)
    schema = with_labels(data.data.schema, columns)
    with pa.ipc.new_stream(to, schema) as writer:
        for start in range(0, len(data), ROWS):
            writer.write_table(_masked_table(rows[start : start + ROWS], masking, columns, schema))


def _write_parquet(file: DataFile, masking: Masking, to: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file.path) as read:
        columns = masking.columns(read.schema_arrow.names)
        schema = with_labels(read.schema_arrow, columns)
        with pq.ParquetWriter(to, schema) as writer:
            for batch in read.iter_batches(batch_size=ROWS):
                writer.write_table(_masked_table(pa.Table.from_batches([batch]), masking, columns, schema))


def _masked_table(table: pa.Table, masking: Masking, columns: MaskColumns, schema: pa.Schema) -> pa.Table:
    """Of the next rows those to keep, with what is learnt of them."""
    import pyarrow as pa

    kept = masking.kept(table.num_rows)
    part = table.take(pa.array([place for place, _ in kept], pa.int64()))
    names = [name for name in columns.names if name in schema.names]
    rows = part.select([name for name in names if name in part.column_names]).to_pylist()
    masked = [masking.masked(row, told, columns) for row, (_, told) in zip(rows, kept, strict=True)]
    changed = {name: pa.array([row.get(name) for row in masked], schema.field(name).type) for name in names}
    return pa.Table.from_arrays(
        [changed[name] if name in changed else part[name] for name in schema.names], schema=schema
    )


def _write_lines(file: DataFile, masking: Masking, to: BinaryIO) -> None:
    for unread in read_file(file):
        for _, told in masking.kept(1):
            row = unread.read()
            text = json.dumps(masking.masked(row, told, masking.columns(list(row))), ensure_ascii=False)
            to.write((text + "\n").encode("utf-8", "backslashreplace"))
