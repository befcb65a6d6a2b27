"""What ms-swift trains on without tokenising: messages of token ids, each with its loss scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xtf.display import counted
from xtf.exporters.exporter import Export, Exporter
from xtf.exporters.settings import settings_file
from xtf.labelling.shard import Labels, ScoredShard
from xtf.runs.tables import labels_table
from xtf.runs.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

CONFIG = "ms_swift.yaml"
TEMPLATE = "xtf_template.py"
_TEMPLATE = '''"""A template that adds nothing: the rows are token ids of whole conversations."""

from swift.template import TemplateMeta, register_template

register_template(TemplateMeta("xtf_tokens", prefix=[], prompt=["{{QUERY}}"], chat_sep=[], suffix=[]))
'''
_HEAD = """{rows}, tokenised; learnt tokens: {learnt}. Start: swift sft {config}
is_binary_loss_scale false lets every token count for its weight. A template with a suffix would add labels."""


class MsSwiftExporter(Exporter):
    """JSON lines of messages that are token ids, each with its loss scale; ``ms_swift.yaml`` and a template."""

    name = "ms-swift"
    suffix = ".jsonl"
    carries_weights = True

    def table(self, shard: ScoredShard, labels: Labels, vocabulary: Vocabulary) -> pa.Table:
        import pyarrow as pa

        content = pa.struct({"token_ids": pa.list_(pa.int32()), "loss_scale": pa.list_(pa.float32())})
        message = pa.struct({"role": pa.string(), "content": content})
        schema = pa.schema({"example_id": pa.string(), "messages": pa.list_(message)})
        rows = [
            {
                "example_id": row["example_id"],
                "messages": [
                    {
                        "role": "assistant",
                        "content": {"token_ids": row["input_ids"], "loss_scale": row["weights"]},
                    }
                ],
            }
            for row in labels_table(shard, labels).select(["example_id", "input_ids", "weights"]).to_pylist()
        ]
        return pa.Table.from_pylist(rows, schema)

    def lost(self, shard: ScoredShard, labels: Labels) -> Mapping[str, int]:
        return {"tokens with a weight below 0, which ms-swift takes for 0": int(np.count_nonzero(labels.weights < 0))}

    def sidecars(self, export: Export) -> Mapping[str, str]:
        folder = export.folder.resolve()
        settings = {
            "model": export.model,
            "use_hf": True,
            "dataset": [str(folder / name) for name in export.files],
            "external_plugins": [str(folder / TEMPLATE)],
            "template": "xtf_tokens",
            "is_binary_loss_scale": False,
            "max_length": export.longest,
            "strict": True,
            "split_dataset_ratio": 0,
            "tuner_type": "full",
            "output_dir": str(folder / "model"),
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 8,
            "num_train_epochs": 1,
            "learning_rate": 0.00001,
            "report_to": "none",
        }
        head = _HEAD.format(rows=counted(export.rows, "row"), learnt=export.learnt, config=CONFIG)
        return {CONFIG: settings_file(head, settings), TEMPLATE: _TEMPLATE}

    def command(self, export: Export) -> Sequence[str]:
        return ("swift", "sft", str(export.folder / CONFIG))
