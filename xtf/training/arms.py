"""The arms of a comparison: the same rows in the same order, with different targets masked."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xtf.config import BUILT_IN_ARMS, arm_parts
from xtf.errors import did_you_mean, listed
from xtf.tokens import BoolArray, FloatArray, TokenizedExample
from xtf.training.rows import TrainingRow

ARMS: tuple[str, ...] = BUILT_IN_ARMS
"""base: not trained. full: every response token. random, inverted: controls. xtf: the labels."""


@dataclass(frozen=True, slots=True)
class Labelling:
    """One way of labelling all examples.

    Attributes:
        noise: Example id to ``(seq,)`` bool.
        weights: Example id to ``(seq,)`` float32; read only when training with ``objective: weight``.
    """

    noise: Mapping[str, BoolArray]
    weights: Mapping[str, FloatArray]


def labelled_rows(
    arm: str,
    examples: Sequence[TokenizedExample],
    labellings: Mapping[str, Labelling],
    *,
    objective: Literal["mask", "weight"],
    seed: int,
) -> list[TrainingRow]:
    """The rows of an arm as configurations name it: ``random_of_rho`` is ``random`` by the labelling ``rho``."""
    what, labels = arm_parts(arm)
    labelling = labellings[labels] if labels is not None else Labelling({}, {})
    return arm_rows(what, examples, labelling.noise, labelling.weights, objective=objective, seed=seed)


def arm_rows(
    arm: str,
    examples: Sequence[TokenizedExample],
    noise: Mapping[str, BoolArray],
    weights: Mapping[str, FloatArray],
    *,
    objective: Literal["mask", "weight"],
    seed: int,
) -> list[TrainingRow]:
    """Return one row per example, in order; rows whose tokens are all masked are present as well.

    ``xtf`` gives noise tokens weight 0 (``mask``) or their own weight (``weight``). The controls hand the same weights
    to other tokens of the same example, never to protected ones, so that rate and budget are equal per example:

    * ``random``: the weights of the unprotected response tokens, shuffled.
    * ``inverted``: as many kept tokens as there are noise tokens, drawn at random, swap weights with them; where fewer
      are kept, all of them do, and the remaining noise tokens weigh 1.

    Args:
        arm: A name of :data:`ARMS`.
        examples: What to train on.
        noise: Example id to ``(seq,)`` bool.
        weights: Example id to ``(seq,)`` float32; read only when ``objective`` is ``weight``.
        objective: Whether weights are 0/1 or real.
        seed: Of the draws of ``random`` and ``inverted``; each example has its own stream.

    Raises:
        ValueError: an unknown arm, ``base``, or an example without labels.
    """
    if arm not in ARMS or arm == "base":
        hint = "base is not trained" if arm == "base" else f"no arm named {arm!r}.{did_you_mean(arm, ARMS)}"
        raise ValueError(f"{hint}. Arms to train: {listed(ARMS[1:])}")
    missing = [example.example_id for example in examples if arm != "full" and example.example_id not in noise]
    if missing:
        raise ValueError(f"{len(missing)} examples have no labels, the first is {missing[0]!r}")
    rows = []
    for example in examples:
        weight = example.is_response.astype(np.float32)
        if arm != "full":
            labelled = noise[example.example_id] & example.is_response & ~example.is_protected
            weight = _labelled_weights(example, labelled, weights if objective == "weight" else None)
            if arm != "xtf":
                rng = np.random.default_rng([seed, zlib.crc32(example.example_id.encode()), ARMS.index(arm)])
                weight = (_shuffled if arm == "random" else _swapped)(example, labelled, weight, rng)
        rows.append(TrainingRow(example.example_id, example.input_ids, weight, example.is_response))
    return rows


def _labelled_weights(
    example: TokenizedExample, labelled: BoolArray, weights: Mapping[str, FloatArray] | None
) -> FloatArray:
    if weights is None:
        return (example.is_response & ~labelled).astype(np.float32)
    return np.where(example.is_response, weights[example.example_id], 0.0).astype(np.float32)


def _shuffled(
    example: TokenizedExample, labelled: BoolArray, weight: FloatArray, rng: np.random.Generator
) -> FloatArray:
    places = np.flatnonzero(example.is_response & ~example.is_protected)
    shuffled = weight.copy()
    shuffled[places] = weight[rng.permutation(places)]
    return shuffled


def _swapped(
    example: TokenizedExample, labelled: BoolArray, weight: FloatArray, rng: np.random.Generator
) -> FloatArray:
    noisy = rng.permutation(np.flatnonzero(labelled))
    kept = rng.permutation(np.flatnonzero(example.is_response & ~example.is_protected & ~labelled))
    count = min(len(noisy), len(kept))
    swapped = weight.copy()
    swapped[noisy] = 1.0
    swapped[noisy[:count]] = weight[kept[:count]]
    swapped[kept[:count]] = weight[noisy[:count]]
    return swapped
