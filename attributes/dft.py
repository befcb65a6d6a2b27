"""DFT: a weight for every token, its probability."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from xtf.attribute import Attribute, LogProb, NoParams, Signals, probability_text

if TYPE_CHECKING:
    import torch


class DFT(Attribute[NoParams]):
    """A weight in [0, 1]: the model's probability of the token (dynamic fine-tuning, arXiv 2508.05629, eq. 9).

    For ``combine.weight_by: dft`` with ``training.objective: weight``; the loss is divided by all response tokens.
    The paper takes it anew at each step: ``training.rescore_steps: 1``.
    """

    name: ClassVar[str] = "dft"
    evidence: ClassVar[str] = (
        "finds planted mistakes on GSM8K with AUROC 0.78; weights at the base lose 0.578 nats a token [0.446, 0.710] "
        "to the same weights shuffled, with a small model (docs/evidence.md)"
    )
    normalise: ClassVar[Literal["response"]] = "response"
    rescores: ClassVar[bool] = True

    def requires(self) -> set[LogProb]:
        return {LogProb()}

    def score(self, signals: Signals) -> torch.Tensor:
        return signals[LogProb()].exp()

    def describe(self, score: float) -> str:
        return f"the model gives it probability {probability_text(score)}, its weight"
