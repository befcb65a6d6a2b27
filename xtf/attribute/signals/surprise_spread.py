"""Spread of the surprise that each prediction expects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xtf.attribute.signals.prediction import Prediction, PredictionSignal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class SurpriseSpread(PredictionSignal):
    """Standard deviation of ``-log p`` under the prediction itself, ``(batch, seq)`` float32 in nats, NaN off-response.

    The surprise of a token drawn from the prediction has this spread around the entropy.
    """

    name: ClassVar[str] = "surprise_spread"

    def read(self, prediction: Prediction) -> Tensor:
        return prediction.surprise[1]
