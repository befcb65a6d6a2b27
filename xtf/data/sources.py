"""Rows from files, folders, the hub and memory, one at a time.

Every row knows its place. A row that is not asked for (``start``, ``stop``) is passed over without being parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from xtf.config import DataConfig
from xtf.data.formats import SUFFIXES, Unread, given, read_file, without_nulls
from xtf.data.report import DataReport, RowError
from xtf.errors import DataError, kind_of, listed

DATASETS_MARKS = ("dataset_info.json", "state.json", "dataset_dict.json")
SPLIT_NAMES = ("train", "training", "validation", "valid", "val", "dev", "eval", "test", "heldout")
HUB_ID = re.compile(r"([\w.-]+(?:/[\w.-]+)?)(?::([\w.-]+))?")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, its number from 0 (blank lines not counted), and its columns."""

    location: str
    index: int
    value: Mapping[str, Any]


def read_rows(
    source: DataConfig | Iterable[Mapping[str, Any]] | Any,
    report: DataReport | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
    on_error: str = "skip",
) -> Iterator[Row]:
    """Yield the rows of a file, folder, hub id (a DataConfig), or of a list, an iterable or a ``datasets.Dataset``.

    Args:
        source: Where the rows come from.
        report: Counts the rows and the broken ones. Without it, a broken row always raises.
        start: First row index wanted.
        stop: Row index to stop before; rows ``[start, stop)`` are the same whichever part is asked for.
        on_error: ``skip`` or ``stop``, for rows in memory; a DataConfig brings its own.

    Raises:
        DataError: no such file, an empty one, or, with ``stop``, a broken row.
    """
    place, unread = open_source(source)
    on_error = source.on_error if isinstance(source, DataConfig) else on_error
    index = -1
    for index, (location, read) in enumerate(islice(unread, start, stop), start):
        if report is not None:
            report.rows += 1
        try:
            value = read()
            if not isinstance(value, Mapping):
                raise RowError("expected an object with named columns", f"found {kind_of(value)}", location)
        except RowError as error:
            if report is None or on_error == "stop":
                raise
            report.skip(error)
            continue
        yield Row(location, index, value)
    if index < 0 and start == 0 and stop is None:
        raise DataError(f"{place}: empty: there is no row in it.")


def open_source(source: Any) -> tuple[str, Iterator[Unread]]:
    """Return a name for ``source`` and its rows, not yet parsed."""
    if isinstance(source, (str, Path)):
        source = DataConfig(path=str(source))
    if isinstance(source, DataConfig):
        files = data_files(source)
        if files is not None:
            return source.path, (row for file in files for row in read_file(file))
        return source.path, _memory(load_dataset(source), f"{source.path}[{source.split}]: ")
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise DataError(
            f"rows: expected a list of rows or a datasets.Dataset, found {kind_of(source)}. "
            "Of a dictionary of splits or columns, pass one split."
        )
    return "rows", _memory(source, "")


def data_files(config: DataConfig) -> list[Path] | None:
    """Return the files behind ``data.path``, or None when the ``datasets`` library has to read it."""
    path = Path(config.path).expanduser()
    if path.is_file():
        return [path]
    if not path.exists():
        if HUB_ID.fullmatch(config.path) and path.suffix not in SUFFIXES:
            return None
        raise DataError(f"{config.path}: no such file or folder (working folder: {Path.cwd()})")
    if any((path / mark).is_file() for mark in DATASETS_MARKS):
        return None
    files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not files:
        raise DataError(f"{config.path}: the folder holds no data file. Known kinds: {', '.join(SUFFIXES)}")
    named = {file: _split_words(file.relative_to(path)) for file in files}
    chosen = [file for file in files if config.split.casefold() in named[file]]
    splits = {word for words in named.values() for word in words if word in SPLIT_NAMES}
    if not chosen and splits:
        raise DataError(f"{config.path}: no file of split {config.split!r}. Set split to one of: {listed(splits)}")
    return chosen or files


def load_dataset(config: DataConfig) -> Any:
    """Load a saved ``datasets`` folder or a hub id (``owner/name`` or ``owner/name:configuration``)."""
    import datasets

    try:
        if Path(config.path).expanduser().is_dir():
            loaded = datasets.load_from_disk(str(Path(config.path).expanduser()))
        else:
            match = HUB_ID.fullmatch(config.path)
            assert match is not None
            loaded = datasets.load_dataset(match[1], match[2], split=config.split)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        text = str(error).strip().split("\n")[0]
        raise DataError(
            f"{config.path}: no data set can be loaded from there (no such file or folder; tried as a data set of the "
            f"hub): {type(error).__name__}: {text}"
        ) from None
    if isinstance(loaded, Mapping):
        if config.split not in loaded:
            raise DataError(
                f"{config.path}: no split {config.split!r}. Set split to one of: {listed(map(str, loaded))}"
            )
        loaded = loaded[config.split]
    return loaded


def _memory(rows: Iterable[Any], prefix: str) -> Iterator[Unread]:
    if hasattr(rows, "column_names") and hasattr(rows, "__getitem__"):  # datasets.Dataset
        for index in range(len(rows)):  # type: ignore[arg-type]
            yield f"{prefix}row {index + 1}", partial(_arrow_row, rows, index)
        return
    for number, value in enumerate(rows, 1):
        yield f"{prefix}row {number}", partial(given, value)


def _arrow_row(rows: Any, index: int) -> Any:
    return without_nulls(rows[index])


def _split_words(path: Path) -> set[str]:
    return set(re.split(r"[^a-z]+", str(path.with_suffix("")).casefold())) | {part.casefold() for part in path.parts}
