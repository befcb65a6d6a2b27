"""What cuts may ask about scores: of every example of a shard at once, or of the corpus, by the same few requests.

A request is a small frozen value; equal requests are one statistic. Populations are examples, or the corpus alone.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from xtf.labelling.distribution import Distribution, keys_to_values, ordered_keys
from xtf.labelling.shard import OffsetArray
from xtf.tokens import BoolArray, FloatArray

Float64Array = NDArray[np.float64]
T = TypeVar("T", covariant=True)


class Scores(Protocol):
    """Sorted scores of one or several populations."""

    @property
    def counts(self) -> OffsetArray:
        """``(populations,)`` int64: scores of each."""

    def at(self, rank: OffsetArray) -> Float64Array:
        """``(populations,)`` the score of that rank, from 0; 0 where there is none."""

    def binned(self, bins: int) -> Binned:
        """Counts in equal steps between the extremes."""


class Statistic(ABC, Generic[T]):
    """A request; :meth:`of` answers it and must ask for the same ranks and bins whatever the scores are."""

    @abstractmethod
    def of(self, scores: Scores) -> T:
        """The answer for every population."""


@dataclass(frozen=True, slots=True)
class Quantile(Statistic[Float64Array]):
    """``(populations,)`` float64: the score below which a share lies, as ``numpy.quantile`` interpolates it."""

    share: float

    def of(self, scores: Scores) -> Float64Array:
        place = np.asarray((scores.counts - 1) * self.share, dtype=np.float64)
        rank = np.floor(place).astype(np.int64)
        low, high = scores.at(rank), scores.at(np.minimum(rank + 1, scores.counts - 1))
        weight, step = place - rank, high - low
        return np.where(weight >= 0.5, high - step * (1 - weight), low + step * weight)


@dataclass(frozen=True, slots=True)
class FirstKept(Statistic[FloatArray]):
    """``(populations,)`` float32: the lowest score that is not among the lowest ``share``; infinite where none is."""

    share: float

    def of(self, scores: Scores) -> FloatArray:
        rank = share_counts(self.share, scores.counts)
        return np.where(rank < scores.counts, scores.at(rank), np.inf).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Binned:
    """``counts`` ``(populations, bins)`` int64 in equal steps from ``low`` to ``high``, both ``(populations,)``."""

    counts: NDArray[np.int64]
    low: Float64Array
    high: Float64Array


@dataclass(frozen=True, slots=True)
class Histogram(Statistic[Binned]):
    """Counts in equal steps between the extremes; a population of equal scores fills the first bin alone."""

    bins: int

    def of(self, scores: Scores) -> Binned:
        return scores.binned(self.bins)


class Seen:
    """Answers to the statistics that a cut required."""

    def __init__(self, answers: Mapping[Statistic[Any], Any]) -> None:
        self._answers = answers

    @classmethod
    def of(cls, statistics: tuple[Statistic[Any], ...], scores: Scores) -> Seen:
        """Ask ``scores`` for all of them."""
        return cls({one: one.of(scores) for one in statistics})

    def __getitem__(self, statistic: Statistic[T]) -> T:
        if statistic not in self._answers:
            raise KeyError(f"{statistic} was not in requires()")
        answer: T = self._answers[statistic]
        return answer


def share_counts(share: float, tokens: OffsetArray) -> OffsetArray:
    """How many of ``(populations,)`` tokens a share takes: rounded down, in exact decimals (0.29 of 100 is 29)."""
    exact = decimal(share)
    return tokens * exact.numerator // exact.denominator


def decimal(share: float) -> Fraction:
    """The decimal that was written, not its binary neighbour; a small denominator keeps int64 products in range."""
    return Fraction(repr(share)).limit_denominator(10**9)


def bin_of(values: FloatArray, low: float, high: float, bins: int) -> NDArray[np.int64]:
    """The bin, from 0, of each of ``(n,)`` scores when ``[low, high]`` is cut into equal ones; the last is closed."""
    if not low < high:
        return np.zeros(len(values), np.int64)
    place = ((values.astype(np.float64) - low) * (bins / (high - low))).astype(np.int64)
    return np.minimum(place, bins - 1, out=place)


class ExampleScores:
    """The judged scores of one shard, sorted within each example; the populations are its examples."""

    def __init__(self, values: FloatArray, offsets: OffsetArray, judged: BoolArray) -> None:
        running = np.zeros(len(judged) + 1, dtype=np.int64)
        np.cumsum(judged, out=running[1:])
        self.counts: OffsetArray = np.diff(running[offsets])
        self._starts: OffsetArray = running[offsets[:-1]]
        owner = np.repeat(np.arange(len(self.counts), dtype=np.uint64), self.counts)
        keys = (owner << np.uint64(32)) | ordered_keys(values[judged])
        keys.sort()
        self._values = keys_to_values((keys & np.uint64(0xFFFFFFFF)).astype(np.uint32))

    def at(self, rank: OffsetArray) -> Float64Array:
        """The score of each example's rank, ``(examples,)``; 0 where it has no such rank."""
        inside = (rank >= 0) & (rank < self.counts)
        found = np.zeros(len(rank), dtype=np.float64)
        found[inside] = self._values[(self._starts + rank)[inside]]
        return found

    def binned(self, bins: int) -> Binned:
        low, high = self.at(np.zeros_like(self.counts)), self.at(self.counts - 1)
        counts = np.zeros((len(self.counts), bins), np.int64)
        for one, (start, size) in enumerate(zip(self._starts.tolist(), self.counts.tolist(), strict=True)):
            places = bin_of(self._values[start : start + size], float(low[one]), float(high[one]), bins)
            counts[one] = np.bincount(places, minlength=bins)
        return Binned(counts, low, high)


@dataclass(slots=True)
class CorpusScores:
    """All judged scores of one attribute, as one population. Asked once in vain, it knows what a pass must find.

    Attributes:
        distribution: Of those scores.
        ranks: Rank to its exact score; NaN while that is unknown.
        histograms: Number of bins to counts.
    """

    distribution: Distribution
    ranks: dict[int, float] = field(default_factory=dict)
    histograms: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def counts(self) -> OffsetArray:
        """``(1,)``, the number of scores."""
        return np.array([self.distribution.count], dtype=np.int64)

    def at(self, rank: OffsetArray) -> Float64Array:
        """The score of one rank, ``(1,)``; NaN while it is unknown, 0 if there is none."""
        one = int(rank[0])
        if not 0 <= one < self.distribution.count:
            return np.zeros(1)
        return np.array([self.ranks.setdefault(one, math.nan)])

    def binned(self, bins: int) -> Binned:
        counts = self.histograms.setdefault(bins, np.zeros(bins, np.int64))
        return Binned(counts[None], np.array([self.distribution.minimum]), np.array([self.distribution.maximum]))

    def add(self, values: FloatArray) -> None:
        """Count the judged scores of one shard, ``(n,)``."""
        for bins, counts in self.histograms.items():
            places = bin_of(values, self.distribution.minimum, self.distribution.maximum, bins)
            counts += np.bincount(places, minlength=bins)
