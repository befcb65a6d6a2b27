"""How far a reference model's predictions are from the base model's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from xtf.attribute.reference import Reference
from xtf.attribute.signals.base import SignalRequest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Divergence(SignalRequest):
    """Kullback-Leibler divergence of two predictions of each token, ``(batch, seq)`` float32 in nats, ≥ 0.

    Over the whole vocabulary, whatever token stands there. ``under="base"``: ``KL(base || model)``, the mean under the
    base model of ``log p_base - log p_model``; ``under="reference"``: ``KL(model || base)``. NaN off-response. Runs
    both models once more.
    """

    name: ClassVar[str] = "divergence"
    model: Reference
    under: Literal["base", "reference"] = "base"

    @property
    def reference(self) -> Reference:
        return self.model

    def compare(self, base: Tensor, reference: Tensor) -> Tensor:
        """``(n,)`` divergences of ``(n, vocabulary)`` float32 logits of both models."""
        ours, theirs = base.log_softmax(dim=-1), reference.log_softmax(dim=-1)
        if self.under == "reference":
            ours, theirs = theirs, ours
        return (ours.exp() * (ours - theirs)).sum(dim=-1).clamp(min=0.0)
