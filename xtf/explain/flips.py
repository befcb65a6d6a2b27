"""The nearest cut, and how far it would have to move to change a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import numpy as np
from numpy.typing import NDArray

from xtf.labelling.cuts import Interval
from xtf.labelling.cuts.base import End
from xtf.labelling.cuts.float32 import nearest
from xtf.tokens import BoolArray, FloatArray

_ROUND = [
    {digits: Context(prec=digits, rounding=rounding) for digits in range(3, 10)}
    for rounding in (ROUND_FLOOR, ROUND_CEILING)
]
"""Down and up: what rounds to so many digits; 9 tell any two float32 numbers apart."""


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


def surroundings(scores: FloatArray, intervals: Sequence[Interval]) -> Surroundings:
    """Look ``(k,)`` finite float32 scores up among intervals that rise and lie apart.

    A bound turns a verdict by moving past the score. It cannot where it would first meet the next interval, as the two
    bounds of an ``outside`` cut whose ``low`` is its ``high``.
    """
    lows = np.array([*(low for low, _ in intervals), math.inf])
    highs = np.array([-math.inf, *(high for _, high in intervals), math.inf])
    interval = np.searchsorted(highs[1:-1], scores.astype(np.float64), side="right")
    lacking = lows[interval] < scores
    below = np.where(lacking, lows[interval], highs[interval])
    above = np.where(lacking, highs[interval + 1], lows[interval])
    with np.errstate(over="ignore", under="ignore"):
        rises = lacking | (np.nextafter(scores, np.float32(np.inf)) <= above)
        falls = lacking | (np.nextafter(scores, np.float32(-np.inf)) >= below)
    to_below = np.where(rises, scores - below, np.inf)
    to_above = np.where(falls, above - scores, np.inf)
    turning = np.where(to_below <= to_above, -1, 1) * np.isfinite(np.minimum(to_below, to_above))
    return Surroundings(interval, lacking, below, above, turning.astype(np.int8))


def round_past(score: float, upward: bool, strict: bool, limit: float) -> tuple[float, str]:
    """A short decimal at or beyond a float32 score (beyond it, if ``strict``), but not beyond ``limit``; and its text.

    Comparisons are those of a cut: in float32. The next float32 number must lie within ``limit``.
    """
    score += 0.0  # of two zeros the one without a sign
    low, high = (score, limit) if upward else (limit, score)
    for digits, context in _ROUND[upward].items():
        rounded = context.create_decimal_from_float(score)
        text = f"{float(rounded):.{digits}g}"
        if strict and nearest(float(text)) == score:
            text = f"{float(rounded + _unit(score, upward, digits)):.{digits}g}"
        value = float(text)
        found = nearest(value)
        if low <= found <= high and not (strict and found == score):
            return value, text
    with np.errstate(over="ignore"):
        last = np.nextafter(np.float32(score), np.float32(np.inf if upward else -np.inf)) if strict else score
    return float(f"{last:.9g}"), f"{last:.9g}"


def _unit(score: float, upward: bool, digits: int) -> Decimal:
    """One in the last of so many digits of a score, towards the side of the move; a 0 has them after the point."""
    first = Decimal(score).adjusted() if score else -1
    return Decimal(1 if upward else -1).scaleb(first - digits + 1)


def numbers_apart(value: float, bound: float) -> tuple[str, str]:
    """Both numbers with as few digits (three at least) as keep their order visible."""
    for digits in range(3, 10):
        texts = f"{value:.{digits}g}", f"{bound:.{digits}g}"
        if (float(texts[0]) < float(texts[1])) == (value < bound) and (texts[0] == texts[1]) == (value == bound):
            return texts
    return f"{value:.9g}", f"{bound:.9g}"
