"""How far ahead the likeliest token is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xtf.attribute import Prediction, PredictionSignal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Margin(PredictionSignal):
    """Log-probability of the likeliest token less that of the ``rank``-th, ``(batch, seq)`` float32 in nats, ≥ 0."""

    name: ClassVar[str] = "margin"
    rank: int = 2

    def read(self, prediction: Prediction) -> torch.Tensor:
        best = prediction.log_probs.topk(self.rank, dim=-1).values
        return best[:, 0] - best[:, -1]
