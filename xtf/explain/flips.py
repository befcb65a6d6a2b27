"""The nearest cut, and how far it would have to move to change a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xtf.labelling.cuts import Interval
from xtf.labelling.cuts.base import End
from xtf.labelling.cuts.float32 import nearest
from xtf.tokens import BoolArray, FloatArray

DIGITS = range(3, 10)
"""How many digits a printed number has; 9 tell any two float32 numbers apart."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A change of one cut that turns one verdict.

    Attributes:
        attribute: The attribute whose cut moves.
        end: Which end of the lacking interval moves: ``start`` (scores above it lack) or ``stop`` (scores below it).
        interval: Its index; an ``outside`` cut has its ``low`` as stop of interval 0, its ``high`` as start of 1.
        current: Where that end is now.
        value: Where it would have to be: exactly the number in ``text``.
        text: Words, completing "kept if …" or "masked if …".
        distance: Corpus share between the score and the end as it is now, in percentage points: how large the move is.
    """

    attribute: str
    end: End
    interval: int
    current: float
    value: float
    text: str
    distance: float


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """Where ``(k,)`` scores lie among the intervals in which a score lacks; all arrays are ``(k,)``.

    Attributes:
        interval: int64, the interval in which a score lacks, else the next one above it.
        lacking: Whether it lacks.
        below: float64, the nearest bound at or below it, -inf if there is none.
        above: float64, the nearest bound at or above it, inf if there is none.
        turning: int8, which of both can move past the score and is nearer: -1 the one below, 1 the one above, 0 none.
    """

    interval: NDArray[np.int64]
    lacking: BoolArray
    below: NDArray[np.float64]
    above: NDArray[np.float64]
    turning: NDArray[np.int8]


def surroundings(
    scores: FloatArray, owners: NDArray[np.int64], intervals: Sequence[Sequence[Interval]]
) -> Surroundings:
    """Look ``(k,)`` finite float32 scores up among the intervals of their examples, which rise and lie apart.

    A bound turns a verdict by moving past the score. It cannot where it would first meet the next interval, as the two
    bounds of an ``outside`` cut whose ``low`` is its ``high``.

    Args:
        scores: The scores.
        owners: ``(k,)``, the example of each.
        intervals: Those of each example.
    """
    lows, highs = _padded(intervals)
    interval = np.count_nonzero(highs[owners, 1:] <= scores[:, None], axis=1)
    low, high, before = lows[owners, interval], highs[owners, interval + 1], highs[owners, interval]
    lacking = low < scores
    below, above = np.where(lacking, low, before), np.where(lacking, high, low)
    with np.errstate(over="ignore", under="ignore"):
        rises = lacking | (np.nextafter(scores, np.float32(np.inf)) <= above)
        falls = lacking | (np.nextafter(scores, np.float32(-np.inf)) >= below)
    to_below = np.where(rises, scores - below, np.inf)
    to_above = np.where(falls, above - scores, np.inf)
    turning = np.where(to_below <= to_above, -1, 1) * np.isfinite(np.minimum(to_below, to_above))
    return Surroundings(interval, lacking, below, above, turning.astype(np.int8))


def _padded(intervals: Sequence[Sequence[Interval]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high ends as tables, a row an example, the rows filled up with inf; the first high end is -inf."""
    width = max(map(len, intervals), default=0) + 1
    lows, highs = (np.full((len(intervals), width + more), math.inf) for more in (0, 1))
    highs[:, 0] = -math.inf
    for row, own in enumerate(intervals):
        for place, (low, high) in enumerate(own):
            lows[row, place], highs[row, place + 1] = low, high
    return lows, highs


def round_past(score: float, upward: bool, strict: bool, limit: float) -> tuple[float, str]:
    """A short decimal at or beyond a float32 score (beyond it, if ``strict``), but not beyond ``limit``; and its text.

    Comparisons are those of a cut: in float32. The next float32 number must lie within ``limit``.
    """
    score += 0.0  # of two zeros the one without a sign
    low, high = (score, limit) if upward else (limit, score)
    for digits in DIGITS:
        value, text = _printed(score, digits)
        if value < score if upward else value > score:
            value, text = _printed(value + _unit(score, upward, digits), digits)
        if strict and nearest(value) == score:
            value, text = _printed(value + _unit(score, upward, digits), digits)
        found = nearest(value)
        if low <= found <= high and not (strict and found == score):
            return value, text
    with np.errstate(over="ignore"):
        last = np.nextafter(np.float32(score), np.float32(np.inf if upward else -np.inf)) if strict else score
    return _printed(float(last), 9)


def _printed(value: float, digits: int) -> tuple[float, str]:
    """A number in so many digits, and its text."""
    text = f"{value:.{digits}g}"
    return float(text), text


def _unit(score: float, upward: bool, digits: int) -> float:
    """One in the last of so many digits of a score, towards the side of the move; a 0 has them after the point."""
    exponent = math.floor(math.log10(abs(score))) if score else -1
    return (1.0 if upward else -1.0) * 10.0 ** (exponent - digits + 1)


def numbers_apart(value: float, bound: float) -> tuple[str, str]:
    """Both numbers with as few digits (three at least) as keep their order visible."""
    for digits in DIGITS:
        texts = f"{value:.{digits}g}", f"{bound:.{digits}g}"
        if (float(texts[0]) < float(texts[1])) == (value < bound) and (texts[0] == texts[1]) == (value == bound):
            return texts
    return f"{value:.9g}", f"{bound:.9g}"
