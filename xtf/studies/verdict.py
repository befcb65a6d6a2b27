"""A study in plain words, which claim no more than its intervals allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALPHA = 0.05
FEW_SEEDS = 3


def verdict_of(setting: Mapping[str, Any], seeds: int) -> list[str]:
    """Sentences on one setting: each method, the gap, and what weakens them.

    Args:
        setting: As in ``study.json``.
        seeds: How many were planned.
    """
    said = [_method(one) for one in setting["contrasts"]]
    said += [_against_full(one) for one in setting["contrasts"]]
    said += _gap(setting)
    said += [line for line in map(_recovered, setting["contrasts"]) if line]
    said += _weaknesses(setting, seeds)
    return said


def _method(contrast: Mapping[str, Any]) -> str:
    """The test: a method against a random mask of the same size."""
    arm, gain = contrast["arm"], contrast["gain"]
    if gain is None or gain["p"] is None:
        return f"{arm}: too little was measured to compare it with a random mask of the same size."
    if gain["error"] == 0 and gain["value"] == 0:
        return f"{arm} and a random mask of the same size give the same model: it masks nothing, or everything."
    amount = f"by {abs(gain['value']):.4f} nats {_interval(gain, flip=gain['value'] < 0)}"
    if gain["p_corrected"] < ALPHA and gain["value"] > 0:
        return f"{arm} beats a random mask of the same size {amount}."
    if gain["p_corrected"] < ALPHA:
        return f"{arm} is worse than a random mask of the same size {amount}."
    least = f"a difference below {gain['smallest_effect']:.4f} would likely have been missed"
    found = f"{gain['value']:+.4f} nats {_interval(gain)}"
    if gain["p"] < ALPHA:
        return (
            f"{arm} is not shown to differ from a random mask of the same size: {found}; alone it would be, but among "
            f"all comparisons of this study it may be chance (p = {gain['p_corrected']:.2f}); {least}."
        )
    return f"{arm} is not shown to differ from a random mask of the same size: {found}; {least}."


def _against_full(contrast: Mapping[str, Any]) -> str:
    gain = contrast["others"]["full"]
    arm = contrast["arm"]
    if gain is None or gain["low"] is None:
        return f"{arm} was not compared with learning every token."
    found = f"{gain['value']:+.4f} nats {_interval(gain)}, not corrected for the number of comparisons"
    if gain["low"] > 0:
        return f"Against learning every token {arm} gains: {found}."
    if gain["high"] < 0:
        return f"Against learning every token {arm} loses: {found}."
    return f"Against learning every token {arm} is not shown to gain or lose: {found}."


def _gap(setting: Mapping[str, Any]) -> list[str]:
    gap = setting["gap"]
    if gap is None or gap["low"] is None:
        return []
    found = f"{gap['value']:.4f} nats {_interval(gap)}"
    if gap["low"] > 0:
        return [
            f"Masking exactly the tokens known to be wrong gains {found} over learning every token: that is the gap."
        ]
    return [
        f"Masking exactly the tokens known to be wrong is not shown to gain over learning every token ({found}): there "
        "is no gap of which a share could be recovered. Train longer, plant more, or hold out more rows."
    ]


def _recovered(contrast: Mapping[str, Any]) -> str:
    found = contrast["recovered"]
    if found is None or found["value"] is None:
        return ""
    if found["low"] is None:
        return f"{contrast['arm']} recovers {found['value']:.0%} of the gap, but {found['note']}."
    return f"{contrast['arm']} recovers {found['value']:.0%} of the gap [{found['low']:.0%}, {found['high']:.0%}]."


def _weaknesses(setting: Mapping[str, Any], seeds: int) -> list[str]:
    said = []
    if seeds == 1:
        said.append(
            "One seed was trained: the intervals are over held-out rows only, and nothing is known of how much another "
            "seed would change."
        )
    elif seeds < FEW_SEEDS:
        said.append(
            f"Only {seeds} seeds were trained: such intervals are too narrow where seeds differ (in simulations they "
            "miss up to 12 times in 100, not 5). Train three or more."
        )
    unfair = [name for name, same in setting["fair"].items() if not same]
    if unfair:
        said.append(f"The arms are not comparable: they differ in {', '.join(unfair)}.")
    if setting["answers_above_floor"] is False:
        said.append("Generated answers are nearly all wrong in every arm; what they say of the arms is nothing.")
    return said


def _interval(gain: Mapping[str, Any], flip: bool = False) -> str:
    low, high = (-gain["high"], -gain["low"]) if flip else (gain["low"], gain["high"])
    return f"[{low:.4f}, {high:.4f}]"
