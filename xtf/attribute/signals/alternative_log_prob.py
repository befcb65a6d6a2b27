"""Log-probability of what the model would rather have written, or written next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xtf.attribute.signals.prediction import Prediction, PredictionSignal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class AlternativeLogProb(PredictionSignal):
    """Log-probability of the likeliest token other than the target, ``(batch, seq)`` float32 in nats, ≤ 0.

    NaN off-response. Which token it is, ``TopTokens(2)`` says: the first of the two that is not the target.
    """

    name: ClassVar[str] = "alternative_log_prob"

    def read(self, prediction: Prediction) -> Tensor:
        others = prediction.log_probs.scatter(1, prediction.targets[:, None], float("-inf"))
        return others.amax(dim=-1)
