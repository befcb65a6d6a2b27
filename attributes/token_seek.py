"""TokenSeek: what other tokens look at, and what pulls at the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from xtf.attribute import AttentionReceived, Attribute, AttributeParams, GradientNorm, SignalRequest, Signals

if TYPE_CHECKING:
    import torch

_LEAST_ATTENTION = 1e-12


class TokenSeekParams(AttributeParams):
    """Parameters of :class:`TokenSeek`."""

    alpha: float = Field(1.0, ge=0.0, description="Weight of the logarithm of the attention received.")
    beta: float = Field(1.0, ge=0.0, description="Weight of the gradient, scaled to [0, 1] in the example.")
    layers: Literal["all"] | tuple[int, ...] = Field((-1,), description="Layers of attention to average, -1 the last.")


class TokenSeek(Attribute[TokenSeekParams]):
    """Attention that the token receives, and how hard its loss pulls (TokenSeek, arXiv 2601.19739, section 3.2.1).

    ``α log(sum over positions i of A[i, token]) + β minmax(gradient)``, extremes over the example's response tokens.
    The paper takes the gradient of the whole loss by the state that goes into the last layer, where the token stands,
    and sums its entries; here it is the length of the gradient of the token's own loss by what the output head reads,
    which is what masking the token takes away, and needs no backward pass through a layer.
    """

    name: ClassVar[str] = "token_seek"
    Params = TokenSeekParams

    def default_cut(self) -> Mapping[str, Any]:
        return {"kind": "top_share", "keep": 0.1, "scope": "example"}

    @property
    def _received(self) -> AttentionReceived:
        return AttentionReceived(self.params.layers, "all")

    def requires(self) -> set[SignalRequest]:
        return {self._received, GradientNorm()}

    def score(self, signals: Signals) -> torch.Tensor:
        received = signals[self._received] * signals.tokens.lengths[:, None]
        gradient = signals[GradientNorm()]
        nothing = gradient.isnan()
        low = gradient.masked_fill(nothing, float("inf")).amin(dim=1, keepdim=True)
        high = gradient.masked_fill(nothing, float("-inf")).amax(dim=1, keepdim=True)
        scaled = (gradient - low) / (high - low).clamp_min(1e-12)
        return self.params.alpha * received.clamp_min(_LEAST_ATTENTION).log() + self.params.beta * scaled

    def describe(self, score: float) -> str:
        return f"the attention it receives and its gradient come to {score:.3g}"
