"""Figures of detection, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from xtf.evaluation.detection import JudgedTokens, NamedKinds, describe_detection, measure_detection
from xtf.evaluation.ranking import Ranking, calibration, estimate, matched_auroc, resample

TOKENS = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 3)), min_size=4, max_size=60)


@given(TOKENS)
def test_ranking_equals_scikit_learn_with_ties_and_weights(tokens: list[tuple[int, bool, int]]) -> None:
    values = np.array([float(value) for value, _, _ in tokens])
    wrong = np.array([wrong for _, wrong, _ in tokens])
    weights = np.array([float(weight) for _, _, weight in tokens])
    ranking = Ranking(values, wrong)
    for weight in (None, weights):
        w = np.ones(len(values)) if weight is None else weight
        if w[wrong].sum() and w[~wrong].sum():
            assert ranking.auroc(weight) == pytest.approx(roc_auc_score(wrong, values, sample_weight=w))
            want = average_precision_score(wrong, values, sample_weight=w)
            assert ranking.average_precision(weight) == pytest.approx(want)
        elif not w[wrong].sum():
            assert np.isnan(ranking.auroc(weight))
            assert np.isnan(ranking.average_precision(weight))


def test_nothing_to_rank() -> None:
    empty = Ranking(np.zeros(0), np.zeros(0, np.bool_))
    assert np.isnan(empty.auroc())
    assert np.isnan(empty.average_precision())
    assert resample(np.zeros(0, np.int64)) == []
    assert np.isnan(estimate(0.5, []).low)


def test_resamples_draw_whole_examples() -> None:
    examples = np.array([0, 0, 1, 2, 2, 2])
    for draw in resample(examples, count=20):
        assert draw[0] == draw[1]
        assert draw[3] == draw[4] == draw[5]
        assert draw[0] + draw[2] + draw[3] == 3
    assert [d.tolist() for d in resample(examples)] == [d.tolist() for d in resample(examples)]


def test_position_explains_what_is_left_after_matching() -> None:
    random = np.random.default_rng(0)
    position = random.random(4000)
    wrong = random.random(4000) < position * 0.5  # later tokens are wrong more often, and nothing else tells
    assert Ranking(position, wrong).auroc() > 0.6
    assert matched_auroc(position, wrong, position) == pytest.approx(0.5, abs=0.05)
    knowing = wrong + 0.1 * random.random(4000)
    assert matched_auroc(knowing, wrong, position) == 1.0


def test_calibration_by_hand() -> None:
    said = np.array([0.05, 0.05, 0.05, 0.05, 0.95, 0.95, 1.0])
    wrong = np.array([False, False, False, True, True, True, False])
    error, table = calibration(said, wrong)
    assert [(row.tokens, row.found) for row in table] == [(4, 0.25), (3, pytest.approx(2 / 3))]
    assert error == pytest.approx((4 * 0.20 + 3 * abs(2.9 / 3 - 2 / 3)) / 7)


def made(grain_units: list[int] | None = None) -> JudgedTokens:
    wrong = np.array([True, False, False, True, True, False, False, False])
    kinds = np.array(["digits", "", "", "spelling", "spelling", "", "", ""], dtype=object)
    units = np.array(grain_units or range(8), np.int64)
    tokens = JudgedTokens(wrong, kinds, np.array([0, 0, 0, 1, 1, 1, 2, 2]), np.linspace(0, 1, 8), units)
    tokens.suspicion["one"] = np.array([5.0, 1.0, 2.0, 4.0, 0.5, 3.0, 0.0, 1.0])
    tokens.masked["one"] = tokens.suspicion["one"] >= 3.0
    tokens.right["one"] = 1.0 - tokens.suspicion["one"] / 5.0
    return tokens


def test_figures_at_the_mask_and_by_kind() -> None:
    found = measure_detection(made())
    one, position = found["found"]
    assert (one["name"], position["name"]) == ("one", "position")
    assert one["precision"]["value"] == pytest.approx(2 / 3)
    assert one["recall"]["value"] == pytest.approx(2 / 3)
    assert one["right_masked"]["value"] == pytest.approx(1 / 5)
    assert one["precision"]["low"] <= one["precision"]["value"] <= one["precision"]["high"]
    assert one["kinds"]["digits"] == {"tokens": 1, "auroc": 1.0, "recall": 1.0}
    assert one["kinds"]["spelling"]["auroc"] == pytest.approx(
        roc_auc_score([0, 0, 1, 1, 0, 0, 0], [1, 2, 4, 0.5, 3, 0, 1])
    )
    assert "precision" not in position
    assert found["calibration"]["one"]["bins"]


def test_kinds_named_right_among_the_wrong_tokens_that_are_masked() -> None:
    tokens = made()  # masked: a wrong digit, a misspelt word, and the right token at 5
    tokens.kinds[4] = "of people's own"  # masked from here on, and no kind that can be named
    tokens.suspicion["labels"] = tokens.suspicion.pop("one")
    tokens.masked["labels"] = np.array([True, False, False, True, True, True, False, False])
    said = np.array(["digits", "", "", "digits", "digits", "spelling", "", ""], dtype=object)
    tokens.named["labels"] = NamedKinds(("digits", "spelling"), said)
    found = measure_detection(tokens)
    row = found["found"][0]
    assert row["named_right"] == 1 / 2
    assert {kind: entry["named_right"] for kind, entry in row["kinds"].items()} == {
        "digits": 1.0,
        "spelling": 0.0,
        "of people's own": None,
    }
    assert (
        describe_detection(found)
        == "Of 3 wrong tokens, 3 found, 50% of these by their right kind; masked 20.0% of right ones."
    )


def test_spans_are_judged_by_their_worst_token_and_their_mean() -> None:
    found = measure_detection(made([0, 1, 1, 2, 2, 3, 3, 3]), "span")
    worst, mean = found["found"][:2]
    assert (worst["judged_by"], mean["judged_by"]) == ("worst token", "mean")
    assert (worst["items"], worst["wrong_items"]) == (4, 2)
    assert worst["auroc"]["value"] == roc_auc_score([1, 0, 1, 0], [5, 2, 4, 3])
    assert mean["auroc"]["value"] == roc_auc_score([1, 0, 1, 0], [5, 1.5, 2.25, 4 / 3])
