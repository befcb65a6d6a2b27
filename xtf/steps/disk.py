"""What the files of a run will take on disk: its first examples as it would write them, the rest in proportion."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtf.attribute import Detail
from xtf.attribute.registry import AnyAttribute
from xtf.files import parquet_content
from xtf.labelling.shard import Labels, ScoredShard
from xtf.runs.tables import labels_table, scores_table, shard_of, tokens_table
from xtf.tokens import TokenizedExample

_NOISE = 0.1
"""Share of the response tokens taken to be noise: what is said of them takes room."""

_PAPERS = 10_000
"""Bytes of a model's card, its settings and the results of its training."""


def bytes_an_example(examples: Sequence[TokenizedExample], attributes: Mapping[str, AnyAttribute]) -> dict[str, float]:
    """Bytes that an example takes in ``tokens``, ``scores`` and ``labels``, its share of the file's own among them.

    Tokens are written as they are. Scores are not known yet: random numbers, which compress as little, take their
    place, and those of noise are drawn.

    Args:
        examples: Those of one shard.
        attributes: Name to scorer.
    """
    shard = shard_of(examples, {})
    ids, offsets = shard.example_ids, shard.offsets
    random = np.random.default_rng(0)
    noise = shard.is_response & (random.random(len(shard.is_response)) < _NOISE)
    reasons = noise.astype(np.uint16)
    labels = Labels(noise, np.where(noise, 0.0, shard.weights).astype(np.float32), reasons, reasons, noise)
    columns = {
        column: values for name, one in attributes.items() for column, values in _drawn(name, one, shard, random)
    }
    tables = {
        "tokens": tokens_table(examples),
        "scores": scores_table(ids, offsets, columns),
        "labels": labels_table(shard, labels),
    }
    return {folder: len(parquet_content(written)) / len(examples) for folder, written in tables.items()}


def _drawn(
    name: str, attribute: AnyAttribute, shard: ScoredShard, random: np.random.Generator
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Columns of an attribute, ``(tokens,)`` each, with numbers that compress like those to come."""
    response = shard.is_response
    for column, detail in {name: None, **{f"{name}.{key}": what for key, what in attribute.details().items()}}.items():
        if detail is None or detail.kind == "probability":
            yield column, np.where(response, random.random(len(response)), np.nan).astype(np.float32)
        else:
            yield column, np.where(response, _whole(detail, shard, random), -1).astype(np.int32)


def _whole(detail: Detail, shard: ScoredShard, random: np.random.Generator) -> NDArray[Any]:
    """``(tokens,)`` tokens of the data, or categories of which each is half as frequent as the one before it."""
    if detail.kind == "token":
        return random.permutation(shard.input_ids)
    return np.minimum(random.geometric(0.5, len(shard.input_ids)), len(detail.names)) - 1


def bytes_beside_weights(tokenizer: Any) -> int:
    """Bytes that lie beside the weights of each trained model: a copy of the tokenizer, settings and results."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return _PAPERS + sum(file.stat().st_size for file in Path(folder).iterdir())
