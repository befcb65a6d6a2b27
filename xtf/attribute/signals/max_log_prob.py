"""Log-probability of the likeliest token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xtf.attribute.signals.prediction import Prediction, PredictionSignal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class MaxLogProb(PredictionSignal):
    """Log-probability of the likeliest token, ``(batch, seq)`` float32 in nats, ≤ 0, NaN off-response."""

    name: ClassVar[str] = "max_log_prob"

    def read(self, prediction: Prediction) -> Tensor:
        return prediction.log_probs.amax(dim=-1)
