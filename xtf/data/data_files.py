"""Data files by name: a file, a folder, a pattern, an address that fsspec knows, or a list of these."""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import lzma
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from xtf.errors import DataError, listed

KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
SPLIT_NAMES = ("train", "training", "validation", "valid", "val", "dev", "eval", "test", "heldout")
NOT_ROWS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""What ``datasets`` and LLaMA-Factory write beside rows."""


class _Decompressed(io.BufferedReader):
    """What a decompressor makes of a file; closing it closes the file too."""

    def __init__(self, raw: BinaryIO, decompressor: Callable[[BinaryIO], Any]) -> None:
        super().__init__(decompressor(raw))
        self._file = raw

    def close(self) -> None:
        super().close()
        self._file.close()


def _zstd(raw: BinaryIO) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")


COMPRESSIONS: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _zstd,
}


KNOWN_KINDS = f"Known kinds: {', '.join(KINDS)}, also with {', '.join(COMPRESSIONS)}"


@dataclass(frozen=True)
class DataFile:
    """A file of rows.

    Attributes:
        path: Path or address, as messages show it.
        name: What is put before ids that other files have too: the path from the folder that all files share.
        split: Of a JSON file that holds several splits, the one that is read.
    """

    path: str
    name: str = ""
    split: str = "train"

    @cached_property
    def _suffixes(self) -> list[str]:
        path = self.path.partition("?")[0] if is_address(self.path) else self.path
        return [suffix.lower() for suffix in PurePosixPath(Path(path).as_posix()).suffixes]

    @property
    def compressions(self) -> list[str]:
        """``.gz`` and the like, the outermost first; a file may have been compressed twice."""
        return list(takewhile(COMPRESSIONS.__contains__, reversed(self._suffixes)))

    @property
    def kind(self) -> str:
        """The ending that says what is in it, in lower case, without those of compressions."""
        return next(reversed(self._suffixes[: len(self._suffixes) - len(self.compressions)]), "")

    def open(self) -> BinaryIO:
        """Its content, decompressed."""
        content = self.open_raw()
        for compression in self.compressions:
            content = _Decompressed(content, COMPRESSIONS[compression])
        return content

    def open_raw(self) -> BinaryIO:
        """Its bytes as they lie there."""
        if not is_address(self.path):
            return Path(self.path).open("rb")
        import fsspec

        with _errors_of_drivers(self.path):
            return cast(BinaryIO, fsspec.open(self.path, "rb").open())


def is_address(path: str) -> bool:
    """Whether fsspec has to open it: ``s3://bucket/rows.jsonl``."""
    return re.match(r"[a-z][a-z0-9+.-]+(::|://)", path, re.IGNORECASE) is not None


def find_files(path: str, split: str) -> list[DataFile] | None:
    """The files behind one path, or None when nothing of that name is a file.

    Args:
        path: A file, a folder, a pattern or an address; a file may be of any kind, in the others those of no known
            kind are passed over.
        split: Of a folder whose files or folders carry names of splits, those of this one.

    Raises:
        DataError: a folder without a file of that split, or an address that cannot be reached.
    """
    if is_address(path):
        return list(map(DataFile, _at_address(path, split)))
    local = Path(path).expanduser()
    if local.is_file():
        return [DataFile(str(local))]
    if local.is_dir():
        return list(map(DataFile, _in_folder(path, str(local), _walk(local), split)))
    if not glob.has_magic(path):
        return None
    found: list[str] = []
    for match in sorted(glob.glob(str(local), recursive=True)):
        found += _in_folder(match, match, _walk(Path(match)), split) if os.path.isdir(match) else _rows([match])
    return list(map(DataFile, dict.fromkeys(found)))


def named(files: Sequence[DataFile], split: str) -> list[DataFile]:
    """The files with their names, paths from the folder that all share, to be read for one split."""
    folders = [file.path.rpartition("/")[0] if is_address(file.path) else str(Path(file.path).parent) for file in files]
    shared = os.path.commonpath(folders) if len({os.path.isabs(folder) for folder in folders}) == 1 else ""
    names = (os.path.relpath(file.path, shared or ".").replace(os.sep, "/") for file in files)
    return [DataFile(file.path, name, split) for file, name in zip(files, names, strict=True)]


def _walk(folder: Path) -> list[str]:
    return [str(file) for file in folder.rglob("*") if file.is_file()]


def _rows(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if DataFile(path).kind in KINDS and PurePosixPath(path).name not in NOT_ROWS]


def _in_folder(shown: str, folder: str, paths: Iterable[str], split: str) -> list[str]:
    """Of the files in a folder, those that hold rows of the split; hidden files and folders are passed over."""
    inside = {path: PurePosixPath(os.path.relpath(path, folder).replace(os.sep, "/")) for path in _rows(paths)}
    files = sorted(path for path, name in inside.items() if not any(part.startswith(".") for part in name.parts))
    words = {path: _split_words(inside[path]) for path in files}
    chosen = [path for path in files if split.casefold() in words[path]]
    splits = {word for path in files for word in words[path] if word in SPLIT_NAMES}
    if not chosen and splits:
        raise DataError(f"{shown}: no file of split {split!r}. Set split to one of: {listed(splits)}")
    return chosen or files


def _split_words(path: PurePosixPath) -> set[str]:
    return set(re.split(r"[^a-z]+", str(path.with_suffix("")).casefold())) | {part.casefold() for part in path.parts}


def _at_address(path: str, split: str) -> list[str]:
    import fsspec

    with _errors_of_drivers(path):
        system, inner = fsspec.core.url_to_fs(path)
        if glob.has_magic(inner):
            return _rows(sorted(map(system.unstrip_protocol, system.glob(inner))))
        if not system.isdir(inner):
            return [path]
        found = [system.unstrip_protocol(file) for file in system.find(inner)]
        return _in_folder(path, system.unstrip_protocol(inner), found, split)


class _errors_of_drivers:
    """Turns what a driver raises, which has no common base, into one message."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, DataError):
            said = str(error).strip().split("\n")[0] or type(error).__name__
            raise DataError(f"{self._path}: cannot be read: {said}") from error
