"""One of two processes that train together; each writes gradients and loss of the update, in several settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from tests.integrations.test_transformers import arguments
from tests.integrations.weighted import Gradient, by_trl, dataset_of, model_to_train, weighted_rows
from xtf.integrations.transformers import WeightedTrainer

if __name__ == "__main__":
    rows, folder = weighted_rows(), Path(sys.argv[1])
    settings: dict[str, dict[str, Any]] = {
        "padded": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": len(rows) // 4},
        "padding-free": {"per_device_train_batch_size": len(rows) // 2, "padding_free": True},
        "bfd": {"packing": True, "max_length": 60, "per_device_train_batch_size": 1},
    }
    for name, one in settings.items():
        seen = by_trl(folder, dataset_of(rows), ddp_backend="gloo", **one)
        torch.save((seen.found, seen.loss), folder / f"{name}-{os.environ['RANK']}.pt")
    seen, halves = Gradient(), arguments(folder, per_device_train_batch_size=len(rows) // 2, ddp_backend="gloo")
    WeightedTrainer(model_to_train(), halves, dataset_of(rows), callbacks=[seen]).train()
    torch.save((seen.found, seen.loss), folder / f"transformers-{os.environ['RANK']}.pt")
