"""Distributions and exact order statistics, against numpy on the whole data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.labelling.scored import COARSE, FINITE, one_column, shard, stream
from xtf.errors import PluginError
from xtf.labelling.distribution import Distribution, ExactSelector, keys_to_values, measure, ordered_keys
from xtf.labelling.shard import Shards

VALUES = st.lists(FINITE | COARSE | st.floats(-(2.0**-130), 2.0**-130, width=32), min_size=1, max_size=60)


def order_statistics(ranks: Mapping[str, Iterable[int]], shards: Shards) -> dict[str, dict[int, float]]:
    """The scores at some ranks (0 is the smallest) of several attributes, by two passes over the shards."""
    wanted = {name: sorted(set(some)) for name, some in ranks.items()}
    selector = ExactSelector(measure(tuple(wanted), shards), wanted)
    for part in shards():
        judged = part.candidates()
        for name in wanted:
            selector.add(name, part.scores[name][judged])
    return selector.results()


@given(VALUES)
def test_keys_keep_order_and_equality(values: list[float]) -> None:
    scores = np.array(values, np.float32)
    keys = ordered_keys(scores)
    assert np.array_equal(np.less.outer(keys, keys), np.less.outer(scores, scores))
    assert np.array_equal(keys_to_values(keys), scores)


@settings(max_examples=60)
@given(VALUES, st.integers(1, 5), st.data())
def test_order_statistics_equal_partition(values: list[float], pieces: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, len(values) - 1))
    found = order_statistics({"a": [rank, 0, len(values) - 1]}, one_column(values, pieces=pieces))["a"]
    scores = np.array(values, np.float32)
    assert found == {place: float(np.partition(scores, place)[place]) for place in {rank, 0, len(values) - 1}}


def test_zero_and_negative_zero_are_one_value_among_neighbours() -> None:
    tiny = float(np.float32(1e-45))
    values = [-0.0, 0.0, -tiny, tiny, -0.0, 0.0]
    found = order_statistics({"a": range(6)}, one_column(values, pieces=2))["a"]
    assert [found[rank] for rank in range(6)] == [-tiny, 0.0, 0.0, 0.0, 0.0, tiny]


def test_several_attributes_share_the_passes() -> None:
    passes = 0
    inner = stream(shard([{"a": [3.0, 1.0], "b": [5.0, 9.0]}]), shard([{"a": [2.0], "b": [7.0]}]))

    def counted():  # type: ignore[no-untyped-def]
        nonlocal passes
        passes += 1
        return inner()

    assert order_statistics({"a": [1], "b": [0, 2]}, counted) == {"a": {1: 2.0}, "b": {0: 5.0, 2: 9.0}}
    assert passes == 2


@settings(max_examples=40)
@given(st.lists(st.floats(-1e6, 1e6, width=32) | COARSE, min_size=1, max_size=200), st.integers(1, 7))
def test_figures_and_percentiles(values: list[float], pieces: int) -> None:
    found = measure(["a"], one_column(values, pieces=pieces))["a"]
    scores = np.array(values, np.float32)
    wide = scores.astype(np.float64)
    assert (found.count, found.minimum, found.maximum) == (len(values), scores.min(), scores.max())
    assert found.mean == pytest.approx(wide.mean(), rel=1e-9, abs=1e-9)
    assert found.std == pytest.approx(wide.std(), rel=1e-9, abs=1e-9)
    assert found.is_constant == (len(np.unique(scores)) == 1)
    exact = (
        100 * (np.less.outer(scores, scores).sum(0) + np.less_equal.outer(scores, scores).sum(0)) / (2 * len(values))
    )
    assert np.abs(found.percentile_of(scores) - exact).max() <= found.rank_error + 1e-4
    assert found.quantile(0.0) == scores.min()
    assert found.quantile(1.0) == scores.max()


def test_a_percentile_is_the_mid_rank_where_bins_are_distinct() -> None:
    found = measure(["a"], one_column([1.0, 2.0, 2.0, 3.0]))["a"]
    assert found.percentile_of(np.array([0.5, 1.0, 2.0, 2.5, 3.0, 9.0], np.float32)).tolist() == [
        0.0,
        12.5,
        50.0,
        75.0,
        87.5,
        100.0,
    ]
    assert found.quantile(0.5) == pytest.approx(2.0, rel=1e-3)


def test_quantiles_of_a_smooth_sample_are_close_to_numpys() -> None:
    scores = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    found = measure(["a"], one_column(scores, pieces=3))["a"]
    shares = [0.01, 0.25, 0.5, 0.75, 0.99]
    assert [found.quantile(share) for share in shares] == pytest.approx(np.quantile(scores, shares), abs=2e-3)


def test_the_order_of_shards_changes_no_count() -> None:
    rng = np.random.default_rng(1)
    parts = [shard([{"a": rng.normal(size=size).tolist()}]) for size in (3, 50, 7, 70_000)]
    there, back = (measure(["a"], stream(*order))["a"] for order in (parts, parts[::-1]))
    assert np.array_equal(there.bins, back.bins)
    assert np.array_equal(there.counts, back.counts)
    assert (there.minimum, there.maximum) == (back.minimum, back.maximum)
    assert there.mean == pytest.approx(back.mean, abs=1e-12)


def test_protected_and_prompt_tokens_do_not_count() -> None:
    found = measure(["a"], stream(shard([{"a": [1.0, 2.0, 99.0]}], prompt=3, protected=1)))["a"]
    assert (found.count, found.maximum) == (2, 2.0)


def test_arrays_restore_everything() -> None:
    found = measure(["a"], one_column([0.1, 0.2, 0.2, 7.0], pieces=2))["a"]
    again = Distribution.from_arrays(found.to_arrays())
    assert {key: value.tolist() for key, value in again.to_arrays().items()} == {
        key: value.tolist() for key, value in found.to_arrays().items()
    }
    assert again.percentile_of(np.array([0.2], np.float32)) == found.percentile_of(np.array([0.2], np.float32))


def test_nothing_measured() -> None:
    found = measure(["a"], stream(shard([{"a": [1.0]}], protected=1)))["a"]
    assert (found.count, found.rank_error, found.is_constant) == (0, 0.0, True)
    assert np.isnan(found.minimum)


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_a_score_that_is_not_finite_names_attribute_and_example(wrong: float) -> None:
    bad = shard([{"a": [1.0]}, {"a": [2.0, wrong]}], prompt=2)
    with pytest.raises(PluginError, match=r"attribute 'a'.*example '3', token 3"):
        measure(["a"], stream(bad))
