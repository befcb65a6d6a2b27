"""Many scored examples laid end to end, so that numpy works on all their tokens at once.

A shard is the unit in which scores are stored, read and labelled. Corpus-wide steps read the shards several times, so
they take :data:`Shards`: a callable that starts a new pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtf.errors import PluginError
from xtf.tokens import (
    BoolArray,
    FloatArray,
    IntArray,
    Ruling,
    RulingArray,
    usual_weights,
)

OffsetArray = NDArray[np.int64]
ReasonArray = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class ScoredShard:
    """Scored examples end to end; example ``e`` owns tokens ``offsets[e]`` up to ``offsets[e + 1]``.

    Attributes:
        example_ids: One id per example.
        offsets: ``(examples + 1,)`` int64, from 0 to the number of tokens.
        input_ids: ``(tokens,)`` int32.
        is_response: ``(tokens,)`` bool, the supervised targets.
        is_protected: ``(tokens,)`` bool, the response tokens that no rule may call noise.
        scores: Attribute name to ``(tokens,)`` float32, NaN off-response unless the attribute scores prompts.
        details: ``ATTRIBUTE.DETAIL`` to ``(tokens,)``, as far as they were asked for; no cut looks at them.
        weights: ``(tokens,)`` float32, what each target counts for unless it is noise; usual ones if not given.
        rulings: ``(tokens,)`` uint8, see :class:`~xtf.tokens.Ruling`; none if not given.
    """

    example_ids: Sequence[str]
    offsets: OffsetArray
    input_ids: IntArray
    is_response: BoolArray
    is_protected: BoolArray
    scores: Mapping[str, FloatArray]
    details: Mapping[str, NDArray[Any]] = field(default_factory=dict, kw_only=True)
    weights: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32), kw_only=True)
    rulings: RulingArray = field(default_factory=lambda: np.zeros(0, np.uint8), kw_only=True)

    def __post_init__(self) -> None:
        tokens = self.input_ids.shape[0]
        if not self.weights.size:
            object.__setattr__(self, "weights", usual_weights(self.is_response))
        if not self.rulings.size:
            object.__setattr__(self, "rulings", np.zeros(tokens, np.uint8))
        flags = ("is_response", "is_protected", "weights", "rulings")
        columns = {**{name: getattr(self, name) for name in flags}, **self.scores, **self.details}
        wrong = {name: column.shape for name, column in columns.items() if column.shape != (tokens,)}
        if wrong:
            raise ValueError(f"a shard of {tokens} tokens has columns of another shape: {wrong}")
        ends = self.offsets[[0, -1]].tolist() if len(self.offsets) else []
        if len(self.offsets) != len(self.example_ids) + 1 or ends != [0, tokens]:
            raise ValueError(
                f"a shard of {len(self.example_ids)} examples and {tokens} tokens has {len(self.offsets)} offsets "
                f"with first and last {ends}"
            )

    @classmethod
    def concatenate(
        cls, shards: Sequence[ScoredShard], names: Sequence[str], details: Sequence[str] = ()
    ) -> ScoredShard:
        """Several shards as one, with the scores of ``names`` and these ``details``."""
        return cls(
            [example_id for shard in shards for example_id in shard.example_ids],
            np.cumsum([0, *(size for shard in shards for size in np.diff(shard.offsets).tolist())]).astype(np.int64),
            _joined((shard.input_ids for shard in shards), np.int32),
            _joined((shard.is_response for shard in shards), np.bool_),
            _joined((shard.is_protected for shard in shards), np.bool_),
            {name: _joined((shard.scores[name] for shard in shards), np.float32) for name in names},
            details={name: _joined((shard.details[name] for shard in shards), np.int32) for name in details},
            weights=_joined((shard.weights for shard in shards), np.float32),
            rulings=_joined((shard.rulings for shard in shards), np.uint8),
        )

    def __len__(self) -> int:
        return len(self.example_ids)

    def example(self, index: int) -> ScoredShard:
        """The shard that holds example ``index`` alone: copies, so that keeping it does not keep this whole shard."""
        return self.examples(index, index + 1)

    def tokens_of(self, start: int, stop: int) -> slice:
        """Where the tokens of the examples from ``start`` up to ``stop`` are."""
        return slice(int(self.offsets[start]), int(self.offsets[stop]))

    def examples(self, start: int, stop: int) -> ScoredShard:
        """The shard that holds the examples from ``start`` up to ``stop`` alone, as copies."""
        offsets, here = self.offsets[start : stop + 1], self.tokens_of(start, stop)
        return ScoredShard(
            tuple(self.example_ids[start:stop]),
            offsets - offsets[0],
            self.input_ids[here].copy(),
            self.is_response[here].copy(),
            self.is_protected[here].copy(),
            {name: column[here].copy() for name, column in self.scores.items()},
            details={name: column[here].copy() for name, column in self.details.items()},
            weights=self.weights[here].copy(),
            rulings=self.rulings[here].copy(),
        )

    def candidates(self) -> BoolArray:
        """``(tokens,)`` bool: the unprotected response tokens, which alone are judged and counted in statistics."""
        return self.is_response & ~self.is_protected

    def population(self, prompts: bool) -> BoolArray:
        """``(tokens,)`` bool: what a cut is fitted over: the candidates, and on request all that is no response."""
        return self.candidates() | ~self.is_response if prompts else self.candidates()

    def learnable(self) -> BoolArray:
        """``(tokens,)`` bool: the candidates, and what is always learnt; the end of a turn alone is not worth a row."""
        always: BoolArray = self.rulings == Ruling.ALWAYS
        return self.candidates() | always

    def counts(self, selected: BoolArray) -> OffsetArray:
        """``(examples,)`` int64: how many of the ``selected`` tokens each example has."""
        running = np.zeros(len(selected) + 1, dtype=np.int64)
        np.cumsum(selected, out=running[1:])
        return np.diff(running[self.offsets])

    def check_finite(self, name: str) -> None:
        """Raise :class:`~xtf.errors.PluginError` if a response token has no finite score under ``name``."""
        wrong = self.is_response & ~np.isfinite(self.scores[name])
        if wrong.any():
            token = int(np.argmax(wrong))
            example = int(np.searchsorted(self.offsets, token, side="right")) - 1
            raise PluginError(
                f"attribute {name!r}: the score of example {self.example_ids[example]!r}, token "
                f"{token - int(self.offsets[example])}, is {self.scores[name][token]}; scores of response tokens must "
                "be finite. Check the attribute with xtf.testing, then score again."
            )


Shards = Callable[[], Iterator[ScoredShard]]
"""Starts a new pass over all shards of a run."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What the rules made of one shard, laid out like the shard.

    Attributes:
        noise: ``(tokens,)`` bool, the tokens to give no gradient.
        weights: ``(tokens,)`` float32: ``noise_weight`` for noise, for kept tokens 1 or the score of ``weight_by``
            within [0, 1], each times the weight that the data gives; for prompt tokens ``data.prompt_weight``.
        reasons: ``(tokens,)`` uint16, on noise tokens: bit ``i`` is set when attribute ``i`` lacks.
        lacking: ``(tokens,)`` uint16, the same bits on every response token, before combination and guards.
        unguarded: ``(tokens,)`` bool, noise before the guards.
        decided: ``(tokens,)`` uint8, whose verdict it is: 0 for the rules, else the number of a person's verdicts
            (:class:`~xtf.labelling.decisions.Decisions`); zeros if not given.
    """

    noise: BoolArray
    weights: FloatArray
    reasons: ReasonArray
    lacking: ReasonArray
    unguarded: BoolArray
    decided: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8), kw_only=True)

    def __post_init__(self) -> None:
        if len(self.decided) != len(self.noise):
            object.__setattr__(self, "decided", np.zeros(len(self.noise), np.uint8))

    @classmethod
    def concatenate(cls, labels: Sequence[Labels]) -> Labels:
        """Those of several shards as of one."""
        return cls(
            _joined((one.noise for one in labels), np.bool_),
            _joined((one.weights for one in labels), np.float32),
            _joined((one.reasons for one in labels), np.uint16),
            _joined((one.lacking for one in labels), np.uint16),
            _joined((one.unguarded for one in labels), np.bool_),
            decided=_joined((one.decided for one in labels), np.uint8),
        )

    def within(self, here: slice | BoolArray) -> Labels:
        """The labels of some tokens: neighbours, or those for which ``(tokens,)`` bool holds."""
        return Labels(**{column.name: getattr(self, column.name)[here] for column in fields(self)})


def _joined(columns: Iterable[NDArray[Any]], kind: type[np.generic]) -> NDArray[Any]:
    """Columns end to end; an empty one of that kind if there are none."""
    return np.concatenate(found) if (found := list(columns)) else np.zeros(0, kind)
