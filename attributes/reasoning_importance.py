"""Reasoning importance: how much the rest of the answer looks back at a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from xtf.attribute import AttentionReceived, Attribute, AttributeParams, SignalRequest, Signals

if TYPE_CHECKING:
    import torch


_LEAST = 2.0**-20  # attention beyond a sliding window is exactly zero, and its logarithm must stay finite


class ReasoningImportanceParams(AttributeParams):
    """Parameters of :class:`ReasoningImportance`."""

    variant: Literal["paper", "released", "corrected"] = "corrected"
    layers: Literal["all"] | tuple[int, ...] = Field(
        "all", description="Layers to average, -1 is the last; released reads none."
    )

    @model_validator(mode="after")
    def _check_layers(self) -> Self:
        if self.variant == "released" and self.layers != "all":
            raise ValueError("layers: variant released reads no attention, since its score is 1/n in every layer")
        return self


class ReasoningImportance(Attribute[ReasoningImportanceParams]):
    """Attention paid to the token under the base model (XTF, arXiv 2602.14536, section on reasoning importance).

    * ``corrected``: attention received from later response tokens, divided by what uniform attention would give that
      position, so that early tokens are not favoured; as log2, so 0 means "as much as chance" and -1 half of it. The
      ratio itself is so skewed that its lower quartile fence lies below zero and no token could ever lack.
    * ``paper``: mean attention received from all positions of the example, without that correction, in [0, 1].
    * ``released``: the published code averages over keys instead of queries; a softmax row sums to one, so every score
      is 1/n, n the tokens of the example. What its cut selects there is the rounding of the machine that runs it; here
      the score is 1/n exactly, and nothing lacks it. Kept to show why degenerate attributes are refused.
    """

    name: ClassVar[str] = "reasoning_importance"
    evidence: ClassVar[str] = (
        "does not find planted mistakes on GSM8K (AUROC 0.48, 0.5 is chance); alone not put to the test by "
        "training yet (docs/evidence.md)"
    )
    Params = ReasoningImportanceParams

    def default_cut(self) -> Mapping[str, Any]:
        if self.params.variant == "released":
            return {"kind": "iqr", "k": 1.5, "scope": "example", "at_most": 0.05}
        return {"kind": "iqr", "k": 1.0, "scope": "example"}

    @property
    def _request(self) -> SignalRequest:
        return AttentionReceived(self.params.layers, "all" if self.params.variant == "paper" else "response")

    def requires(self) -> set[SignalRequest]:
        return set() if self.params.variant == "released" else {self._request}

    def score(self, signals: Signals) -> torch.Tensor:
        if self.params.variant == "released":
            return (1.0 / signals.tokens.lengths.float())[:, None].expand(signals.tokens.input_ids.shape)
        attention = signals[self._request]
        return attention.clamp_min(_LEAST).log2() if self.params.variant == "corrected" else attention

    def describe(self, score: float) -> str:
        if self.params.variant == "corrected":
            return f"later response tokens attend to it {2.0 ** min(score, 1000.0):.3g} times as much as chance"
        return f"its mean attention is {score:.3g}"
