"""A cap on what may lack in one example: the intervals of the example are narrowed until they hold no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xtf.labelling.cuts.statistics import share_counts
from xtf.labelling.shard import OffsetArray
from xtf.tokens import BoolArray, FloatArray


def narrow(
    ends: Sequence[tuple[FloatArray, FloatArray]],
    values: FloatArray,
    offsets: OffsetArray,
    judged: BoolArray,
    at_most: float,
) -> None:
    """Narrow ``(examples,)`` low and high ends in place, so that at most a share of each example's tokens lacks.

    The share is of the judged tokens, rounded down. What lies deepest in an interval goes on lacking: the lowest
    scores of one that is open below, the highest of one that is open above. Of equal scores at the edge none lacks.
    """
    for place, (start, stop) in enumerate(pairwise(offsets)):
        own = values[start:stop][judged[start:stop]]
        intervals = [(float(lows[place]), float(highs[place])) for lows, highs in ends]
        allowed = int(share_counts(at_most, np.array([len(own)]))[0])
        depth = np.full(len(own), -np.inf)
        for low, high in intervals:
            inside = (own > low) & (own < high)
            depth[inside] = _depth(own[inside], low, high, alone=len(intervals) == 1)
        lacking = depth > -np.inf
        if np.count_nonzero(lacking) <= allowed:
            continue
        edge = np.sort(depth[lacking])[::-1][allowed]
        released = own[lacking & (depth <= edge)]
        for (lows, highs), (low, high) in zip(ends, intervals, strict=True):
            here = released[(released > low) & (released < high)]
            if len(here):
                lows[place], highs[place] = _without(here, low, high)


def _depth(scores: FloatArray, low: float, high: float, alone: bool) -> NDArray[np.float64]:
    """How deep scores lie in an interval; of a single one that is open, their order is all that counts, and exact."""
    wide = scores.astype(np.float64)
    if math.isinf(low) and (alone or math.isinf(high)):
        return -wide
    if math.isinf(high) and alone:
        return wide
    return np.minimum(wide - low, high - wide)


def _without(released: FloatArray, low: float, high: float) -> tuple[float, float]:
    """The part of an interval that is left when ``released`` scores, nearest to its finite ends, go."""
    if math.isinf(low):
        return low, float(released.min())
    if math.isinf(high):
        return float(released.max()), high
    nearer_low = released - low <= high - released
    return (
        max([low, *released[nearer_low].tolist()]),
        min([high, *released[~nearer_low].tolist()]),
    )
