"""What axolotl trains on without tokenising: a saved data set, and its configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xtf.display import counted
from xtf.exporters.exporter import Export
from xtf.exporters.saved import SavedExporter
from xtf.exporters.settings import settings_file

CONFIG = "axolotl.yaml"
_HEAD = """{rows}, tokenised; learnt tokens: {learnt}. Start: axolotl train {config}
axolotl drops rows longer than sequence_len; here it stops instead.
What it prepares must not outlive these rows: it knows them by the name of their folder.
Sample packing keeps the labels; it needs an attention that keeps rows apart (flash or flex attention)."""


class AxolotlExporter(SavedExporter):
    """A saved data set of token ids and labels, which axolotl takes as they are, and ``axolotl.yaml``."""

    name = "axolotl"

    def sidecars(self, export: Export) -> Mapping[str, str]:
        head = _HEAD.format(rows=counted(export.rows, "row"), learnt=export.learnt, config=CONFIG)
        datasets = [{"path": str(export.folder.resolve()), "type": None}]
        settings = {**axolotl_settings(export, datasets), "sequence_len": export.longest}
        return {**super().sidecars(export), CONFIG: settings_file(head, settings)}

    def command(self, export: Export) -> Sequence[str]:
        return ("axolotl", "train", str(export.folder / CONFIG))


def axolotl_settings(export: Export, datasets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of axolotl for these data sets, all but ``sequence_len``."""
    folder = export.folder.resolve()
    return {
        "base_model": export.model,
        "tokenizer_config": export.tokenizer,
        "datasets": list(datasets),
        "dataset_prepared_path": str(folder / "prepared"),
        "output_dir": str(folder / "model"),
        "excess_length_strategy": "raise",
        "sample_packing": False,
        "val_set_size": 0,
        "micro_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "num_epochs": 1,
        "optimizer": "adamw_torch",
        "lr_scheduler": "cosine",
        "learning_rate": 0.00001,
        "bf16": "auto",
    }
