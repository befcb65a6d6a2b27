"""A cut after it has seen the corpus: which tokens lack, between which bounds, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from xtf.config import Above, Below, BottomShare, Iqr, MultiOtsu, Never, Threshold, TopShare
from xtf.labelling.cuts.statistics import (
    OTSU_BINS,
    Float64Array,
    SortedExamples,
    float32_down,
    float32_up,
    lacking_counts,
    otsu_bin,
    otsu_edges,
    predecessor,
)
from xtf.labelling.shard import OffsetArray
from xtf.tokens import BoolArray, FloatArray

Interval = tuple[float, float]
"""Open at both ends; each end is a float32 number or infinite."""

_THRESHOLD: TypeAdapter[Threshold] = TypeAdapter(Threshold)


@dataclass(frozen=True, slots=True)
class FittedCut:
    """A cut with its bounds found.

    Attributes:
        threshold: The cut as configured.
        fixed: The intervals in which a score lacks, the same for every example; None when each example has its own.
        error: Largest distance of a bound from the exact one (Multi-Otsu: one histogram bin), else 0. Where examples
            have their own bounds it is a share of the example's range instead.
    """

    threshold: Threshold
    fixed: tuple[Interval, ...] | None
    error: float = 0.0

    @property
    def decides(self) -> bool:
        """False for ``never``: such an attribute has no say in any rule."""
        return not isinstance(self.threshold, Never)

    @property
    def side(self) -> Literal["low", "high", "both"]:
        """Which end of the scale this cut calls lacking."""
        match self.threshold:
            case Above():
                return "high"
            case Below() | BottomShare() | TopShare() | Never():
                return "low"
            case Iqr(side=side):
                return side
            case _:
                return "both"

    def lacking(self, values: FloatArray, offsets: OffsetArray, judged: BoolArray) -> BoolArray:
        """``(tokens,)`` bool: which judged tokens lack.

        Args:
            values: ``(tokens,)`` float32, examples end to end.
            offsets: ``(examples + 1,)`` int64.
            judged: ``(tokens,)`` bool, the unprotected response tokens (``ScoredShard.candidates()``).
        """
        found = np.zeros(len(values), dtype=np.bool_)
        if self.fixed is not None:
            for low, high in self.fixed:
                found |= _between(values, np.float32(low), np.float32(high))
            return found & judged
        lows, highs = self._bounds(values, offsets, judged)
        lengths = np.diff(offsets)
        for low, high in zip(lows, highs, strict=True):
            found |= (values > np.repeat(low, lengths)) & (values < np.repeat(high, lengths))
        return found & judged

    def intervals(self, values: FloatArray, judged: BoolArray) -> list[Interval]:
        """The open intervals in which a score of this one example lacks; ``values`` and ``judged`` as in lacking."""
        if self.fixed is not None:
            return list(self.fixed)
        lows, highs = self._bounds(values, np.array([0, len(values)], dtype=np.int64), judged)
        return [(float(low[0]), float(high[0])) for low, high in zip(lows, highs, strict=True) if low[0] < high[0]]

    def _bounds(self, values: FloatArray, offsets: OffsetArray, judged: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Two ``(k, examples)`` float32 arrays: ends of the k intervals of each example; ``(inf, -inf)`` is empty."""
        if isinstance(self.threshold, MultiOtsu):
            return _otsu_bounds(self.threshold, values, offsets, judged)
        ordered = SortedExamples(values, offsets, judged)
        match self.threshold:
            case Iqr(k=k, side=side):
                pairs = iqr_bounds(ordered.quantile(0.25), ordered.quantile(0.75), k, side)
            case BottomShare() | TopShare():
                first_kept = lacking_counts(self.lacking_share, ordered.counts)
                bound = ordered.at(first_kept).astype(np.float32)
                bound[first_kept >= ordered.counts] = np.inf
                pairs = [(np.full_like(bound, -np.inf), bound)]
            case other:
                raise TypeError(f"a cut of kind {other.kind} has no bounds of its own in each example")
        nothing = ordered.counts == 0
        lows = np.stack([np.where(nothing, np.float32(np.inf), low) for low, _ in pairs])
        highs = np.stack([np.where(nothing, np.float32(-np.inf), high) for _, high in pairs])
        return lows, highs

    @property
    def lacking_share(self) -> float:
        """For share cuts, the share of tokens that lack; keeping 0.6 of the tokens is lacking the lowest 0.4."""
        match self.threshold:
            case BottomShare(share=share):
                return share
            case TopShare(keep=keep):
                return round(1.0 - keep, 12)
            case other:
                raise TypeError(f"a cut of kind {other.kind} has no share")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able (an infinite end becomes None); :meth:`from_dict` restores it exactly."""
        fixed = None if self.fixed is None else [[_finite(low), _finite(high)] for low, high in self.fixed]
        return {"threshold": self.threshold.model_dump(mode="json"), "fixed": fixed, "error": self.error}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FittedCut:
        """Restore what :meth:`to_dict` gave."""
        fixed = data["fixed"]
        if fixed is not None:
            fixed = tuple((_or(low, -math.inf), _or(high, math.inf)) for low, high in fixed)
        return cls(_THRESHOLD.validate_python(data["threshold"]), fixed, float(data["error"]))


def iqr_bounds(
    first: Float64Array, third: Float64Array, k: float, side: Literal["low", "high", "both"]
) -> list[tuple[FloatArray, FloatArray]]:
    """The intervals outside ``[Q1 - k IQR, Q3 + k IQR]``; all arrays ``(examples,)``."""
    reach = k * (third - first)
    infinite = np.full(len(first), np.inf, dtype=np.float32)
    low = (-infinite, float32_up(first - reach))
    high = (float32_down(third + reach), infinite)
    return {"low": [low], "high": [high], "both": [low, high]}[side]


def otsu_intervals(threshold: MultiOtsu, edges: list[float]) -> tuple[Interval, ...]:
    """The lacking clusters as intervals, neighbours joined: cluster c holds ``edges[c - 1] <= score < edges[c]``."""
    starts = [-math.inf, *(predecessor(edge) for edge in edges)]
    stops = [*edges, math.inf]
    joined: list[Interval] = []
    for cluster in sorted(set(threshold.lacking)):
        start, stop = starts[cluster], stops[cluster]
        if joined and joined[-1][1] > start:
            start = joined.pop()[0]
        joined.append((start, stop))
    return tuple(joined)


def _otsu_bounds(
    threshold: MultiOtsu, values: FloatArray, offsets: OffsetArray, judged: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Multi-Otsu within each example; an example with too few different scores has no lacking token."""
    width = len(threshold.lacking)
    lows = np.full((width, len(offsets) - 1), np.inf, dtype=np.float32)
    highs = np.full((width, len(offsets) - 1), -np.inf, dtype=np.float32)
    for example, (start, stop) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        here = values[start:stop][judged[start:stop]]
        if len(here) < threshold.classes or here.min() == here.max():
            continue
        low, high = float(here.min()), float(here.max())
        counts = np.bincount(otsu_bin(here, low, high), minlength=OTSU_BINS)
        if np.count_nonzero(counts) < threshold.classes:
            continue
        for place, ends in enumerate(otsu_intervals(threshold, otsu_edges(counts, threshold.classes, low, high))):
            lows[place, example], highs[place, example] = ends
    return lows, highs


def _between(values: FloatArray, low: np.float32, high: np.float32) -> BoolArray:
    if low == -np.inf:
        return values < high if high != np.inf else np.isfinite(values)
    return values > low if high == np.inf else (values > low) & (values < high)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _or(number: float | None, missing: float) -> float:
    return missing if number is None else float(number)
