"""Contrasts, corrections and ratios, against loops, closed forms and other libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from xtf.evaluation.paired import (
    DRAWS,
    Matrix,
    estimate,
    freedom,
    holm,
    ratio,
    resampled,
    smallest_effect,
)


def gains_of(seeds: int, items: int, seed: int = 0, mean: float = 0.3) -> tuple[Matrix, Matrix]:
    """Gains with effects of seeds, of items, and of both, and unequal units."""
    random = np.random.default_rng(seed)
    units = random.integers(20, 80, items).astype(float)
    rates = (
        mean + random.normal(0, 0.2, (seeds, 1)) + random.normal(0, 1, items) + random.normal(0, 0.3, (seeds, items))
    )
    return rates * units, units


def test_the_value_is_the_mean_over_all_units_of_all_seeds() -> None:
    gains, units = gains_of(3, 20)
    by_hand = sum(gains[s, i] for s in range(3) for i in range(20)) / sum(units[i] for _ in range(3) for i in range(20))
    found = estimate(gains, units)
    assert found is not None
    assert found.value == pytest.approx(by_hand)
    assert (found.seeds, found.items) == (3, 20)


def test_the_error_is_that_of_resampling_seeds_and_items_by_loops() -> None:
    gains, units = gains_of(4, 12)
    random = np.random.default_rng(99)
    drawn = []
    for _ in range(20_000):
        seeds, items = random.integers(0, 4, 3), random.integers(0, 12, 11)
        drawn.append(gains[np.ix_(seeds, items)].sum() / (3 * units[items].sum()))
    assert float(np.std(resampled(gains, units))) == pytest.approx(float(np.std(drawn)), rel=0.05)


def test_where_only_seeds_differ_the_interval_is_student_s_over_seeds() -> None:
    effects = np.array([0.1, 0.35, 0.2, 0.5])
    units = np.full(400, 3.0)
    gains = effects[:, None] * units
    found = estimate(gains, units)
    expected = stats.ttest_1samp(effects, 0.0)
    low, high = expected.confidence_interval(0.95)
    assert found is not None
    assert found.df == pytest.approx(3)
    assert found.error == pytest.approx(float(stats.sem(effects)), rel=0.03)
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.02)
    assert found.p == pytest.approx(expected.pvalue, rel=0.15)


def test_one_seed_gives_student_s_interval_over_items() -> None:
    effects = np.random.default_rng(3).normal(0.4, 1.0, 30)
    found = estimate(effects[None], np.ones(30))
    expected = stats.ttest_1samp(effects, 0.0)
    assert found is not None
    assert found.df == pytest.approx(29)
    assert found.error == pytest.approx(float(stats.sem(effects)), rel=0.04)
    assert found.p == pytest.approx(expected.pvalue, rel=0.2)


def test_degrees_of_freedom_are_satterthwaite_s() -> None:
    gains, units = gains_of(3, 8)
    by_seed = [sum(gains[s]) / sum(units) for s in range(3)]
    mean = sum(by_seed) / 3
    of_seeds = sum((one - mean) ** 2 for one in by_seed) / 2 / 3
    residuals = [sum(gains[s, i] for s in range(3)) / 3 - mean * units[i] for i in range(8)]
    of_items = 8 / 7 * sum(r * r for r in residuals) / sum(units) ** 2
    expected = (of_seeds + of_items) ** 2 / (of_seeds**2 / 2 + of_items**2 / 7)
    assert freedom(gains, units) == pytest.approx(expected)


def test_arms_that_are_the_same_differ_by_nothing_for_sure() -> None:
    found = estimate(np.zeros((3, 5)), np.ones(5))
    assert found is not None
    assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_items_without_a_unit_do_not_count_and_none_gives_nothing() -> None:
    gains, units = gains_of(2, 6)
    wider = np.concatenate([gains, np.zeros((2, 3))], axis=1), np.concatenate([units, np.zeros(3)])
    assert estimate(*wider) == estimate(gains, units)
    assert estimate(np.zeros((2, 3)), np.zeros(3)) is None


def test_a_single_figure_has_no_interval() -> None:
    found = estimate(np.array([[0.5]]), np.ones(1))
    assert found is not None
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.p)


def test_holm_against_the_steps_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    with_nan = holm([0.02, math.nan, 0.01])
    assert with_nan[::2] == pytest.approx([0.04, 0.03])
    assert math.isnan(with_nan[1])


def test_the_smallest_effect_by_the_normal_formula() -> None:
    assert smallest_effect(0.01, 1e9, 1) == pytest.approx(0.01 * (1.959964 + 0.841621), rel=1e-5)
    assert smallest_effect(0.01, 4, 3) == pytest.approx(
        0.01 * (stats.t.ppf(1 - 0.05 / 6, 4) + stats.t.ppf(0.8, 4)), rel=1e-9
    )


def test_fieller_s_ends_are_where_the_test_of_the_ratio_just_fails() -> None:
    whole, units = gains_of(3, 40, seed=4, mean=2.0)
    gains = 0.8 * whole + gains_of(3, 40, seed=5, mean=0.0)[0] * 0.3
    found = ratio(gains, whole, units)
    assert found is not None
    assert found.value == pytest.approx(gains.sum() / whole.sum())
    parts = estimate(gains, units), estimate(whole, units)
    assert parts[0] is not None
    assert parts[1] is not None
    reach = float(stats.t.ppf(0.975, min(parts[0].df, parts[1].df)))
    assert found.low is not None
    assert found.high is not None
    for end in (found.low, found.high):
        left = gains - end * whole
        value, error = left.sum() / (3 * units.sum()), float(np.std(resampled(left, units), ddof=1))
        assert abs(value) == pytest.approx(reach * error, rel=1e-6)


def test_no_share_of_a_gap_that_is_not_shown_to_be_there() -> None:
    gains, units = gains_of(3, 20, mean=0.0)
    found = ratio(gains, gains - gains.mean(), units)
    assert found is not None
    assert (found.value, found.low, found.high) == (None, None, None)
    assert "not shown to be above 0" in found.note


def test_the_same_draws_serve_every_pair() -> None:
    gains, units = gains_of(3, 10)
    whole = gains_of(3, 10, seed=1)[0]
    both = resampled(gains, units) + resampled(whole, units)
    assert resampled(gains + whole, units) == pytest.approx(both)
    assert len(both) == DRAWS
