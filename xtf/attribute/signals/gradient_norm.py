"""How hard a token's loss pulls at what the output head reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xtf.attribute.signals.prediction import Prediction, PredictionSignal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class GradientNorm(PredictionSignal):
    """Length of the gradient of each token's loss by the head's input, ``(batch, seq)`` float32, ≥ 0, NaN off-response.

    The loss is ``-log p(target)`` and the head's input the last hidden state, after the final norm, of the position
    before the target: for a plain head ``W`` the gradient is ``W^T (p - onehot(target))``. Exact, also where logits are
    scaled or capped. Costs two more products with the head, and no pass through the layers.
    """

    name: ClassVar[str] = "gradient_norm"

    def read(self, prediction: Prediction) -> Tensor:
        length: Tensor = prediction.gradient.norm(dim=-1)
        return length
