"""Token-wise clipping: a weight that drops to nothing once a token has been learnt fast enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from xtf.attribute import Attribute, AttributeParams, LogProb, Reference, SignalRequest, Signals

if TYPE_CHECKING:
    import torch


class ClippingParams(AttributeParams):
    """Parameters of :class:`Clipping`."""

    old: Reference | None = Field(
        None, description="The model that probabilities are compared with. Default: the base."
    )
    current: Reference | None = Field(
        Reference(share=0.2), description="The model on its way, as a reference. null: the base."
    )
    epsilon: float = Field(
        0.5, gt=0.0, description="Gain above which a token counts nothing: 0.5 for half as much again."
    )

    @model_validator(mode="after")
    def _two_models(self) -> ClippingParams:
        if self.old == self.current:
            raise ValueError("old and current are one model, whose tokens all weigh 1: name two")
        return self


class Clipping(Attribute[ClippingParams]):
    """A weight: the ratio r of the token's probability now and before, 0 above 1 + ε (token-wise clipping, ICML 2026).

    The gradient of ``min(r, clip(r, 1 - ε, 1 + ε))``, which training raises, is r times that of log p while r is at
    most 1 + ε, else none ("Clipping Low-Probability Tokens in SFT", OpenReview t4Jc7C9bTx; the objective is that of
    Proximal SFT, arXiv 2508.17784, too). Unlikely tokens grow fastest, so they are the first to stop. For
    ``combine.weight_by: clipping`` with ``training.objective: weight``; the loss is divided by all response tokens.
    Frozen at ``current``; the papers take the model in training anew at each step, where r is 1 for all tokens when
    training starts: ``current: {in_training: true}`` with ``training.rescore_steps: 1``.
    """

    name: ClassVar[str] = "clipping"
    normalise: ClassVar[Literal["response"]] = "response"
    rescores: ClassVar[bool] = True
    base_stays: ClassVar[bool] = True
    Params = ClippingParams

    def requires(self) -> set[SignalRequest]:
        return {LogProb(self.params.old), LogProb(self.params.current)}

    def score(self, signals: Signals) -> torch.Tensor:
        ratio = (signals[LogProb(self.params.current)] - signals[LogProb(self.params.old)]).clamp(max=80.0).exp()
        return ratio.masked_fill(ratio > 1.0 + self.params.epsilon, 0.0)

    def describe(self, score: float) -> str:
        if score == 0.0:
            return f"its probability has grown by more than {self.params.epsilon:.0%}, so it weighs nothing"
        return f"its probability is {score:.3g} times what it was, its weight"
