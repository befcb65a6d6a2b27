"""By how much arms differ on held-out examples, against scipy's paired test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from xtf.evaluation import ArmResult
from xtf.evaluation.contrasts import contrast_arms, contrast_lines

TOKENS = 50


def arm(name: str, losses: list[float], seed: int = 0) -> ArmResult:
    """An arm with a mean loss for each held-out example of ``TOKENS`` tokens."""
    pairs = tuple((TOKENS * loss, TOKENS) for loss in losses)
    return ArmResult(arm=name, seed=seed, held_out_loss=float(np.mean(losses)), losses=pairs)


def test_one_seed_agrees_with_a_paired_t_test_over_examples() -> None:
    random = np.random.default_rng(0)
    other = 1.5 + 0.5 * random.random(60)
    own = other - 0.03 + 0.05 * random.standard_normal(60)
    (found,) = contrast_arms([arm("random", other.tolist()), arm("xtf", own.tolist())])
    want = stats.ttest_rel(other, own).confidence_interval(0.95)
    assert (found.arm, found.against, found.gain.seeds, found.gain.items) == ("xtf", "random", 1, 60)
    assert found.gain.value == pytest.approx(float(np.mean(other - own)))
    assert found.gain.low == pytest.approx(want.low, abs=2e-3)
    assert found.gain.high == pytest.approx(want.high, abs=2e-3)


def test_each_labelling_is_compared_with_its_own_control() -> None:
    losses = [1.0, 1.2, 0.9, 1.4]
    names = ["base", "full", "random", "oracle", "xtf", "inverted", "rho", "random_of_rho"]
    found = contrast_arms([arm(name, losses) for name in names])
    assert [(one.arm, one.against) for one in found] == [
        ("oracle", "full"),
        ("xtf", "random"),
        ("xtf", "full"),
        ("rho", "random_of_rho"),
        ("rho", "full"),
    ]


def test_only_what_the_interval_allows_is_said() -> None:
    base = [1.0, 1.2, 0.9, 1.4, 1.1, 1.3]
    lower = [value - 0.1 - 0.001 * place for place, value in enumerate(base)]
    mixed = [value + (-1) ** place * 0.1 for place, value in enumerate(base)]

    def said(own: list[float]) -> str:
        (found,) = contrast_arms([arm("random", base), arm("xtf", own)])
        return found.sentence()

    assert said(lower).startswith("xtf is better than a random mask of the same size by 0.1025 nats a token [0.10")
    assert said([2 * a - b for a, b in zip(base, lower, strict=True)]).startswith(
        "xtf is worse than a random mask of the same size by 0.1025 nats a token [0.10"
    )
    assert said(mixed).startswith("xtf is not shown to differ from a random mask of the same size: +0.0000 [-0.")


def test_what_cannot_be_told_is_left_out() -> None:
    assert contrast_arms([arm("random", [1.0]), arm("xtf", [0.9])]) == []  # one example, one seed
    assert contrast_arms([arm("random", [1.0, 1.1], seed=1), arm("xtf", [0.9, 1.0], seed=2)]) == []
    assert contrast_arms([ArmResult(arm="full", seed=0), ArmResult(arm="xtf", seed=0)]) == []
    assert contrast_lines([]) == []
