"""Which tokens each arm masks."""

from __future__ import annotations

import numpy as np
import pytest

from xtf.tokens import BoolArray, FloatArray, TokenizedExample
from xtf.training import ARMS, ArmRows, Labelling


def made(count: int = 12, share: float = 0.3) -> tuple[list[TokenizedExample], dict[str, BoolArray]]:
    rng = np.random.default_rng(1)
    examples, noise = [], {}
    for index in range(count):
        length = int(rng.integers(6, 40))
        is_response = np.arange(length) >= 4
        is_protected = np.arange(length) == length - 1
        examples.append(
            TokenizedExample(f"e{index}", rng.integers(0, 99, length).astype(np.int32), is_response, is_protected)
        )
        noise[f"e{index}"] = is_response & ~is_protected & (rng.random(length) < share)
    return examples, noise


def rows_of(arm: str, examples: list[TokenizedExample], noise: dict[str, BoolArray], seed: int = 0) -> ArmRows:
    return ArmRows(arm, examples, Labelling(list(noise.values())), objective="mask", seed=seed)


@pytest.mark.parametrize("arm", ARMS[1:])
def test_every_arm_has_the_same_rows_in_the_same_order(arm: str) -> None:
    examples, noise = made()
    noise["e3"] = examples[3].is_response & ~examples[3].is_protected
    rows = rows_of(arm, examples, noise)
    assert [row.example_id for row in rows] == [example.example_id for example in examples]
    for row, example in zip(rows, examples, strict=True):
        assert np.array_equal(row.input_ids, example.input_ids)
        empty = arm != "full" and example.example_id == "e3"  # such a row is not in labels/ either
        if arm == "inverted" or not empty:
            assert np.all(row.weights[example.is_protected] == 1), "protected tokens are never masked"
        else:
            assert not row.weights.any(), "nothing is left to learn of a row in which every token is masked"
        assert np.all(row.weights[~example.is_response] == 0)
        assert set(np.unique(row.weights)) <= {0.0, 1.0}


def test_full_keeps_all_and_xtf_masks_the_labels() -> None:
    examples, noise = made()
    for full, labelled, example in zip(
        rows_of("full", examples, {}), rows_of("xtf", examples, noise), examples, strict=True
    ):
        assert np.array_equal(full.weights > 0, example.is_response)
        assert np.array_equal(labelled.weights > 0, example.is_response & ~noise[example.example_id])


def test_random_masks_as_many_in_each_example_and_follows_the_seed() -> None:
    examples, noise = made()
    rows = rows_of("random", examples, noise)
    for row, example in zip(rows, examples, strict=True):
        assert int((row.is_response & (row.weights == 0)).sum()) == int(noise[example.example_id].sum())
    again, other = rows_of("random", examples, noise), rows_of("random", examples, noise, seed=1)
    assert all(np.array_equal(a.weights, b.weights) for a, b in zip(rows, again, strict=True))
    assert any(not np.array_equal(a.weights, b.weights) for a, b in zip(rows, other, strict=True))
    assert np.array_equal(rows_of("random", examples[5:6], {"e5": noise["e5"]})[0].weights, rows[5].weights)


def test_random_hits_every_place_equally_often() -> None:
    is_response, is_protected = np.arange(12) >= 2, np.arange(12) == 11
    example = TokenizedExample("e", np.zeros(12, np.int32), is_response, is_protected)
    noise = {"e": np.arange(12) == 4}
    masked = (
        sum(rows_of("random", [example], noise, seed=seed)[0].weights == 0 for seed in range(900)) - 900 * ~is_response
    )
    assert np.all(masked[~is_response] == 0)
    assert masked[11] == 0
    assert np.all(np.abs(masked[2:11] - 100) < 45)


def test_inverted_masks_as_many_of_the_kept_tokens() -> None:
    examples, noise = made()
    for row, example in zip(rows_of("inverted", examples, noise), examples, strict=True):
        masked = row.is_response & (row.weights == 0)
        labelled = noise[example.example_id]
        assert not np.any(masked & labelled), "what the labels mask is kept"
        kept = int((example.is_response & ~example.is_protected & ~labelled).sum())
        assert int(masked.sum()) == min(int(labelled.sum()), kept)


def test_inverted_masks_all_kept_tokens_when_they_are_fewer() -> None:
    examples, noise = made(share=0.8)
    fewer = 0
    for row, example in zip(rows_of("inverted", examples, noise), examples, strict=True):
        kept = example.is_response & ~example.is_protected & ~noise[example.example_id]
        if kept.sum() < noise[example.example_id].sum():
            fewer += 1
            assert np.array_equal(row.is_response & (row.weights == 0), kept)
    assert fewer > 3


def test_weighted_arms_hand_out_the_same_weights() -> None:
    examples, noise = made()
    rng = np.random.default_rng(2)
    weights: dict[str, FloatArray] = {}
    for example in examples:
        drawn = rng.random(len(example)).astype(np.float32) + 0.1
        drawn[noise[example.example_id]] = 0.05
        drawn[example.is_protected] = 1.0
        weights[example.example_id] = np.where(example.is_response, drawn, np.nan).astype(np.float32)
    labelling = Labelling(list(noise.values()), list(weights.values()))
    made_rows = {arm: ArmRows(arm, examples, labelling, objective="weight", seed=0) for arm in ARMS[1:]}
    for index, example in enumerate(examples):
        labelled = made_rows["xtf"][index].weights
        assert np.array_equal(labelled[example.is_response], weights[example.example_id][example.is_response])
        assert np.array_equal(np.sort(made_rows["random"][index].weights), np.sort(labelled))
        assert np.all(made_rows["inverted"][index].weights[noise[example.example_id]] > 0.05)
        assert np.all(made_rows["full"][index].weights[example.is_response] == 1)
    binary = Labelling(labelling.noise, [(~mask).astype(np.float32) for mask in labelling.noise])
    same = ArmRows("xtf", examples, binary, objective="weight", seed=0)
    for row, mask in zip(same, rows_of("xtf", examples, noise), strict=True):
        assert np.array_equal(row.weights, mask.weights)


def test_noise_outside_the_response_or_on_protected_tokens_is_ignored() -> None:
    examples, _ = made(1)
    everything = {"e0": np.ones(len(examples[0]), np.bool_)}
    everything["e0"][np.flatnonzero(examples[0].is_response & ~examples[0].is_protected)[0]] = False
    (row,) = rows_of("xtf", examples, everything)
    kept = examples[0].is_response & ~everything["e0"] | examples[0].is_protected
    assert np.array_equal(row.weights > 0, kept)
    (row,) = rows_of("random", examples, everything)
    assert np.all(row.weights[examples[0].is_protected] == 1)
    assert int((row.weights > 0).sum()) == int(kept.sum())


def test_mistakes_are_named() -> None:
    examples, noise = made(2)
    with pytest.raises(ValueError, match="Did you mean 'random'"):
        rows_of("randon", examples, noise)
    with pytest.raises(ValueError, match="base is not trained"):
        rows_of("base", examples, noise)
    with pytest.raises(ValueError, match="2 examples, but labels for 1"):
        rows_of("xtf", examples, {"e0": noise["e0"]})
