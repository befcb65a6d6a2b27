"""Small scored corpora for the tests of cuts, rules and explanations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from xtf.labelling import LabelRules, LabelSummary, Tally, judge
from xtf.labelling.shard import ScoredShard, Shards
from xtf.tokens import FloatArray

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
COARSE = st.sampled_from([-2.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0, 3.0])
"""Few values, so that ties are the rule."""


def shard(
    examples: Sequence[Mapping[str, Sequence[float]]],
    prompt: int = 1,
    protected: int = 0,
    ids: Sequence[Sequence[int]] | None = None,
) -> ScoredShard:
    """Examples given by their response scores, each after ``prompt`` tokens; the last ``protected`` ones protected."""
    names = tuple(examples[0]) if examples else ()
    lengths = [len(next(iter(example.values()))) for example in examples]
    offsets = np.cumsum([0, *(prompt + length for length in lengths)]).astype(np.int64)
    total = int(offsets[-1])
    response, kept = np.zeros(total, np.bool_), np.zeros(total, np.bool_)
    input_ids = np.arange(total, dtype=np.int32)
    scores = {name: np.full(total, np.nan, np.float32) for name in names}
    for index, example in enumerate(examples):
        start, stop = int(offsets[index]) + prompt, int(offsets[index + 1])
        response[start:stop] = True
        kept[max(start, stop - protected) : stop] = True
        for name in names:
            scores[name][start:stop] = example[name]
        if ids is not None:
            input_ids[start:stop] = ids[index]
    labels = [f"{int(input_ids[start]) if ids is None else index}" for index, start in enumerate(offsets[:-1])]
    return ScoredShard(labels, offsets, input_ids, response, kept, scores)


def stream(*parts: ScoredShard) -> Shards:
    """A re-iterable stream of shards."""

    def start() -> Iterator[ScoredShard]:
        return iter(parts)

    return start


def one_column(values: Sequence[float] | FloatArray, name: str = "a", pieces: int = 1) -> Shards:
    """All values as one attribute, one example a shard, split into ``pieces`` shards."""
    parts: list[NDArray[np.float32]] = np.array_split(np.asarray(values, np.float32), pieces)
    return stream(*(shard([{name: part.tolist()}]) for part in parts if len(part)))


def summarise(rules: LabelRules, shards: Shards, top: int = 20, min_count: int = 20) -> LabelSummary:
    """Label every shard and count."""
    tally = Tally(top)
    for part in shards():
        tally.add(part, judge(rules, part))
    return tally.result(rules.attributes, min_count)


def judged(shards: Shards, name: str = "a") -> FloatArray:
    """All judged scores of a corpus in order."""
    columns = [part.scores[name][part.candidates()] for part in shards()]
    return np.concatenate([np.zeros(0, np.float32), *columns])
