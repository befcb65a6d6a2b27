"""Between containers and Arrow tables: the columns that the files of a run promise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xtf.labelling.shard import Labels, ScoredShard
from xtf.tokens import TOKEN_COLUMNS, BoolArray, TokenizedExample, usual_weights

if TYPE_CHECKING:
    from numpy import int64


def tokens_table(examples: Sequence[TokenizedExample]) -> pa.Table:
    """``tokens/``: example_id, input_ids, is_response, is_protected, weights, rulings."""
    columns = {
        name: _joined((getattr(example, name) for example in examples), dtype) for name, dtype in TOKEN_COLUMNS.items()
    }
    return tokens_table_of(
        [example.example_id for example in examples], np.cumsum([0, *(len(example) for example in examples)]), columns
    )


def tokens_table_of(
    example_ids: Sequence[str], offsets: NDArray[int64], columns: Mapping[str, NDArray[Any]]
) -> pa.Table:
    """:func:`tokens_table` of examples laid end to end: ``(tokens,)`` columns of :data:`TOKEN_COLUMNS`."""
    lists = {name: _lists(offsets, values) for name, values in columns.items()}
    return pa.table({"example_id": pa.array(example_ids, pa.string()), **lists})


def flat_tokens(table: pa.Table) -> tuple[list[str], NDArray[int64], dict[str, NDArray[Any]]]:
    """:func:`flat` of a ``tokens/`` shard; a run of before flags were read has the usual weights and no rulings.

    Returns:
        Ids, ``(examples + 1,)`` offsets, and ``(tokens,)`` columns.
    """
    ids, offsets, columns = flat(table, [name for name in TOKEN_COLUMNS if name in table.column_names])
    columns.setdefault("weights", usual_weights(columns["is_response"]))
    columns.setdefault("rulings", np.zeros(len(columns["is_response"]), np.uint8))
    return ids, offsets, columns


def examples_of(table: pa.Table) -> list[TokenizedExample]:
    """The examples of a ``tokens/`` shard, as views into its memory."""
    ids, offsets, columns = flat_tokens(table)
    return [
        TokenizedExample(example_id, *(columns[name][start:end] for name in TOKEN_COLUMNS))
        for example_id, start, end in zip(ids, offsets[:-1], offsets[1:], strict=True)
    ]


Column = NDArray[np.float32] | NDArray[np.int32]
"""Of a score or a probability, or of a category or a token."""


def attribute_of(column: str) -> str:
    """The attribute whose score (``NAME``) or detail (``NAME.DETAIL``) a column of ``scores/`` holds."""
    return column.partition(".")[0]


def scores_table(example_ids: Sequence[str], offsets: NDArray[int64], scores: Mapping[str, Column]) -> pa.Table:
    """``scores/``: example_id and one list column for each ``(tokens,)`` score and detail."""
    columns = {name: _lists(offsets, values) for name, values in scores.items()}
    return pa.table({"example_id": pa.array(example_ids, pa.string()), **columns})


def scored_shard(tokens: pa.Table, scores: pa.Table, names: Sequence[str]) -> ScoredShard:
    """Join a ``tokens/`` shard with columns of its ``scores/`` shard: of attributes, and of details."""
    ids, offsets, columns = flat_tokens(tokens)
    _, _, values = flat(scores, list(names))
    return ScoredShard(
        ids,
        offsets,
        columns["input_ids"],
        columns["is_response"],
        columns["is_protected"],
        {name: column for name, column in values.items() if "." not in name},
        details={name: column for name, column in values.items() if "." in name},
        weights=columns["weights"],
        rulings=columns["rulings"],
    )


def shard_of(examples: Sequence[TokenizedExample], columns: Mapping[str, Column]) -> ScoredShard:
    """Examples in memory end to end with ``(tokens,)`` scores and details, as :func:`scored_shard` reads them."""
    tokens = {name: _joined((getattr(e, name) for e in examples), dtype) for name, dtype in TOKEN_COLUMNS.items()}
    return ScoredShard(
        [example.example_id for example in examples],
        np.cumsum([0, *(len(example) for example in examples)]).astype(np.int64),
        tokens["input_ids"],
        tokens["is_response"],
        tokens["is_protected"],
        {name: column.astype(np.float32, copy=False) for name, column in columns.items() if "." not in name},
        details={name: column for name, column in columns.items() if "." in name},
        weights=tokens["weights"],
        rulings=tokens["rulings"],
    )


def labels_table(shard: ScoredShard, labels: Labels) -> pa.Table:
    """``labels/``: what a trainer reads; rows that keep nothing to learn are dropped."""
    kept_rows = keeps_something(shard, labels)
    columns = {name: _lists(shard.offsets, values) for name, values in label_columns(shard, labels).items()}
    table = pa.table({"example_id": pa.array(shard.example_ids, pa.string()), **columns})
    return table if kept_rows.all() else table.filter(pa.array(kept_rows))


def keeps_something(shard: ScoredShard, labels: Labels) -> BoolArray:
    """``(examples,)`` bool: whether an example keeps anything to learn but the end of its turn."""
    kept: BoolArray = shard.counts(shard.learnable() & ~labels.noise) > 0
    return kept


def label_columns(shard: ScoredShard, labels: Labels) -> dict[str, NDArray[Any]]:
    """The list columns of ``labels/``, ``(tokens,)`` each, of every example."""
    prompt = ~shard.is_response & (shard.weights > 0)
    supervised = (shard.is_response & ~labels.noise) | prompt
    return {
        "input_ids": shard.input_ids,
        "attention_mask": np.ones(len(shard.input_ids), np.int8),
        "labels": np.where(supervised, shard.input_ids, -100).astype(np.int32),
        "assistant_masks": supervised.astype(np.int8),
        "weights": labels.weights,
        "noise": labels.noise,
        "reasons": labels.reasons,
    }


def verdicts_table(shard: ScoredShard, labels: Labels) -> pa.Table:
    """``state/verdicts/``: what ``labels/`` does not say of each token, for every example."""
    return pa.table(
        {
            "example_id": pa.array(shard.example_ids, pa.string()),
            "lacking": _lists(shard.offsets, labels.lacking),
            "unguarded": _lists(shard.offsets, labels.unguarded),
            "decided": _lists(shard.offsets, labels.decided),
        }
    )


def labels_of(shard: ScoredShard, labels: pa.Table, verdicts: pa.Table, noise_weight: float) -> Labels:
    """The labels of a shard as written; of an example without a row in ``labels/`` nothing is kept but its end."""
    ids, _, written = flat(labels, ["noise", "weights", "reasons"])
    names = ["lacking", "unguarded", "decided"]
    _, _, columns = flat(verdicts, [name for name in names if name in verdicts.column_names])
    there = np.isin(np.array(shard.example_ids, dtype=np.str_), np.array(ids, dtype=np.str_))
    kept = np.repeat(there, np.diff(shard.offsets))
    noise, reasons = shard.candidates(), columns["lacking"].copy()
    weights = shard.weights * np.where(noise, np.float32(noise_weight), np.float32(1.0))
    noise[kept], weights[kept], reasons[kept] = written["noise"], written["weights"], written["reasons"]
    decided = columns.get(
        "decided", np.zeros(len(noise), np.uint8)
    )  # before people's verdicts were read there was none
    return Labels(noise, weights, reasons, columns["lacking"], columns["unguarded"], decided=decided)


def flat(table: pa.Table, columns: Sequence[str]) -> tuple[list[str], NDArray[int64], dict[str, NDArray[Any]]]:
    """Example ids, offsets ``(examples + 1,)`` and each list column laid end to end."""
    offsets = np.zeros(table.num_rows + 1, np.int64)
    values: dict[str, NDArray[Any]] = {}
    for name in columns:
        column = table[name].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        starts = _values(column.offsets).astype(np.int64)
        offsets = starts - starts[0]
        values[name] = _values(column.values.slice(starts[0], int(offsets[-1])))
    return table["example_id"].to_pylist(), offsets, values


def _values(array: pa.Array) -> NDArray[Any]:
    """An array of numbers or booleans as ``(n,)``; ``to_numpy`` would import pandas, a second that no reader needs."""
    if not len(array):
        return np.zeros(0, array.type.to_pandas_dtype())
    if array.null_count:
        found: NDArray[Any] = array.to_numpy(zero_copy_only=False)
        return found
    if pa.types.is_boolean(array.type):
        bits = np.unpackbits(np.frombuffer(array.buffers()[1], np.uint8), bitorder="little")
        return bits[array.offset : array.offset + len(array)].astype(np.bool_)
    return np.from_dlpack(array)


def _joined(arrays: Iterable[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    parts = list(arrays)
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def _lists(offsets: NDArray[int64], values: NDArray[Any]) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values))
