"""Rules and guards, against plain Python on small examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.labelling.kinds import Above, Below, BottomShare, CutSection, Iqr, Never
from tests.labelling.scored import COARSE, shard, stream
from xtf.config import CombineConfig
from xtf.errors import ConfigError
from xtf.labelling import LabelRules, fit_rules, judge
from xtf.labelling.combiners.votes import count_votes
from xtf.labelling.combiners.weighted import WeightedRanks, mean_rank
from xtf.labelling.guards import noise_caps
from xtf.labelling.shard import ScoredShard
from xtf.tokens import BoolArray

NAMES = ("a", "b", "c")
THRESHOLDS: dict[str, CutSection] = {"a": Below(cut=0.1), "b": Above(cut=0.4), "c": Iqr(k=0.5)}


@st.composite
def corpora(draw: st.DrawFn) -> ScoredShard:
    """One to three examples with three attributes, full of ties; the last token of each may be protected."""
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=3))
    column = {length: st.lists(COARSE, min_size=length, max_size=length) for length in lengths}
    examples = [{name: draw(column[length]) for name in NAMES} for length in lengths]
    return shard(examples, prompt=2, protected=draw(st.integers(0, 1)))


def noise(part: ScoredShard, thresholds: dict[str, CutSection] = THRESHOLDS, **combine: object) -> BoolArray:
    rules = fit_rules(list(thresholds), thresholds, CombineConfig.model_validate(combine), stream(part))
    return judge(rules, part).noise


@settings(max_examples=60)
@given(corpora())
def test_any_is_the_union_and_all_the_intersection(part: ScoredShard) -> None:
    alone = [noise(part, {name: cut}) for name, cut in THRESHOLDS.items()]
    assert np.array_equal(noise(part), np.logical_or.reduce(alone))
    assert np.array_equal(noise(part, rule="all"), np.logical_and.reduce(alone))


@settings(max_examples=60)
@given(corpora())
def test_votes_count_and_more_votes_mask_less(part: ScoredShard) -> None:
    counted = np.sum([noise(part, {name: cut}) for name, cut in THRESHOLDS.items()], axis=0)
    for votes in (1, 2, 3):
        assert np.array_equal(noise(part, rule="vote", votes=votes), counted >= votes)


def test_never_decides_nothing() -> None:
    part = shard([{"a": [0.0, 1.0], "b": [0.0, 0.0]}])
    thresholds: dict[str, CutSection] = {"a": Below(cut=0.5), "b": Never()}
    assert noise(part, thresholds, rule="all").tolist() == [False, True, False]
    assert noise(part, thresholds, rule="weighted", threshold={"kind": "below", "cut": 0.5}).tolist() == [
        False,
        True,
        False,
    ]
    assert not noise(part, {"b": Never()}).any()
    with pytest.raises(ConfigError, match=r"combine\.votes: 2 attributes must lack, but only 1"):
        noise(part, thresholds, rule="vote", votes=2)
    with pytest.raises(ConfigError, match=r"combine\.weights"):
        noise(part, {"b": Never()}, rule="weighted")


def test_vote_reads_only_the_voters_bits() -> None:
    bits = np.arange(16, dtype=np.uint16)
    for needed in (1, 2, 3):
        want = [sum(bool(bit & 1 << voter) for voter in (0, 1, 3)) >= needed for bit in range(16)]
        assert count_votes(bits, (0, 1, 3), needed).tolist() == want


def test_weighted_cuts_the_mean_of_corpus_ranks() -> None:
    part = shard([{"a": [1.0, 2.0, 3.0, 4.0], "b": [10.0, 40.0, 20.0, 30.0]}])
    thresholds: dict[str, CutSection] = {"a": Never(), "b": Below(cut=0.0)}
    combine = CombineConfig(rule="weighted", weights={"a": 3.0}, threshold=BottomShare(share=0.25))
    rules = fit_rules(["a", "b"], thresholds, combine, stream(part))
    assert isinstance(rules.combiner, WeightedRanks)
    assert rules.combiner.weights == {"a": 0.75, "b": 0.25}
    ranks = mean_rank(part, rules.combiner.weights, rules.distributions)
    a, b = np.array([0.125, 0.375, 0.625, 0.875]), np.array([0.125, 0.875, 0.375, 0.625])
    assert ranks[1:] == pytest.approx(0.75 * a + 0.25 * b, abs=1e-6)
    assert math.isnan(ranks[0])
    labels = judge(rules, part)
    assert labels.noise.tolist() == [False, True, False, False, False]
    assert not labels.reasons.any()


def test_equal_mean_ranks_tie_however_they_are_summed() -> None:
    columns = np.array([[0, 1, 2], [2, 0, 1], [1, 2, 0]], np.float32)
    part = shard([dict(zip(NAMES, columns.tolist(), strict=True))])
    rules = fit_rules(NAMES, THRESHOLDS, CombineConfig(rule="weighted"), stream(part))
    assert isinstance(rules.combiner, WeightedRanks)
    assert len(np.unique(mean_rank(part, rules.combiner.weights, rules.distributions)[1:])) == 1


def test_weighted_reports_its_own_key() -> None:
    part = shard([{"a": [1.0, 1.0]}])
    with pytest.raises(ConfigError, match=r"^combine\.threshold: the scores fill only 1"):
        noise(
            part, {"a": Below(cut=0.0)}, rule="weighted", threshold={"kind": "multi_otsu", "classes": 2, "lacking": [0]}
        )


def reference_guard(part: ScoredShard, rules: LabelRules, combine: CombineConfig) -> list[bool]:
    """Release noise one token at a time, in plain Python."""
    before = judge(rules, part).unguarded
    kept = before.copy()
    for index in range(len(part)):
        tokens = range(int(part.offsets[index]), int(part.offsets[index + 1]))
        response = sum(bool(part.is_response[token]) for token in tokens)
        candidates = sum(bool(part.candidates()[token]) for token in tokens)

        def severity(token: int) -> float:
            levels = []
            for name, cut in rules.cuts.items():
                score = part.scores[name][token : token + 1]
                one = float(rules.distributions[name].percentile_of(score)[0])
                if judge(rules, part).lacking[token] >> rules.attributes.index(name) & 1:
                    levels.append(100 - one if cut.cut.lacking_side == "high" else one)
            return min(levels)

        noisy = sorted((token for token in tokens if kept[token]), key=lambda token: (severity(token), token))
        while noisy and (len(noisy) > combine.max_noise_share * response or candidates - len(noisy) < combine.min_kept):
            kept[noisy.pop()] = False
    return [bool(value) for value in kept]


@settings(max_examples=80)
@given(corpora(), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.integers(0, 4), st.sampled_from(["any", "vote"]))
def test_guards_release_the_least_severe(part: ScoredShard, share: float, kept: int, rule: str) -> None:
    combine = CombineConfig.model_validate({"rule": rule, "max_noise_share": share, "min_kept": kept})
    rules = fit_rules(NAMES, THRESHOLDS, combine, stream(part))
    found = judge(rules, part)
    assert found.noise.tolist() == reference_guard(part, rules, combine)
    assert not (found.noise & ~found.unguarded).any()
    counts = part.counts(found.noise)
    assert (counts <= share * part.counts(part.is_response)).all()
    wanted = np.minimum(kept, part.counts(part.candidates()))
    assert (part.counts(part.candidates() & ~found.noise) >= wanted).all()


def test_caps_are_exact_decimals() -> None:
    part = shard([{"a": [0.0] * 100}])
    assert noise_caps(part, CombineConfig(max_noise_share=0.29)).tolist() == [29]


@settings(max_examples=30)
@given(corpora())
def test_weighted_guard_releases_the_highest_mean_rank(part: ScoredShard) -> None:
    combine = CombineConfig(rule="weighted", threshold=Below(cut=0.6), max_noise_share=0.5)
    rules = fit_rules(NAMES, THRESHOLDS, combine, stream(part))
    found, ranks = judge(rules, part), rules.combiner.combined(part)
    assert ranks is not None
    for index in range(len(part)):
        here = slice(int(part.offsets[index]), int(part.offsets[index + 1]))
        released = ranks[here][found.unguarded[here] & ~found.noise[here]]
        masked = ranks[here][found.noise[here]]
        assert not len(released) or not len(masked) or masked.max() <= released.min()


@settings(max_examples=40)
@given(corpora(), st.sampled_from(["any", "all", "vote", "weighted"]))
def test_only_unprotected_response_tokens_are_noise(part: ScoredShard, rule: str) -> None:
    found = noise(part, rule=rule, threshold={"kind": "below", "cut": 0.9})
    assert not (found & ~part.candidates()).any()
