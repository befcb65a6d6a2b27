"""Cuts and values in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xtf.explain.flips import numbers_apart
from xtf.labelling.cuts import FittedCut, Interval


def cut_text(cut: FittedCut, intervals: Sequence[Interval]) -> str:
    """When a score lacks, such as ``below 0.05`` or ``below 0.12 (Q1 − 1 IQR of this example)``."""
    if not cut.cut.decides:
        return "never lacking"
    cap = None if cut.cut.at_most is None else f"at most {100 * cut.cut.at_most:g} % of an example's tokens"
    origin = ", ".join(part for part in (cut.cut.origin(), cap) if part) or None
    if not intervals:
        return f"nothing lacks ({origin or 'as configured'})"
    ranges = " or ".join(_range_text(*interval) for interval in intervals)
    return ranges if origin is None else f"{ranges} ({origin})"


def lacking_text(value: float, interval: Interval) -> str:
    """A lacking value against its bounds: ``0.012, below the cut of 0.05``."""
    low, high = interval
    if math.isinf(low) and math.isinf(high):
        return f"{value:.3g}, where every score lacks"
    if math.isinf(low):
        return "{}, below the cut of {}".format(*numbers_apart(value, high))
    if math.isinf(high):
        return "{}, above the cut of {}".format(*numbers_apart(value, low))
    below, above = numbers_apart(value, low), numbers_apart(value, high)
    own = max(below[0], above[0], key=len)
    return f"{own}, between cuts {below[1]} and {above[1]}"


def spoken(name: str) -> str:
    """An attribute's name in a sentence."""
    return name.replace("_", " ")


def _range_text(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "any score"
    if math.isinf(low):
        return f"below {high:.6g}"
    return f"above {low:.6g}" if math.isinf(high) else f"between {low:.6g} and {high:.6g}"
