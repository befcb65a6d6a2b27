"""Explanations agree with the labels, and what they say would flip a token flips it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.labelling.kinds import Above, Below, BottomShare, CutSection, Iqr, MultiOtsu, Never, Outside, TopShare
from tests.labelling.scored import COARSE, shard, stream
from xtf.attribute import probability_text
from xtf.characters import Spelt
from xtf.config import CombineConfig
from xtf.explain import ExampleExplanation, Flip, explain_example
from xtf.explain.flips import numbers_apart, round_past
from xtf.explain.terminal import example_text, legend
from xtf.labelling import LabelRules, fit_rules, judge
from xtf.labelling.combiners.weighted import MEAN_RANK
from xtf.labelling.shard import ScoredShard

SCORES = COARSE | st.floats(-2, 2, width=32) | st.floats(width=32, allow_nan=False, allow_infinity=False)
NUMBERS = st.floats(-2, 2) | st.sampled_from([-0.5, 0.0, 0.25, 0.5, 1e-6, 0.05])
EXPLICIT = (
    st.builds(Below, cut=NUMBERS)
    | st.builds(Above, cut=NUMBERS)
    | st.tuples(NUMBERS, NUMBERS).map(lambda pair: Outside(low=min(pair), high=max(pair)))
)
FITTED: list[CutSection] = [
    Iqr(k=0.3, side="both"),
    Iqr(k=0.3, side="high", scope="dataset"),
    BottomShare(share=0.4),
    TopShare(keep=0.5, scope="example"),
    MultiOtsu(classes=3, scope="example"),
    Never(),
]


def explained(
    part: ScoredShard, thresholds: dict[str, CutSection], combine: CombineConfig | None = None
) -> tuple[LabelRules, ExampleExplanation]:
    rules = fit_rules(list(thresholds), thresholds, combine or CombineConfig(), stream(part))
    texts = [Spelt(f" t{index}") for index in range(len(part.input_ids))]
    describe = {name: (lambda score, index: f"it scores {score:.3f}") for name in thresholds}
    return rules, explain_example(rules, part.example(0), judge(rules, part.example(0)), texts, describe)


def moved(threshold: CutSection, flip: Flip) -> CutSection:
    """The explicit cut after the stated move."""
    if isinstance(threshold, Below | Above):
        return threshold.model_copy(update={"cut": flip.value})
    assert isinstance(threshold, Outside)
    return Outside(
        **{"low": threshold.low, "high": threshold.high} | {"low" if flip.end == "stop" else "high": flip.value}
    )


@settings(max_examples=150)
@given(st.lists(SCORES, min_size=1, max_size=5), EXPLICIT)
def test_the_stated_flip_flips(values: list[float], cut: CutSection) -> None:
    part = shard([{"a": values}])
    _, found = explained(part, {"a": cut})
    for token in found.tokens[1:]:
        flip = token.verdicts[0].flip
        if flip is None:
            assert isinstance(cut, Outside)
            assert np.float32(cut.low) == np.float32(cut.high)
            continue
        number = re.search(r"were (\S+) or (?:lower|higher)$", flip.text)
        assert number is not None
        assert float(number[1]) == flip.value
        assert token.flips == (flip,)
        after = fit_rules(["a"], {"a": moved(cut, flip)}, CombineConfig(), stream(part))
        assert bool(judge(after, part).noise[token.index]) != token.noise


@settings(max_examples=60)
@given(
    st.lists(st.tuples(COARSE, COARSE, COARSE), min_size=1, max_size=6),
    st.sampled_from(["any", "all", "vote"]),
    st.tuples(EXPLICIT, EXPLICIT, EXPLICIT),
)
def test_the_flips_of_all_attributes_together_flip_the_token(
    rows: list[tuple[float, float, float]], rule: str, cuts: tuple[CutSection, CutSection, CutSection]
) -> None:
    thresholds = dict(zip("abc", cuts, strict=True))
    part = shard([dict(zip("abc", map(list, zip(*rows, strict=True)), strict=True))])
    combine = CombineConfig.model_validate({"rule": rule})
    _, found = explained(part, thresholds, combine)
    for token in found.tokens[1:]:
        if not token.flips:
            continue
        changed = thresholds | {flip.attribute: moved(thresholds[flip.attribute], flip) for flip in token.flips}
        after = fit_rules(list("abc"), changed, combine, stream(part))
        assert bool(judge(after, part).noise[token.index]) != token.noise
        for left_out in token.flips:
            without = {**changed, left_out.attribute: thresholds[left_out.attribute]}
            rules = fit_rules(list("abc"), without, combine, stream(part))
            assert bool(judge(rules, part).noise[token.index]) == token.noise, "each named move is needed"
        assert token.flip is not None
        assert token.flip.startswith("kept if the " if token.noise else "masked if the ")


@settings(max_examples=100)
@given(
    st.lists(SCORES | COARSE, min_size=1, max_size=20),
    st.sampled_from(FITTED) | EXPLICIT,
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(0, 1),
)
def test_explanations_agree_with_the_labels(values: list[float], cut: CutSection, share: float, protected: int) -> None:
    part = shard([{"a": values, "b": [0.0] * len(values)}], prompt=2, protected=protected)
    rules, found = explained(part, {"a": cut, "b": Below(cut=-1.0)}, CombineConfig(max_noise_share=share))
    labels = judge(rules, part)
    assert [token.noise for token in found.tokens] == labels.noise.tolist()
    assert [token.weight for token in found.tokens] == labels.weights.tolist()
    assert [
        sum(v.lacking << bit for bit, v in enumerate(token.verdicts)) for token in found.tokens
    ] == labels.lacking.tolist()
    for token in found.tokens:
        for verdict in token.verdicts:
            assert verdict.margin is None or verdict.margin == 0 or (verdict.margin < 0) == verdict.lacking
            if verdict.flip is not None:
                assert check_fitted_flip(verdict.value, verdict.lacking, verdict.flip)
    json.dumps(found.to_dict(), allow_nan=False)


def check_fitted_flip(score: float, lacking: bool, flip: Flip) -> bool:
    """The moved bound lies on the other side of the score."""
    with np.errstate(over="ignore"):
        bound = float(np.float32(flip.value))
    lacks_now = score < bound if flip.end == "stop" else score > bound
    return lacks_now != lacking


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.booleans(), st.booleans())
def test_rounding_goes_to_the_safe_side(score: float, upward: bool, strict: bool) -> None:
    assume(abs(score) < 3e38)
    value, text = round_past(score, upward, strict, math.inf if upward else -math.inf)
    assert float(text) == value
    away = (float(np.float32(value)) - score) * (1 if upward else -1)
    assert away > 0 if strict else away >= 0
    assert abs(value - score) <= 0.021 * abs(score) + (0.0011 if score == 0 else 2e-45)


def test_rounding_stops_at_a_limit() -> None:
    score, next_one = float(np.float32(0.1002)), float(np.nextafter(np.float32(0.1002), np.float32(1)))
    assert score < round_past(score, True, True, 0.1004)[0] <= 0.1004
    assert -0.1004 <= round_past(-score, False, True, -0.1004)[0] < -score
    assert np.float32(round_past(score, True, True, next_one)[0]) == np.float32(next_one)


@given(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
def test_numbers_keep_their_order_when_printed(value: float, bound: float) -> None:
    first, second = map(float, numbers_apart(value, bound))
    assert (first < second, first == second) == (value < bound, value == bound)


# -- wording -----------------------------------------------------------------------------------------------------


def sentences(
    values: Sequence[float], cut: CutSection, combine: CombineConfig | None = None, protected: int = 0
) -> list[tuple[str, str | None]]:
    _, found = explained(
        shard([{"knowledge_novelty": values}], protected=protected), {"knowledge_novelty": cut}, combine
    )
    return [(token.sentence, token.flip) for token in found.tokens]


def test_sentences_of_a_simple_cut() -> None:
    found = sentences([0.01234, 0.31, 0.9], Below(cut=0.05), protected=1)
    assert found == [
        ("Not trained on: ' t0' belongs to the prompt.", None),
        (
            "Masked: ' t1' lacks knowledge novelty (0.0123, below the cut of 0.05). It scores 0.012.",
            "kept if the knowledge_novelty cut were 0.0123 or lower",
        ),
        (
            "Kept: ' t2' lacks nothing; closest: knowledge novelty 0.31, 25 percentiles off.",
            "masked if the knowledge_novelty cut were 0.311 or higher",
        ),
        ("Kept: ' t3' is protected, as an end of turn or template token.", None),
    ]


def test_a_guard_is_named() -> None:
    values = [0.1, 0.2, 0.3]
    found = sentences(values, Below(cut=1.0), CombineConfig(min_kept=1))
    assert found[3] == (
        "Kept: ' t3' lacks knowledge novelty (0.3); min_kept keeps it.",
        "masked without the guard min_kept",
    )
    assert sentences(values, Below(cut=1.0), CombineConfig(max_noise_share=0.5))[2][1] == (
        "masked without the guard max_noise_share"
    )


def test_the_closest_attribute_is_so_by_the_figure_that_is_printed() -> None:
    part = shard([{"a": [0.0, 0.4, 0.5, 0.6, 0.9], "b": [0.0, 5.0, 30.0, 90.0, 10.0]}])
    _, found = explained(part, {"a": Below(cut=0.1), "b": Below(cut=1.0)})
    *_, last = found.tokens
    assert "closest: b 10, " in last.sentence
    between = re.search(r"([0-9.]+) percentiles off", last.sentence)
    assert between is not None
    flips = [verdict.flip for verdict in last.verdicts if verdict.flip is not None]
    assert float(between[1]) == pytest.approx(min(flip.distance for flip in flips), rel=0.05)


@pytest.mark.parametrize(
    ("probability", "fine", "coarse"),
    [(0.9998, "over 0.999", "over 0.99"), (1.0, "1", "1.00"), (0.004, "0.004", "under 0.01"), (0.5, "0.5", "0.50")],
)
def test_no_probability_is_rounded_to_certainty(probability: float, fine: str, coarse: str) -> None:
    assert (probability_text(probability), probability_text(probability, ".2f")) == (fine, coarse)


def test_a_close_call_shows_enough_digits() -> None:
    assert "(0.04999, below the cut of 0.05)" in sentences([0.04999], Below(cut=0.05))[1][0]


@pytest.mark.parametrize(
    ("cut", "text"),
    [
        (Below(cut=0.05), "below 0.05"),
        (Outside(low=0.1, high=0.9), "below 0.1 or above 0.9"),
        (Iqr(k=0.5), "below -0.05 (Q1 − 0.5 IQR of this example)"),
        (BottomShare(share=0.4), "below 0.5 (the lowest 40 % of the corpus)"),
        (TopShare(keep=0.6), "below 0.5 (outside the highest 60 % of the corpus)"),
        (
            MultiOtsu(classes=3, scope="example"),
            "between 0.203125 and 0.703125 (Multi-Otsu cluster 1 of 0 to 2 in this example)",
        ),
        (Never(), "never lacking"),
    ],
    ids=lambda value: value.kind if not isinstance(value, str) else "",
)
def test_cuts_in_words(cut: CutSection, text: str) -> None:
    _, found = explained(shard([{"a": [0.0, 0.2, 0.5, 0.7, 1.0]}]), {"a": cut})
    assert found.tokens[1].verdicts[0].cut == text


def test_the_mean_rank_decides_when_weighted() -> None:
    part = shard([{"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 2.0, 3.0, 4.0]}])
    combine = CombineConfig(rule="weighted", threshold=BottomShare(share=0.5))
    _, found = explained(part, {"a": Below(cut=0.0), "b": Below(cut=0.0)}, combine)
    token = found.tokens[2]
    assert token.combined is not None
    assert (token.combined.name, token.combined.lacking, token.combined.value) == (MEAN_RANK, True, 0.375)
    assert token.sentence == "Masked: ' t2' has mean rank 0.375, below 0.625; lowest: a."
    assert token.flip == "kept if the mean rank cut were 0.375 or lower"
    assert [t.noise for t in found.tokens] == [False, True, True, False, False]
    assert math.isclose(found.noise_share, 0.5)
    assert not any(verdict.lacking for verdict in token.verdicts)
    assert "⟦ t2⟧" in example_text(found, plain=True).plain
    assert not example_text(found, plain=True).plain.partition("⟦ t2⟧")[2].startswith("¹"), "it lacks no attribute"
    assert "⟦masked by a person or by its mean rank⟧" in legend(found, plain=True).plain


def test_one_example_and_a_text_per_token_are_needed() -> None:
    part = shard([{"a": [1.0]}, {"a": [2.0]}])
    rules = fit_rules(["a"], {"a": Never()}, CombineConfig(), stream(part))
    with pytest.raises(ValueError, match="got 2 examples"):
        explain_example(rules, part, judge(rules, part), [Spelt("x")] * 4)
    with pytest.raises(ValueError, match="and 1 texts"):
        explain_example(rules, part.example(0), judge(rules, part.example(0)), [Spelt("x")])
