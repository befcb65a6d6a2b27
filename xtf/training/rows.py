"""What training reads: token ids and one weight for each target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from xtf.tokens import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One example and what each of its targets weighs in the loss.

    Attributes:
        example_id: Unique within a run.
        input_ids: ``(seq,)`` int32.
        weights: ``(seq,)`` float32 at the target's own position, 0: no gradient, below 0: unlearnt.
        is_response: ``(seq,)`` bool, the targets, prompt tokens that weigh something among them; counted when the loss
            is divided by response tokens.
    """

    example_id: str
    input_ids: IntArray
    weights: FloatArray
    is_response: BoolArray

    def __post_init__(self) -> None:
        shape = self.input_ids.shape
        if self.input_ids.ndim != 1 or self.weights.shape != shape or self.is_response.shape != shape:
            raise ValueError(
                f"row {self.example_id!r}: input_ids, weights and is_response must be one-dimensional and equally "
                f"long, got {shape}, {self.weights.shape}, {self.is_response.shape}"
            )
        kinds = (self.input_ids.dtype, self.weights.dtype, self.is_response.dtype)
        if kinds != (np.dtype(np.int32), np.dtype(np.float32), np.dtype(np.bool_)):
            raise ValueError(f"row {self.example_id!r}: expected int32, float32 and bool, got {kinds}")
        if not np.all(np.isfinite(self.weights)) or np.any(self.weights < -1):
            raise ValueError(f"row {self.example_id!r}: weights must be finite and at least -1")
        if np.any(self.weights[~self.is_response] != 0) or (shape[0] and self.is_response[0]):
            raise ValueError(f"row {self.example_id!r}: only targets weigh, and position 0 is none")

    def __len__(self) -> int:
        return int(self.input_ids.shape[0])


def collate(rows: Sequence[TrainingRow]) -> dict[str, torch.Tensor]:
    """Pad on the right: ``input_ids``, ``attention_mask``, ``weights``, ``is_response``, each ``(batch, seq)``."""
    shape = (len(rows), max(len(row) for row in rows))
    input_ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    weights, is_response = np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    for index, row in enumerate(rows):
        input_ids[index, : len(row)] = row.input_ids
        mask[index, : len(row)] = 1
        weights[index, : len(row)] = row.weights
        is_response[index, : len(row)] = row.is_response
    return {
        "input_ids": torch.from_numpy(input_ids),
        "attention_mask": torch.from_numpy(mask),
        "weights": torch.from_numpy(weights),
        "is_response": torch.from_numpy(is_response),
    }
