"""The rows of some examples, written as they stand in the data: what is left when whole rows are dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xtf.config import DataConfig
from xtf.data import DataReport, check_row_file, fingerprint, read_named_rows
from xtf.errors import RunError
from xtf.files import write_atomically
from xtf.runs import RunReader


def write_rows(run: RunReader, example_ids: Sequence[str], path: Path, rows: Any = None) -> int:
    """Write the rows of these examples as JSON lines, every column as it is; returns how many.

    Args:
        run: The run that judged them.
        example_ids: Which ones, in the order of the data.
        path: The file to write; its name ends in ``.jsonl``.
        rows: The rows of the run, if it was made of rows in memory.

    Raises:
        ConfigError: see :func:`~xtf.data.outputs.check_row_file`.
        DataError: the data cannot be read any more.
        RunError: they are no longer the rows that were judged.
    """
    config = run.config.data
    check_row_file(path, config)
    if fingerprint(config, rows) != run.manifest["inputs"]["data"]:
        raise RunError(f"{config.place}: has changed since {run.path} was made. Score it again, then write the rows")
    write_atomically(path, lambda file: file.writelines(_lines(config, example_ids, rows)))
    return len(example_ids)


def _lines(config: DataConfig, example_ids: Sequence[str], rows: Any) -> Iterator[bytes]:
    """The rows of these examples, one after another as they are read."""
    wanted = set(example_ids)
    whole = config.model_copy(update={"limit": None})  # it counts examples, and here rows too long for one are read too
    found = read_named_rows(whole, DataReport(), rows) if wanted else iter(())
    for name, row in found:
        if name in wanted:
            yield f"{_line(row.value)}\n".encode()
            wanted.remove(name)
        if not wanted:
            break
    if wanted:
        raise RunError(f"{config.place}: no longer holds example {min(wanted)!r}. Score it again, then write the rows")


def _line(value: Any) -> str:
    """A row as JSON; with escapes where it holds half of a surrogate pair, which no file can."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, ensure_ascii=True, default=str)
    return text
