"""The arms of a comparison: the same rows in the same order, with different targets masked."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, overload

import numpy as np

from xtf.config import BUILT_IN_ARMS, arm_parts
from xtf.errors import did_you_mean, listed
from xtf.labelling.decisions import Decided
from xtf.tokens import BoolArray, FloatArray, TokenizedExample
from xtf.training.rows import TrainingRow

ARMS: tuple[str, ...] = tuple(arm for arm in BUILT_IN_ARMS if arm != "oracle")
"""base: not trained. full: every response token. random, inverted: controls. xtf: labels, also those of oracle."""


class Rescoring(Protocol):
    """How examples are labelled anew while a model trains."""

    @property
    def fingerprint(self) -> str:
        """Of everything that decides the new labels but for the model."""

    def prepare(self) -> None:
        """Read what stays the same in training; called before each training, while the model is still the base."""

    def label(self, model: Any, places: Sequence[int]) -> Labelling:
        """The labels of the examples at ``places`` by ``model``, which is training, in their order.

        Raises:
            ConfigError: their scores do not allow a cut.
        """


@dataclass(frozen=True, slots=True)
class Labelling:
    """One way of labelling all examples, in their order.

    Attributes:
        noise: ``(seq,)`` bool for each example.
        weights: ``(seq,)`` float32 for each example; read only when training with ``objective: weight``.
        rescoring: How they are labelled anew in training; None: never.
        decided: Whose verdicts went before the rules, and on how many tokens.
    """

    noise: Sequence[BoolArray] = ()
    weights: Sequence[FloatArray] = ()
    rescoring: Rescoring | None = None
    decided: Sequence[Decided] = ()


def labelled_rows(
    arm: str,
    examples: Sequence[TokenizedExample],
    labellings: Mapping[str, Labelling],
    *,
    objective: Literal["mask", "weight"],
    seed: int,
) -> ArmRows:
    """The rows of an arm as configurations name it: ``random_of_rho`` is ``random`` by the labelling ``rho``."""
    what, labels = arm_parts(arm)
    labelling = labellings[labels] if labels is not None else Labelling()
    return ArmRows(what, examples, labelling, objective=objective, seed=seed)


class ArmRows(Sequence[TrainingRow]):
    """One row per example, in order, each made when it is asked for.

    ``full`` gives each target the weight that the data gives it. ``xtf`` gives noise tokens weight 0 (``mask``) or
    their own weight (``weight``); a row in which every token is masked has no weight at all, as it is dropped from
    ``labels/``. The controls hand the same shares of the weights to other tokens of the same example, never to
    protected ones, so that rate and budget are equal per example:

    * ``random``: the weights of the unprotected response tokens, shuffled.
    * ``inverted``: as many kept tokens as there are noise tokens, drawn at random, swap weights with them; where fewer
      are kept, all of them do, and the remaining noise tokens weigh 1.

    Args:
        arm: A name of :data:`ARMS`.
        examples: What to train on.
        labelling: Of the same examples; not looked at by ``full``.
        objective: Whether weights are 0/1 or real.
        seed: Of the draws of ``random`` and ``inverted``; each example has its own stream.

    Raises:
        ValueError: an unknown arm, ``base``, or not one label for each example.
    """

    def __init__(
        self,
        arm: str,
        examples: Sequence[TokenizedExample],
        labelling: Labelling,
        *,
        objective: Literal["mask", "weight"],
        seed: int,
    ) -> None:
        if arm not in ARMS or arm == "base":
            hint = "base is not trained" if arm == "base" else f"no arm named {arm!r}.{did_you_mean(arm, ARMS)}"
            raise ValueError(f"{hint}. Arms to train: {listed(ARMS[1:])}")
        if arm != "full" and len(labelling.noise) != len(examples):
            raise ValueError(f"{len(examples)} examples, but labels for {len(labelling.noise)}")
        self._arm, self._examples, self._labelling = arm, examples, labelling
        self._objective, self._seed = objective, seed

    @property
    def rescoring(self) -> Rescoring | None:
        """How the rows are labelled anew in training; None: never."""
        return self._labelling.rescoring

    def anew(self, model: Any, places: Sequence[int]) -> ArmRows:
        """The rows at ``places`` under the labels that ``model``, which is training, gives them now.

        Raises:
            ConfigError: their scores do not allow a cut.
        """
        assert self.rescoring is not None
        labelling = self.rescoring.label(model, places)
        examples = [self._examples[place] for place in places]
        return ArmRows(self._arm, examples, labelling, objective=self._objective, seed=self._seed)

    def __len__(self) -> int:
        return len(self._examples)

    @overload
    def __getitem__(self, index: int) -> TrainingRow: ...
    @overload
    def __getitem__(self, index: slice) -> list[TrainingRow]: ...
    def __getitem__(self, index: int | slice) -> TrainingRow | list[TrainingRow]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        example = self._examples[index]
        targets = example.is_response | (example.weights > 0)
        return TrainingRow(example.example_id, example.input_ids, self._weights(index, example), targets)

    def _weights(self, index: int, example: TokenizedExample) -> FloatArray:
        if self._arm == "full":
            return example.weights
        noise = self._labelling.noise[index] & example.is_response & ~example.is_protected
        share = _kept_share(example, noise, self._labelling.weights[index] if self._objective == "weight" else None)
        if self._arm != "xtf":
            rng = np.random.default_rng([self._seed, zlib.crc32(example.example_id.encode()), ARMS.index(self._arm)])
            share = (_shuffled if self._arm == "random" else _swapped)(example, noise, share, rng)
        if not np.any(share[example.is_learnable]):
            return np.zeros_like(share)
        return np.where(example.is_response, share * example.weights, example.weights)


def _kept_share(example: TokenizedExample, noise: BoolArray, weights: FloatArray | None) -> FloatArray:
    """``(seq,)`` float32: the share of its own weight that each response token keeps, 0 elsewhere."""
    if weights is None:
        return (example.is_response & ~noise).astype(np.float32)
    own = np.where(example.is_response, example.weights, np.float32(1.0))
    return np.where(example.is_response, weights / own, np.float32(0.0)).astype(np.float32)


def _shuffled(example: TokenizedExample, noise: BoolArray, share: FloatArray, rng: np.random.Generator) -> FloatArray:
    places = np.flatnonzero(example.is_response & ~example.is_protected)
    shuffled = share.copy()
    shuffled[places] = share[rng.permutation(places)]
    return shuffled


def _swapped(example: TokenizedExample, noise: BoolArray, share: FloatArray, rng: np.random.Generator) -> FloatArray:
    noisy = rng.permutation(np.flatnonzero(noise))
    kept = rng.permutation(np.flatnonzero(example.is_response & ~example.is_protected & ~noise))
    count = min(len(noisy), len(kept))
    swapped = share.copy()
    swapped[noisy] = 1.0
    swapped[noisy[:count]] = share[kept[:count]]
    swapped[kept[:count]] = share[noisy[:count]]
    return swapped
