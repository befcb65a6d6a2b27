"""The public contract suite of cuts: does a kind keep what labelling, explanations and reports rely on?

In a test file of your own package::

    from xtf.testing import parametrize_cuts_with_checks

    @parametrize_cuts_with_checks([MyCut(share=0.2)])
    def test_contract(cut, check):
        check(cut)

No model and no run is needed: scores are made up, with ties, with examples of one token and of equal scores.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import yaml

from xtf.config import CUTS
from xtf.config.kinds import read_cut
from xtf.config.problems import SettingsError
from xtf.labelling.cuts import ChoiceControl, Cut, FittedCut, NumberControl, StepsControl, fit_cuts
from xtf.labelling.cuts.float32 import nearest
from xtf.labelling.shard import ScoredShard, Shards
from xtf.testing.suite import parametrize_checks
from xtf.tokens import BoolArray

CutCheck = Callable[[Cut], None]


def parametrize_cuts_with_checks(
    cuts: Sequence[Cut], expected_failures: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """Parametrise a test taking ``cut`` and ``check``; see :func:`xtf.testing.parametrize_with_checks`."""
    labels = {f"{cut.kind}[{place}]": cut for place, cut in enumerate(cuts)}
    return parametrize_checks("cut", labels, CUT_CHECKS, expected_failures)


# -- made-up input -----------------------------------------------------------------------------------------------


def made_up_shard(examples: Sequence[Sequence[float]], name: str = "score") -> ScoredShard:
    """Examples of two prompt tokens and these response scores; the last token of each is protected.

    Prompt tokens have scores too, lower and higher than all others, at which a cut looks that is fitted over them.
    """
    offsets = np.cumsum([0, *(2 + len(scores) for scores in examples)]).astype(np.int64)
    response = np.ones(int(offsets[-1]), np.bool_)
    protected = np.zeros_like(response)
    scores = np.full(len(response), np.nan, np.float32)
    for start, stop, values in zip(offsets[:-1], offsets[1:], examples, strict=True):
        response[start : start + 2] = False
        protected[stop - 1] = len(values) > 1
        scores[start : start + 2] = -4.0, 4.0
        scores[start + 2 : stop] = values
    ids = np.arange(len(response), dtype=np.int32)
    return ScoredShard([str(i) for i in range(len(examples))], offsets, ids, response, protected, {name: scores})


def made_up_scores() -> list[list[float]]:
    """Nine examples: scores of both signs, shares, ties, few different ones, equal ones, one token alone."""
    rng = np.random.default_rng(0)
    return [
        *(rng.normal(size=size).tolist() for size in (60, 17)),
        *(rng.beta(0.4, 0.8, size).tolist() for size in (80, 5)),
        *(np.round(rng.beta(2, 3, size), 1).tolist() for size in (40, 6)),
        [0.0] * 8,
        [0.5, 0.25],
        [0.75],
    ]


def _stream(*shards: ScoredShard) -> Shards:
    def start() -> Iterator[ScoredShard]:
        return iter(shards)

    return start


def _fitted(cut: Cut, *shards: ScoredShard) -> FittedCut:
    return fit_cuts({"score": cut}, _stream(*shards))["score"]


def _lacking(fitted: FittedCut, shard: ScoredShard) -> BoolArray:
    return fitted.lacking(shard.scores["score"], shard.offsets, shard.candidates())


def _made_up() -> ScoredShard:
    return made_up_shard(made_up_scores())


# -- checks ------------------------------------------------------------------------------------------------------


def check_cut_settings(cut: Cut) -> None:
    """Every setting has a description, survives YAML, and an unknown one is refused."""
    for key, field in type(cut).model_fields.items():
        assert key == "kind" or field.description, f"the setting {key} has no description"
    if cut.kind in CUTS.names():
        described = yaml.safe_load(yaml.safe_dump(cut.model_dump(mode="json")))
        assert read_cut(described) == cut, "the settings do not survive YAML"
        with pytest.raises(SettingsError, match="unknown key"):
            read_cut({**described, "no_such_setting": 1})


def check_cut_words(cut: Cut) -> None:
    """What set the bounds, in words without a full stop; the name of a bound names the attribute."""
    origin = cut.origin()
    assert origin is None or (origin and not origin.endswith(".")), f"origin() gives {origin!r}"
    assert "novelty" in cut.bound_name("novelty", "start")
    assert "novelty" in cut.bound_name("novelty", "stop")


def check_cut_bounds(cut: Cut) -> None:
    """Intervals rise, lie apart, and end at float32 numbers, for the corpus and for each example."""
    shard = _made_up()
    fitted, judged = _fitted(cut, shard), shard.candidates()
    for start, stop in pairwise(shard.offsets.tolist()):
        intervals = fitted.intervals(shard.scores["score"][start:stop], judged[start:stop])
        for low, high in intervals:
            assert not any(map(math.isnan, (low, high))), "an end is nan"
            assert (nearest(low), nearest(high)) == (low, high), f"an end is no float32 number: {low!r}, {high!r}"
        for (_, stop_of_one), (start_of_next, _) in pairwise(intervals):
            assert stop_of_one <= start_of_next, f"the intervals {intervals} overlap or fall"


def check_cut_side(cut: Cut) -> None:
    """``lacking_side`` is where the intervals are open: at the low end, at the high end, or anywhere."""
    assert cut.lacking_side in ("low", "high", "both")
    fitted, shard = _fitted(cut, _made_up()), _made_up()
    for low, high in fitted.intervals(shard.scores["score"][2:60], shard.candidates()[2:60]):
        assert cut.lacking_side != "low" or low == -math.inf, "a cut of the low end has an interval above it"
        assert cut.lacking_side != "high" or high == math.inf, "a cut of the high end has an interval below it"


def check_cut_judges_candidates(cut: Cut) -> None:
    """Prompt and protected tokens do not lack, and scores at which the cut does not look change nothing."""
    shard = _made_up()
    other = {"score": np.where(shard.population(cut.sees_prompts), shard.scores["score"], np.float32(1e6))}
    changed = ScoredShard(
        shard.example_ids, shard.offsets, shard.input_ids, shard.is_response, shard.is_protected, other
    )
    found = _lacking(_fitted(cut, shard), shard)
    assert not (found & ~shard.candidates()).any(), "a token that is not judged lacks"
    assert np.array_equal(found, _lacking(_fitted(cut, changed), changed)), "scores of other tokens are looked at"


def check_cut_scopes(cut: Cut) -> None:
    """An example is judged alike alone and beside others, if each has its own bounds; else in any split into shards."""
    examples = made_up_scores()
    whole, parts = made_up_shard(examples), [made_up_shard([example]) for example in examples]
    found = _lacking(_fitted(cut, whole), whole)
    split = np.concatenate([_lacking(_fitted(cut, *parts), part) for part in parts])
    assert np.array_equal(found, split), "the verdicts depend on how the corpus is cut into shards"
    assert (_fitted(cut, whole).fixed is None) == (cut.sees == "example"), "sees and the fitted bounds disagree"


def check_cut_stored(cut: Cut) -> None:
    """A fitted cut survives JSON."""
    fitted = _fitted(cut, _made_up())
    if cut.kind in CUTS.names():
        assert FittedCut.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False))) == fitted


def check_cut_controls(cut: Cut) -> None:
    """What a report offers to try, which is nothing under a cap, does what is said of it."""
    shard, cut = _made_up(), _with(cut, "at_most", None)
    for control in cut.controls():
        assert control.key in type(cut).model_fields, f"no setting {control.key}"
        match control:
            case NumberControl(key=key, interval=interval, end=end):
                moved = _fitted(_with(cut, key, 0.125), shard).fixed or ()
                assert moved[interval : interval + 1], f"with {key}, there is no interval {interval}"
                assert moved[interval][end == "stop"] == 0.125, f"{key} is not that bound"
            case StepsControl(key=key, values=values):
                assert list(values) == sorted(set(values)), "the steps do not rise"
                type(cut).model_validate({**cut.model_dump(), key: values[0]})
                type(cut).model_validate({**cut.model_dump(), key: values[-1]})
                some = [_lacking(_fitted(_with(cut, key, value), shard), shard) for value in values]
                steps = some if some[-1].sum() >= some[0].sum() else some[::-1]
                for one, other in pairwise(steps):
                    assert not (one & ~other).any(), "from one step to the next, some tokens join and others leave"
            case ChoiceControl(key=key, count=count):
                alone = [_lacking(_fitted(_with(cut, key, (one,)), shard), shard) for one in range(count)]
                assert np.sum(alone, axis=0).max() <= 1, "a token lacks under two choices"
                both = _lacking(_fitted(_with(cut, key, (0, count - 1)), shard), shard)
                assert np.array_equal(both, alone[0] | alone[-1]), "two choices are not both of them"


def _with(cut: Cut, key: str, value: Any) -> Cut:
    return cut.model_copy(update={key: value})


CUT_CHECKS: tuple[CutCheck, ...] = (
    check_cut_settings,
    check_cut_words,
    check_cut_bounds,
    check_cut_side,
    check_cut_judges_candidates,
    check_cut_scopes,
    check_cut_stored,
    check_cut_controls,
)
