"""Fitted cuts, against numpy and brute force on the whole data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from tests.labelling.kinds import Above, Below, BottomShare, CutSection, Iqr, MultiOtsu, Never, Outside, TopShare
from tests.labelling.scored import COARSE, judged, one_column, shard, stream
from xtf.errors import ConfigError
from xtf.labelling.cuts import FittedCut, fit_cuts
from xtf.labelling.cuts.float32 import float32_down, float32_up
from xtf.labelling.cuts.multi_otsu import otsu_split
from xtf.labelling.shard import ScoredShard
from xtf.tokens import BoolArray, FloatArray

CUTS: list[CutSection] = [
    Below(cut=0.05),
    Above(cut=0.7),
    Outside(low=-0.5, high=0.5),
    Never(),
    *(Iqr(k=0.5, side=side, scope=scope) for side in ("low", "high", "both") for scope in ("example", "dataset")),
    *(BottomShare(share=0.3, scope=scope) for scope in ("example", "dataset")),
    *(TopShare(keep=0.6, scope=scope) for scope in ("example", "dataset")),
    *(MultiOtsu(classes=3, lacking=(0, 2), scope=scope) for scope in ("example", "dataset")),
]


RNG = np.random.default_rng(0)


def lacking(fitted: FittedCut, part: ScoredShard) -> BoolArray:
    return fitted.lacking(part.scores["a"], part.offsets, part.candidates())


def corpus(seed: int = 0) -> list[ScoredShard]:
    rng = np.random.default_rng(seed)
    sizes = [[9, 1, 30], [2, 100], [57]]
    return [shard([{"a": rng.normal(size=size).tolist()} for size in some], protected=1) for some in sizes]


def between_variance(counts: NDArray[np.int64], split: Sequence[int]) -> Fraction:
    """What Multi-Otsu maximises, up to a constant, in exact arithmetic."""
    total, ends = Fraction(0), [-1, *split, len(counts) - 1]
    for first, last in pairwise(ends):
        mass = counts[first + 1 : last + 1]
        total += Fraction(int((mass * np.arange(first + 1, last + 1)).sum()) ** 2, max(int(mass.sum()), 1))
    return total


def best_split(counts: NDArray[np.int64], classes: int) -> tuple[int, ...]:
    """Multi-Otsu by trying every split after an occupied bin."""
    occupied = np.flatnonzero(counts)[:-1].tolist()
    return max(combinations(occupied, classes - 1), key=lambda split: between_variance(counts, split))


def expected(cut: CutSection, scores: FloatArray) -> BoolArray:
    """The verdicts on one population of float32 scores, straight from the definitions."""
    return np.asarray(_expected(cut, scores), np.bool_)


def _expected(cut: CutSection, scores: FloatArray) -> Any:
    wide = scores.astype(np.float64)
    match cut:
        case Below():
            return scores < np.float32(cut.cut)
        case Above():
            return scores > np.float32(cut.cut)
        case Outside():
            return (scores < np.float32(cut.low)) | (scores > np.float32(cut.high))
        case Iqr():
            first, third = np.quantile(wide, [0.25, 0.75])
            low, high = wide < first - cut.k * (third - first), wide > third + cut.k * (third - first)
            return {"low": low, "high": high, "both": low | high}[cut.side]
        case BottomShare() | TopShare():
            share = cut.share if isinstance(cut, BottomShare) else 1 - cut.keep
            first_kept = int(np.floor(share * len(wide) + 1e-9))
            return wide < (np.sort(wide)[first_kept] if first_kept < len(wide) else np.inf)
        case MultiOtsu():
            if len(scores) < cut.classes:
                return np.zeros(len(scores), bool)
            counts, all_edges = np.histogram(wide, 256)
            edges = [all_edges[last + 1] for last in best_split(counts, cut.classes)]
            return np.isin(np.digitize(wide, edges), cut.lacking)
        case _:
            return np.zeros(len(scores), bool)


@pytest.mark.parametrize("cut", CUTS, ids=repr)
def test_every_cut_equals_its_definition(cut: CutSection) -> None:
    parts = corpus()
    fitted = fit_cuts({"a": cut}, stream(*parts))["a"]
    restored = FittedCut.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert restored == fitted
    whole = expected(cut, judged(stream(*parts)))
    seen = 0
    for part in parts:
        verdicts = lacking(fitted, part)
        assert not verdicts[~part.candidates()].any()
        for index in range(len(part)):
            one = part.example(index)
            here = one.candidates()
            count = int(here.sum())
            per_example = getattr(cut, "scope", "dataset") == "example" and count > 0
            want = expected(cut, one.scores["a"][here]) if per_example else whole[seen : seen + count]
            seen += count
            assert np.array_equal(lacking(fitted, one)[here], want)
            assert np.array_equal(verdicts[part.offsets[index] : part.offsets[index + 1]], lacking(fitted, one))
            pairs = fitted.intervals(one.scores["a"], here)
            within = [any(low < score < high for low, high in pairs) for score in one.scores["a"][here].tolist()]
            assert within == want.tolist()


@settings(max_examples=80)
@given(
    st.lists(COARSE | st.floats(-3, 3, width=32), min_size=1, max_size=40),
    st.integers(1, 4),
    st.sampled_from([cut for cut in CUTS if not isinstance(cut, MultiOtsu)]),
)
def test_corpus_cuts_with_ties_and_any_split(values: list[float], pieces: int, cut: CutSection) -> None:
    if getattr(cut, "scope", "dataset") == "example":
        pieces = 1
    shards = one_column(values, pieces=pieces)
    fitted = fit_cuts({"a": cut}, shards)["a"]
    verdicts = [lacking(fitted, part)[part.candidates()] for part in shards()]
    assert np.array_equal(np.concatenate(verdicts), expected(cut, np.array(values, np.float32)))


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20), st.floats(width=32, allow_nan=False))
def test_rounded_bounds_decide_like_exact_ones(bounds: list[float], score: float) -> None:
    exact, wide = np.array(bounds), np.float64(score)
    assert np.array_equal(np.float32(score) < float32_up(exact), wide < exact)
    assert np.array_equal(np.float32(score) > float32_down(exact), wide > exact)


def test_a_tie_at_the_share_boundary_is_kept() -> None:
    shards = one_column([1.0, 2.0, 2.0, 2.0, 3.0])
    fitted = fit_cuts({"a": BottomShare(share=0.4)}, shards)["a"]
    assert fitted.fixed == ((-np.inf, 2.0),)


@pytest.mark.parametrize(
    ("share", "tokens", "count"), [(0.29, 100, 29), (0.3, 10, 3), (0.3, 9, 2), (1.0, 7, 7), (0, 7, 0)]
)
def test_shares_are_decimals(share: float, tokens: int, count: int) -> None:
    values = np.arange(tokens, dtype=np.float32)
    for scope in ("example", "dataset"):
        cuts: list[CutSection] = [BottomShare(share=share, scope=scope), TopShare(keep=1 - share, scope=scope)]
        for cut in cuts:
            fitted = fit_cuts({"a": cut}, one_column(values))["a"]
            assert [int(lacking(fitted, part).sum()) for part in one_column(values)()] == [count]


def test_a_score_printed_like_the_cut_is_not_below_it() -> None:
    part = shard([{"a": [0.7]}])
    assert not lacking(fit_cuts({"a": Below(cut=0.7)}, stream(part))["a"], part).any()
    assert not lacking(fit_cuts({"a": Above(cut=0.7)}, stream(part))["a"], part).any()


@settings(max_examples=50)
@given(st.lists(st.integers(0, 9), min_size=6, max_size=14), st.integers(2, 4))
def test_no_other_split_is_better(counts: list[int], classes: int) -> None:
    table = np.array(counts, np.int64)
    assume(np.count_nonzero(table) >= classes)
    best = between_variance(table, best_split(table, classes))
    assert float(between_variance(table, otsu_split(table, classes))) == pytest.approx(float(best), rel=1e-12)


def test_few_discrete_scores_form_the_clusters_one_sees() -> None:
    part = shard([{"a": [0.0, 0.3, 0.3, 1.0, 0.0]}])
    fitted = fit_cuts({"a": MultiOtsu(classes=3, lacking=(1,))}, stream(part))["a"]
    assert lacking(fitted, part).tolist() == [False, False, True, True, False, False]


def test_neighbouring_clusters_join() -> None:
    part = shard([{"a": np.linspace(0, 1, 50).tolist()}])
    fitted = fit_cuts({"a": MultiOtsu(classes=4, lacking=(1, 2))}, stream(part))["a"]
    assert fitted.fixed is not None
    assert len(fitted.fixed) == 1


def test_too_few_values_for_multi_otsu_is_an_error_that_lists_every_attribute() -> None:
    part = shard([{"a": [1.0, 1.0, 2.0], "b": [3.0, 3.0, 3.0]}])
    with pytest.raises(ConfigError) as caught:
        fit_cuts({"a": MultiOtsu(classes=3), "b": MultiOtsu(classes=2)}, stream(part))
    first, second = caught.value.problems
    assert first.startswith("thresholds.a: the scores fill only 2 of 256")
    assert second.startswith("thresholds.b: the scores fill only 1 of 256")


def with_prompts(part: ScoredShard, seed: int = 1) -> ScoredShard:
    """The shard, its prompt tokens scored too, most of them lower."""
    scores = part.scores["a"].copy()
    prompt = ~part.is_response
    scores[prompt] = np.random.default_rng(seed).normal(loc=-2.0, size=int(prompt.sum()))
    return replace(part, scores={"a": scores})


def test_bounds_are_fitted_over_prompts_where_they_are_asked_for() -> None:
    parts = [with_prompts(shard([{"a": RNG.normal(size=40).tolist()}] * 3, prompt=20, protected=1)) for _ in range(2)]
    every = np.concatenate([part.scores["a"][part.candidates() | ~part.is_response] for part in parts])
    first, third = np.quantile(every, [0.25, 0.75])
    cut = Iqr(k=0.1, scope="dataset", over="prompts_and_responses")
    fitted = fit_cuts({"a": cut}, stream(*parts))["a"]
    ((low, high),) = fitted.fixed or ()
    assert low == -np.inf
    assert high == pytest.approx(first - 0.1 * (third - first), abs=1e-6)
    assert "prompts included" in str(cut.origin())
    for part in parts:
        assert not (lacking(fitted, part) & ~part.candidates()).any()


def test_prompts_without_scores_are_refused_by_name() -> None:
    part = shard([{"a": RNG.normal(size=40).tolist()}])
    with pytest.raises(ConfigError, match=r"thresholds\.a\.over: prompts_and_responses needs scores of the tokens"):
        fit_cuts({"a": BottomShare(share=0.1, over="prompts_and_responses")}, stream(part))
    with pytest.raises(ValidationError, match="goes with scope: dataset"):
        MultiOtsu(scope="example", over="prompts_and_responses")


def test_an_example_too_short_for_its_clusters_lacks_nothing() -> None:
    part = shard([{"a": [1.0, 2.0]}, {"a": [1.0, 5.0, 9.0]}])
    fitted = fit_cuts({"a": MultiOtsu(classes=3, lacking=(0,), scope="example")}, stream(part))["a"]
    assert lacking(fitted, part).tolist() == [False, False, False, False, True, False, False]


def test_a_cut_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValidationError, match="a cut must be a number"):
        Below(cut=float("nan"))


def test_an_empty_corpus_lacks_nothing() -> None:
    cuts = {str(index): cut for index, cut in enumerate(CUTS)}
    part = shard([{name: [1.0] for name in cuts}], protected=1)
    for name, fitted in fit_cuts(cuts, stream(part)).items():
        assert not fitted.lacking(part.scores[name], part.offsets, part.candidates()).any()


def test_explicit_and_example_cuts_read_nothing() -> None:
    def refuse():  # type: ignore[no-untyped-def]
        raise AssertionError("the corpus was read")

    fitted = fit_cuts({"a": Below(cut=1.0), "b": Iqr(), "c": Never()}, refuse)
    assert [fitted[name].cut.decides for name in "abc"] == [True, True, False]


@pytest.mark.parametrize("at_most", [0.0, 0.05, 0.1, 0.29, 0.5, 1.0])
@pytest.mark.parametrize("digits", [1, 6])
def test_a_cap_leaves_what_lies_deepest_in_each_example(at_most: float, digits: int) -> None:
    """One-sided cuts: below the cut and below the score of the first rank that the share does not take; ties stay."""
    rng = np.random.default_rng(7)
    part = shard([{"a": np.round(rng.normal(size=size), digits).tolist()} for size in (1, 9, 40, 100)], protected=1)
    low = lacking(fit_cuts({"a": Below(cut=0.2, at_most=at_most)}, stream(part))["a"], part)
    high = lacking(fit_cuts({"a": Above(cut=-0.2, at_most=at_most)}, stream(part))["a"], part)
    for start, stop in pairwise(part.offsets.tolist()):
        values, here = part.scores["a"][start:stop], part.candidates()[start:stop]
        ranked = np.sort(values[here])
        count = int(Fraction(str(at_most)) * len(ranked))
        lowest = ranked[count] if count < len(ranked) else np.inf
        highest = ranked[::-1][count] if count < len(ranked) else -np.inf
        assert np.array_equal(low[start:stop], here & (values < min(np.float32(0.2), lowest)))
        assert np.array_equal(high[start:stop], here & (values > max(np.float32(-0.2), highest)))


@pytest.mark.parametrize("cut", [Outside(low=-0.3, high=0.4, at_most=0.2), MultiOtsu(lacking=(1, 3), at_most=0.1)])
def test_a_cap_on_several_intervals_keeps_the_tokens_nearest_to_a_bound(cut: Any) -> None:
    rng = np.random.default_rng(8)
    part = shard([{"a": rng.normal(size=size).tolist()} for size in (30, 80, 120)], protected=1)
    plain = fit_cuts({"a": cut.model_copy(update={"at_most": None})}, stream(part))["a"]
    capped = fit_cuts({"a": cut}, stream(part))["a"]
    before, after = lacking(plain, part), lacking(capped, part)
    assert not (after & ~before).any()
    for start, stop in pairwise(part.offsets.tolist()):
        here, values = part.candidates()[start:stop], part.scores["a"][start:stop].astype(float)
        allowed = int(cut.at_most * here.sum() + 1e-9)
        assert before[start:stop].sum() > allowed == after[start:stop].sum()
        ends = np.array([(low, high) for low, high in plain.fixed or ()])
        depth = np.minimum(values[:, None] - ends[:, 0], ends[:, 1] - values[:, None]).max(axis=1)
        left, gone = after[start:stop], before[start:stop] & ~after[start:stop]
        assert depth[left].min() > depth[gone].max()
        intervals = capped.intervals(part.scores["a"][start:stop], here)
        inside = [any(low < value < high for low, high in intervals) for value in values.tolist()]
        assert np.array_equal(np.array(inside) & here, left), "an explanation would say otherwise"


def test_a_cap_is_no_setting_of_never() -> None:
    with pytest.raises(ValidationError, match="of no use"):
        Never(at_most=0.5)
