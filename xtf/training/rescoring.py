"""Training on labels that follow the model: rows are labelled anew every so many updates.

A block is what the next ``training.rescore_steps`` updates train on; it ends at the latest with the pass through the
data. At its beginning its rows are labelled by the model as it then is. A checkpoint within a block keeps the weights
of the rest of it, so that a resumed training goes on with what an uninterrupted one would have used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from xtf.config import TrainingConfig
from xtf.errors import ModelError
from xtf.training.arms import ArmRows
from xtf.training.loop import MaskedTrainer
from xtf.training.loss import step_normaliser
from xtf.training.rows import collate

Batch = dict[str, Tensor]

KEPT_SHARE = "kept_share"
"""In the log of each update: the share of its targets that weigh anything."""

_WEIGHTS = "rescored_weights.safetensors"


class RescoringTrainer(MaskedTrainer):
    """A :class:`MaskedTrainer` whose rows get their weights when their block begins.

    Args:
        model: In training, as :class:`MaskedTrainer` takes it.
        rows: Their labelling can be taken anew.
        config: With ``rescore_steps``.
        seed: Of the order, which is the same as without re-scoring.
        checkpoints: Where they are kept.

    Raises:
        ModelError: there are several processes.
    """

    def __init__(self, model: Any, rows: ArmRows, config: TrainingConfig, seed: int, checkpoints: Path) -> None:
        places: Any = range(len(rows))
        super().__init__(model, places, config, seed, checkpoints)
        if self.accelerator.num_processes > 1:
            raise ModelError(
                "training.rescore_steps: a block is cut as a whole, so it is trained in one process. Start it without "
                "a launcher, with training.gradient_accumulation for larger updates"
            )
        assert config.rescore_steps is not None
        self.data_collator = _places
        self._rows, self._steps = rows, config.rescore_steps
        self._ahead: deque[list[Batch]] = deque()  # the updates of the block that are still to come
        self._weights: list[Tensor] = []  # of the rest of a block, as a checkpoint has them

    def restore(self, checkpoint: Path) -> None:
        """Take from a checkpoint the weights of the block that it was written in."""
        if (path := checkpoint / _WEIGHTS).exists():
            kept = load_file(path)
            self._weights = [kept[name] for name in sorted(kept)]

    def get_batch_samples(
        self, epoch_iterator: Iterator[Tensor], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor]:
        """The micro-batches of one update, and the scalar that its loss is divided by.

        A block begins if the last one is over. The iterator gives ``(batch,)`` int64, the rows of each micro-batch;
        what is returned holds ``(batch, seq)`` as :func:`~xtf.training.rows.collate` has it.
        """
        if not self._ahead:
            self._ahead.extend(self._block(epoch_iterator, num_batches))
        batches = self._ahead.popleft() if self._ahead else []
        return batches, step_normaliser(batches, self.normalise).to(device)

    def _block(self, epoch_iterator: Iterator[Tensor], first: int) -> list[list[Batch]]:
        """The updates of the block that begins here, or of the rest of the one that a checkpoint was written in."""
        size = int(self.args.gradient_accumulation_steps)
        if self._weights:
            return _updates(self._kept(epoch_iterator), size)
        updates = min(self._steps, self.state.max_steps - self.state.global_step)
        parts = [part.tolist() for part in islice(epoch_iterator, first + (updates - 1) * size)]
        rows = iter(self._rows.anew(self.model, [place for part in parts for place in part]))
        return _updates([collate(list(islice(rows, len(part)))) for part in parts], size)

    def _kept(self, epoch_iterator: Iterator[Tensor]) -> list[Batch]:
        weights, self._weights = self._weights, []
        parts = islice(epoch_iterator, len(weights))
        return [
            {**collate([self._rows[place] for place in part.tolist()]), "weights": own}
            for part, own in zip(parts, weights, strict=True)
        ]

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward of one micro-batch of ``(batch, seq)`` targets; returns its loss, a scalar."""
        self._kept_count += int((inputs["weights"] > 0).sum())
        self._target_count += int(inputs["is_response"].sum())
        return super().training_step(model, inputs, num_items_in_batch)

    _kept_count = _target_count = 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log an update, with the share of its targets that were kept."""
        if "loss" in logs:
            logs = {**logs, KEPT_SHARE: self._kept_count / max(self._target_count, 1)}
            self._kept_count = self._target_count = 0
        super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        weights = [batch["weights"] for update in self._ahead for batch in update]
        if weights:
            folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
            folder.mkdir(parents=True, exist_ok=True)  # the trainer's state, which completes it, is written last
            save_file({f"{place:06}": weight for place, weight in enumerate(weights)}, folder / _WEIGHTS)
        super()._save_checkpoint(model, trial)


def _places(places: list[int]) -> Any:
    """``(batch,)`` int64: which rows make up a micro-batch; their weights are not known yet."""
    return torch.tensor(places)


def _updates(batches: Sequence[Batch], size: int) -> list[list[Batch]]:
    return [list(batches[start : start + size]) for start in range(0, len(batches), size)]
