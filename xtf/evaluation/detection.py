"""Do scores and labels find the tokens that are known to be wrong?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xtf.display import counted
from xtf.evaluation.ranking import Ranking, Values, calibration, estimate, matched_auroc, resample

Grain = Literal["token", "span"]
POSITION = "position"
_NUMBERS = ("number", "digits")
LABELS = "labels"
"""Name of what a run's rule makes of its attributes together."""


@dataclass(frozen=True, slots=True)
class NamedKinds:
    """What an attribute says that tokens look like.

    Attributes:
        known: The kinds that it can name.
        kinds: ``(tokens,)`` objects: the kind of mistake that each token looks like; ``""`` if none is said.
    """

    known: tuple[str, ...]
    kinds: NDArray[np.object_]


@dataclass(slots=True)
class JudgedTokens:
    """Response tokens whose truth is known, end to end.

    Attributes:
        wrong: ``(tokens,)`` bool.
        kinds: ``(tokens,)`` objects: the kind of each wrong token.
        examples: ``(tokens,)`` int64, the number of the example.
        position: ``(tokens,)``, the place in its response, 0 to 1.
        units: ``(tokens,)`` int64: tokens of one wrong span, or of one line of right ones, share a number.
        suspicion: Name to ``(tokens,)``, higher = more likely wrong.
        masked: Name to ``(tokens,)`` bool, as far as there are labels.
        right: Name of a probability to ``(tokens,)``, the probability that the token is right.
        named: Name to the kinds of mistakes that tokens are said to look like.
    """

    wrong: NDArray[np.bool_]
    kinds: NDArray[np.object_]
    examples: NDArray[np.int64]
    position: Values
    units: NDArray[np.int64]
    suspicion: dict[str, Values] = field(default_factory=dict, kw_only=True)
    masked: dict[str, NDArray[np.bool_]] = field(default_factory=dict, kw_only=True)
    right: dict[str, Values] = field(default_factory=dict, kw_only=True)
    named: dict[str, NamedKinds] = field(default_factory=dict, kw_only=True)


def measure_detection(tokens: JudgedTokens, grain: Grain = "token") -> dict[str, Any]:
    """How well each name of ``suspicion``, and position alone, ranks wrong tokens; JSON-able.

    With ``grain="span"`` the items are wrong spans and lines of right tokens, each judged by its most suspicious token
    and by the mean of its tokens.
    """
    tokens.suspicion[POSITION] = tokens.position
    draws = resample(tokens.examples)
    return {
        "grain": grain,
        "tokens": len(tokens.wrong),
        "wrong": int(tokens.wrong.sum()),
        "examples": len(np.unique(tokens.examples)),
        "found": [_row(tokens, name, draws) for name in tokens.suspicion]
        if grain == "token"
        else [row for name in tokens.suspicion for row in _span_rows(tokens, name)],
        "calibration": {name: _calibration(tokens, values) for name, values in tokens.right.items()},
    }


def _row(tokens: JudgedTokens, name: str, draws: list[Values]) -> dict[str, Any]:
    values = tokens.suspicion[name]
    ranking = Ranking(values, tokens.wrong)
    row: dict[str, Any] = {
        "name": name,
        "auroc": asdict(estimate(ranking.auroc(), [ranking.auroc(draw) for draw in draws])),
        "average_precision": asdict(
            estimate(ranking.average_precision(), [ranking.average_precision(draw) for draw in draws])
        ),
        "auroc_at_like_positions": matched_auroc(values, tokens.wrong, tokens.position),
        "kinds": dict(_kinds(tokens, name)),
    }
    if name in tokens.masked:
        row |= _at_mask(tokens, tokens.masked[name], draws)
        if name in tokens.named:
            row["named_right"] = _share_named(tokens, name, tokens.wrong)
    return row


def _at_mask(tokens: JudgedTokens, masked: NDArray[np.bool_], draws: list[Values]) -> dict[str, Any]:
    """Precision, recall and the share of right tokens masked, each with its interval."""

    def shares(weights: Values) -> tuple[float, float, float]:
        hit = float((weights * (masked & tokens.wrong)).sum())
        mask, wrong = float((weights * masked).sum()), float((weights * tokens.wrong).sum())
        right = float(weights.sum()) - wrong
        nan = float("nan")
        return hit / mask if mask else nan, hit / wrong if wrong else nan, (mask - hit) / right if right else nan

    whole = shares(np.ones(len(masked)))
    drawn = [shares(draw) for draw in draws]
    names = ("precision", "recall", "right_masked")
    found: dict[str, Any] = {n: asdict(estimate(whole[i], [d[i] for d in drawn])) for i, n in enumerate(names)}
    return {**found, "masked": int(masked.sum()), "masked_wrong": int((masked & tokens.wrong).sum())}


def _kinds(tokens: JudgedTokens, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each kind of wrong token: how many, its AUROC against all right tokens, the share masked, and named right."""
    kinds = sorted({str(kind) for kind in tokens.kinds[tokens.wrong]})
    for kind in kinds:
        of_kind = tokens.wrong & (tokens.kinds == kind)
        here = of_kind | ~tokens.wrong
        entry: dict[str, Any] = {
            "tokens": int(of_kind.sum()),
            "auroc": Ranking(tokens.suspicion[name][here], of_kind[here]).auroc(),
        }
        if name in tokens.masked:
            entry["recall"] = float(tokens.masked[name][of_kind].mean())
            if name in tokens.named:
                entry["named_right"] = _share_named(tokens, name, of_kind)
        yield kind, entry


def _share_named(tokens: JudgedTokens, name: str, among: NDArray[np.bool_]) -> float | None:
    """The share of the masked tokens ``among`` these that are said to look like what they are; None if there are none.

    Kinds that ``name`` cannot name, such as those that people make up in their annotations, are left out.
    """
    named = tokens.named[name]
    here = among & tokens.masked[name] & np.isin(tokens.kinds, named.known)
    return float((named.kinds[here] == tokens.kinds[here]).mean()) if here.any() else None


def _span_rows(tokens: JudgedTokens, name: str) -> Iterator[dict[str, Any]]:
    units, place = np.unique(tokens.units, return_inverse=True)
    count = np.bincount(place, minlength=len(units))
    wrong = np.zeros(len(units), np.bool_)
    wrong[place] = tokens.wrong
    examples = np.zeros(len(units), np.int64)
    examples[place] = tokens.examples
    values = tokens.suspicion[name]
    worst = np.full(len(units), -np.inf)
    np.maximum.at(worst, place, values)
    mean = np.bincount(place, values, minlength=len(units)) / count
    draws = resample(examples)
    for how, one in (("worst token", worst), ("mean", mean)):
        ranking = Ranking(one, wrong)
        yield {
            "name": name,
            "judged_by": how,
            "items": len(units),
            "wrong_items": int(wrong.sum()),
            "auroc": asdict(estimate(ranking.auroc(), [ranking.auroc(draw) for draw in draws])),
            "average_precision": asdict(
                estimate(ranking.average_precision(), [ranking.average_precision(draw) for draw in draws])
            ),
        }


def _calibration(tokens: JudgedTokens, right: Values) -> dict[str, Any]:
    error, table = calibration(1.0 - right, tokens.wrong)
    return {"expected_calibration_error": error, "bins": [asdict(row) for row in table]}


def most_telling_example(tokens: JudgedTokens) -> int | None:
    """The number of the example that shows best what was found; None if nothing was found, or there is no mask.

    One in which a wrong number was masked, if any, for it is understood at a glance; of these the one with the most
    wrong tokens masked less twice the right ones masked and those missed.
    """
    masked = tokens.masked.get(LABELS)
    if masked is None or not (masked & tokens.wrong).any():
        return None
    examples = int(tokens.examples.max()) + 1

    def count(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(tokens.examples, flags, minlength=examples).astype(np.int64)

    found = masked & tokens.wrong
    value = count(found) - 2 * count(masked & ~tokens.wrong) - count(tokens.wrong & ~masked)
    is_number = count(found & np.isin(tokens.kinds.astype(str), _NUMBERS)) > 0
    some = np.flatnonzero(is_number if is_number.any() else count(found) > 0)
    return int(some[np.argmax(value[some])])


def describe_detection(detection: Mapping[str, Any]) -> str:
    """What was found, in one sentence, from what :func:`measure_detection` returned (or ``detection.json`` holds)."""
    labels = next((row for row in detection["found"] if row["name"] == LABELS and "masked" in row), None)
    wrong, share = detection["wrong"], detection["wrong"] / max(detection["tokens"], 1)
    if labels is None:
        return f"Known to be wrong: {wrong:,} of {counted(detection['tokens'], 'response token')} ({share:.1%})."
    right = labels["right_masked"]["value"] or 0.0
    named = labels.get("named_right")
    kinds = "" if named is None else f", {named:.0%} of these by their right kind"
    of = counted(wrong, "wrong token")
    return f"Of {of}, {labels['masked_wrong']:,} found{kinds}; masked {right:.1%} of right ones."


def finite(value: Any) -> Any:
    """``value`` with NaN as None, as JSON wants it."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
