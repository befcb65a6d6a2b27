"""What LLaMA-Factory trains on without tokenising: its ``tokenized_path``, and its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xtf.display import counted
from xtf.exporters.exporter import Export
from xtf.exporters.saved import SavedExporter
from xtf.exporters.settings import settings_file

CONFIG = "llama_factory.yaml"
_HEAD = """{rows}, tokenised; learnt tokens: {learnt}. Start: llamafactory-cli train {config}
tokenized_path is what is read; a name must stand under dataset, and no template is applied.
cutoff_len and packing have no effect on rows that are tokenised."""


class LlamaFactoryExporter(SavedExporter):
    """A saved data set of token ids and labels as LLaMA-Factory's ``tokenized_path``, and ``llama_factory.yaml``."""

    name = "llama-factory"

    def sidecars(self, export: Export) -> Mapping[str, str]:
        folder = export.folder.resolve()
        settings = {
            "model_name_or_path": export.model,
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "full",
            "dataset": "xtf",
            "tokenized_path": str(folder),
            "template": "empty",
            "output_dir": str(folder / "model"),
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 8,
            "num_train_epochs": 1,
            "learning_rate": 0.00001,
            "lr_scheduler_type": "cosine",
            "logging_steps": 10,
            "report_to": "none",
        }
        head = _HEAD.format(rows=counted(export.rows, "row"), learnt=export.learnt, config=CONFIG)
        return {**super().sidecars(export), CONFIG: settings_file(head, settings)}

    def command(self, export: Export) -> Sequence[str]:
        return ("llamafactory-cli", "train", str(export.folder / CONFIG))
