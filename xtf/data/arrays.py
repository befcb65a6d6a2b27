"""Arrays in files without a name: larger than memory, and gone once nothing refers to them, however a process ends."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xtf.files import full_disk_is_clear


class ArrayFile:
    """A one-dimensional array that grows on disk.

    Args:
        folder: On whose disk the file lies.
        dtype: Of the array.
    """

    def __init__(self, folder: Path, dtype: DTypeLike) -> None:
        self._folder, self._dtype = folder, np.dtype(dtype)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed when it is mapped

    def append(self, values: NDArray[Any]) -> None:
        """Write ``(n,)`` values of the file's dtype behind the others.

        Raises:
            OutOfSpaceError: when the disk is full.
        """
        assert values.dtype == self._dtype
        with full_disk_is_clear(self._folder):
            self._file.write(np.ascontiguousarray(values).data)

    def mapped(self) -> NDArray[Any]:
        """All that was appended, ``(n,)``, read from disk when it is looked at; nothing can be appended after it."""
        with full_disk_is_clear(self._folder), self._file:
            size = self._file.tell()
            self._file.flush()
            return np.memmap(self._file, self._dtype, mode="r") if size else np.zeros(0, self._dtype)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
