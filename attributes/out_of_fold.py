"""Out-of-fold loss: how well a model that learnt the other examples predicts the token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt

from xtf.attribute import Attribute, AttributeParams, LogProb, Reference, SignalRequest, Signals
from xtf.tokens import fold_of

if TYPE_CHECKING:
    import torch


class OutOfFoldParams(AttributeParams):
    """Parameters of :class:`OutOfFold`."""

    folds: int = Field(2, ge=2, le=10, description="Models that are trained, each without its fold.")
    epochs: float = Field(1.0, gt=0.0, description="Passes of each over the other folds.")
    steps: PositiveInt | None = Field(None, description="Updates, instead of epochs.")
    learning_rate: float = Field(2e-4, gt=0.0, description="It falls to 0.")
    batch_size: PositiveInt = Field(8, description="Examples an update.")


class OutOfFold(Attribute[OutOfFoldParams]):
    """Log-probability, in nats, under a model fine-tuned on the other folds (confident learning, arXiv 1911.00068).

    Confident learning asks for predictions out of sample, by cross-validation: what a model that knows data of this
    kind, but not this example, finds unlikely may be wrong. The example's id decides its fold. Costs one fine-tune and
    one pass for each fold.
    """

    name: ClassVar[str] = "out_of_fold"
    evidence: ClassVar[str] = (
        "finds planted mistakes on GSM8K with AUROC 0.81; without its worst 5 % a small model loses 0.110 nats a token "
        "[0.079, 0.142] to a random mask of the same size (docs/evidence.md)"
    )
    Params = OutOfFoldParams

    def default_cut(self) -> Mapping[str, Any]:
        return {"kind": "bottom_share", "share": 0.05, "scope": "dataset"}

    def _without(self, fold: int) -> LogProb:
        params = self.params
        return LogProb(
            Reference(
                without_fold=(fold, params.folds),
                epochs=params.epochs,
                steps=params.steps,
                learning_rate=params.learning_rate,
                batch_size=params.batch_size,
            )
        )

    def requires(self) -> set[SignalRequest]:
        return {self._without(fold) for fold in range(self.params.folds)}

    def score(self, signals: Signals) -> torch.Tensor:
        import torch

        folds = [fold_of(example_id, self.params.folds) for example_id in signals.tokens.example_ids]
        return torch.stack([signals[self._without(fold)][row] for row, fold in enumerate(folds)])

    def describe(self, score: float) -> str:
        return f"under a model trained on other examples its loss is {0.0 - score:.3g} nats"
