"""Entropy: how undecided the model is about the next token."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from xtf.attribute import Attribute, Entropy, NoParams, Signals

if TYPE_CHECKING:
    import torch


class PredictionEntropy(Attribute[NoParams]):
    """Entropy of the model's prediction, in nats: high where the text forks (entropy minority, arXiv 2506.01939).

    The paper takes that of the model in training at each step: ``training.rescore_steps: 1``.
    """

    name: ClassVar[str] = "entropy"
    rescores: ClassVar[bool] = True

    def default_cut(self) -> dict[str, object]:
        return {"kind": "top_share", "keep": 0.2, "scope": "dataset"}

    def requires(self) -> set[Entropy]:
        return {Entropy()}

    def score(self, signals: Signals) -> torch.Tensor:
        return signals[Entropy()]

    def describe(self, score: float) -> str:
        return f"the model hesitates here with an entropy of {score:.3g} nats"
