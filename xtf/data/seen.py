"""Which example ids have been seen, in memory that does not grow with the data."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xtf.data.arrays import ArrayFile

_RECENT = 1 << 14
_BLOCK = 1 << 20

Hashes = NDArray[np.uint64]


class SeenIds:
    """A set of ids, of which 64-bit hashes are kept: the latest in memory, the rest in sorted blocks on disk.

    Two different ids share a hash with probability ``n**2 / 2**65``: one in 370,000 for ten million ids.
    """

    def __init__(self, recent: int = _RECENT, block: int = _BLOCK) -> None:
        self._limit, self._block = recent, block
        self._recent: set[int] = set()
        self._pending: Hashes = np.zeros(0, np.uint64)
        self._blocks: list[Hashes] = []

    def __contains__(self, example_id: str) -> bool:
        key = _hash(example_id)
        return key in self._recent or any(_holds(block, key) for block in (self._pending, *self._blocks))

    def add(self, example_id: str) -> None:
        """Remember an id."""
        self._recent.add(_hash(example_id))
        if len(self._recent) < self._limit:
            return
        recent = np.fromiter(self._recent, np.uint64, len(self._recent))
        self._recent.clear()
        self._pending = np.sort(np.concatenate([self._pending, recent]))
        if len(self._pending) >= self._block:
            self._blocks.append(_on_disk(self._pending))
            self._pending = np.zeros(0, np.uint64)


def _hash(example_id: str) -> int:
    content = hashlib.blake2b(example_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(content, "little")


def _holds(block: Hashes, key: int) -> bool:
    wanted = np.uint64(key)
    place = int(np.searchsorted(block, wanted))
    return place < len(block) and bool(block[place] == wanted)


def _on_disk(block: Hashes) -> Hashes:
    file = ArrayFile(Path(tempfile.gettempdir()), np.uint64)
    file.append(block)
    return file.mapped()
