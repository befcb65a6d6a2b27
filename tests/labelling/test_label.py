"""Fitting, storing and applying rules; degenerate attributes; the summary of a corpus."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.labelling.kinds import Above, Below, BottomShare, CutSection, Iqr, MultiOtsu, Never, TopShare
from tests.labelling.scored import shard, stream, summarise
from xtf.config import CombineConfig
from xtf.errors import PluginError
from xtf.labelling import LabelRules, degenerate, fit_rules, judge
from xtf.labelling.distribution import Distribution, measure
from xtf.labelling.shard import ScoredShard

THRESHOLDS: dict[str, CutSection] = {"a": TopShare(keep=0.6), "b": Below(cut=0.2), "c": MultiOtsu(classes=3)}


def corpus(seed: int = 0, examples: int = 6) -> list[ScoredShard]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(5, 40, size=(3, examples))
    return [shard([{n: rng.random(size).tolist() for n in "abc"} for size in some], protected=1) for some in sizes]


@pytest.mark.parametrize(
    "combine",
    [
        CombineConfig(),
        CombineConfig(rule="all", max_noise_share=0.2),
        CombineConfig(rule="weighted", weights={"a": 2.0}, min_kept=3),
        CombineConfig(rule="weighted", threshold=Iqr(k=0.1, side="both")),
    ],
    ids=["any", "all", "weighted", "weighted_iqr"],
)
def test_rules_survive_json_and_the_order_of_shards(combine: CombineConfig) -> None:
    parts = corpus()
    rules = fit_rules("abc", THRESHOLDS, combine, stream(*parts))
    stored = json.loads(json.dumps(rules.to_dict(), allow_nan=False))
    arrays = {name: one.to_arrays() for name, one in rules.distributions.items()}
    restored = LabelRules.from_dict(stored, {name: Distribution.from_arrays(some) for name, some in arrays.items()})
    turned = fit_rules("abc", THRESHOLDS, combine, stream(*parts[::-1]), measure("abc", stream(*parts[::-1])))
    assert turned.to_dict() == rules.to_dict()
    for part in parts:
        labels = judge(rules, part)
        for other in (restored, turned):
            again = judge(other, part)
            for field in ("noise", "weights", "reasons", "lacking", "unguarded"):
                assert np.array_equal(getattr(labels, field), getattr(again, field))


def test_labels_of_a_small_example() -> None:
    part = shard([{"a": [0.1, 0.9, 0.2, 0.0], "b": [5.0, 0.0, -1.0, 9.0]}], prompt=2, protected=1)
    combine = CombineConfig(noise_weight=0.25, weight_by="b")
    rules = fit_rules(["a", "b"], {"a": Below(cut=0.15), "b": Above(cut=4.0)}, combine, stream(part))
    labels = judge(rules, part)
    assert labels.noise.tolist() == [False, False, True, False, False, False]
    assert labels.reasons.tolist() == [0, 0, 0b11, 0, 0, 0]
    assert labels.weights.tolist() == [0.0, 0.0, 0.25, 0.0, 0.0, 1.0]
    assert [labels.weights.dtype.name, labels.reasons.dtype.name] == ["float32", "uint16"]


def test_lacking_bits_outlive_the_guard_and_reasons_do_not() -> None:
    part = shard([{"a": [0.3, 0.1, 0.2]}])
    rules = fit_rules(["a"], {"a": Below(cut=1.0)}, CombineConfig(min_kept=2), stream(part))
    labels = judge(rules, part)
    assert labels.lacking.tolist() == [0, 1, 1, 1]
    assert labels.reasons.tolist() == [0, 0, 1, 0]
    assert labels.weights.tolist() == [0.0, 1.0, 0.0, 1.0]


def test_every_attribute_needs_a_threshold() -> None:
    with pytest.raises(ValueError, match="no threshold given for \\['b'\\]"):
        fit_rules(["a", "b"], {"a": Never()}, CombineConfig(), stream())


def test_a_score_that_is_not_finite_stops_the_fit() -> None:
    with pytest.raises(PluginError, match="attribute 'a'"):
        fit_rules(["a"], {"a": Never()}, CombineConfig(), stream(shard([{"a": [np.inf]}])))


# -- degenerate attributes ---------------------------------------------------------------------------------------


def verdict(examples: list[Any], ids: list[list[int]] | None = None) -> str | None:
    part = shard([{"a": example} for example in examples], ids=ids)
    return degenerate(measure(["a"], stream(part))["a"])


def test_released_attention_row_means_are_degenerate() -> None:
    rng = np.random.default_rng(0)
    examples = [(1 / size * (1 + rng.normal(size=size // 2) * 3e-7)).tolist() for size in rng.integers(20, 200, 80)]
    text = verdict(examples)
    assert text is not None
    assert "in 80 of 80 examples" in text


def test_a_constant_and_a_constant_per_example_are_degenerate() -> None:
    text = verdict([[0.5, 0.5], [0.5, 0.5, 0.5]])
    assert text == "all 5 scores are 0.5"
    assert verdict([[0.0, 0.0], [1.0, 1.0], [7.0, 7.0]]) is not None


def test_working_attributes_are_not_degenerate() -> None:
    rng = np.random.default_rng(0)
    table = rng.random(50)
    ids = [rng.integers(0, 50, 30).tolist() for _ in range(40)]
    assert verdict([rng.random(30).tolist() for _ in range(40)]) is None
    assert verdict([(1 - rng.random(30) ** 8).tolist() for _ in range(40)]) is None
    assert verdict([table[some].tolist() for some in ids], ids) is None
    rare = [[0.0] * 20 for _ in range(300)]
    rare[7][3] = 1.0
    assert verdict(rare) is None


def test_examples_that_cannot_differ_are_not_judged() -> None:
    assert verdict([[0.1], [0.2], [0.3]]) is None
    assert verdict([[0.1, 0.1], [0.2, 0.2]], ids=[[4, 4], [9, 9]]) is None
    assert degenerate(measure(["a"], stream())["a"]) is None


# -- summary -----------------------------------------------------------------------------------------------------


def test_summary_of_a_small_corpus() -> None:
    one = shard([{"a": [0.0] * 5 + [1.0] * 5, "b": [1.0] * 9 + [0.0]}], ids=[[7] * 5 + [8] * 5])
    two = shard(
        [{"a": [0.0, 0.0], "b": [0.0, 1.0]}, {"a": [1.0, 0.0], "b": [1.0, 1.0]}], ids=[[7, 8], [8, 9]], protected=1
    )
    thresholds: dict[str, CutSection] = {"a": Below(cut=0.5), "b": Below(cut=0.5)}
    rules = fit_rules(["a", "b"], thresholds, CombineConfig(max_noise_share=0.5), stream(one, two))
    found = summarise(rules, stream(one, two), min_count=2)
    assert (found.examples, found.response_tokens, found.protected_tokens) == (3, 14, 2)
    assert (found.masked_tokens, found.released_by_guards) == (6, 1)
    assert found.masked_share == pytest.approx(6 / 14)
    assert [(one.name, one.lacking, one.masked) for one in found.attributes] == [("a", 6, 5), ("b", 2, 2)]
    overlaps = {one.attributes: (one.tokens, one.masked) for one in found.overlaps}
    assert overlaps == {("a",): (5, 4), (): (5, 0), ("b",): (1, 1), ("a", "b"): (1, 1)}
    assert [(t.token_id, t.masked, t.total) for t in found.most_masked] == [(7, 5, 6), (8, 1, 6)]
    assert [(t.token_id, t.masked, t.total) for t in found.most_kept] == [(8, 1, 6), (7, 5, 6)]
    assert [t.token_id for t in found.highest_rate] == [7, 8]
    assert [t.token_id for t in found.lowest_rate] == [8, 7]
    assert [e.masked for e in found.most_masked_examples] == [5, 1, 0]
    assert [e.masked for e in found.least_masked_examples] == [0, 5, 1]
    json.dumps(found.to_dict(), allow_nan=False)


def test_summary_counts_what_the_labels_say_in_any_order() -> None:
    parts = corpus(3)
    rules = fit_rules("abc", THRESHOLDS, CombineConfig(max_noise_share=0.4), stream(*parts))
    found = summarise(rules, stream(*parts), top=5, min_count=1)
    assert summarise(rules, stream(*parts[::-1]), top=5, min_count=1) == found
    labels = [judge(rules, part) for part in parts]
    noise = np.concatenate([one.noise for one in labels])
    lacking = np.concatenate([one.lacking for one in labels])
    assert found.masked_tokens == int(noise.sum())
    for bit, one in enumerate(found.attributes):
        assert one.lacking == int((lacking >> bit & 1).sum())
        assert one.masked == int((lacking[noise] >> bit & 1).sum())
    assert sum(one.tokens for one in found.overlaps) == sum(int(part.candidates().sum()) for part in parts)
    assert len(found.most_masked) == len(found.most_masked_examples) == 5


def test_deciles_follow_the_position_in_the_response() -> None:
    part = shard([{"a": np.arange(100).tolist()}], prompt=7)
    rules = fit_rules(["a"], {"a": BottomShare(share=0.25)}, CombineConfig(), stream(part))
    assert summarise(rules, stream(part)).masked_share_by_decile == (1.0, 1.0, 0.5, 0, 0, 0, 0, 0, 0, 0)
