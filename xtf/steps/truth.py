"""A truth file beside a run: which tokens of its examples are known to be wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xtf.labelling.shard import ScoredShard
from xtf.noise.truth import TokenTruth, Truth, align, response_runs, response_text
from xtf.runs import RunReader
from xtf.tokens import TOKEN_COLUMNS, BoolArray, TokenizedExample


def truth_of_example(run: RunReader, truth: Truth, shard: ScoredShard) -> TokenTruth | None:
    """What is known of the tokens of a shard's only example; None if the file does not speak of it.

    Raises:
        DataError: the file speaks of another text under that id.
    """
    example = TokenizedExample(shard.example_ids[0], *(getattr(shard, name) for name in TOKEN_COLUMNS))
    pieces = [run.vocabulary.pieces[int(i)] for i in example.input_ids]
    texts = [response_text(_unprotected(pieces, example, part)) for part in response_runs(example)]
    found = truth.of(example.example_id, texts)
    return None if found is None else align(found, example, pieces)


def wrong_tokens(run: RunReader, truth: Truth, shard: ScoredShard) -> BoolArray:
    """``(tokens,)`` bool: the tokens of a shard that are known to be wrong; none of an example without truth."""
    found = np.zeros(len(shard.input_ids), np.bool_)
    for index in range(len(shard)):
        known = truth_of_example(run, truth, shard.example(index))
        if known is not None:
            found[shard.offsets[index] : shard.offsets[index + 1]] = known.wrong == 1
    return found


def _unprotected(pieces: Sequence[bytes], example: TokenizedExample, part: slice) -> list[bytes]:
    return [pieces[i] for i in range(part.start, part.stop) if not example.is_protected[i]]
