"""TALR: a weight for every token that falls with its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from xtf.attribute import Attribute, AttributeParams, LogProb, Signals

if TYPE_CHECKING:
    import torch


class TALRParams(AttributeParams):
    """Parameters of :class:`TALR`."""

    temperature: float = Field(1.0, gt=0.0, description="τ in nats: the loss at which the weight has fallen to 1/e.")


class TALR(Attribute[TALRParams]):
    """A weight in (0, 1], ``exp(-loss / τ)``: hard tokens pull less (token-adaptive reweighting, arXiv 2509.20758).

    For ``combine.weight_by: talr`` with ``training.objective: weight``. With τ = 1 it equals ``dft``.
    """

    name: ClassVar[str] = "talr"
    Params = TALRParams

    def requires(self) -> set[LogProb]:
        return {LogProb()}

    def score(self, signals: Signals) -> torch.Tensor:
        return (signals[LogProb()] / self.params.temperature).exp()

    def describe(self, score: float) -> str:
        return f"its loss gives it weight {score:.3g}"
