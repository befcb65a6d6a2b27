"""A cut after it has seen the corpus: which tokens lack, between which bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xtf.config.kinds import read_cut
from xtf.labelling.cuts.base import Cut, Interval
from xtf.labelling.cuts.capped import narrow
from xtf.labelling.cuts.statistics import ExampleScores, Seen
from xtf.labelling.shard import OffsetArray
from xtf.tokens import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class FittedCut:
    """A cut with its bounds found.

    Attributes:
        cut: As configured.
        fixed: The intervals in which a score lacks, the same for every example; None when each example has its own.
    """

    cut: Cut
    fixed: tuple[Interval, ...] | None

    def lacking(
        self, values: FloatArray, offsets: OffsetArray, judged: BoolArray, scores: ExampleScores | None = None
    ) -> BoolArray:
        """``(tokens,)`` bool: which judged tokens lack.

        Args:
            values: ``(tokens,)`` float32, examples end to end.
            offsets: ``(examples + 1,)`` int64.
            judged: ``(tokens,)`` bool, the unprotected response tokens (``ScoredShard.candidates()``).
            scores: The same values sorted, where they are at hand.
        """
        found = np.zeros(len(values), dtype=np.bool_)
        if self.fixed is not None and self.cut.at_most is None:
            for low, high in self.fixed:
                found |= _between(values, np.float32(low), np.float32(high))
            return found & judged
        lengths = np.diff(offsets)
        for lows, highs in self._ends(values, offsets, judged, scores):
            found |= (values > np.repeat(lows, lengths)) & (values < np.repeat(highs, lengths))
        return found & judged

    def intervals(self, values: FloatArray, judged: BoolArray) -> list[Interval]:
        """The open intervals in which a score of this one example lacks; ``(tokens,)`` each, as in :meth:`lacking`."""
        return self.intervals_of_each(values, np.array([0, len(values)], dtype=np.int64), judged)[0]

    def intervals_of_each(self, values: FloatArray, offsets: OffsetArray, judged: BoolArray) -> list[list[Interval]]:
        """As :meth:`intervals`, of each example; ``(tokens,)`` and ``(examples + 1,)``, as in :meth:`lacking`."""
        examples = range(len(offsets) - 1)
        if self.fixed is not None and self.cut.at_most is None:
            return [list(self.fixed) for _ in examples]
        ends = self._ends(values, offsets, judged)
        return [list(not_empty(as_intervals((low[one], high[one]) for low, high in ends))) for one in examples]

    def typical(self, scores: ExampleScores) -> list[Interval]:
        """The intervals, with the median over the examples of each end where examples have their own.

        What ``at_most`` then releases is not looked at.
        """
        if self.fixed is not None:
            return list(self.fixed)
        found = []
        for low, high in self._bounds(scores):
            some = low < high
            found += [(_middle(low[some]), _middle(high[some]))] if some.any() else []
        return found

    def _ends(
        self, values: FloatArray, offsets: OffsetArray, judged: BoolArray, scores: ExampleScores | None = None
    ) -> list[tuple[FloatArray, FloatArray]]:
        """The intervals of each example as :meth:`_bounds` gives them, narrowed to what ``at_most`` allows."""
        if self.fixed is not None:
            size = len(offsets) - 1
            ends = [(np.full(size, low, np.float32), np.full(size, high, np.float32)) for low, high in self.fixed]
        else:
            ends = self._bounds(ExampleScores(values, offsets, judged) if scores is None else scores)
        if self.cut.at_most is not None:
            narrow(ends, values, offsets, judged, self.cut.at_most)
        return ends

    def _bounds(self, scores: ExampleScores) -> list[tuple[FloatArray, FloatArray]]:
        """Low and high ends of each interval, ``(examples,)`` float32; ``(inf, -inf)`` in an example without scores."""
        nothing = scores.counts == 0
        return [
            (
                np.where(nothing, np.inf, low).astype(np.float32),
                np.where(nothing, -np.inf, high).astype(np.float32),
            )
            for low, high in self.cut.bounds(Seen.of(self.cut.requires(), scores))
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able (an infinite end becomes None); :meth:`from_dict` restores it exactly."""
        fixed = None if self.fixed is None else [[_finite(low), _finite(high)] for low, high in self.fixed]
        return {"threshold": self.cut.model_dump(mode="json"), "fixed": fixed}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FittedCut:
        """Restore what :meth:`to_dict` gave."""
        fixed = data["fixed"]
        if fixed is not None:
            fixed = tuple((_or(low, -math.inf), _or(high, math.inf)) for low, high in fixed)
        return cls(read_cut(data["threshold"]), fixed)


def as_intervals(ends: Iterable[tuple[Any, Any]]) -> tuple[Interval, ...]:
    """Ends as plain numbers."""
    return tuple((float(low), float(high)) for low, high in ends)


def not_empty(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Those that any score can lie in."""
    return tuple((low, high) for low, high in intervals if low < high)


def _between(values: FloatArray, low: np.float32, high: np.float32) -> BoolArray:
    if low == -np.inf:
        return values < high if high != np.inf else np.isfinite(values)
    return values > low if high == np.inf else (values > low) & (values < high)


def _middle(ends: FloatArray) -> float:
    return float(np.sort(ends)[len(ends) // 2])


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _or(number: float | None, missing: float) -> float:
    return missing if number is None else float(number)
