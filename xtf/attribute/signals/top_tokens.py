"""The likeliest tokens of each prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xtf.attribute.signals.prediction import Prediction, PredictionSignal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class TopTokens(PredictionSignal):
    """Ids of the ``k`` likeliest tokens, likeliest first: ``(batch, seq, k)`` int64, -1 off-response."""

    name: ClassVar[str] = "top_tokens"
    k: int = 1

    def read(self, prediction: Prediction) -> Tensor:
        if self.k == 1:  # in half the time of topk
            return prediction.logits.max(dim=-1, keepdim=True).indices
        return prediction.logits.topk(min(self.k, prediction.logits.shape[-1]), dim=-1).indices
