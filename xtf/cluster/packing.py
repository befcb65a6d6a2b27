"""Files of a run folder as an object that travels: what is fitted, and the tokens that it is fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from xtf.files import write_atomically

Packed = Mapping[str, bytes]
"""Paths relative to a folder, with ``/``, to contents."""


def pack(root: Path, paths: Iterable[Path]) -> Packed:
    """The contents of files below ``root``; of a folder, all that it holds."""
    return {file.relative_to(root).as_posix(): file.read_bytes() for path in paths for file in _files(path)}


def unpack(packed: Packed, root: Path) -> None:
    """Write packed files below ``root``, each atomically."""
    for name, content in packed.items():
        _write(root / name, content)


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, lambda file: file.write(content))


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (inner for inner in sorted(path.rglob("*")) if inner.is_file())
    elif path.exists():
        yield path
