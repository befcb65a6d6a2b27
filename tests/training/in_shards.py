"""What each process of a launch trains in ``test_sharding``: ``python -m tests.training.in_shards FOLDER``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import xtf.model.head
from tests.tiny import VOCAB_SIZE, tiny_model, tiny_tokenizer
from tests.training.test_loss import example_rows
from tests.training.test_trainer import CONFIG
from xtf.training import TrainingJob, train_model

LENGTHS = (14, 9, 11, 8, 13, 14, 12, 8)
METHODS = ("lora", "full")


def losses_of(folder: Path, processes: int) -> dict[str, list[float]]:
    """The loss of each update by method, with logits of 7 targets at once; trained models are in ``folder``."""
    xtf.model.head.LOGITS_BYTES = VOCAB_SIZE * 4 * 7
    found = {}
    for method in METHODS:
        settings: dict[str, Any] = {"method": method, "batch_size": 4 // processes, "weight_decay": 0.1}
        config = CONFIG.model_copy(update={**settings, "gradient_accumulation": 2, "gradient_checkpointing": True})
        job = TrainingJob(folder / method, "f")
        with train_model(tiny_model(), tiny_tokenizer(), example_rows(lengths=LENGTHS), config, job) as done:
            found[method] = list(done.losses)
    return found


if __name__ == "__main__":
    place = Path(sys.argv[1])
    losses = losses_of(place, int(os.environ["WORLD_SIZE"]))
    (place / f"losses-{os.environ['RANK']}.json").write_text(json.dumps(losses), encoding="utf-8")
