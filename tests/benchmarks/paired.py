"""Two ways of doing the same work, in turn, so that a machine whose speed drifts treats both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

Work = Callable[[], object]


def compare(
    ours: Work, other: Work, pairs: int, warm_up: int = 1, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """Time both alternately; return the median of ours ÷ other, its spread, and the seconds of both.

    ``time.process_time`` as the clock leaves out what other work on the machine takes.
    """
    for _ in range(warm_up):
        ours()
        other()
    seconds: list[tuple[float, float]] = []
    for pair in range(pairs):
        if pair % 2:
            second = _timed(other, clock)
            seconds.append((_timed(ours, clock), second))
        else:
            seconds.append((_timed(ours, clock), _timed(other, clock)))
    ratios = [ours_seconds / other_seconds for ours_seconds, other_seconds in seconds]
    return {
        "median": round(statistics.median(ratios), 4),
        "min": round(min(ratios), 4),
        "max": round(max(ratios), 4),
        "pairs": pairs,
        "seconds": round(statistics.median(first for first, _ in seconds), 3),
        "seconds_of_other": round(statistics.median(second for _, second in seconds), 3),
    }


def _timed(work: Work, clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return clock() - started
