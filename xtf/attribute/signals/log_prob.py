"""Log-probability of each target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xtf.attribute.reference import Reference
from xtf.attribute.signals.prediction import Prediction, PredictionSignal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class LogProb(PredictionSignal):
    """Log-probability of each target token, ``(batch, seq)`` float32 in nats, ≤ 0, NaN off-response.

    ``model`` is ``None`` for the base model, or the reference model to use instead.
    """

    name: ClassVar[str] = "log_prob"
    model: Reference | None = None

    @property
    def reference(self) -> Reference | None:
        return self.model

    def read(self, prediction: Prediction) -> Tensor:
        return prediction.log_probs.gather(1, prediction.targets[:, None]).squeeze(1)
