"""Why a token is masked or kept, in sentences of twelve words at most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xtf.explain.flips import numbers_apart
from xtf.explain.words import lacking_text, spoken

if TYPE_CHECKING:
    from xtf.explain.tokens import AttributeVerdict
    from xtf.labelling.cuts import Interval

WORDS = 12
"""Most words of a sentence about a token; names of many words and people's own names may take more."""
_BEFORE = 3
"""Words before the first attribute: ``Masked: 'x' lacks``."""


def sentence(text: str, outcome: str, reason: str) -> str:
    """What became of a token and why: ``Masked: 'x' lacks …``."""
    return f"{outcome}: {text!r} {reason}."


def weight_text(weight: float, response: bool) -> str:
    """What the data says of the weight of a target, if it is not the usual one."""
    return f"; the data weights it {weight:g}" if response and weight != 1 else ""


def reason(
    noise: bool, verdicts: Sequence[AttributeVerdict], combined: AttributeVerdict | None, guard: str | None
) -> str:
    """Why a judged token is masked or kept; completes ``Masked: 'x' …``.

    Args:
        noise: Whether it is masked.
        verdicts: One for each attribute.
        combined: For ``weighted``, the verdict on the mean rank, which alone decides.
        guard: The guard that keeps it though the rule does not.
    """
    but = f", but {guard} keeps it" if guard else ""
    if combined is not None:
        lowest = min(verdicts, key=lambda verdict: verdict.percentile)
        return f"has {combined.name} {_rank(combined)}{but or f'; lowest: {spoken(lowest.name)}'}"
    lacks = [verdict for verdict in verdicts if verdict.lacking]
    if not lacks:
        return _nothing(verdicts)
    if not noise:
        but = but or ", not enough"
        return f"lacks {_listed(lacks, WORDS - _BEFORE - len(but.split()))}{but}"
    meaning = lacks[0].meaning
    why = f". {meaning[0].upper()}{meaning[1:]}" if meaning else ""
    return f"lacks {_lack(lacks[0]) if len(lacks) == 1 else _listed(lacks, WORDS - _BEFORE)}{why}"


def _nothing(verdicts: Sequence[AttributeVerdict]) -> str:
    """Which attribute comes closest to lacking, by how far its score is from the cut among all scores."""
    distances = [(verdict.flip.distance, verdict) for verdict in verdicts if verdict.flip is not None]
    if not distances:
        return "lacks nothing"
    distance, closest = min(distances, key=lambda one: one[0])
    far = f"{distance:.2g}"
    unit = "percentile" if far == "1" else "percentiles"
    return f"lacks nothing; closest: {spoken(closest.name)} {closest.value:.3g}, {far} {unit} off"


def _lack(verdict: AttributeVerdict) -> str:
    """The one attribute that is lacking, with its score and the cut, in as many words as there is room for."""
    interval = _ends(verdict)
    if interval is None:
        return f"{spoken(verdict.name)} ({verdict.value:.3g})"
    name = spoken(verdict.name)
    whole = f"{name} ({lacking_text(verdict.value, interval)})"
    finite = [end for end in interval if math.isfinite(end)]
    if len(whole.split()) <= WORDS - _BEFORE or not finite:
        return whole
    own, cut = numbers_apart(verdict.value, min(finite, key=lambda end: abs(end - verdict.value)))
    return f"{name} ({own}, cut {cut})"


def _listed(lacks: Sequence[AttributeVerdict], room: int) -> str:
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


def _rank(combined: AttributeVerdict) -> str:
    """The mean rank against its cut."""
    interval = _ends(combined)
    if interval is None:
        cut = None if combined.flip is None else combined.flip.current
        return f"{combined.value:.3g}" if cut is None else "{} (cut {})".format(*numbers_apart(combined.value, cut))
    return lacking_text(combined.value, interval).replace("the cut of ", "")


def _ends(verdict: AttributeVerdict) -> Interval | None:
    if verdict.interval is None:
        return None
    low, high = verdict.interval
    return (-math.inf if low is None else low, math.inf if high is None else high)
