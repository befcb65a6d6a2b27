"""Rows from files, folders, the hub and memory, one at a time.

Every row knows its place. A row that is not asked for (``start``, ``stop``) is passed over without being parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from xtf.config import DataConfig, words
from xtf.data.data_files import KINDS, KNOWN_KINDS, DataFile, find_files, named
from xtf.data.formats import read_file
from xtf.data.hub import HUB_ID, is_saved, load_hub, load_saved, saved_below
from xtf.data.memory import memory_rows
from xtf.data.report import DataReport, RowError
from xtf.data.roles import SPEAKERS
from xtf.data.unread import Unread
from xtf.errors import DataError, kind_of, listed


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        location: Where it stands: file and line.
        index: Its number from 0; blank lines are not counted.
        value: Its columns.
        file: Short name of its file, "" for rows of one data set or in memory.
    """

    location: str
    index: int
    value: Mapping[str, Any]
    file: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """One of the things that ``data.path`` names: files, a saved data set, or a data set of the hub."""

    path: str
    files: list[DataFile] | None = None
    saved: Path | None = None

    def rows(self, split: str) -> Iterator[Unread]:
        """Its rows, not yet parsed."""
        if self.files is not None:
            return (row for file in self.files for row in read_file(file))
        return (row._replace(file=self.path) for row in memory_rows(self.load(split), f"{self.path}[{split}]: "))

    def load(self, split: str) -> Any:
        """What ``datasets`` makes of it, where it is no files."""
        return load_saved(self.saved, split) if self.saved is not None else load_hub(self.path, split)


def read_rows(
    source: DataConfig | Iterable[Mapping[str, Any]] | Any,
    report: DataReport | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
    on_error: str = "skip",
) -> Iterator[Row]:
    """Yield the rows of files, folders, hub ids (a DataConfig), or of rows in memory (:mod:`xtf.data.memory`).

    Args:
        source: Where the rows come from.
        report: Counts the rows and the broken ones. Without it, a broken row always raises.
        start: First row index wanted.
        stop: Row index to stop before; rows ``[start, stop)`` are the same whichever part is asked for.
        on_error: ``skip`` or ``stop``, for rows in memory; a DataConfig brings its own.

    Raises:
        DataError: no such file, or an empty one.
        RowError: a broken row, without a report or with ``stop``.
    """
    place, unread = open_source(source)
    on_error = source.on_error if isinstance(source, DataConfig) else on_error
    index = -1
    for index, (location, read, file) in enumerate(islice(unread, start, stop), start):
        if report is not None:
            report.rows += 1
        try:
            value = _with_names(read())
            if not isinstance(value, Mapping):
                raise RowError("expected an object with named columns", f"found {kind_of(value)}", location)
        except RowError as error:
            if report is None or on_error == "stop":
                raise
            report.skip(error)
            continue
        yield Row(location, index, value, file)
    if index < 0 and start == 0 and stop is None:
        raise DataError(f"{place}: empty: there is no row in it.")


def _with_names(value: Any) -> Any:
    """A row that is a list of messages alone, as an object that names them; any other as it is."""
    is_messages = isinstance(value, list) and value and all(map(_is_message, value))
    return {"messages": value} if is_messages else value


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and any(key in value for key in SPEAKERS)


def open_source(source: Any) -> tuple[str, Iterator[Unread]]:
    """Return a name for ``source`` and its rows, not yet parsed."""
    if isinstance(source, (str, Path)):
        source = DataConfig(path=str(source))
    if isinstance(source, DataConfig):
        return source.place, (row for each in find_sources(source) for row in each.rows(source.split))
    return "rows", memory_rows(source)


def find_sources(config: DataConfig) -> list[Source]:
    """Return what ``data.path`` names, in its order.

    Raises:
        DataError: nothing of that name, or no data in it.
    """
    found = [_source(path, config.split) for path in config.paths]
    short = iter(named([file for source in found for file in source.files or ()], config.split))
    return [
        source if source.files is None else Source(source.path, [next(short) for _ in source.files]) for source in found
    ]


def _source(path: str, split: str) -> Source:
    local = Path(path).expanduser()
    if is_saved(local):
        return Source(path, saved=local)
    files = find_files(path, split)
    if files is None and not (HUB_ID.fullmatch(path) and DataFile(path).kind not in KINDS):
        several = [part for part in words(path) if Path(part).expanduser().exists()]
        hint = f". Several files are a list: data.path=[{','.join(several)}]" if len(several) > 1 else ""
        raise DataError(f"{path}: no such file or folder (working folder: {Path.cwd()}){hint}")
    if files != []:
        return Source(path, files)
    saved = saved_below(local) if local.is_dir() else []
    if len(saved) == 1:
        return Source(path, saved=saved[0])
    instead = f"several data sets are saved below it; name one: {listed(map(str, saved))}" if saved else KNOWN_KINDS
    raise DataError(f"{path}: holds no data file. {instead}")
