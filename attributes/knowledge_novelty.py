"""Knowledge novelty: what the base model does not predict by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from xtf.attribute import Attribute, AttributeParams, LogProb, Reference, Signals

if TYPE_CHECKING:
    import torch


_HIGHEST_LOSS = 100.0  # nats; above any loss of a 32-bit log-probability that training meets


class KnowledgeNoveltyParams(AttributeParams):
    """Parameters of :class:`KnowledgeNovelty`."""

    variant: Literal["paper", "released", "corrected"] = "corrected"
    measure: Literal["probability", "loss"] = Field("probability", description="1 - p, or the loss -log p in nats.")
    reference: Reference | None = Field(None, description="Measure under this model instead of the base model.")
    confident_share: float = Field(
        0.5, gt=0.0, le=1.0, description="released: only this most probable share of each answer may lack."
    )


class KnowledgeNovelty(Attribute[KnowledgeNoveltyParams]):
    """1 - P(token | prefix): low where the model already knows the token (XTF, arXiv 2602.14536, eq. 3).

    ``measure: probability`` gives scores in [0, 1], ``measure: loss`` in nats from 0 up. The variants ``paper`` and
    ``corrected`` agree. ``released`` repeats the published code, in which a token can lack only when it is also among
    the most probable ``confident_share`` of its answer: every other token gets the highest score.
    """

    name: ClassVar[str] = "knowledge_novelty"
    Params = KnowledgeNoveltyParams

    def default_threshold(self) -> Mapping[str, Any]:
        return {"kind": "below", "cut": 0.05 if self.params.measure == "probability" else -math.log(0.95)}

    def requires(self) -> set[LogProb]:
        return {LogProb(self.params.reference)}

    def score(self, signals: Signals) -> torch.Tensor:
        log_prob = signals[LogProb(self.params.reference)]
        novelty = -log_prob if self.params.measure == "loss" else -log_prob.expm1()
        if self.params.variant != "released":
            return novelty
        rank = novelty.argsort(dim=1, stable=True).argsort(dim=1)  # NaN (no response token) sorts last
        allowed = (signals.tokens.is_response.sum(dim=1, keepdim=True) * self.params.confident_share).ceil()
        return novelty.where(rank < allowed, 1.0 if self.params.measure == "probability" else _HIGHEST_LOSS)

    def describe(self, score: float) -> str:
        probability = 1.0 - score if self.params.measure == "probability" else math.exp(-score)
        who = "the reference model" if self.params.reference else "the model"
        return f"{who} gives it probability {probability:.3g}"
