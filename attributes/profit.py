"""ProFit: learn what the model finds probable."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from xtf.attribute import Attribute, LogProb, NoParams, Signals, probability_text

if TYPE_CHECKING:
    import torch


class ProFit(Attribute[NoParams]):
    """The model's probability of the token; improbable ones are taken for replaceable phrasing (arXiv 2601.09195).

    The paper keeps p > τ; τ is the cut, 0.1 unless ``thresholds.profit.cut`` says otherwise. The loss is divided by
    all response tokens. The paper takes it anew at each step: ``training.rescore_steps: 1``.
    """

    name: ClassVar[str] = "profit"
    normalise: ClassVar[Literal["response"]] = "response"
    rescores: ClassVar[bool] = True

    def default_cut(self) -> dict[str, object]:
        return {"kind": "below", "cut": 0.1}

    def requires(self) -> set[LogProb]:
        return {LogProb()}

    def score(self, signals: Signals) -> torch.Tensor:
        return signals[LogProb()].exp()

    def describe(self, score: float) -> str:
        return f"the model gives it probability {probability_text(score)}"
