"""Files that exist only when complete: written beside, synced, renamed, and recorded with a checksum.

*Sealed* files carry their own checksum: JSON in the key ``checksum``, others in 72 bytes behind their content.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from xtf.errors import OutOfSpaceError, RunError, raise_if_forbidden

if TYPE_CHECKING:
    import pyarrow as pa

_CHECKSUM = "checksum"
_SEAL_LENGTH = 72


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, sync it, and rename it to ``path``.

    Raises:
        OutOfSpaceError: when the disk is full; ``path`` keeps its former content.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    with full_disk_is_clear(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
            _sync_folder(path.parent)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def full_disk_is_clear(path: Path) -> Iterator[None]:
    """Turn the operating system's error for a full disk into :class:`OutOfSpaceError`, naming ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpaceError(
                f"{path}: the disk is full. Everything written before is complete; free some space and run the same "
                "command again to go on."
            ) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; half of a surrogate pair becomes its escape, as JSON and YAML read it."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8", "backslashreplace")))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, with NaN refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_arrow(path: Path, table: pa.Table) -> None:
    """Write a table as an Arrow stream atomically, as the data sets that ``datasets`` saves have it."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=1000)
    content = sink.getvalue()
    write_atomically(path, lambda file: file.write(content))


def write_parquet(path: Path, table: pa.Table) -> str:
    """Write a Parquet table atomically, see :func:`parquet_content`; return its checksum."""
    content = parquet_content(table)
    write_atomically(path, lambda file: file.write(content))
    return hashlib.sha256(content).hexdigest()


def parquet_content(table: pa.Table) -> pa.Buffer:
    """The bytes of a table as Parquet, one row group per 1,000 rows.

    No dictionaries: scores hardly repeat, and looking for repetition takes five times as long as writing them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=1000, write_statistics=False, use_dictionary=False)
    return sink.getvalue()


def seal_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """``value`` with its checksum."""
    return {**value, _CHECKSUM: _json_digest(value)}


def write_sealed_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, with its checksum."""
    write_json(path, seal_json(value))


def read_sealed_json(path: Path) -> dict[str, Any]:
    """Read what :func:`write_sealed_json` wrote, without the checksum.

    Raises:
        RunError: naming the file, if it is missing or not as it was written.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise_if_forbidden(error)
        raise RunError(f"{path}: damaged: {str(error).splitlines()[0]}") from None
    if not isinstance(loaded, dict) or loaded.pop(_CHECKSUM, None) != _json_digest(loaded):
        raise RunError(f"{path}: damaged: its content does not match the checksum recorded when it was written")
    return loaded


def write_sealed(path: Path, content: bytes) -> None:
    """Write bytes atomically, with their checksum behind them."""
    write_atomically(path, lambda file: file.write(content + _seal(content)))


def read_sealed(path: Path) -> bytes:
    """Read what :func:`write_sealed` wrote, without the checksum.

    Raises:
        RunError: naming the file, if it is missing or not as it was written.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise_if_forbidden(error)
        raise RunError(f"{path}: cannot be read: {error.strerror}") from None
    content = raw[:-_SEAL_LENGTH]
    if len(raw) < _SEAL_LENGTH or raw[-_SEAL_LENGTH:] != _seal(content):
        raise RunError(f"{path}: damaged: its content does not match the checksum recorded when it was written")
    return content


def _seal(content: bytes) -> bytes:
    return b"\nsha256:" + hashlib.sha256(content).hexdigest().encode()


def _json_digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def remove_leftovers(folder: Path) -> None:
    """Delete what writers that died have left beside their files; call it only while no writer is alive."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(*parts: object) -> str:
    """A short hexadecimal fingerprint of values, by their JSON text."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
