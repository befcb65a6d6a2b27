"""One thing that is going on, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that takes time, as it stands now.

    Attributes:
        description: What is done, such as ``Scoring``.
        unit: What is counted, in the plural, such as ``tokens``; empty if nothing is.
        total: How many there are in all; None while nobody knows.
        done: How many are done.
        seconds: Since it began.
        rate: Units a second, on average since this process did the first one; 0 while that is unknown. What an earlier
            process did is among those done, but not in the rate.
    """

    description: str
    unit: str
    total: int | None
    done: int
    seconds: float
    rate: float = 0.0

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take at this rate; None while that is unknown."""
        if self.total is None or self.rate <= 0:
            return None
        return max(self.total - self.done, 0) / self.rate


def line_of(activities: Sequence[Activity]) -> str:
    """What is going on, in one plain line, outermost first.

    >>> line_of([Activity("study", "trainings", 59, 2, 65.0), Activity("Scoring", "tokens", 3000, 1000, 12.0, 100.0)])
    'study: 2 of 59 trainings; Scoring: 1,000 of 3,000 tokens, 100 a second, about 20 s left'
    >>> line_of([Activity("Loading gpt2", "", None, 0, 75.0)])
    'Loading gpt2: 1 min so far'
    """
    return "; ".join(f"{one.description}: {_standing(one)}" for one in activities)


def short_standing(activity: Activity) -> str:
    """How far an activity is, in the few characters that a bar leaves.

    >>> short_standing(Activity("Scoring", "tokens", 3000, 1000, 12.0, 100.0))
    '1,000/3,000 tokens, 100/s, 20 s left'
    """
    if _has_no_count(activity):
        return duration(activity.seconds)
    count = f"{activity.done:,}" if activity.total is None else f"{activity.done:,}/{activity.total:,}"
    parts = [f"{count} {_noun(activity)}".rstrip()]
    parts += [f"{_number(activity.rate)}/s"] if activity.rate >= 1 else []
    left = activity.left
    parts.append(duration(activity.seconds) if left is None else f"{duration(left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A duration as people say it.

    >>> duration(40), duration(600), duration(8000), duration(200000)
    ('40 s', '10 min', '2 h 13 min', '2 d 8 h')
    """
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def _standing(activity: Activity) -> str:
    if _has_no_count(activity):
        return f"{duration(activity.seconds)} so far"
    count = f"{activity.done:,}" if activity.total is None else f"{activity.done:,} of {activity.total:,}"
    parts = [f"{count} {_noun(activity)}".rstrip()]
    if activity.rate > 0:
        parts.append(_speed(activity.rate, activity.unit))
    if activity.left is not None:
        parts.append(f"about {duration(activity.left)} left")
    return ", ".join(parts)


def _has_no_count(activity: Activity) -> bool:
    """Whether nothing is counted, or nothing yet and nobody knows of how much."""
    return not activity.done and (not activity.unit or activity.total is None)


def _noun(activity: Activity) -> str:
    """What is counted, in the number in which it follows the count."""
    number = activity.done if activity.total is None else activity.total
    return activity.unit.removesuffix("s") if number == 1 else activity.unit


def _speed(rate: float, unit: str) -> str:
    return f"{_number(rate)} a second" if rate >= 1 else f"{duration(1 / rate)} each"


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
