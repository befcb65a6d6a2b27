"""Why a token is masked or kept, in sentences of twelve words at most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xtf.explain.flips import numbers_apart
from xtf.explain.words import lacking_text, spoken

if TYPE_CHECKING:
    from xtf.explain.measures import Reading

WORDS = 12
"""Most words of a sentence about a token; names of many words and people's own names may take more."""
_BEFORE = 3
"""Words before the first attribute: ``Masked: 'x' lacks``."""


def sentence(quoted: str, outcome: str, reason: str) -> str:
    """What became of a token, whose text comes in quotation marks, and why: ``Masked: 'x' lacks …``."""
    return f"{outcome}: {quoted} {reason}."


def weight_text(weight: float, response: bool) -> str:
    """What the data says of the weight of a target, if it is not the usual one."""
    return f"; the data weights it {weight:g}" if response and weight != 1 else ""


def reason(noise: bool, lacks: Sequence[Reading], closest: Reading | None, guard: str | None) -> str:
    """Why a token that is judged by its attributes is masked or kept; completes ``Masked: 'x' …``.

    Args:
        noise: Whether it is masked.
        lacks: The readings that lack.
        closest: Of those whose verdict a bound can turn, the one whose score is closest to that bound.
        guard: The guard that keeps it though the rule does not.
    """
    if not lacks:
        return _nothing(closest)
    if not noise:
        but = f"; {guard} keeps it" if guard else ", not enough"
        return f"lacks {_listed(lacks, WORDS - _BEFORE - len(but.split()))}{but}"
    meaning = lacks[0].meaning
    why = f". {meaning[0].upper()}{meaning[1:]}" if meaning else ""
    return f"lacks {_lack(lacks[0]) if len(lacks) == 1 else _listed(lacks, WORDS - _BEFORE)}{why}"


def reason_of_rank(combined: Reading, lowest: str, guard: str | None) -> str:
    """As :func:`reason`, where a combined score alone decides; ``lowest`` is the attribute of the lowest percentile."""
    but = f"; {guard} keeps it" if guard else f"; lowest: {spoken(lowest)}"
    return f"has {combined.name} {_rank(combined)}{but}"


def _nothing(closest: Reading | None) -> str:
    """Which attribute comes closest to lacking, by how far its score is from the cut among all scores."""
    if closest is None:
        return "lacks nothing"
    far = f"{closest.distance:.2g}"
    unit = "percentile" if far == "1" else "percentiles"
    return f"lacks nothing; closest: {spoken(closest.name)} {closest.value:.3g}, {far} {unit} off"


def _lack(reading: Reading) -> str:
    """The one attribute that is lacking, with its score and the cut, in as many words as there is room for."""
    interval = reading.interval
    if interval is None:
        return f"{spoken(reading.name)} ({reading.value:.3g})"
    name = spoken(reading.name)
    whole = f"{name} ({lacking_text(reading.value, interval)})"
    finite = [end for end in interval if math.isfinite(end)]
    if len(whole.split()) <= WORDS - _BEFORE or not finite:
        return whole
    own, cut = numbers_apart(reading.value, min(finite, key=lambda end: abs(end - reading.value)))
    return f"{name} ({own}, cut {cut})"


def _listed(lacks: Sequence[Reading], room: int) -> str:
    """Several attributes with their scores, those that have no room counted.

    The first is named in any case.
    """
    parts = [f"{spoken(one.name)} ({one.value:.3g})" for one in lacks]
    for shown in range(len(parts), 0, -1):
        rest = len(parts) - shown
        named = [*parts[:shown], *([f"{rest} more"] if rest else [])]
        text = " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
        if len(text.split()) <= room:
            return text
    return text


def _rank(combined: Reading) -> str:
    """The mean rank against its cut."""
    if combined.interval is not None:
        return lacking_text(combined.value, combined.interval).replace("the cut of ", "")
    if combined.bound is not None:
        return "{} (cut {})".format(*numbers_apart(combined.value, combined.bound))
    return f"{combined.value:.3g}"
