"""The labelled rows of a run, to be found again by their tokens in whatever batches a trainer makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtf.display import command
from xtf.errors import RunError
from xtf.runs import RunReader
from xtf.runs.tables import flat
from xtf.tokens import BoolArray, FloatArray

WINDOW = 8
"""Tokens by which a piece is looked up; shorter ones are searched for in all rows."""

Ids = NDArray[np.int64]


class Piece(NamedTuple):
    """A stretch of a sequence that is a stretch of a labelled row.

    Attributes:
        start: Its first token in the sequence.
        length: In tokens.
        places: ``(places,)`` where it stands in the labelled tokens: several if rows have it in common.
    """

    start: int
    length: int
    places: Ids


@dataclass(frozen=True, slots=True)
class LabelledTokens:
    """Labelled rows laid end to end, with a separator after each.

    Attributes:
        input_ids: ``(tokens,)``, -1 at separators.
        learnt: ``(tokens,)`` whether a token has a label.
        weights: ``(tokens,)`` what it weighs.
        starts: ``(rows,)`` where each row begins.
        hashes: Of every window of :data:`WINDOW` tokens, sorted.
        order: Where each of them begins.
    """

    input_ids: Ids
    learnt: BoolArray
    weights: FloatArray
    starts: Ids
    hashes: NDArray[np.uint64]
    order: Ids

    @classmethod
    def of(cls, run: RunReader) -> LabelledTokens:
        """Read ``labels/`` of a run.

        Raises:
            RunError: it is not labelled, or labels nothing.
        """
        rows: list[tuple[Ids, BoolArray, FloatArray]] = []
        for part in run.parts:
            for record in part.folder.records("labels"):
                table = part.folder.read_shard("labels", record)
                _, offsets, columns = flat(table, ["input_ids", "labels", "weights"])
                ids, learnt = columns["input_ids"].astype(np.int64), columns["labels"] != -100
                for start, end in pairwise(offsets.tolist()):
                    rows.append((ids[start:end], learnt[start:end], columns["weights"][start:end]))
        if not rows:
            label = command("xtf", "label", run.path)
            raise RunError(f"{run.path}: there are no labels to compare with. Label it: {label}")
        return cls.joined(rows)

    @classmethod
    def joined(cls, rows: Sequence[tuple[Ids, BoolArray, FloatArray]]) -> LabelledTokens:
        """Rows of ``(seq,)`` ids, labels and weights, made ready to be searched."""
        ids, learnt, weights = (
            np.concatenate([np.append(column, column.dtype.type(0)) for column in columns])
            for columns in zip(*rows, strict=True)
        )
        edges = np.cumsum([0, *(len(row[0]) + 1 for row in rows)])
        ids[edges[1:] - 1], starts = -1, edges[:-1]
        hashes = _hashes(ids)
        order = np.argsort(hashes, kind="stable")
        return cls(ids, learnt, weights, starts, hashes[order], order)

    @property
    def ends(self) -> Ids:
        """``(rows,)`` the separator after each row."""
        return np.append(self.starts[1:], len(self.input_ids)) - 1

    def pieces(self, sequence: Ids) -> Iterator[Piece]:
        """The pieces of a sequence of ``(seq,)`` ids, in order; what lies between them is in no labelled row.

        A piece is as long as it can be. One of fewer than :data:`WINDOW` tokens must fill a gap as a whole.
        """
        windows, place, gap = _hashes(sequence), 0, 0
        while place < len(windows):
            found = self._longest(sequence, place, windows[place])
            if found is None:
                place += 1
                continue
            yield from self._short(sequence, gap, place)
            yield found
            place = gap = place + found.length
        yield from self._short(sequence, gap, len(sequence))

    def _longest(self, sequence: Ids, start: int, window: np.uint64) -> Piece | None:
        left, right = np.searchsorted(self.hashes, window, "left"), np.searchsorted(self.hashes, window, "right")
        places, length = self.order[left:right], 0
        while len(places) and start + length < len(sequence):
            if len(places) == 1:
                room = min(len(sequence) - start, len(self.input_ids) - int(places[0]))
                here = self.input_ids[places[0] : places[0] + room] == sequence[start : start + room]
                length = room if here.all() else int(np.argmin(here))
                break
            alive = places[self.input_ids[places + length] == sequence[start + length]]
            if not len(alive):
                break
            places, length = alive, length + 1
        return Piece(start, length, places) if length >= WINDOW else None

    def _short(self, sequence: Ids, start: int, end: int) -> Iterator[Piece]:
        if 0 < end - start < WINDOW:
            places = np.flatnonzero(self.input_ids == sequence[start])
            for offset in range(1, end - start):
                places = places[self.input_ids[places + offset] == sequence[start + offset]]
            if len(places):
                yield Piece(start, end - start, places)


def _hashes(ids: Ids) -> NDArray[np.uint64]:
    """Of each window of ``(seq,)`` ids: ``(seq - WINDOW + 1,)``, or none."""
    count = max(len(ids) - WINDOW + 1, 0)
    found = np.zeros(count, np.uint64)
    for offset in range(WINDOW):
        found = found * np.uint64(0x9E3779B97F4A7C15) + ids[offset : offset + count].astype(np.uint64)
    return found
