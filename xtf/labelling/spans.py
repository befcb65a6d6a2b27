"""Spans of masked tokens, and what the tokens of an example say of the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from xtf.labelling.combiners.base import from_lacking_end
from xtf.labelling.rules import LabelRules
from xtf.labelling.shard import Labels, OffsetArray, ScoredShard
from xtf.tokens import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanTable:
    """The spans of a shard, in order: neighbouring tokens of one example that are masked, all wrong or all useless.

    Attributes:
        example: ``(spans,)`` int64, the place of its example in the shard.
        start: ``(spans,)`` int64, its first token in the shard.
        stop: ``(spans,)`` int64, the token after its last one.
        wrong: ``(spans,)`` bool; the others are useless.
        score: ``(spans,)`` float32 in [0, 1]: the mean :func:`quality` of its tokens, lower = worse.
        worst: ``(spans,)`` int64, its worst token.
    """

    example: OffsetArray
    start: OffsetArray
    stop: OffsetArray
    wrong: BoolArray
    score: FloatArray
    worst: OffsetArray

    def worst_first(self) -> NDArray[np.int64]:
        """``(spans,)``: their places by example, within one the wrong ones first, and of those the worst."""
        return np.lexsort((self.start, self.score, ~self.wrong, self.example))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleTable:
    """Whole examples, judged by their tokens.

    Attributes:
        score: ``(examples,)`` float32 in [0, 1], lower = worse: of the worst span that looks wrong; without one, the
            :func:`quality` of the worst token; 1 where no token is judged.
        share_wrong: ``(examples,)`` float32, masked tokens that look wrong, of the response tokens.
        share_useless: ``(examples,)`` float32, the other masked tokens, of the response tokens.
        weight: ``(examples,)`` float32: what its response tokens count for in training, of what they would unmasked.
        response: ``(examples,)`` int64, its response tokens.
    """

    score: FloatArray
    share_wrong: FloatArray
    share_useless: FloatArray
    weight: FloatArray
    response: OffsetArray

    @classmethod
    def concatenate(cls, tables: Sequence[ExampleTable]) -> ExampleTable:
        """Several as one."""
        names = [one.name for one in fields(cls)]
        return cls(**{name: np.concatenate([getattr(table, name) for table in tables]) for name in names})


def wrong_tokens(rules: LabelRules, labels: Labels, probabilities: Sequence[str]) -> BoolArray:
    """``(tokens,)`` bool: masked tokens that lack an attribute which says how probably a token is right.

    Args:
        rules: The rules that made the labels.
        labels: Of a shard.
        probabilities: Names of those attributes.
    """
    bits = sum(1 << bit for bit, name in enumerate(rules.attributes) if name in probabilities)
    wrong: BoolArray = labels.noise & (labels.reasons & np.uint16(bits) != 0)
    return wrong


def quality(rules: LabelRules, shard: ScoredShard, probabilities: Sequence[str]) -> FloatArray:
    """``(tokens,)`` float32 in [0, 1], lower = worse, NaN where no token is judged.

    The lowest probability that the token is right. Where no attribute says that, the lowest percentile (over 100) among
    those whose cut decides, counted from the end that lacks; under a rule with a combined score, that score.
    """
    judged = shard.candidates()
    found = np.full(len(judged), np.nan, np.float32)
    probable = [name for name in rules.attributes if name in probabilities]
    combined = rules.combiner.combined(shard)
    if probable:
        columns = [np.clip(shard.scores[name][judged], 0.0, 1.0) for name in probable]
    elif combined is not None:
        columns = [combined[judged]]
    else:
        columns = [
            from_lacking_end(rules.distributions[name].percentile_of(shard.scores[name][judged]), cut) / 100.0
            for name, cut in rules.cuts.items()
            if cut.cut.decides
        ]
    lowest = np.ones(int(judged.sum()), np.float32)
    for column in columns:
        lowest = np.minimum(lowest, column)
    found[judged] = lowest
    return found


def find_spans(shard: ScoredShard, labels: Labels, wrong: BoolArray, scores: FloatArray) -> SpanTable:
    """The spans of a shard.

    Args:
        shard: Examples end to end.
        labels: Their labels.
        wrong: ``(tokens,)`` bool, see :func:`wrong_tokens`.
        scores: ``(tokens,)``, see :func:`quality`.
    """
    state = labels.noise.astype(np.int8) + wrong
    begins = np.ones(len(state), np.bool_)
    begins[1:] = state[1:] != state[:-1]
    begins[shard.offsets[:-1][shard.offsets[:-1] < len(state)]] = True
    runs = np.flatnonzero(begins)
    stops = np.append(runs[1:], len(state))
    masked = state[runs] > 0
    start, stop = runs[masked], stops[masked]
    worst = np.array([s + int(np.argmin(scores[s:e])) for s, e in zip(start, stop, strict=True)], np.int64)
    return SpanTable(
        example=np.searchsorted(shard.offsets, start, side="right") - 1,
        start=start,
        stop=stop,
        wrong=wrong[start],
        score=_means(scores, start, stop),
        worst=worst,
    )


def judge_examples(
    shard: ScoredShard, labels: Labels, wrong: BoolArray, scores: FloatArray, spans: SpanTable
) -> ExampleTable:
    """What the tokens of each example say of the whole; ``spans`` are those of :func:`find_spans`, for the same arrays.

    Args:
        shard: Examples end to end.
        labels: Their labels.
        wrong: ``(tokens,)`` bool, see :func:`wrong_tokens`.
        scores: ``(tokens,)``, see :func:`quality`.
        spans: All spans of the shard.
    """
    response = shard.counts(shard.is_response)
    count = np.maximum(response, 1).astype(np.float32)
    learnt, usual = (
        _sums(np.where(shard.is_response, weights, 0.0), shard.offsets) for weights in (labels.weights, shard.weights)
    )
    score = _lowest(scores, shard.offsets)
    worst = np.full(len(shard), np.inf, np.float32)
    np.minimum.at(worst, spans.example[spans.wrong], spans.score[spans.wrong])
    return ExampleTable(
        score=np.where(np.isfinite(worst), worst, score),
        share_wrong=(shard.counts(wrong) / count).astype(np.float32),
        share_useless=(shard.counts(labels.noise & ~wrong) / count).astype(np.float32),
        weight=np.divide(learnt, usual, out=np.zeros_like(learnt), where=usual > 0).astype(np.float32),
        response=response,
    )


def _means(scores: FloatArray, start: OffsetArray, stop: OffsetArray) -> FloatArray:
    running = np.concatenate([[0.0], np.cumsum(np.nan_to_num(scores), dtype=np.float64)])
    means: FloatArray = ((running[stop] - running[start]) / (stop - start)).astype(np.float32)
    return means.clip(0.0, 1.0)


def _sums(values: NDArray[np.floating], offsets: OffsetArray) -> NDArray[np.float64]:
    running = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.diff(running[offsets])


def _lowest(scores: FloatArray, offsets: OffsetArray) -> FloatArray:
    """``(examples,)``: the lowest score that is there, or 1."""
    filled = np.append(np.where(np.isnan(scores), np.float32(1.0), scores), np.float32(1.0))
    lowest: FloatArray = np.minimum.reduceat(filled, offsets[:-1]) if len(offsets) > 1 else filled[:0]
    lowest[np.diff(offsets) == 0] = 1.0
    return lowest
