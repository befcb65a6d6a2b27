"""What a trainer sees: its rows, and for each step the batch that its loss gets, and the loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Recorder:
    """Keeps what goes through the ``compute_loss`` of a trainer class."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.batches: list[dict[str, Any]] = []

    def watch(self, trainer: Any) -> None:
        """Record the rows and the batches of a trainer, or of a class of trainers."""
        compute_loss, train = trainer.compute_loss, trainer.train

        def computed(self_: Any, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
            batch = {name: value.tolist() for name, value in inputs.items() if hasattr(value, "tolist")}
            loss = compute_loss(self_, model, inputs, *more, **named)
            self.batches.append({**batch, "loss": float((loss[0] if isinstance(loss, tuple) else loss).detach())})
            return loss

        def trained(self_: Any, *more: Any, **named: Any) -> Any:
            data = self_.train_dataset
            self.rows = [{k: v for k, v in data[i].items() if isinstance(v, list)} for i in range(len(data))]
            return train(self_, *more, **named)

        trainer.compute_loss, trainer.train = computed, trained

    def write(self, path: str) -> None:
        """Write all of it as JSON."""
        Path(path).write_text(json.dumps({"rows": self.rows, "batches": self.batches}))
