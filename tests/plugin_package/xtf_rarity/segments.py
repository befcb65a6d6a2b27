"""Texts cut into pieces that are learnt or not, as template-free trainers read them."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pyarrow as pa

from xtf.exporters import Exporter
from xtf.labelling.shard import Labels, ScoredShard
from xtf.runs.vocabulary import Vocabulary

SCHEMA = pa.schema(
    {"example_id": pa.string(), "segments": pa.list_(pa.struct({"text": pa.string(), "label": pa.bool_()}))}
)


class Segments(Exporter):
    """``segments``: texts in order, each with ``label``: whether it is learnt."""

    name = "segments"
    suffix = ".jsonl"

    def table(self, shard: ScoredShard, labels: Labels, vocabulary: Vocabulary) -> pa.Table:
        learnt = shard.is_response & ~labels.noise
        rows: list[dict[str, Any]] = []
        for name, start, stop in zip(shard.example_ids, shard.offsets[:-1], shard.offsets[1:], strict=True):
            tokens = zip(learnt[start:stop].tolist(), shard.input_ids[start:stop].tolist(), strict=True)
            pieces = [(label, [i for _, i in group]) for label, group in groupby(tokens, key=lambda pair: pair[0])]
            if learnt[start:stop].any():
                segments = [{"text": vocabulary.text(ids), "label": label} for label, ids in pieces]
                rows.append({"example_id": name, "segments": segments})
        return pa.Table.from_pylist(rows, SCHEMA)
