"""ssToken: what the model forgot on its way, and what looks at the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from xtf.attribute import AttentionToPrompt, Attribute, AttributeParams, LogProb, Reference, SignalRequest, Signals

if TYPE_CHECKING:
    import torch


class SsTokenParams(AttributeParams):
    """Parameters of :class:`SsToken`."""

    reference: Reference = Field(description="An earlier checkpoint of the model.")
    gamma: float = Field(0.5, ge=0.0, le=1.0, description="Share of the loss part; the rest is attention.")


class SsToken(Attribute[SsTokenParams]):
    """Progress since an earlier checkpoint, and attention to the prompt (ssToken, arXiv 2510.18250).

    ``γ minmax(loss under the checkpoint - loss now) + (1 - γ) attention from the token to the prompt``, in [0, 1]; the
    extremes are those of the token's own example. Where all its tokens progressed alike, that part is 0.
    """

    name: ClassVar[str] = "ss_token"
    Params = SsTokenParams

    def default_threshold(self) -> Mapping[str, Any]:
        return {"kind": "top_share", "keep": 0.6, "scope": "example"}

    def requires(self) -> set[SignalRequest]:
        return {LogProb(), LogProb(self.params.reference), AttentionToPrompt()}

    def score(self, signals: Signals) -> torch.Tensor:
        progress = signals[LogProb()] - signals[LogProb(self.params.reference)]
        nothing = progress.isnan()
        low = progress.masked_fill(nothing, float("inf")).amin(dim=1, keepdim=True)
        high = progress.masked_fill(nothing, float("-inf")).amax(dim=1, keepdim=True)
        scaled = (progress - low) / (high - low).clamp_min(1e-12)
        return self.params.gamma * scaled + (1.0 - self.params.gamma) * signals[AttentionToPrompt()]

    def describe(self, score: float) -> str:
        return f"its progress and its attention to the prompt come to {score:.0%} of the greatest possible"
