"""ssToken: what the model has learnt on its way, and what looks at the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from xtf.attribute import (
    AttentionToPrompt,
    Attribute,
    AttributeParams,
    LogProb,
    Reference,
    Roles,
    SignalRequest,
    Signals,
)

if TYPE_CHECKING:
    import torch


class SsTokenParams(AttributeParams):
    """Parameters of :class:`SsToken`."""

    history: Reference | None = Field(None, description="The model as it was earlier. Default: the base.")
    current: Reference | None = Field(
        None,
        description="The model as it is now. Default: the base; in a self-evolving run the newest.",
    )
    gamma: float = Field(0.5, ge=0.0, le=1.0, description="Share of the progress; the rest is attention.")
    layers: Literal["all"] | tuple[int, ...] = Field((-1,), description="Layers of attention to average, -1 the last.")
    row: Literal["own", "predicting"] = Field(
        "own", description="Attention that the token pays once it is read, or that the position before it pays."
    )

    @model_validator(mode="after")
    def _two_models(self) -> SsTokenParams:
        if self.history == self.current:
            raise ValueError(
                "history and current are one model, which has made no progress: name one of them; or use strategy: "
                "self_evolving, where current is the newest model and history the base, or training.rescore_steps "
                "with current: {in_training: true}"
            )
        return self


class SsToken(Attribute[SsTokenParams]):
    """Progress since an earlier model, and attention to the prompt (ssToken, arXiv 2510.18250).

    ``γ minmax(loss under history - loss under current) + (1 - γ) attention of current from the token to the prompt``,
    in [0, 1]; the extremes are those of the token's own example. Where all its tokens progressed alike, that part is
    0. Attention is read in the last layer and the token's own row, as in the released code. Frozen at ``current``, in
    self-evolving runs for one round; the paper takes the model in training anew for each batch: ``current:
    {in_training: true}`` with ``training.rescore_steps: 1``, where ``history`` is the base.
    """

    name: ClassVar[str] = "ss_token"
    rescores: ClassVar[bool] = True
    base_stays: ClassVar[bool] = True
    Params = SsTokenParams
    roles: ClassVar[Roles] = Roles(newest="current", earlier="history")

    def default_cut(self) -> Mapping[str, Any]:
        return {"kind": "top_share", "keep": 0.6, "scope": "example"}

    @property
    def _attention(self) -> AttentionToPrompt:
        return AttentionToPrompt(self.params.layers, self.params.row, self.params.current)

    def requires(self) -> set[SignalRequest]:
        return {LogProb(self.params.history), LogProb(self.params.current), self._attention}

    def score(self, signals: Signals) -> torch.Tensor:
        progress = signals[LogProb(self.params.current)] - signals[LogProb(self.params.history)]
        nothing = progress.isnan()
        low = progress.masked_fill(nothing, float("inf")).amin(dim=1, keepdim=True)
        high = progress.masked_fill(nothing, float("-inf")).amax(dim=1, keepdim=True)
        scaled = (progress - low) / (high - low).clamp_min(1e-12)
        return self.params.gamma * scaled + (1.0 - self.params.gamma) * signals[self._attention]

    def describe(self, score: float) -> str:
        return f"progress and attention to the prompt: {score:.0%} of the greatest possible"
