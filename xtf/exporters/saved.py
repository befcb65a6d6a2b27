"""Tokens as a data set saved with ``datasets``, which trainers take for tokenised by themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtf.exporters.exporter import Export, Exporter
from xtf.labelling.shard import Labels, ScoredShard
from xtf.runs.tables import labels_table
from xtf.runs.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ["example_id", "input_ids", "attention_mask", "labels"]


class SavedExporter(Exporter):
    """A folder for ``datasets.load_from_disk``: ``input_ids``, ``attention_mask``, ``labels`` (-100 = no gradient)."""

    name = "saved"
    suffix = ".arrow"
    carries_ids = False

    def table(self, shard: ScoredShard, labels: Labels, vocabulary: Vocabulary) -> pa.Table:
        return labels_table(shard, labels).select(COLUMNS)

    def sidecars(self, export: Export) -> Mapping[str, str]:
        files = [{"filename": name} for name in export.files]
        state: dict[str, Any] = {
            "_data_files": files,
            "_fingerprint": f"xtf-{export.rows}-{export.tokens}-{export.learnt}",
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        return {"state.json": json.dumps(state, indent=1), "dataset_info.json": "{}"}
