"""One of two processes that train together; each writes gradients and loss of the update, in several settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from tests.integrations.weighted import by_trl, dataset_of, weighted_rows

if __name__ == "__main__":
    rows = weighted_rows()
    settings: dict[str, dict[str, Any]] = {
        "padded": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": len(rows) // 4},
        "padding-free": {"per_device_train_batch_size": len(rows) // 2, "padding_free": True},
        "bfd": {"packing": True, "max_length": 60, "per_device_train_batch_size": 1},
    }
    for name, one in settings.items():
        seen = by_trl(Path(sys.argv[1]), dataset_of(rows), ddp_backend="gloo", **one)
        torch.save((seen.found, seen.loss), Path(sys.argv[1]) / f"{name}-{os.environ['RANK']}.pt")
