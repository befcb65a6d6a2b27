"""The numbers behind cuts: float32 neighbours, quartiles, shares, and Multi-Otsu on a histogram."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from xtf.labelling.distribution import keys_to_values, ordered_keys
from xtf.labelling.shard import OffsetArray
from xtf.tokens import BoolArray, FloatArray

Float64Array = NDArray[np.float64]
OTSU_BINS = 256


def nearest(value: float) -> float:
    """``value`` rounded to float32, the precision of scores; beyond its range, infinite."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def float32_up(values: Float64Array) -> FloatArray:
    """The smallest float32 not below each value: a score is below the one exactly when it is below the other."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
        return np.where(rounded < values, np.nextafter(rounded, np.float32(np.inf)), rounded).astype(np.float32)


def float32_down(values: Float64Array) -> FloatArray:
    """The largest float32 not above each value: a score is above the one exactly when it is above the other."""
    return -float32_up(-values)


def predecessor(value: float) -> float:
    """The largest float32 below a float32 number."""
    return float(np.nextafter(np.float32(value), np.float32(-np.inf)))


def lacking_count(share: float, tokens: int) -> int:
    """How many of ``tokens`` a bottom share takes: rounded down, computed in exact decimals (0.29 of 100 is 29)."""
    return math.floor(_decimal(share) * tokens)


def lacking_counts(share: float, tokens: OffsetArray) -> OffsetArray:
    """:func:`lacking_count` of many examples at once."""
    exact = _decimal(share)
    return tokens * exact.numerator // exact.denominator


def _decimal(share: float) -> Fraction:
    """The decimal that was written, not its binary neighbour; a small denominator keeps int64 products in range."""
    return Fraction(repr(share)).limit_denominator(10**9)


def interpolate(low: Float64Array, high: Float64Array, weight: Float64Array) -> Float64Array:
    """``numpy.quantile``'s linear interpolation, operation for operation."""
    step = high - low
    return np.where(weight >= 0.5, high - step * (1 - weight), low + step * weight)


def quantile_place(share: float, tokens: OffsetArray) -> tuple[OffsetArray, OffsetArray, Float64Array]:
    """Ranks below and above the ``share`` quantile of ``tokens`` sorted scores, and the weight of the upper one."""
    place = np.asarray((tokens - 1) * share, dtype=np.float64)
    low = np.floor(place).astype(np.int64)
    return low, np.minimum(low + 1, tokens - 1), place - low


class SortedExamples:
    """The judged scores of one shard, sorted within each example.

    Attributes:
        values: ``(n,)`` float32, the examples one after another.
        counts: ``(examples,)`` int64, judged tokens of each.
        starts: ``(examples,)`` int64, where each begins in ``values``.
    """

    def __init__(self, values: FloatArray, offsets: OffsetArray, judged: BoolArray) -> None:
        running = np.zeros(len(judged) + 1, dtype=np.int64)
        np.cumsum(judged, out=running[1:])
        self.counts: OffsetArray = np.diff(running[offsets])
        self.starts: OffsetArray = running[offsets[:-1]]
        owner = np.repeat(np.arange(len(self.counts), dtype=np.uint64), self.counts)
        keys = (owner << np.uint64(32)) | ordered_keys(values[judged])
        keys.sort()
        self.values = keys_to_values((keys & np.uint64(0xFFFFFFFF)).astype(np.uint32))

    def at(self, rank: OffsetArray) -> Float64Array:
        """``(examples,)`` the score of that rank in each example; 0 where the example has no such rank."""
        inside = (rank >= 0) & (rank < self.counts)
        found = np.zeros(len(rank), dtype=np.float64)
        found[inside] = self.values[(self.starts + rank)[inside]]
        return found

    def quantile(self, share: float) -> Float64Array:
        """``(examples,)`` as ``numpy.quantile`` gives it on the float64 of each example's scores."""
        low, high, weight = quantile_place(share, self.counts)
        return interpolate(self.at(low), self.at(high), weight)


def otsu_bin(values: FloatArray, low: float, high: float) -> NDArray[np.int64]:
    """The bin, 0 to 255, of each score when ``[low, high]`` is cut into 256 equal ones; the last one is closed."""
    place = ((values.astype(np.float64) - low) * (OTSU_BINS / (high - low))).astype(np.int64)
    return np.minimum(place, OTSU_BINS - 1, out=place)


def otsu_edges(counts: NDArray[np.int64], classes: int, low: float, high: float) -> list[float]:
    """The ``classes - 1`` scores at which the upper clusters begin, as float32.

    Each is the upper edge of the last bin of a cluster (not that bin's centre, which ``skimage`` returns): so every
    token is in the cluster its bin was assigned to, also when the scores are few and discrete.
    """
    edges = []
    for last in otsu_split(counts, classes):
        edge = nearest(low + (last + 1) * (high - low) / OTSU_BINS)
        while otsu_bin(np.array([edge], np.float32), low, high)[0] <= last:
            edge = -predecessor(-edge)
        while otsu_bin(np.array([predecessor(edge)], np.float32), low, high)[0] > last:
            edge = predecessor(edge)
        edges.append(edge)
    return edges


def otsu_split(counts: NDArray[np.int64], classes: int) -> list[int]:
    """Multi-Otsu (Liao, Chen and Chung 2001): the last bin of each cluster but the highest.

    The split with the greatest variance between clusters, by dynamic programming over the occupied bins in float64.
    ``skimage.filters.threshold_multiotsu`` tries all splits in float32: for five classes it takes 2300 times as long
    (2.3 s against 1 ms), too slow for cuts within each example, and rounding makes it miss the optimum by a bin or two.
    """
    bins = np.flatnonzero(counts)
    weight = np.concatenate([[0], np.cumsum(counts[bins])]).astype(np.float64)
    moment = np.concatenate([[0], np.cumsum(counts[bins] * bins)]).astype(np.float64)
    mass = weight[None, :] - weight[:, None]
    gain = np.full_like(mass, -np.inf)  # gain[i, j]: a cluster of occupied bins i up to j - 1
    np.divide((moment[None, :] - moment[:, None]) ** 2, mass, out=gain, where=mass > 0)
    best, choices = gain[0], []
    for _ in range(classes - 1):
        options = best[:, None] + gain
        choices.append(np.argmax(options, axis=0))
        best = np.max(options, axis=0)
    ends, stop = [], len(bins)
    for choice in reversed(choices):
        stop = int(choice[stop])
        ends.append(int(bins[stop - 1]))
    return ends[::-1]
