"""Examples and labels laid end to end in files that vanish with the process: training data larger than memory.

Training reads its rows in random order, again and again, which shards of compressed columns are not made for. The
operating system maps these files into memory and keeps there what fits. A ``datasets.Dataset`` on disk does the same in
0.26 ms a row where this takes 0.025 (20,000 rows of 200 tokens, random order), and leaves a folder behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from xtf.data.arrays import ArrayFile
from xtf.tokens import TOKEN_COLUMNS, TokenizedExample


class _Offsets:
    """Where each of the pieces laid end to end begins; 8 bytes a piece, in memory."""

    def __init__(self) -> None:
        self._parts, self._end = [np.zeros(1, np.int64)], 0

    def append(self, lengths: NDArray[np.int64]) -> None:
        ends = self._end + np.cumsum(lengths, dtype=np.int64)
        self._parts.append(ends)
        self._end = int(ends[-1]) if len(ends) else self._end

    def concatenated(self) -> NDArray[np.int64]:
        """``(pieces + 1,)``; the same array until more is appended."""
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]


class Pieces(Sequence[NDArray[Any]]):
    """Arrays laid end to end, one an example; each is a copy made when it is asked for."""

    def __init__(self, values: NDArray[Any], offsets: NDArray[np.int64]) -> None:
        self._values, self._offsets = values, offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Pieces: ...
    def __getitem__(self, index: int | slice) -> NDArray[Any] | Pieces:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            assert step == 1
            return Pieces(self._values, self._offsets[start : max(start, stop) + 1])
        place = range(len(self))[index]
        return np.array(self._values[self._offsets[place] : self._offsets[place + 1]])


class StoredExamples(Sequence[TokenizedExample]):
    """Tokenised examples on disk; a slice is a view of the same files. Made by :class:`ExampleWriter`."""

    def __init__(self, ids: Pieces, columns: Sequence[Pieces]) -> None:
        self._ids, self._columns = ids, columns

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> TokenizedExample: ...
    @overload
    def __getitem__(self, index: slice) -> StoredExamples: ...
    def __getitem__(self, index: int | slice) -> TokenizedExample | StoredExamples:
        if isinstance(index, slice):
            return StoredExamples(self._ids[index], [column[index] for column in self._columns])
        return TokenizedExample(self._ids[index].tobytes().decode(), *(column[index] for column in self._columns))


class ExampleWriter:
    """Lays examples end to end in files of ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._ids = ArrayFile(folder, np.uint8)
        self._columns = {name: ArrayFile(folder, dtype) for name, dtype in TOKEN_COLUMNS.items()}
        self._id_offsets, self._offsets = _Offsets(), _Offsets()

    def append(
        self, example_ids: Sequence[str], offsets: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]
    ) -> None:
        """Add ``n`` examples: ids, ``(n + 1,)`` offsets from 0, and the columns of their tokens end to end."""
        names = [name.encode() for name in example_ids]
        self._ids.append(np.frombuffer(b"".join(names), np.uint8))
        self._id_offsets.append(np.array([len(name) for name in names], np.int64))
        self._offsets.append(np.diff(offsets))
        for name, file in self._columns.items():
            file.append(columns[name])

    def pieces(self, values: ArrayFile) -> Pieces:
        """Values laid like the tokens, one array an example."""
        return Pieces(values.mapped(), self._offsets.concatenated())

    def stored(self) -> StoredExamples:
        """Everything that was added."""
        ids = Pieces(self._ids.mapped(), self._id_offsets.concatenated())
        return StoredExamples(ids, [self.pieces(file) for file in self._columns.values()])
