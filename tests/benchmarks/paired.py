"""Two ways of doing the same work, in turn, so that a machine whose speed drifts treats both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

Work = Callable[[], object]


def compare(ours: Work, other: Work, pairs: int, warm_up: int = 1) -> dict[str, Any]:
    """Time both alternately; return the median of ours ÷ other, its spread, and the seconds of both."""
    for _ in range(warm_up):
        ours()
        other()
    seconds: list[tuple[float, float]] = []
    for pair in range(pairs):
        if pair % 2:
            second = _timed(other)
            seconds.append((_timed(ours), second))
        else:
            seconds.append((_timed(ours), _timed(other)))
    ratios = [ours_seconds / other_seconds for ours_seconds, other_seconds in seconds]
    return {
        "median": round(statistics.median(ratios), 4),
        "min": round(min(ratios), 4),
        "max": round(max(ratios), 4),
        "pairs": pairs,
        "seconds": round(statistics.median(first for first, _ in seconds), 3),
        "seconds_of_other": round(statistics.median(second for _, second in seconds), 3),
    }


def _timed(work: Work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
