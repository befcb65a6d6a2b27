"""What one score of one token says, found the slow way: bound after bound and decimal after decimal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING, Decimal

import numpy as np

from xtf.labelling.cuts import Cut, Interval
from xtf.labelling.cuts.base import End

Bound = tuple[float, End, int]
"""A finite end of an interval in which a score lacks: where it is, which end, of which interval."""


def inside(score: float, intervals: Sequence[Interval]) -> int | None:
    """The interval in which a score lacks."""
    return next((place for place, (low, high) in enumerate(intervals) if low < score < high), None)


def near(score: float, intervals: Sequence[Interval]) -> list[Bound]:
    """The bounds of the interval around a score, or those next to it on both sides; the nearest first."""
    every: list[Bound] = []
    for place, (low, high) in enumerate(intervals):
        every += [(low, "start", place)] if math.isfinite(low) else []
        every += [(high, "stop", place)] if math.isfinite(high) else []
    own = inside(score, intervals)
    if own is not None:
        found = [bound for bound in every if bound[2] == own]
    else:
        below = [bound for bound in every if bound[1] == "stop" and bound[0] <= score]
        above = [bound for bound in every if bound[1] == "start" and bound[0] >= score]
        found = [*below[-1:], *above[:1]]
    return sorted(found, key=lambda bound: abs(bound[0] - score))


def margin(score: float, intervals: Sequence[Interval]) -> float | None:
    """How far the nearest bound is, negative if the score lacks."""
    found = near(score, intervals)
    if not found:
        return None
    distance = abs(found[0][0] - score)
    return distance if inside(score, intervals) is None else -distance


def flip(name: str, score: float, intervals: Sequence[Interval], cut: Cut) -> tuple[Bound, float, str] | None:
    """The nearest bound that can turn the verdict without meeting another, where it then lies, and that in words."""
    lacks = inside(score, intervals) is not None
    if cut.at_most is not None and not lacks:
        return None
    for bound in near(score, intervals):
        _, end, place = bound
        upward = (end == "start") == lacks
        strict = not lacks or (cut.start_is_kept and end == "start")
        limit = math.inf if upward else -math.inf
        if not lacks and upward and place + 1 < len(intervals):
            limit = intervals[place + 1][0]
        if not lacks and not upward and place:
            limit = intervals[place - 1][1]
        sign = 1 if upward else -1
        for text in decimals(sign * score, strict):
            moved = 0.0 + sign * float(text)
            with np.errstate(over="ignore"):
                there = float(np.float32(moved))
            beyond = sign * (there - score)
            if (beyond > 0 or (beyond == 0 and not strict)) and sign * there <= sign * limit:
                number = text if upward or not moved else text[1:] if text[0] == "-" else f"-{text}"
                words = f"the {cut.bound_name(name, end)} were {number} or {'higher' if upward else 'lower'}"
                return bound, moved, words
    return None


def decimals(score: float, strict: bool) -> Iterator[str]:
    """Ever finer decimals at or above a score, and at last the next float32."""
    exact = Decimal(score + 0.0)
    for digits in range(3, 10):
        unit = Decimal(1).scaleb((exact.adjusted() if exact else -1) - digits + 1)
        rounded = exact.quantize(unit, rounding=ROUND_CEILING)
        for candidate in (rounded, rounded + unit) if strict else (rounded,):
            yield f"{float(candidate):.{digits}g}"
    with np.errstate(over="ignore"):
        yield f"{np.nextafter(np.float32(score), np.float32(np.inf)) if strict else score:.9g}"
