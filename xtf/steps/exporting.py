"""The exporting step: labels as written -> a folder of files in the form that another tool reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from xtf.errors import RunError
from xtf.exporters import Exporter
from xtf.files import write_parquet, write_text
from xtf.progress import progress
from xtf.runs import RunReader

if TYPE_CHECKING:
    import pyarrow as pa


def export_run(run: RunReader, exporter: Exporter, output: Path) -> list[Path]:
    """Write one file for each shard of a labelled run into ``output``; returns their paths.

    Raises:
        RunError: the run is not labelled to the end, or ``output`` holds files already.
    """
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise RunError(f"{output}: there is something already. Choose another folder with --output")
    records = [record for part in run.parts for record in part.folder.records("scores")]
    written: list[Path] = []
    with progress(f"Exporting {exporter.name}", len(records), "shards") as advance:
        for shard, labels in run.labelled(names=[]):
            path = output / f"part-{len(written):05}{exporter.suffix}"
            write_rows(path, exporter.table(shard, labels, run.vocabulary))
            written.append(path)
            advance(1)
    return written


def write_rows(path: Path, table: pa.Table) -> None:
    """Write a table as its file's name says: Parquet, or JSON lines."""
    if path.suffix == ".jsonl":
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()))
    else:
        write_parquet(path, table)
