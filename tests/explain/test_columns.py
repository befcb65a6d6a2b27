"""Explanations found for all tokens at once are those found for one token after another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.explain import plain
from tests.explain.test_explain import explained
from tests.labelling.kinds import Above, Below, BottomShare, CutSection, Iqr, MultiOtsu, Never, Outside, TopShare
from tests.labelling.scored import shard, stream
from xtf.config import CombineConfig
from xtf.errors import ConfigError
from xtf.explain import AttributeVerdict, TokenExplanation
from xtf.explain.outcomes import Outcome, Outcomes
from xtf.labelling import LabelRules, fit_rules, judge
from xtf.labelling.cuts import FittedCut, Interval


def some_cut(random: np.random.Generator) -> CutSection:
    """Any kind of cut, corpus-wide or of each example, sometimes capped."""
    low, high = sorted(random.choice([-0.5, 0.0, 0.25, 0.5, 1e-6, 0.05], 2).tolist())
    more: dict[str, Any] = {"at_most": [None, None, 0.1, 0.3, 0.5][random.integers(5)]}
    scoped = {**more, "scope": str(random.choice(["example", "dataset"]))}
    side, lacking = str(random.choice(["low", "high", "both"])), tuple(random.permutation(3)[:2].tolist())
    return (
        Below(cut=low, **more),
        Above(cut=high, **more),
        Outside(low=low, high=high, **more),
        Iqr(k=0.3, side=side, **scoped),
        BottomShare(share=0.4, **scoped),
        TopShare(keep=0.5, **scoped),
        MultiOtsu(classes=3, scope="example", lacking=lacking, **more),
        Never(),
    )[random.integers(8)]


def some_scores(random: np.random.Generator, size: int) -> list[float]:
    """Ties, neighbouring float32 numbers, few digits, many digits, tiny and huge ones."""
    beside = np.nextafter(np.float32(0.5), np.float32(1)), np.nextafter(np.float32(0.5), np.float32(0))
    drawn = (
        random.choice([-2.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1e-6], size),
        random.choice([0.5, *beside], size),
        np.round(random.beta(2, 3, size), 2),
        random.normal(0, 1, size),
        random.normal(0, 1, size) * 10.0 ** random.integers(-40, 38, size),
    )
    return [float(one) for one in drawn[random.integers(len(drawn))].astype(np.float32)]


def check(found: AttributeVerdict, cut: FittedCut, intervals: Sequence[Interval], judged: bool) -> None:
    """The verdict is the one that looking at its score alone gives."""
    own = plain.inside(found.value, intervals) if judged else None
    assert found.lacking == (own is not None)
    assert found.interval == (None if own is None else tuple(e if math.isfinite(e) else None for e in intervals[own]))
    assert found.margin == (plain.margin(found.value, intervals) if judged else None)
    one = found.flip
    moved = None if one is None else ((one.current, one.end, one.interval), one.value, one.text)
    assert moved == (plain.flip(found.name, found.value, intervals, cut.cut) if judged else None)


def check_outcome(token: TokenExplanation, rules: LabelRules) -> None:
    """The moves named are the fewest and smallest that turn what the rule says."""
    if token.combined is not None:
        expected = [token.combined.flip]
    else:
        lacks = [verdict.lacking for verdict in token.verdicts]
        bits, moves = rules.combiner.turning(lacks, token.noise)
        options = [flip for bit in bits if (flip := token.verdicts[bit].flip) is not None]
        expected = [*sorted(options, key=lambda flip: flip.distance)[:moves]] if len(options) >= moves else []
    assert list(token.flips) == [flip for flip in expected if flip is not None]
    words = " and ".join(flip.text for flip in token.flips)
    assert (token.flip or "").endswith(words)


@pytest.mark.parametrize("seed", range(150))
def test_columns_say_what_single_scores_say(seed: int) -> None:
    random = np.random.default_rng(seed)
    names = ["a", "b", "c_d"][: random.integers(1, 4)]
    size = int(random.integers(1, 14))
    part = shard([{name: some_scores(random, size) for name in names}], protected=int(random.integers(0, 2)))
    rule = {"rule": str(random.choice(["any", "all", "weighted"])), "threshold": some_cut(random)}
    combine = CombineConfig.model_validate(rule if rule["rule"] == "weighted" else {"rule": rule["rule"]})
    try:
        rules, found = explained(part, {name: some_cut(random) for name in names}, combine)
    except ConfigError:
        return  # scores that do not allow a cut
    combined, judged = rules.combiner.combined(part), part.candidates()
    intervals = {name: cut.intervals(part.scores[name], judged) for name, cut in rules.cuts.items()}
    for token in found.tokens[1:]:
        for verdict in token.verdicts:
            check(verdict, rules.cuts[verdict.name], intervals[verdict.name], bool(judged[token.index]))
        if token.combined is not None and combined is not None and rules.combiner.cut is not None:
            cut = rules.combiner.cut
            check(token.combined, cut, cut.intervals(combined, judged), bool(judged[token.index]))
        if judged[token.index]:
            check_outcome(token, rules)


def test_a_bound_may_move_until_it_touches_the_next_one() -> None:
    """The nearer bound of a kept score can pass it only if the other one is no nearer than the next float32 number."""
    half = np.float32(0.5)
    before = np.nextafter(half, np.float32(0))
    third = np.nextafter(before, np.float32(0))
    scores = [float(one) for one in (before, half, third)]
    for low, high, turning, end in (
        *((before, half, before, "stop"), (before, half, half, "start")),
        *((third, half, before, "stop"), (third, half, third, "stop"), (third, half, half, "start")),
    ):
        cut = Outside(low=float(low), high=float(high))
        rules, found = explained(shard([{"a": scores}]), {"a": cut}, CombineConfig())
        intervals = rules.cuts["a"].intervals(np.array(scores, np.float32), np.ones(3, np.bool_))
        (verdict,) = found.tokens[1 + scores.index(float(turning))].verdicts
        assert not verdict.lacking
        check(verdict, rules.cuts["a"], intervals, judged=True)
        assert verdict.flip is not None
        assert verdict.flip.end == end


def test_a_shard_says_of_each_example_what_it_says_alone() -> None:
    """Examples whose cuts and guards differ are explained together as one after the other."""
    random = np.random.default_rng(3)
    part = shard([{name: some_scores(random, size) for name in ("a", "b")} for size in (7, 1, 12, 5)], protected=1)
    cuts: dict[str, CutSection] = {"a": Iqr(k=0.2, side="both", scope="example"), "b": Outside(low=-0.5, high=0.5)}
    guards, ranks = {"min_kept": 2, "max_noise_share": 0.4}, {"rule": "weighted", "threshold": Below(cut=0.5)}
    for combine in (guards, ranks):
        rules = fit_rules(list(cuts), cuts, CombineConfig.model_validate(combine), stream(part))
        labels = judge(rules, part)
        together = Outcomes(rules, part, labels, {})
        for place in range(len(part)):
            here = part.tokens_of(place, place + 1)
            alone = Outcomes(rules, part.example(place), labels.within(here), {})
            for index in range(here.stop - here.start):
                assert _said(together[here.start + index]) == _said(alone[index])
                verdicts = [one.verdict() for one in together.readings(here.start + index)]
                assert verdicts == [one.verdict() for one in alone.readings(index)]


def _said(outcome: Outcome) -> tuple[str, ...]:
    return (outcome.what, outcome.rule, outcome.reason, str(outcome.flip), str([one.name for one in outcome.turning]))
