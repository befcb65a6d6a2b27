"""Every token of a run as a table: what it is, what became of it, and its score under each attribute."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtf.attribute import Detail
from xtf.display import command
from xtf.errors import RunError
from xtf.labelling.shard import Labels, ScoredShard
from xtf.report.tables import Table
from xtf.runs.staleness import stale_labels

if TYPE_CHECKING:
    import pyarrow as pa

    from xtf.runs import RunReader


def token_table(run: RunReader, examples: Collection[str] | None = None) -> Table:
    """One row a token, in the order of the data.

    Columns: ``example_id``, ``position`` in the example, ``token_id``, ``text``, ``is_response``, ``is_protected``; of
    a labelled run ``masked``, ``weight`` and ``reasons``, the names of the attributes that it lacks; then each score
    under its attribute's name, and each detail as ``ATTRIBUTE.DETAIL``. Scores are null off the response.

    Args:
        run: A scored run.
        examples: Ids of the only examples to read; all if not given.

    Raises:
        RunError: there is no example of an id, or nothing is scored.
    """
    import pyarrow as pa

    wanted = None if examples is None else {examples} if isinstance(examples, str) else set(examples)
    parts = [part for part in run.parts if part.is_scored]
    tables = [table for part in parts for table in _tables(part, wanted)]
    seen = {name for table in tables for name in table["example_id"].unique().to_pylist()} if wanted else set()
    missing = sorted((wanted or set()) - seen)
    if missing:
        raise run.missing(missing[0])
    if not tables and wanted is None:
        again = command("xtf", "score", run.folder.config_path)
        raise RunError(f"{run.path}: nothing is scored to the end yet. Go on with: {again}")
    whole = pa.concat_tables(tables, promote_options="default") if tables else pa.table({})
    return Table(whole, stale_labels(run))


def _tables(run: RunReader, wanted: set[str] | None) -> Iterator[pa.Table]:
    """A table for each shard that holds a wanted example."""
    columns = [*run.scored, *run.detail_columns]
    names = run.rules.attributes if run.is_labelled else ()
    pairs: Iterator[tuple[ScoredShard, Labels | None]] = (
        run.labelled(columns) if run.is_labelled else ((shard, None) for shard in run.shards(columns))
    )
    for shard, labels in pairs:
        chosen = np.array([wanted is None or name in wanted for name in shard.example_ids], np.bool_)
        if chosen.any():
            table = _table(run, shard, labels, names)
            rows = np.flatnonzero(np.repeat(chosen, np.diff(shard.offsets)))
            yield table if chosen.all() else table.take(rows)


def _table(run: RunReader, shard: ScoredShard, labels: Labels | None, names: Collection[str]) -> pa.Table:
    import pyarrow as pa

    sizes = np.diff(shard.offsets)
    texts = [
        text
        for start, stop in zip(shard.offsets[:-1].tolist(), shard.offsets[1:].tolist(), strict=True)
        for text in run.vocabulary.token_texts(shard.input_ids[start:stop])
    ]
    columns: dict[str, Any] = {
        "example_id": pa.array(shard.example_ids, pa.string()).take(np.repeat(np.arange(len(shard)), sizes)),
        "position": np.arange(len(shard.input_ids)) - np.repeat(shard.offsets[:-1], sizes),
        "token_id": shard.input_ids,
        "text": pa.array(texts, pa.string()),
        "is_response": shard.is_response,
        "is_protected": shard.is_protected,
    }
    if labels is not None:
        columns |= {"masked": labels.noise, "weight": labels.weights, "reasons": _reasons(labels, list(names))}
    columns |= {name: _scores(shard, values) for name, values in shard.scores.items()}
    columns |= _details(run, shard)
    return pa.table(columns)


def _scores(shard: ScoredShard, values: NDArray[np.floating]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, pa.float32(), mask=~shard.is_response)


def _reasons(labels: Labels, names: list[str]) -> pa.Array:
    """For each token the names behind its reason bits."""
    import pyarrow as pa

    kinds, places = np.unique(labels.reasons, return_inverse=True)
    words = [[name for bit, name in enumerate(names) if kind >> bit & 1] for kind in kinds.tolist()]
    return pa.array(words, pa.list_(pa.string())).take(pa.array(places))


def _details(run: RunReader, shard: ScoredShard) -> Mapping[str, pa.Array]:
    return {
        f"{name}.{detail}": _detail(run, shard, meaning, shard.details[f"{name}.{detail}"])
        for name, details in run.details.items()
        for detail, meaning in details.items()
    }


def _detail(run: RunReader, shard: ScoredShard, meaning: Detail, values: NDArray[Any]) -> pa.Array:
    """A category by its name, a token by its text, a probability as it is."""
    import pyarrow as pa

    if meaning.kind == "probability":
        return pa.array(values, pa.float32(), mask=~shard.is_response)
    if meaning.kind == "category":
        words = list(meaning.names)
        there = shard.is_response & (values >= 0) & (values < len(words))
        places = np.where(there, values, 0)
    else:
        there = shard.is_response & (values >= 0)
        ids, places = np.unique(np.where(there, values, 0), return_inverse=True)
        words = [run.vocabulary.alone(token) for token in ids.tolist()]
    return pa.array(words, pa.string()).take(pa.array(places, mask=~there))
