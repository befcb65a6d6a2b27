"""What stands for data in the record of a run: as long as it is the same, a run may go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from xtf.config import DataConfig
from xtf.data.data_files import DataFile
from xtf.data.hub import hub_identity
from xtf.data.memory import is_stream
from xtf.data.report import DataReport, RowError
from xtf.data.schema import recognise
from xtf.data.sources import Row, find_sources, read_rows
from xtf.errors import DataError, raise_if_forbidden
from xtf.progress import busy

SETTINGS = (
    *("split", "columns", "roles", "template_args", "system", "template_adds"),
    *("learn", "never_learn", "always_learn", "prompt_weight", "only", "preference", "max_length", "too_long", "limit"),
)
CHUNK = 1 << 20


def fingerprint(config: DataConfig, rows: Any = None) -> str:
    """Return a SHA-256 of the content of the data and the settings that decide which examples come of it.

    The name of a single file does not count. One-shot iterators in ``rows`` are consumed. Of a stream, which may have
    no end, with ``config.limit`` only so many readable rows count.
    """
    digest = hashlib.sha256(_canonical({name: config.model_dump(mode="json")[name] for name in SETTINGS}))
    if rows is not None:
        report = DataReport()
        given = read_rows(rows, report)
        for row in _readable(given, config) if is_stream(rows) and config.limit else given:
            digest.update(_canonical(row.value) + b"\n")
        digest.update(_canonical(report.to_dict()))  # of rows that are no rows, their places
        return digest.hexdigest()
    with busy(f"Checking {config.place}"):
        _add_sources(digest, config)
    return digest.hexdigest()


def _add_sources(digest: Any, config: DataConfig) -> None:
    """Put the content of ``config.path`` into a digest."""
    sources = find_sources(config)
    files = sum(len(source.files or ()) for source in sources)
    for source in sources:
        for file in source.files or ():
            digest.update(_content(file))
            digest.update(file.name.encode() if files > 1 else b"")  # it may go before an id
        if source.saved is not None:
            for row in read_rows(source.load(config.split)):
                digest.update(_canonical(row.value) + b"\n")
        elif source.files is None:
            digest.update(hub_identity(source.path).encode())


def _readable(rows: Iterator[Row], config: DataConfig) -> Iterator[Row]:
    """The rows up to the one with which ``config.limit`` of them can be read."""
    readable = 0
    for row in rows:
        yield row
        with suppress(RowError):
            recognise(row, config.columns, config.roles, config.only)
            readable += 1
        if readable == config.limit:
            return


def _content(file: DataFile) -> bytes:
    content = hashlib.sha256()
    try:
        with file.open_raw() as stream:
            while chunk := stream.read(CHUNK):
                content.update(chunk)
    except OSError as error:
        raise_if_forbidden(error)
        raise DataError(f"{file.path}: cannot be read: {error.strerror or error}") from None
    return content.digest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=repr, ensure_ascii=True).encode()
