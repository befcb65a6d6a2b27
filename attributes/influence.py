"""Influence: what training on a token does to the loss that matters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from xtf.attribute import (
    Attribute,
    AttributeParams,
    LogProb,
    LossDerivative,
    Reference,
    Roles,
    SignalRequest,
    Signals,
    Target,
)

if TYPE_CHECKING:
    import torch

_GRADIENT_ONLY = ("target", "parameters", "k", "adapter", "preconditioner", "damping", "mode")


class InfluenceParams(AttributeParams):
    """Parameters of :class:`Influence`: ``reference`` for one method, all that follow for the other."""

    method: Literal["reference", "gradient"] = "reference"
    reference: Reference | None = Field(
        None, description="path, adapter, train_on or share, and how to train. Default: {share: 0.2}."
    )
    target: Target | None = Field(None, description="gradient: path or share. Default: {share: 0.1}.")
    parameters: Literal["linear", "last_k", "all", "lora"] = Field("linear", description="gradient: which weights.")
    k: PositiveInt = Field(4, description="gradient, last_k: how many layers.")
    adapter: Reference | None = Field(None, description="gradient, lora: adapter, train_on or share. Default: fresh.")
    preconditioner: Literal["none", "adam", "fisher_diagonal", "ekfac"] = Field("none", description="gradient.")
    damping: float = Field(0.1, gt=0.0, description="gradient, fisher_diagonal, ekfac: multiple of the mean.")

    mode: Literal["auto", "forward", "finite"] = Field(
        "auto", description="gradient: exact forward mode, or central differences, faster and right to 0.01 %."
    )

    @model_validator(mode="after")
    def _one_method(self) -> InfluenceParams:
        if self.method == "gradient" and self.reference is not None:
            raise ValueError("reference belongs to method: reference; method: gradient takes a target")
        fields = type(self).model_fields
        stray = [name for name in _GRADIENT_ONLY if getattr(self, name) != fields[name].default]
        if self.method == "reference" and stray:
            raise ValueError(f"{', '.join(stray)}: for method: gradient; method: reference takes a reference")
        if self.adapter is not None and (self.parameters != "lora" or self.adapter.path is not None):
            raise ValueError("adapter goes with parameters: lora, and takes adapter, train_on or share")
        return self


class Influence(Attribute[InfluenceParams]):
    """How much training on the token helps the task: by a reference model, or by a derivative along the task gradient.

    * ``reference``: loss under the base model minus loss under the reference, in nats (Token Cleaning, arXiv
      2502.01968, eq. 4; Rho-1, arXiv 2404.07965, ranks the same within each example). Tokens that a reference was
      trained on look better than they are: with ``share``, those of the warm-up part.
    * ``gradient``: derivative of the token's loss along the gradient of the mean loss of a trusted target set; to first
      order what ``reference`` measures when the reference is one step of training on that set.
    """

    name: ClassVar[str] = "influence"
    evidence: ClassVar[str] = (
        "by reference, keeping the best 60 % (Token Cleaning) loses 0.149 nats a token [0.076, 0.223] to a random mask "
        "of the same size on GSM8K with planted mistakes and a small model, by derivative 0.215 [0.176, 0.253], with "
        "Adam 0.223 [0.182, 0.263]; Rho-1 is not shown to differ (-0.132 [-0.231, -0.032], p 0.07); AUROC of mistakes "
        "0.50 by reference, 0.37 to 0.43 by derivative; EK-FAC's order is the best of four derivatives, masking its "
        "worst fifth costs 0.042 [0.029, 0.055] less than masking the plain one's (docs/evidence.md)"
    )
    Params = InfluenceParams
    roles: ClassVar[Roles] = Roles(newest="reference")

    def default_cut(self) -> Mapping[str, Any]:
        return {"kind": "top_share", "keep": 0.6, "scope": "dataset"}

    @property
    def _reference(self) -> LogProb:
        return LogProb(self.params.reference or Reference(share=0.2))

    @property
    def _derivative(self) -> LossDerivative:
        params = self.params
        return LossDerivative(
            target=params.target or Target(share=0.1),
            parameters=params.parameters,
            k=params.k,
            adapter=params.adapter,
            preconditioner=params.preconditioner,
            damping=params.damping,
            mode=params.mode,
        )

    def requires(self) -> set[SignalRequest]:
        return {LogProb(), self._reference} if self.params.method == "reference" else {self._derivative}

    def score(self, signals: Signals) -> torch.Tensor:
        if self.params.method == "reference":
            return signals[self._reference] - signals[LogProb()]
        return signals[self._derivative]

    def describe(self, score: float) -> str:
        if self.params.method == "reference":
            if score == 0:
                return "the reference model predicts it just as the model does"
            verdict = "better" if score > 0 else "worse"
            return f"the reference model predicts it {verdict} than the model, by {abs(score):.3g} nats"
        if score == 0:
            return "learning it leaves the target loss as it is"
        return f"learning it {'lowers' if score > 0 else 'raises'} the target loss by {abs(score):.3g} times the step"
