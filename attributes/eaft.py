"""EAFT: a weight for every token, the entropy of its prediction."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from xtf.attribute import Attribute, AttributeParams, Entropy, Signals

if TYPE_CHECKING:
    import torch


class EAFTParams(AttributeParams):
    """Parameters of :class:`EAFT`."""

    top_k: int = Field(20, ge=2, description="Most likely tokens that the entropy is taken over.")


class EAFT(Attribute[EAFTParams]):
    """A weight in [0, 1]: the entropy of the model's top 20 over its greatest possible value (arXiv 2601.02151).

    Low where the model is sure, so that a confident model is not forced to another answer. For
    ``combine.weight_by: eaft`` with ``training.objective: weight``; the loss is divided by all response tokens. The
    paper takes it anew at each step: ``training.rescore_steps: 1``.
    """

    name: ClassVar[str] = "eaft"
    normalise: ClassVar[Literal["response"]] = "response"
    rescores: ClassVar[bool] = True
    Params = EAFTParams

    def requires(self) -> set[Entropy]:
        return {Entropy(top_k=self.params.top_k)}

    def score(self, signals: Signals) -> torch.Tensor:
        return (signals[Entropy(top_k=self.params.top_k)] / math.log(self.params.top_k)).clamp(0.0, 1.0)

    def describe(self, score: float) -> str:
        return f"the model's doubt is {score:.0%} of the greatest possible, its weight"
