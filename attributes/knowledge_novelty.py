"""Knowledge novelty: what the base model does not predict by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from xtf.attribute import Attribute, AttributeParams, LogProb, Reference, Signals, probability_text

if TYPE_CHECKING:
    import torch


class KnowledgeNoveltyParams(AttributeParams):
    """Parameters of :class:`KnowledgeNovelty`."""

    variant: Literal["paper", "released", "corrected"] = "corrected"
    measure: Literal["probability", "loss"] = Field("probability", description="1 - p, or the loss -log p in nats.")
    reference: Reference | None = Field(None, description="Measure under this model instead of the base model.")


class KnowledgeNovelty(Attribute[KnowledgeNoveltyParams]):
    """1 - P(token | prefix): low where the model already knows the token (XTF, arXiv 2602.14536, eq. 3).

    ``measure: probability`` gives scores in [0, 1], ``measure: loss`` in nats from 0 up. The variants give the same
    scores. In the published code at most the most probable tenth of an answer may lack, which is the default cut of
    ``released``.
    """

    name: ClassVar[str] = "knowledge_novelty"
    evidence: ClassVar[str] = (
        "masking what is below 0.05 is not shown to differ from a random mask of the same size on GSM8K with planted "
        "mistakes (-0.023 nats a token [-0.051, 0.004]) and loses 0.035 to learning all; mistakes are novel: "
        "AUROC 0.22 (docs/evidence.md)"
    )
    Params = KnowledgeNoveltyParams

    def default_cut(self) -> Mapping[str, Any]:
        cut = 0.05 if self.params.measure == "probability" else -math.log(0.95)
        return {"kind": "below", "cut": cut, **({"at_most": 0.1} if self.params.variant == "released" else {})}

    def requires(self) -> set[LogProb]:
        return {LogProb(self.params.reference)}

    def score(self, signals: Signals) -> torch.Tensor:
        log_prob = signals[LogProb(self.params.reference)]
        return -log_prob if self.params.measure == "loss" else -log_prob.expm1()

    def describe(self, score: float) -> str:
        probability = 1.0 - score if self.params.measure == "probability" else math.exp(-score)
        who = "the reference model" if self.params.reference else "the model"
        return f"{who} gives it probability {probability_text(probability)}"
