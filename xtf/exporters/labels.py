"""``labels/``: token ids with labels, masks and weights, as trainers of transformers and TRL read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtf.exporters.exporter import Exporter
from xtf.labelling.shard import Labels, ScoredShard
from xtf.runs.tables import labels_table
from xtf.runs.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa


class LabelsExporter(Exporter):
    """Token ids, ``labels`` (-100 = no gradient), ``assistant_masks`` (1 = learnt), weights, noise and reasons."""

    name = "labels"
    carries_weights = True

    def table(self, shard: ScoredShard, labels: Labels, vocabulary: Vocabulary) -> pa.Table:
        return labels_table(shard, labels)
