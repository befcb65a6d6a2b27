"""How well a number ranks wrong tokens above right ones, with intervals from a bootstrap over examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RESAMPLES = 200
POSITION_BINS = 10


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval.

    Attributes:
        value: Over all tokens; NaN where there are no wrong ones, or no right ones.
        low: 2.5th percentile over resampled examples.
        high: 97.5th percentile.
    """

    value: float
    low: float
    high: float


class Ranking:
    """Tokens in the order of a number that is to be higher for wrong ones.

    Args:
        values: ``(tokens,)``, higher = more likely wrong.
        wrong: ``(tokens,)`` bool.
    """

    def __init__(self, values: Values, wrong: NDArray[np.bool_]) -> None:
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        self._starts = np.flatnonzero(np.concatenate([[len(values) > 0], ordered[1:] != ordered[:-1]]))
        self._wrong = wrong[self._order]

    def auroc(self, weights: Values | None = None) -> float:
        """Probability that a wrong token ranks above a right one, ties counting half; NaN if either is missing."""
        positive, negative = self._groups(weights)
        below = np.cumsum(negative) - negative
        pairs = positive.sum() * negative.sum()
        return float((positive * (below + 0.5 * negative)).sum() / pairs) if pairs > 0 else float("nan")

    def average_precision(self, weights: Values | None = None) -> float:
        """Mean precision over the wrong tokens, from the highest value down; NaN without wrong ones."""
        positive, negative = (group[::-1] for group in self._groups(weights))
        found, total = np.cumsum(positive), positive.sum()
        seen = found + np.cumsum(negative)
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        return float((precision * positive).sum() / total) if total > 0 else float("nan")

    def _groups(self, weights: Values | None) -> tuple[Values, Values]:
        """Weight of wrong and of right tokens at each distinct value, rising."""
        if not len(self._wrong):
            return np.zeros(1), np.zeros(1)
        weight = np.ones(len(self._wrong)) if weights is None else weights[self._order]
        positive = np.add.reduceat(weight * self._wrong, self._starts)
        return positive, np.add.reduceat(weight * ~self._wrong, self._starts)


def resample(examples: NDArray[np.int64], seed: int = 0, count: int = RESAMPLES) -> list[Values]:
    """``count`` draws of examples with replacement: each ``(tokens,)``, how often the token's example was drawn."""
    total = int(examples.max()) + 1 if len(examples) else 0
    random = np.random.default_rng(seed)
    draws = (np.bincount(random.integers(total, size=total), minlength=total) for _ in range(count if total else 0))
    return [draw.astype(np.float64)[examples] for draw in draws]


def estimate(value: float, resampled: list[float]) -> Estimate:
    """A figure with the percentiles of its resampled values."""
    finite = [one for one in resampled if np.isfinite(one)]
    low, high = np.percentile(finite, [2.5, 97.5]) if finite else (float("nan"), float("nan"))
    return Estimate(value, float(low), float(high))


def matched_auroc(values: Values, wrong: NDArray[np.bool_], position: Values) -> float:
    """AUROC among tokens at like positions: the mean over tenths of the answer, weighted by their pairs.

    Args:
        values: ``(tokens,)``, higher = more likely wrong.
        wrong: ``(tokens,)`` bool.
        position: ``(tokens,)``, the place in its answer, 0 to 1.
    """
    bins = np.minimum((position * POSITION_BINS).astype(int), POSITION_BINS - 1)
    total = pairs_in_all = 0.0
    for one in range(POSITION_BINS):
        here = bins == one
        pairs = float(wrong[here].sum()) * float((~wrong[here]).sum())
        if pairs:
            total += pairs * Ranking(values[here], wrong[here]).auroc()
            pairs_in_all += pairs
    return total / pairs_in_all if pairs_in_all else float("nan")


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Tokens whose probability of being wrong was said to lie between two tenths.

    Attributes:
        tokens: How many.
        said: Mean probability said.
        found: Share that is wrong.
    """

    tokens: int
    said: float
    found: float


def calibration(probability: Values, wrong: NDArray[np.bool_], bins: int = 10) -> tuple[float, list[CalibrationBin]]:
    """Expected calibration error, and the table it comes from: bins of equal width over [0, 1]; empty ones left out.

    Args:
        probability: ``(tokens,)`` that each is wrong, as said.
        wrong: ``(tokens,)`` bool.
        bins: How many.
    """
    place = np.minimum((probability * bins).astype(int), bins - 1)
    table = [
        CalibrationBin(int(here.sum()), float(probability[here].mean()), float(wrong[here].mean()))
        for one in range(bins)
        if (here := place == one).any()
    ]
    total = sum(row.tokens for row in table)
    return sum(row.tokens * abs(row.said - row.found) for row in table) / max(total, 1), table
