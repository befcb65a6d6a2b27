"""The public contract suite of rules: does one keep what labelling and explanations rely on?

In a test file of your own package::

    from xtf.testing import parametrize_combiners_with_checks

    @parametrize_combiners_with_checks([MyRule()])
    def test_contract(combiner, check):
        check(combiner)

Two attributes of made-up scores are combined, ``a`` and ``b``, both lacking below a cut; a third has no say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from xtf.labelling.combiners import Combiner, FittedCombiner, Panel
from xtf.labelling.cuts import fit_cuts
from xtf.labelling.cuts.below import Below
from xtf.labelling.cuts.never import Never
from xtf.labelling.distribution import measure
from xtf.labelling.shard import ReasonArray, ScoredShard
from xtf.testing.cuts import made_up_scores, made_up_shard
from xtf.testing.suite import parametrize_checks

CombinerCheck = Callable[[Combiner], None]
_CUTS = {"a": Below(cut=0.1), "b": Below(cut=0.3), "c": Never()}


def parametrize_combiners_with_checks(
    combiners: Sequence[Combiner], expected_failures: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """Parametrise a test taking ``combiner`` and ``check``; see :func:`xtf.testing.parametrize_with_checks`."""
    labels = {f"{combiner.kind}[{place}]": combiner for place, combiner in enumerate(combiners)}
    return parametrize_checks("combiner", labels, COMBINER_CHECKS, expected_failures)


def _made_up() -> tuple[ScoredShard, Panel]:
    shard = made_up_shard(made_up_scores())
    rng = np.random.default_rng(1)
    scores = shard.scores["score"]
    other = np.where(np.isnan(scores), np.nan, rng.random(len(scores))).astype(np.float32)
    shard = replace(shard, scores={"a": scores, "b": other, "c": scores})
    distributions = measure(tuple(_CUTS), lambda: iter([shard]))
    return shard, Panel(fit_cuts(_CUTS, lambda: iter([shard]), distributions), distributions)


def _fit(combiner: Combiner) -> tuple[ScoredShard, Panel, FittedCombiner, ReasonArray]:
    shard, panel = _made_up()

    def shards() -> Iterator[ScoredShard]:
        return iter([shard])

    return shard, panel, combiner.fit(panel, shards), _lacking(panel, shard)


def _lacking(panel: Panel, shard: ScoredShard) -> ReasonArray:
    lacking = np.zeros(len(shard.input_ids), np.uint16)
    for bit, (name, cut) in enumerate(panel.cuts.items()):
        found = cut.lacking(shard.scores[name], shard.offsets, shard.candidates())
        lacking |= found.astype(np.uint16) << np.uint16(bit)
    return lacking


def check_combiner_settings(combiner: Combiner) -> None:
    """Every setting has a description; the keys that are named exist."""
    for key, field in type(combiner).model_fields.items():
        assert key == "kind" or field.description, f"the setting {key} has no description"
    for named in (combiner.count_key, combiner.cut_key):
        assert named is None or named in type(combiner).model_fields, f"no setting {named}"


def check_combiner_decides(combiner: Combiner) -> None:
    """Only candidates are noise, and the severity of every noise token is a number from 0."""
    shard, _, fitted, lacking = _fit(combiner)
    decision = fitted.decide(shard, lacking)
    assert decision.noise.dtype == np.bool_
    assert decision.noise.shape == (len(shard.input_ids),)
    assert not (decision.noise & ~shard.candidates()).any(), "a token that is not judged is noise"
    severity = decision.severity(np.flatnonzero(decision.noise))
    assert ((severity >= 0) & np.isfinite(severity)).all(), "severity must be finite and not negative"


def check_combiner_examples(combiner: Combiner) -> None:
    """An example is judged alike alone and beside others."""
    shard, _, fitted, lacking = _fit(combiner)
    noise = fitted.decide(shard, lacking).noise
    for index in range(len(shard)):
        here = shard.tokens_of(index, index + 1)
        alone = fitted.decide(shard.example(index), lacking[here]).noise
        assert np.array_equal(alone, noise[here]), "a verdict depends on the neighbours in the shard"


def check_combiner_stored(combiner: Combiner) -> None:
    """What the rule learned survives JSON."""
    shard, panel, fitted, lacking = _fit(combiner)
    restored = combiner.restore(panel, json.loads(json.dumps(fitted.state(), allow_nan=False)))
    assert np.array_equal(restored.decide(shard, lacking).noise, fitted.decide(shard, lacking).noise)


def check_combiner_combined(combiner: Combiner) -> None:
    """A rule with a cut has a combined score from 0 to 1 and a name for it, and cuts nothing else."""
    shard, _, fitted, lacking = _fit(combiner)
    combined = fitted.combined(shard)
    assert (combined is None) == (fitted.cut is None) == (fitted.name == ""), "name, cut and combined() go together"
    if combined is not None and fitted.cut is not None:
        response = combined[shard.is_response]
        assert combined.dtype == np.float32
        assert ((response >= 0) & (response <= 1)).all(), "a combined score lies outside 0 to 1"
        cut = fitted.cut.lacking(combined, shard.offsets, shard.candidates())
        assert np.array_equal(fitted.decide(shard, lacking).noise, cut), "noise is not what the cut calls lacking"


def check_combiner_words(combiner: Combiner) -> None:
    """Words without a full stop; if ``needed`` attributes decide, they do, and ``turning`` turns the outcome."""
    shard, panel, fitted, _ = _fit(combiner)
    candidate = int(np.flatnonzero(shard.candidates())[0])
    for bits in range(4):
        lacks = [bool(bits >> bit & 1) for bit in range(3)]
        noise = _decided(fitted, shard, candidate, bits)
        words = fitted.words(lacks, noise)
        assert words.rstrip(".") == words != "", f"words() gives {words!r}"
        if fitted.needed is not None:
            assert noise == (len(panel.voters) > 0 and sum(lacks) >= fitted.needed), "needed does not decide"
        places, count = fitted.turning(lacks, noise)
        turned = [place for place in places if place in panel.voters][:count]
        if fitted.cut is None and count and len(turned) == count:
            changed = bits ^ sum(1 << place for place in turned)
            assert _decided(fitted, shard, candidate, changed) != noise, "turning() does not turn the outcome"


def _decided(fitted: FittedCombiner, shard: ScoredShard, token: int, bits: int) -> bool:
    """The outcome of one token, whatever it lacks."""
    lacking = np.zeros(len(shard.input_ids), np.uint16)
    lacking[token] = bits
    return bool(fitted.decide(shard, lacking).noise[token])


COMBINER_CHECKS: tuple[CombinerCheck, ...] = (
    check_combiner_settings,
    check_combiner_decides,
    check_combiner_examples,
    check_combiner_stored,
    check_combiner_combined,
    check_combiner_words,
)
