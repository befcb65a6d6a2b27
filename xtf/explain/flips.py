"""The nearest cut, and how far it would have to move to change a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

import numpy as np

from xtf.labelling.cuts import Cut, Interval
from xtf.labelling.cuts.base import End
from xtf.labelling.cuts.float32 import nearest


@dataclass(frozen=True, slots=True)
class Bound:
    """One finite end of a lacking interval: ``start`` (scores above it lack) or ``stop`` (scores below it lack)."""

    end: End
    value: float
    interval: int


@dataclass(frozen=True, slots=True)
class Flip:
    """A change of one cut that turns one verdict.

    Attributes:
        attribute: The attribute whose cut moves.
        end: Which end of the lacking interval moves.
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


def bounds(intervals: Sequence[Interval]) -> tuple[Bound, ...]:
    """All finite ends of the lacking intervals."""
    return _bounds(tuple(intervals))


@lru_cache(maxsize=1024)  # those of one example are asked for again with each of its tokens
def _bounds(intervals: tuple[Interval, ...]) -> tuple[Bound, ...]:
    found: list[Bound] = []
    for index, (low, high) in enumerate(intervals):
        found += [Bound("start", low, index)] if math.isfinite(low) else []
        found += [Bound("stop", high, index)] if math.isfinite(high) else []
    return tuple(found)


def interval_of(score: float, intervals: Sequence[Interval]) -> int | None:
    """The index of the interval in which ``score`` lacks, or None."""
    for index, (low, high) in enumerate(intervals):
        if low < score < high:
            return index
    return None


def margin(score: float, intervals: Sequence[Interval]) -> float | None:
    """Distance to the nearest bound that could turn the verdict: negative where the score lacks, None if no bound."""
    inside = interval_of(score, intervals)
    near = [abs(score - bound.value) for bound in _facing(score, intervals)]
    if not near:
        return None
    return min(near) if inside is None else -min(near)


def find_flip(name: str, score: float, intervals: Sequence[Interval], cut: Cut) -> tuple[Bound, float, str] | None:
    """The nearest bound, where it would have to be for the other verdict, and that in words.

    None if no bound can do it, as for a cut with none, or if it would have to cross another one.
    """
    keep = interval_of(score, intervals) is not None
    for bound in sorted(_facing(score, intervals), key=lambda one: abs(score - one.value)):
        upward = (bound.end == "start") == keep
        strict = not keep or (cut.start_is_kept and bound.end == "start")
        limit = math.inf if keep else _next_bound(bound, intervals)
        rounded = round_past(score, upward, strict, limit)
        if rounded is not None:
            value, text = rounded
            direction = "higher" if upward else "lower"
            return bound, value, f"the {cut.bound_name(name, bound.end)} were {text} or {direction}"
    return None


def round_past(score: float, upward: bool, strict: bool, limit: float = math.inf) -> tuple[float, str] | None:
    """A short decimal at or beyond ``score`` (beyond it, if ``strict``), but not beyond ``limit``; and its text.

    Comparisons are those of a cut: in float32. None if no float32 number lies there.
    """
    if not upward:
        mirrored = round_past(-score, True, strict, math.inf if math.isinf(limit) else -limit)
        return None if mirrored is None else (0.0 - mirrored[0], _negated(mirrored[1]))
    for value, text in _decimals_above(score, strict):
        rounded = nearest(value)
        if (rounded > score if strict else rounded >= score) and rounded <= limit:
            return value, text
    return None


def _decimals_above(score: float, strict: bool) -> Iterator[tuple[float, str]]:
    """Ever finer decimals at or above ``score``, and at last the next float32."""
    exact = Decimal(score)
    for digits in range(3, 10):
        unit = Decimal(1).scaleb((exact.adjusted() if exact else -1) - digits + 1)
        rounded = exact.quantize(unit, rounding=ROUND_CEILING)
        for candidate in (rounded, rounded + unit) if strict else (rounded,):
            text = f"{float(candidate):.{digits}g}"
            yield float(text), text
    with np.errstate(over="ignore"):
        last = float(np.nextafter(np.float32(score), np.float32(np.inf))) if strict else score
    yield float(f"{last:.9g}"), f"{last:.9g}"


def numbers_apart(value: float, bound: float) -> tuple[str, str]:
    """Both numbers with as few digits (three at least) as keep their order visible."""
    for digits in range(3, 10):
        texts = f"{value:.{digits}g}", f"{bound:.{digits}g}"
        if (float(texts[0]) < float(texts[1])) == (value < bound) and (texts[0] == texts[1]) == (value == bound):
            return texts
    return f"{value:.9g}", f"{bound:.9g}"


def _facing(score: float, intervals: Sequence[Interval]) -> list[Bound]:
    """The bounds next to ``score``: of the interval it lies in, or of its neighbours if it lies in none."""
    inside = interval_of(score, intervals)
    every = bounds(intervals)
    if inside is not None:
        return [bound for bound in every if bound.interval == inside]
    left = [bound for bound in every if bound.end == "stop" and bound.value <= score]
    right = [bound for bound in every if bound.end == "start" and bound.value >= score]
    return left[-1:] + right[:1]


def _next_bound(bound: Bound, intervals: Sequence[Interval]) -> float:
    """The bound of the neighbouring interval, which ``bound`` must not cross on its way to a kept score."""
    index = bound.interval + (1 if bound.end == "stop" else -1)
    if not 0 <= index < len(intervals):
        return math.inf if bound.end == "stop" else -math.inf
    return intervals[index][0 if bound.end == "stop" else 1]


def _negated(text: str) -> str:
    if text.startswith("-"):
        return text[1:]
    return text if float(text) == 0.0 else f"-{text}"
