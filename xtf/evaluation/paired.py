"""Paired contrasts over seeds and held-out items, and what they allow to say.

Two arms are compared where both were trained with the same seed and judged on the same item. Seeds and items are
*crossed*: every seed is judged on every item. Both are resampled (Owen 2007, arXiv 0712.1111), one fewer than there
are of each, which makes the variance of a mean unbiased (Rao and Wu 1988); so few seeds do not look like certainty.
Intervals and p-values take Student's t, whose degrees of freedom follow Satterthwaite (1946) from what seeds and items
contribute: where seeds differ, three of them count as three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Matrix = NDArray[np.float64]

DRAWS = 2000
LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean gain and how sure it is.

    Attributes:
        value: The gain a unit (a token or an answer).
        low: Lower end of the 95 % interval.
        high: Upper end.
        error: Standard error.
        df: Degrees of freedom.
        p: Two-sided, uncorrected.
        seeds: How many were paired; with one, nothing is known of how much another would change.
        items: How many were paired.
    """

    value: float
    low: float
    high: float
    error: float
    df: float
    p: float
    seeds: int = field(kw_only=True)
    items: int = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two gains by Fieller (1954); ``note`` says why there is no interval, or no value.

    Attributes:
        value: The ratio; None where the denominator is not shown to be above 0.
        low: Lower end of the 95 % interval.
        high: Upper end.
        note: Empty where all three are there.
    """

    value: float | None
    low: float | None
    high: float | None
    note: str = ""


def estimate(gains: Matrix, units: Matrix) -> Estimate | None:
    """The mean gain a unit; None where there is no unit.

    Args:
        gains: ``(seeds, items)``: by how much an arm is better than another, summed over the item's units.
        units: ``(items,)`` above or at 0: tokens, their weights, or 1 for an answer.
    """
    gains, units = gains[:, units > 0], units[units > 0]
    seeds, items = gains.shape
    if not seeds or not items:
        return None
    value = float(gains.sum() / (seeds * units.sum()))
    error = float(np.std(resampled(gains, units), ddof=1)) if max(seeds, items) > 1 else float("nan")
    if error == 0.0 and not np.any(gains):
        return Estimate(0.0, 0.0, 0.0, 0.0, float(max(items - 1, 1)), 1.0, seeds=seeds, items=items)
    df = freedom(gains, units)
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, df)) * error
    p = float(2 * stats.t.sf(abs(value) / error, df)) if error > 0 else float("nan")
    return Estimate(value, value - reach, value + reach, error, df, p, seeds=seeds, items=items)


def resampled(gains: Matrix, units: Matrix) -> Matrix:
    """``(DRAWS,)``: the mean gain a unit over resampled seeds and items, the same for every pair of arms.

    Args:
        gains: ``(seeds, items)``.
        units: ``(items,)`` above 0.
    """
    random = np.random.default_rng(0)
    seeds, items = (_drawn(count, random) for count in gains.shape)
    totals = np.einsum("bn,bn->b", seeds @ gains, items)
    return np.asarray(totals / (seeds.sum(axis=1) * (items @ units)))


def _drawn(count: int, random: np.random.Generator) -> Matrix:
    """``(DRAWS, count)``: how often each is drawn, of ``count - 1`` draws; of one, always it."""
    if count == 1:
        return np.ones((DRAWS, 1))
    return random.multinomial(count - 1, np.full(count, 1 / count), size=DRAWS).astype(np.float64)


def freedom(gains: Matrix, units: Matrix) -> float:
    """Satterthwaite's degrees of freedom of the mean gain a unit.

    Args:
        gains: ``(seeds, items)``.
        units: ``(items,)`` above 0.
    """
    seeds, items = gains.shape
    by_seed = gains.sum(axis=1) / units.sum()
    of_seeds = float(np.var(by_seed, ddof=1)) / seeds if seeds > 1 else 0.0
    residuals = gains.mean(axis=0) - by_seed.mean() * units
    of_items = items / (items - 1) * float(np.sum(residuals**2)) / float(units.sum()) ** 2 if items > 1 else 0.0
    parts = [(of_seeds, seeds - 1), (of_items, items - 1)]
    below = sum(variance**2 / df for variance, df in parts if df > 0)
    return float((of_seeds + of_items) ** 2 / below) if below > 0 else float(max(seeds - 1, items - 1, 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) corrected p-values, in the order given; what is not a number stays so, and counts."""
    order = sorted(range(len(p_values)), key=lambda place: (np.isnan(p_values[place]), p_values[place]))
    corrected, most = [float("nan")] * len(p_values), 0.0
    for rank, place in enumerate(order):
        if not np.isnan(p_values[place]):
            most = max(most, min(1.0, (len(p_values) - rank) * p_values[place]))
            corrected[place] = most
    return corrected


def smallest_effect(error: float, df: float, comparisons: int) -> float:
    """The least true gain that such a study finds with a probability of 0.8, at 0.05 shared among ``comparisons``.

    ``(t(1 - alpha/2) + t(power)) * error`` (Bloom 1995).
    """
    alpha = (1 - LEVEL) / max(comparisons, 1)
    return float(stats.t.ppf([1 - alpha / 2, POWER], df).sum() * error)


def ratio(gains: Matrix, whole: Matrix, units: Matrix) -> Ratio | None:
    """What share of the gain ``whole`` the gain ``gains`` is, with Fieller's interval; None where there is no unit.

    Args:
        gains: ``(seeds, items)``.
        whole: ``(seeds, items)`` of the same seeds and items.
        units: ``(items,)``.
    """
    part, all_ = estimate(gains, units), estimate(whole, units)
    if part is None or all_ is None:
        return None
    if not all_.low > 0:
        return Ratio(None, None, None, f"the gap is not shown to be above 0: [{all_.low:.4f}, {all_.high:.4f}]")
    kept = units > 0
    spread = np.cov(resampled(gains[:, kept], units[kept]), resampled(whole[:, kept], units[kept]))
    squared = float(stats.t.ppf(0.5 + LEVEL / 2, min(part.df, all_.df))) ** 2
    a = all_.value**2 - squared * spread[1, 1]
    b = part.value * all_.value - squared * spread[0, 1]
    c = part.value**2 - squared * spread[0, 0]
    value = part.value / all_.value
    if a <= 0:
        return Ratio(value, None, None, "the gap is too uncertain for an interval")
    root = float(np.sqrt(max(b**2 - a * c, 0.0)))
    return Ratio(value, float((b - root) / a), float((b + root) / a))
