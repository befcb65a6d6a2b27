"""Entropy of each prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xtf.attribute.signals.prediction import Prediction, PredictionSignal, surprise_moments

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Entropy(PredictionSignal):
    """Entropy of the prediction of each target, ``(batch, seq)`` float32 in nats, ≥ 0, NaN off-response.

    With ``top_k`` the distribution is first cut to its ``top_k`` most likely tokens and renormalised.
    """

    name: ClassVar[str] = "entropy"
    top_k: int | None = None

    def read(self, prediction: Prediction) -> Tensor:
        if self.top_k is None:
            return prediction.surprise[0]
        best = prediction.logits.topk(min(self.top_k, prediction.logits.shape[-1]), dim=-1, sorted=False).values
        return surprise_moments(best.log_softmax(dim=-1))[0]
