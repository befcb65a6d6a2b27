"""How one attribute's scores are distributed over the corpus: percentiles, and exact order statistics.

Both rest on one order-preserving map from float32 to uint32 (:func:`ordered_keys`). Its 20 leading bits number the
bins of a histogram that any corpus fits into (:class:`Distribution`); a second pass over the 12 trailing bits of the
few bins that matter finds any order statistic exactly (:class:`ExactSelector`). Memory does not grow with the corpus.

Only unprotected response tokens count: a protected token cannot be masked, so it must not shift anyone's rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtf.labelling.shard import OffsetArray, ScoredShard, Shards
from xtf.tokens import FloatArray, IntArray

KeyArray = NDArray[np.uint32]

BIN_BITS = 20
_LOW_BITS = 32 - BIN_BITS
_BINS = 1 << BIN_BITS
FLAT_RANGE = 1e-3
"""Relative range within an example at or below which scores are rounding noise (see ``xtf.labelling.degenerate``)."""


def ordered_keys(values: FloatArray) -> KeyArray:
    """Map ``(n,)`` finite float32 to uint32 so that order and equality are kept; -0.0 and 0.0 share a key."""
    bits = (values + np.float32(0.0)).view(np.uint32)
    flip = (bits.view(np.int32) >> 31).view(np.uint32) | np.uint32(0x80000000)
    return bits ^ flip


def keys_to_values(keys: KeyArray) -> FloatArray:
    """Undo :func:`ordered_keys`, ``(n,)`` to ``(n,)``."""
    flip = np.where(keys & np.uint32(0x80000000), np.uint32(0x80000000), np.uint32(0xFFFFFFFF))
    return (keys ^ flip).view(np.float32)


@dataclass(frozen=True, eq=False, kw_only=True)
class Distribution:
    """The scores of all unprotected response tokens under one attribute, as a histogram of fixed size.

    Attributes:
        bins: ``(k,)`` uint32, the occupied bins in rising order (leading bits of :func:`ordered_keys`).
        counts: ``(k,)`` int64, the tokens in each.
        minimum: Smallest score (NaN when there is none), exact.
        maximum: Largest score, exact.
        mean: Mean score.
        std: Population standard deviation.
        examples_judged: Examples whose tokens could differ: at least two different unprotected response token ids.
        examples_flat: Those of them whose scores span at most ``FLAT_RANGE`` of their largest magnitude.
        widest_range: Largest such relative range of any judged example.
    """

    bins: KeyArray
    counts: NDArray[np.int64]
    minimum: float
    maximum: float
    mean: float
    std: float
    examples_judged: int
    examples_flat: int
    widest_range: float

    @cached_property
    def count(self) -> int:
        """Number of scores."""
        return int(self.counts.sum())

    @property
    def is_constant(self) -> bool:
        """True when every score is the same number (or there is none)."""
        return not self.minimum < self.maximum

    @cached_property
    def rank_error(self) -> float:
        """Largest error of :meth:`percentile_of`, in percentage points: half the fullest bin."""
        return 50.0 * float(self.counts.max()) / self.count if self.count else 0.0

    @cached_property
    def _table(self) -> FloatArray:
        """Percentile of every possible bin, ``(2**20,)`` float32."""
        table = np.zeros(_BINS, dtype=np.float64)
        table[self.bins] = self.counts
        table = np.cumsum(table) - table / 2
        return (table * (100.0 / max(self.count, 1))).astype(np.float32)

    def percentile_of(self, values: FloatArray) -> FloatArray:
        """Corpus percentile of each of ``(n,)`` finite scores, float32 in [0, 100].

        A score ranks in the middle of its bin, so equal scores get equal percentiles, and the result is off by at most
        :attr:`rank_error`. Bins are relative: about one part in 2000 of the score.
        """
        table: FloatArray = self._table[ordered_keys(values) >> np.uint32(_LOW_BITS)]
        return table

    def quantile(self, share: float) -> float:
        """A score that about ``share`` of all scores lie below, within one bin; exact at 0 and 1."""
        if not self.count or share <= 0.0:
            return self.minimum
        if share >= 1.0:
            return self.maximum
        before = np.cumsum(self.counts)
        place = int(np.searchsorted(before, share * self.count))
        edges = keys_to_values(self.bins[place] * np.uint32(1 << _LOW_BITS) + np.array([0, 0xFFF], np.uint32))
        within = 1.0 - (float(before[place]) - share * self.count) / float(self.counts[place])
        low, high = (min(max(float(edge), self.minimum), self.maximum) for edge in edges)
        return low + (high - low) * within

    def bin_of_rank(self, rank: int) -> tuple[int, int]:
        """The bin that holds the ``rank``-th smallest score (from 0), and how many scores lie in the bins before it."""
        before = np.cumsum(self.counts)
        place = int(np.searchsorted(before, rank, side="right"))
        return int(self.bins[place]), int(before[place] - self.counts[place])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as ``(n,)`` arrays, for ``numpy.savez``; :meth:`from_arrays` restores it exactly."""
        figures = (self.minimum, self.maximum, self.mean, self.std, self.widest_range)
        return {
            "bins": self.bins,
            "counts": self.counts,
            "figures": np.array(figures, dtype=np.float64),
            "examples": np.array([self.examples_judged, self.examples_flat], dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Distribution:
        """Restore what :meth:`to_arrays` gave, in its shapes."""
        figures = ("minimum", "maximum", "mean", "std", "widest_range")
        judged, flat = arrays["examples"].tolist()
        return cls(
            bins=arrays["bins"],
            counts=arrays["counts"],
            examples_judged=judged,
            examples_flat=flat,
            **dict(zip(figures, arrays["figures"].tolist(), strict=True)),
        )


class DistributionBuilder:
    """Gathers one :class:`Distribution` shard by shard; the histogram is the same in whatever order shards arrive."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, dtype=np.int64)
        self._count = 0
        self._minimum, self._maximum = math.inf, -math.inf
        self._mean = self._squares = 0.0
        self._judged = self._flat = 0
        self._widest = 0.0

    def add(self, values: FloatArray, starts: OffsetArray, varied: NDArray[np.bool_]) -> None:
        """Take in the judged scores of one shard.

        Args:
            values: ``(n,)`` float32, finite, example after example.
            starts: ``(m,)`` where each example that has any value begins.
            varied: ``(m,)`` whether the example has at least two different token ids.
        """
        if not len(values):
            return
        bins = ordered_keys(values) >> np.uint32(_LOW_BITS)
        if len(values) > _BINS >> 4:
            self._counts += np.bincount(bins.astype(np.int64), minlength=_BINS)
        else:
            np.add.at(self._counts, bins, 1)
        self._add_moments(values)
        lows, highs = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        self._minimum = min(self._minimum, float(lows.min()))
        self._maximum = max(self._maximum, float(highs.max()))
        low, high = lows[varied].astype(np.float64), highs[varied].astype(np.float64)
        if len(low):
            size = np.maximum(np.abs(low), np.abs(high))
            spread = np.divide(high - low, size, out=np.zeros_like(size), where=size > 0)
            self._judged += len(spread)
            self._flat += int(np.count_nonzero(spread <= FLAT_RANGE))
            self._widest = max(self._widest, float(spread.max()))

    def _add_moments(self, values: FloatArray) -> None:
        """Merge mean and sum of squared deviations (Chan, Golub and LeVeque 1979), in float64."""
        wide = values.astype(np.float64)
        added, mean = len(wide), float(wide.mean())
        wide -= mean
        shift, total = mean - self._mean, self._count + added
        self._squares += float(np.dot(wide, wide)) + shift * shift * self._count * added / total
        self._mean += shift * added / total
        self._count = total

    def result(self) -> Distribution:
        """The distribution of everything added so far."""
        bins = np.flatnonzero(self._counts).astype(np.uint32)
        none = not self._count
        return Distribution(
            bins=bins,
            counts=self._counts[bins],
            minimum=math.nan if none else self._minimum + 0.0,
            maximum=math.nan if none else self._maximum + 0.0,
            mean=math.nan if none else self._mean,
            std=math.nan if none else math.sqrt(self._squares / self._count),
            examples_judged=self._judged,
            examples_flat=self._flat,
            widest_range=self._widest,
        )


def measure(names: Sequence[str], shards: Shards, prompts: bool = False) -> dict[str, Distribution]:
    """One pass: the distribution of each attribute in ``names``, over judged tokens and, if asked, those of prompts.

    Raises:
        PluginError: a response token has no finite score; names the attribute and the example.
    """
    builders = {name: DistributionBuilder() for name in names}
    for shard in shards():
        measure_shard(builders, shard, prompts)
    return {name: builder.result() for name, builder in builders.items()}


def measure_shard(builders: Mapping[str, DistributionBuilder], shard: ScoredShard, prompts: bool = False) -> None:
    """Add one shard to a builder per attribute (for callers that already hold the shard)."""
    judged = shard.population(prompts)
    counts = shard.counts(judged)
    starts = (np.cumsum(counts) - counts)[counts > 0]
    ids: IntArray = shard.input_ids[judged]
    varied = np.zeros(0, np.bool_)
    if len(ids):
        varied = np.minimum.reduceat(ids, starts) != np.maximum.reduceat(ids, starts)
    for name, builder in builders.items():
        shard.check_finite(name)
        builder.add(shard.scores[name][judged], starts, varied)


class ExactSelector:
    """Exact order statistics of several attributes by radix selection: one more pass after :func:`measure`.

    The histogram says which bin holds each wanted rank; this pass counts the 12 trailing bits inside those bins only.
    """

    def __init__(self, distributions: Mapping[str, Distribution], ranks: Mapping[str, Iterable[int]]) -> None:
        self._places: dict[str, dict[int, tuple[int, int]]] = {}
        self._rows: dict[str, NDArray[np.int16]] = {}
        self._counts: dict[str, NDArray[np.int64]] = {}
        for name, wanted in ranks.items():
            places = {rank: distributions[name].bin_of_rank(rank) for rank in set(wanted)}
            bins = sorted({bin_ for bin_, _ in places.values()})
            self._places[name] = places
            self._rows[name] = np.full(_BINS, -1, np.int16)
            self._rows[name][bins] = np.arange(len(bins))
            self._counts[name] = np.zeros((len(bins), 1 << _LOW_BITS), np.int64)

    def add(self, name: str, values: FloatArray) -> None:
        """Take in ``(n,)`` scores of one shard, those that :func:`measure` counted."""
        keys = ordered_keys(values)
        row = self._rows[name][keys >> np.uint32(_LOW_BITS)]
        inside = row >= 0
        counts = self._counts[name]
        place = row[inside].astype(np.int64) << _LOW_BITS | (keys[inside] & np.uint32(0xFFF)).astype(np.int64)
        counts += np.bincount(place, minlength=counts.size).reshape(counts.shape)

    def results(self) -> dict[str, dict[int, float]]:
        """Attribute to rank (from 0, smallest first) to score, exact."""
        found: dict[str, dict[int, float]] = {}
        for name, places in self._places.items():
            found[name] = {}
            for rank, (bin_, before) in places.items():
                running = np.cumsum(self._counts[name][self._rows[name][bin_]])
                low = int(np.searchsorted(running, rank - before, side="right"))
                key = np.array([(bin_ << _LOW_BITS) | low], np.uint32)
                found[name][rank] = float(keys_to_values(key)[0])
        return found
