"""The figures of a study as text, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtf.display import counted


def describe_setting(setting: Mapping[str, Any]) -> str:
    """A setting in one line: its name, rows, mistakes, what judges, and how much it was trained."""
    seeds = max((len(arm["seeds"]) for arm in setting["arms"]), default=0)
    updates = max((arm["updates"] for arm in setting["arms"]), default=0)
    parts = [f"{setting['name']}: {counted(setting['rows'], 'row')}"]
    if setting["planted"] is not None:
        parts.append(f"{setting['planted']['wrong_share']:.1%} of their tokens wrong by planting")
    held_out = setting["held_out"]
    parts.append(f"judged on {counted(held_out['rows'], 'held-out row')} ({counted(held_out['tokens'], 'token')})")
    parts.append(f"{counted(updates, 'update')}, {counted(seeds, 'seed')}")
    return "; ".join(parts)


def interval(found: Mapping[str, Any] | None) -> str:
    """A gain with its interval."""
    if found is None:
        return "–"
    if found["low"] is None:
        return f"{found['value']:+.4f}"
    return f"{found['value']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"


def number(value: float | None) -> str:
    """A loss in nats."""
    return "–" if value is None else f"{value:.4f}"


def share(value: float | None) -> str:
    """A share in per cent."""
    return "–" if value is None else f"{value:.1%}"


def p_value(gain: Mapping[str, Any] | None) -> str:
    """The corrected p-value of a gain: "–" where nothing was tested, and never 0."""
    value = None if gain is None else gain["p_corrected"]
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
